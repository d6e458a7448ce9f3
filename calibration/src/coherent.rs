//! The coherent family: encoding and first calibration.

use alora_drivers::{PhotonicBackend, Readout, datasheet::CoherentDataSheet};
use ndarray::{Array3, ArrayView2};
use serde::{Deserialize, Serialize};

use crate::{
    calibration::{CalibrateError, CalibrationPlan},
    encoding::{EncodeError, Encoded, EncodedInputs, Encoding},
    observer::Observer,
    weights::WeightMatrix,
};

/// What calibration learned of one coherent processor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoherentCalibration {}

impl Encoding for CoherentCalibration {
    fn encode(&self, _weights: &WeightMatrix) -> Result<Encoded, EncodeError> {
        todo!()
    }
    fn encode_inputs(&self, _inputs: ArrayView2<'_, f64>) -> EncodedInputs {
        todo!()
    }
    fn decode(&self, _readout: &Readout, _inputs: &EncodedInputs, _output_scale: f64) -> Array3<f64> {
        todo!()
    }
}

/// First calibration from the data sheet. Returns what was learned and how many input vectors were sent.
pub(crate) async fn calibrate(
    _backend: &mut dyn PhotonicBackend,
    _sheet: &CoherentDataSheet,
    _plan: &CalibrationPlan,
    _observer: &mut dyn Observer,
) -> Result<(CoherentCalibration, u64), CalibrateError> {
    todo!()
}
