//! Calibrated photonic processors: from weights to actuator codes and back, and how far off they are.
//!
//! [`Processor`] is a layer over a [`PhotonicBackend`](alora_drivers::PhotonicBackend) that knows weights;
//! [`Calibration`] is what a first calibration learned; [`calibrate`] learns it.

mod calibration;
mod coherent;
mod encoding;
mod error_model;
mod incoherent;
pub mod mesh;
mod observer;
mod processor;
mod provenance;
mod store;
mod weights;

pub use calibration::{CalibrateError, Calibration, CalibrationPlan, Learned, calibrate};
pub use coherent::{CoherentCalibration, CoherentError};
pub use encoding::{EncodeError, Encoded, EncodedInputs, Encoding};
pub use error_model::{ErrorLaw, ErrorModel, SigmaReference};
pub use incoherent::IncoherentCalibration;
pub use observer::{Event, Observer, Silent};
pub use processor::{MeasuredWeights, MvmReadings, Probe, Processor, ProcessorError, Programmed};
pub use provenance::Provenance;
pub use store::{StoreError, read_toml, write_atomically, write_toml};
pub use weights::{Cell, WeightError, WeightMatrix};
