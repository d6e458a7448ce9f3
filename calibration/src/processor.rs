//! A calibrated processor: a backend that knows weights.

use alora_drivers::{
    ActuatorFrame, BackendError, Celsius, Descriptor, PhotonicBackend, ProcessorId, Timestamp,
};
use ndarray::{Array2, Array3, ArrayView2, Axis};

use crate::{
    calibration::Calibration,
    encoding::{EncodeError, Encoding},
    weights::{Cell, WeightMatrix},
};

/// A backend with its calibration.
pub struct Processor {
    backend: Box<dyn PhotonicBackend>,
    encoding: Box<dyn Encoding>,
    output_scale: f64,
}

/// Why a calibrated processor did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ProcessorError {
    /// The calibration was made on another processor.
    #[error(
        "the calibration belongs to processor {calibrated}, but {connected} is connected; calibrate this one with `alora calibrate`"
    )]
    WrongProcessor {
        /// Id in the calibration.
        calibrated: ProcessorId,
        /// Id that answered.
        connected: ProcessorId,
    },
    /// The weights cannot be encoded.
    #[error("{processor}: the weights cannot be encoded")]
    Encode {
        /// Processor.
        processor: ProcessorId,
        /// Why.
        #[source]
        source: EncodeError,
    },
    /// The input vectors have the wrong length.
    #[error("{processor}: each input vector has {found} values, the processor takes {expected}")]
    InputWidth {
        /// Processor.
        processor: ProcessorId,
        /// Inputs of the processor.
        expected: usize,
        /// Values given.
        found: usize,
    },
    /// The driver failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

/// What was written when a matrix was programmed.
#[must_use]
#[derive(Clone, Debug)]
pub struct Programmed {
    /// Codes that the device holds.
    pub codes: ActuatorFrame,
    /// What the calibrated model expects with these codes, `rows × cols`, full scale = 1.
    pub expected: Array2<f64>,
    /// Cells that the chip cannot reach.
    pub unreachable: Vec<Cell>,
    /// True when every code was read back equal.
    pub verified: bool,
}

/// Outputs of MVM executions in units of weight × input.
#[derive(Clone, Debug)]
pub struct MvmReadings {
    /// `[repeats, vectors, outputs]`.
    pub values: Array3<f64>,
    /// Counts taken at a limit of amplifier or ADC.
    pub saturated: usize,
    /// When.
    pub taken_at: Timestamp,
    /// Chip temperature.
    pub temperature: Celsius,
}

/// Input vectors by which weights are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// One input on at a time, at full amplitude.
    #[default]
    OneHot,
}

/// Weights read back through the optics.
#[derive(Clone, Debug)]
pub struct MeasuredWeights {
    /// `[repeats, rows, cols]`, full scale = 1.
    pub values: Array3<f64>,
    /// Counts taken at a limit.
    pub saturated: usize,
    /// When.
    pub taken_at: Timestamp,
    /// Chip temperature.
    pub temperature: Celsius,
}

impl Processor {
    /// Joins a connected backend with its calibration.
    ///
    /// # Errors
    /// A calibration of another processor.
    pub fn new(backend: Box<dyn PhotonicBackend>, calibration: &Calibration) -> Result<Self, ProcessorError> {
        let connected = &backend.descriptor().id;
        let calibrated = &calibration.descriptor.id;
        if connected != calibrated {
            return Err(ProcessorError::WrongProcessor {
                calibrated: calibrated.clone(),
                connected: connected.clone(),
            });
        }
        Ok(Self { backend, encoding: calibration.encoding(), output_scale: 1.0 })
    }

    /// What the processor is.
    #[must_use]
    pub fn descriptor(&self) -> &Descriptor {
        self.backend.descriptor()
    }

    /// Programs `weights` (`outputs × inputs`, full scale = 1) and returns once the outputs have settled.
    ///
    /// Not cancel-safe, like [`PhotonicBackend::apply`].
    ///
    /// # Errors
    /// Weights of another shape, or a driver error.
    pub async fn program(&mut self, weights: &WeightMatrix) -> Result<Programmed, ProcessorError> {
        let encoded = self.encoding.encode(weights).map_err(|source| ProcessorError::Encode {
            processor: self.backend.descriptor().id.clone(),
            source,
        })?;
        let applied = self.backend.apply(&encoded.frame).await?;
        self.output_scale = encoded.output_scale;
        Ok(Programmed {
            codes: applied.codes,
            expected: encoded.expected,
            unreachable: encoded.unreachable,
            verified: applied.verified,
        })
    }

    /// Multiplies `inputs`, `[vectors, inputs]`, by the programmed weights, each vector `repeats` times.
    ///
    /// # Errors
    /// Vectors of another length, or a driver error.
    pub async fn mvm(
        &mut self,
        inputs: ArrayView2<'_, f64>,
        repeats: usize,
    ) -> Result<MvmReadings, ProcessorError> {
        let expected = self.backend.descriptor().inputs;
        if inputs.ncols() != expected {
            return Err(ProcessorError::InputWidth {
                processor: self.backend.descriptor().id.clone(),
                expected,
                found: inputs.ncols(),
            });
        }
        let encoded = self.encoding.encode_inputs(inputs);
        let readout = self.backend.execute(&encoded.batch, repeats).await?;
        Ok(MvmReadings {
            values: self.encoding.decode(&readout, &encoded, self.output_scale),
            saturated: readout.saturated.iter().filter(|&&flag| flag).count(),
            taken_at: readout.taken_at,
            temperature: readout.temperature,
        })
    }

    /// Reads the programmed weights through the optics, `repeats` times.
    ///
    /// # Errors
    /// A driver error.
    pub async fn read_weights(
        &mut self,
        probe: Probe,
        repeats: usize,
    ) -> Result<MeasuredWeights, ProcessorError> {
        let Probe::OneHot = probe;
        let readings = self.mvm(Array2::eye(self.backend.descriptor().inputs).view(), repeats).await?;
        let mut values = readings.values;
        values.swap_axes(1, 2);
        debug_assert_eq!(values.len_of(Axis(1)), self.backend.descriptor().outputs);
        Ok(MeasuredWeights {
            values,
            saturated: readings.saturated,
            taken_at: readings.taken_at,
            temperature: readings.temperature,
        })
    }

    /// Codes that the device reports.
    ///
    /// # Errors
    /// A link error.
    pub async fn read_back(&mut self) -> Result<ActuatorFrame, ProcessorError> {
        Ok(self.backend.read_back().await?)
    }

    /// Zeroes every actuator.
    ///
    /// # Errors
    /// A link error.
    pub async fn park(&mut self) -> Result<(), ProcessorError> {
        Ok(self.backend.park().await?)
    }

    /// Gives the backend back.
    #[must_use]
    pub fn into_backend(self) -> Box<dyn PhotonicBackend> {
        self.backend
    }
}
