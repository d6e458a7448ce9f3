//! Device drivers for photonic matrix–vector-multiply (MVM) processors.
//!
//! One trait, [`PhotonicBackend`], in raw units: actuator codes in, detector counts out. Drivers know
//! nothing of weights, layers or models; `alora-calibration` turns weights into codes.
//! [`mock`] holds a faithful simulation of an incoherent and of a coherent processor.

mod backend;
pub mod bench;
pub mod board;
mod clock;
#[cfg(feature = "contract")]
pub mod contract;
pub mod datasheet;
mod descriptor;
pub mod emulate;
mod error;
mod frame;
pub mod link;
pub mod mock;
pub mod qontrol;
pub mod record;
pub mod recorded;
mod refusal;
pub mod safety;
pub mod scpi;
pub mod soak;
pub mod station;
mod units;

pub use backend::{Generation, PhotonicBackend};
pub use datasheet::DataSheet;
pub use descriptor::{
    ActuatorLayout, ConverterBits, Descriptor, Detection, InputAlphabet, ProcessorId, ProcessorKind, Rails,
};
pub use error::{BackendError, BackendErrorKind, FaultClass, InstrumentFault, Mismatch, Operation};
pub use frame::{ActuatorFrame, Applied, Code, InputBatch, InputCode, Readout, Timestamp};
pub use units::{Amperes, Celsius, Nanometres, Radians, Volts, Watts};
