//! A processor put together from laboratory instruments: voltage sources for weights and inputs, detectors for outputs, a laser
//! and a thermostat, by a station file or in Rust.
//!
//! Codes are steps of voltage, `V = V_full · code / (2^b − 1)`; counts are steps of the detectors' unit. Vectors are sent one by one,
//! and each is read as often as asked before the next. Parked, the sources rest and the laser is dark; the first `apply` or
//! `execute` after that switches it on.

mod backend;
mod bank;
mod chain;
mod conditions;
mod instruments;
mod receiver;
mod scpi;

pub use backend::{BenchBackend, BenchParts};
pub use bank::Bank;
pub use chain::{ChainDetectors, ChainSources};
pub use conditions::{Conditions, Lamp, Thermostat};
pub use instruments::{Detectors, Reading, Sources, Surroundings};
pub use receiver::Receiver;
pub use scpi::{FastDetectors, FastSources, MeterDetectors, MeterSettings, MeterSource};

pub(crate) use chain::kind as of_chain;
pub(crate) use scpi::kind as of_instrument;
