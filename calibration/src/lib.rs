//! Calibrated photonic processors: from weights to actuator codes and back, and how far off they are.
//!
//! [`Processor`] is a layer over a [`PhotonicBackend`](alora_drivers::PhotonicBackend) that knows weights;
//! [`Calibration`] is what a first calibration learned; [`calibrate`] learns it.

mod calibration;
pub mod characterise;
mod coherent;
pub mod drift;
mod encoding;
mod error_model;
mod fit;
mod incoherent;
mod measure;
pub mod mesh;
pub mod monitor;
mod npz;
mod observer;
mod pairs;
mod processor;
mod provenance;
pub mod readout;
mod record;
pub mod statistics;
mod store;
mod vectors;
pub mod verify;
mod weights;

pub use calibration::{CalibrateError, Calibration, CalibrationPlan, Learned, calibrate};
pub use coherent::{
    CoherentCalibration, CoherentCharacterisation, CoherentError, CoherentPlan, HeatPaths, Learnt,
    ShifterDefect, ShifterFault, SweepTally,
};
pub use encoding::{EncodeError, Encoded, EncodedInputs, Encoding};
pub use error_model::{
    EMPIRICAL_RESIDUALS, ErrorLaw, ErrorModel, ErrorModelError, LawChoice, SigmaReference,
};
pub use fit::{
    ComponentRecovery, Coverage, Defects, FitReport, HistogramFit, Injected, MeanError, Normality, Shape,
    Sigma, StuckDetection, component_recovery, fit, fitted_residuals, sigma_coverage, stuck_detection,
};
pub use incoherent::{
    Defect, DefectKind, ElementLookup, IncoherentCalibration, IncoherentCharacterisation, IncoherentPlan,
    InputCurve, RingLaw,
};
pub use measure::{MeasureError, MeasurementPlan, measure};
pub use observer::{Event, Observer, Silent};
pub use pairs::{Pairs, PairsError, read_pairs};
pub use processor::{MeasuredWeights, MvmReadings, Probe, Processor, ProcessorError, Programmed};
pub use provenance::Provenance;
pub use record::{MeasurementRecord, ProgrammingLog};
pub use store::{StoreError, read_toml, write_atomically, write_toml};
pub use weights::{Cell, WeightError, WeightMatrix};
