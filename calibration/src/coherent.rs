//! The coherent family: encoding and first calibration.
//!
//! The ordinary calibration learns the dark offsets, the gains and the law of every phase shifter. It takes splitters for
//! perfect, heaters for independent and losses for uniform; characterising those is a further step on the same
//! model (`mesh::circuit` already takes splitter angles).

mod bench;
mod calibrate;
mod characterisation;
mod characterise;
mod conjugate;
mod encode;
mod error;
mod fit;
mod model;
mod program;
mod questions;
mod receiver;
mod sinusoid;
mod sweep;
mod twin;

use alora_drivers::{Code, Detection, Readout, datasheet::CoherentDataSheet};
use ndarray::{Array3, ArrayView2};
use serde::{Deserialize, Serialize};

use self::{
    model::{ChipModel, Parameters},
    receiver::Receiver,
};
use crate::{
    encoding::{EncodeError, Encoded, EncodedInputs, Encoding},
    weights::WeightMatrix,
};

pub(crate) use calibrate::calibrate;
pub use characterisation::{
    CoherentCharacterisation, HeatPaths, Learnt, ShifterDefect, ShifterFault, SweepTally,
};
pub use characterise::CoherentPlan;
pub(crate) use characterise::characterise;
pub use error::CoherentError;

/// What calibration learned of one coherent processor.
///
/// Shifter `k` follows `φ_k = φ0_k + (1 + ρ_k) π (V / Vπ)²` with the data sheet's Vπ. The static gauge freedoms of two
/// meshes (attenuator phases against the U mesh, common output phase) are held near the data sheet: single phases
/// are relative to it, the predicted matrix is not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoherentCalibration {
    /// Number of modes.
    pub modes: usize,
    /// Detection.
    pub detection: Detection,
    /// Bits of the actuator DAC.
    pub actuator_bits: u8,
    /// Highest input code.
    pub input_top: i32,
    /// Bits of the output ADC.
    pub output_bits: u8,
    /// Highest code of each actuator.
    pub limits: Vec<Code>,
    /// Data sheet that the laws are relative to.
    pub sheet: CoherentDataSheet,
    /// `φ0_k`, radians.
    pub phase_at_zero: Vec<f64>,
    /// Standard uncertainty of each, the others held, radians.
    pub phase_at_zero_sd: Vec<f64>,
    /// `ρ_k`; −1 for a shifter that does not respond.
    pub slope_departure: Vec<f64>,
    /// Standard uncertainty of each, the others held.
    pub slope_departure_sd: Vec<f64>,
    /// Gain of each output: fraction of the ADC's full scale a unit field, mean loss included.
    pub output_gain: Vec<f64>,
    /// Amplitude of each input relative to nominal.
    pub input_gain: Vec<f64>,
    /// Dark count of each channel.
    pub dark: Vec<f64>,
    /// Shifters that do not respond, in frame order.
    pub defects: Vec<usize>,
    /// Root mean square error of a predicted field quadrature at settings that the fit has not seen, as a fraction of
    /// a fully driven input, read-out noise of that measurement included.
    pub prediction_rms: f64,
}

impl CoherentCalibration {
    fn model(&self) -> ChipModel {
        ChipModel::new(self.modes, &self.sheet, self.actuator_bits, &self.limits)
    }

    fn parameters(&self) -> Parameters {
        Parameters {
            phi0: self.phase_at_zero.clone(),
            rho: self.slope_departure.clone(),
            gain: self.output_gain.clone(),
            input: self.input_gain.clone(),
        }
    }

    fn receiver(&self) -> Receiver {
        Receiver {
            detection: self.detection,
            outputs: self.modes,
            dark: self.dark.clone(),
            unit: 1.0 / f64::from(1u32 << (self.output_bits - 1)),
        }
    }
}

impl Encoding for CoherentCalibration {
    fn encode(&self, weights: &WeightMatrix) -> Result<Encoded, EncodeError> {
        encode::encode(self, weights)
    }

    fn encode_inputs(&self, inputs: ArrayView2<'_, f64>) -> EncodedInputs {
        encode::encode_inputs(self, inputs)
    }

    fn decode(&self, readout: &Readout, inputs: &EncodedInputs, output_scale: f64) -> Array3<f64> {
        encode::decode(self, readout, inputs, output_scale)
    }

    fn largest_output(&self, output_scale: f64) -> Option<Vec<f64>> {
        Some(self.output_gain.iter().map(|gain| output_scale / gain).collect())
    }
}
