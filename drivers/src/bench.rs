//! A processor put together from laboratory instruments: voltage sources for weights and inputs, detectors for outputs.
//!
//! For who puts instruments together in Rust: station files do not reach it yet. Codes are steps of voltage, `V = V_max · code / (2^b − 1)`; counts are steps of the detectors' unit.

mod backend;
mod bank;
mod instruments;
mod receiver;

pub use backend::{BenchBackend, BenchParts};
pub use bank::Bank;
pub use instruments::{Detectors, Reading, Sources, Surroundings};
pub use receiver::Receiver;
