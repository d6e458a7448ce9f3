//! Sweeps: accuracy over networks, tasks, bits, σ, methods and seeds, as in Figs. 2 and 4 of Taniguchi et al., OECC/PSC 2025.
//!
//! A [`SweepConfig`] and the rest of its file become a [`SweepPlan`]: one [`PlannedCell`] for each combination, with the
//! configuration it runs under and a key that changes with everything that decides its result. [`run_sweep`] runs the
//! cells that a [`SweepStore`] does not hold and keeps each as one file, so that an interruption loses the running cell at
//! most. [`draw_sweep`] and [`write_document`] show what is there. How a cell is run is the caller's.

mod cell;
mod config;
mod csv;
mod document;
mod error;
mod eta;
mod figure;
mod key;
mod plan;
mod result;
mod run;
mod store;
mod summary;

pub use cell::{Cell, Method, Percent};
pub use config::{Shown, SweepConfig, SweepFigure, TrainSigma, Variant, split};
pub use csv::{HEADER, write_csv};
pub use document::write_document;
pub use error::SweepError;
pub use figure::draw_sweep;
pub use plan::{PlannedCell, SweepPlan};
pub use result::{CellResult, Draws, Outcome};
pub use run::{Failure, SweepProgress, SweepReport, run_sweep};
pub use store::{CellRecord, SweepStore};
