//! What a first calibration learned, as a file.

use std::path::Path;

use alora_drivers::{BackendError, DataSheet, Descriptor, PhotonicBackend, ProcessorId, ProcessorKind};
use serde::{Deserialize, Serialize};

use crate::{
    coherent::{self, CoherentCalibration, CoherentCharacterisation, CoherentError},
    encoding::Encoding,
    incoherent::{self, IncoherentCalibration, IncoherentCharacterisation},
    observer::Observer,
    provenance::Provenance,
    store::{StoreError, read_toml, write_toml},
};

/// What calibration learned of one processor, by family.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "family", rename_all = "snake_case")]
pub enum Learned {
    /// Intensity weights.
    Incoherent(IncoherentCalibration),
    /// Interferometer meshes.
    Coherent(CoherentCalibration),
    /// Interferometer meshes, characterised without a data sheet's phases.
    CharacterisedCoherent(Box<CoherentCharacterisation>),
    /// A bank of rings, characterised without a data sheet's resonances.
    CharacterisedIncoherent(Box<IncoherentCharacterisation>),
}

/// How much to measure in a first calibration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CalibrationPlan {
    /// Points of each actuator sweep, at least 5.
    pub sweep_points: usize,
    /// Times each input vector is sent and averaged, at least 1.
    pub repeats: usize,
}

impl Default for CalibrationPlan {
    fn default() -> Self {
        Self { sweep_points: 24, repeats: 4 }
    }
}

/// Why a first calibration did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum CalibrateError {
    /// The data sheet is of the other family.
    #[error(
        "the data sheet is of another family than the connected processor, which is {connected}; give the data sheet of this processor"
    )]
    Family {
        /// Family that answered.
        connected: ProcessorKind,
    },
    /// Too little would be measured.
    #[error(
        "the calibration plan has sweep_points = {sweep_points} and repeats = {repeats}; at least 5 and 1 are needed"
    )]
    Plan {
        /// Points of each sweep asked for.
        sweep_points: usize,
        /// Repeats asked for.
        repeats: usize,
    },
    /// No element changes what the detectors see.
    #[error(
        "{processor}: the elements' response is {percent:.1} % of the data sheet's; check that the laser is on and coupled, then calibrate again"
    )]
    NoLight {
        /// Processor.
        processor: ProcessorId,
        /// Median response of the elements, in percent of the data sheet's.
        percent: f64,
    },
    /// One row sees nothing while others do.
    #[error(
        "{processor}: detector row {row} sees no element of its row respond, while other rows do; check its detector and amplifier"
    )]
    DeadRow {
        /// Processor.
        processor: ProcessorId,
        /// Row.
        row: usize,
    },
    /// One row is at its limit.
    #[error(
        "{processor}: detector row {row} was at its limit in {saturated} of {readings} readings; lower the laser power or its amplifier's gain"
    )]
    SaturatedRow {
        /// Processor.
        processor: ProcessorId,
        /// Row.
        row: usize,
        /// Readings at the limit.
        saturated: usize,
        /// Readings taken.
        readings: usize,
    },
    /// The coherent processor cannot be calibrated as it is.
    #[error(transparent)]
    Coherent(#[from] CoherentError),
    /// The operator wants to stop.
    #[error("interrupted; nothing was learned")]
    Interrupted,
    /// The driver failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

/// Ends a loop over the processor when the operator wants to stop.
pub(crate) fn go_on(observer: &dyn Observer) -> Result<(), CalibrateError> {
    if observer.interrupted() { Err(CalibrateError::Interrupted) } else { Ok(()) }
}

/// First calibration from the data sheet: dark, gain, and the law of each actuator. The processor is parked after.
///
/// Where nothing is known of the chip, a characterisation comes before this one (see `docs/ARCHITECTURE.md`).
///
/// # Errors
/// A data sheet of the other family, a driver error, an actuator whose law cannot be fitted, or the operator's wish to
/// stop. The actuators are then as the last step left them: park the processor.
pub async fn calibrate(
    backend: &mut dyn PhotonicBackend,
    data_sheet: &DataSheet,
    plan: &CalibrationPlan,
    provenance: Provenance,
    observer: &mut dyn Observer,
) -> Result<Calibration, CalibrateError> {
    let descriptor = backend.descriptor().clone();
    let (learned, measurements) = match (data_sheet, descriptor.kind) {
        (DataSheet::Incoherent(sheet), ProcessorKind::Incoherent) => {
            let (learned, sent) = incoherent::calibrate(backend, sheet, plan, observer).await?;
            (Learned::Incoherent(learned), sent)
        }
        (DataSheet::Coherent(sheet), ProcessorKind::Coherent) => {
            let (learned, sent) = coherent::calibrate(backend, sheet, plan, observer).await?;
            (Learned::Coherent(learned), sent)
        }
        (_, connected) => return Err(CalibrateError::Family { connected }),
    };
    backend.park().await?;
    let schema = Calibration::SCHEMA.to_owned();
    Ok(Calibration { schema, provenance, descriptor, data_sheet: data_sheet.clone(), measurements, learned })
}

/// A calibration: self-contained, belongs to one processor id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// [`Calibration::SCHEMA`].
    pub schema: String,
    /// Origin.
    pub provenance: Provenance,
    /// The processor, as it described itself.
    pub descriptor: Descriptor,
    /// The maker's nominal values that calibration started from.
    pub data_sheet: DataSheet,
    /// Input vectors sent to learn it.
    pub measurements: u64,
    /// What was learned.
    pub learned: Learned,
}

impl Calibration {
    /// Version of the file format.
    pub const SCHEMA: &'static str = "alora.calibration/1";

    /// The encoding that this calibration makes possible.
    #[must_use]
    pub fn encoding(&self) -> Box<dyn Encoding> {
        match &self.learned {
            Learned::Incoherent(learned) => Box::new(learned.clone()),
            Learned::Coherent(learned) => Box::new(learned.clone()),
            Learned::CharacterisedCoherent(learned) => Box::new(learned.encoding()),
            Learned::CharacterisedIncoherent(learned) => Box::new((**learned).clone()),
        }
    }

    /// The same with all outputs brighter by the factor `gain` > 0: the laser's power or a fibre's coupling has changed, the weights
    /// have not.
    #[must_use]
    pub fn with_light(mut self, gain: f64) -> Self {
        match &mut self.learned {
            Learned::Incoherent(learned) => learned.row_gain.iter_mut().for_each(|row| *row *= gain),
            Learned::Coherent(learned) => learned.output_gain.iter_mut().for_each(|output| *output *= gain),
            Learned::CharacterisedCoherent(learned) => {
                learned.log_output.value.iter_mut().for_each(|output| *output += gain.ln());
            }
            Learned::CharacterisedIncoherent(learned) => learned.counts_per_unit *= gain,
        }
        self
    }

    /// Reads a calibration from TOML.
    ///
    /// # Errors
    /// A missing or malformed file, or one of another schema.
    pub fn read(path: &Path) -> Result<Self, StoreError> {
        read_toml(path, Self::SCHEMA)
    }

    /// Writes the calibration as TOML.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), StoreError> {
        write_toml(path, self)
    }
}
