//! A processor put together from laboratory instruments: voltage sources for weights and inputs, detectors for outputs.
//!
//! The station file says which channel of which instrument is what, so that a chip of any laboratory is driven without a line
//! of Rust. Codes are steps of voltage, `V = V_max · code / (2^b − 1)`; counts are steps of the detectors' unit.

mod backend;
mod bank;
mod instruments;
mod receiver;

pub use backend::{BenchBackend, BenchParts};
pub use bank::Bank;
pub use instruments::{Detectors, Reading, Sources, Surroundings};
pub use receiver::Receiver;
