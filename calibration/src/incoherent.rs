//! The incoherent family: encoding and first calibration.

mod characterise;
mod element;
mod first;
mod fit;
mod law;
mod sweep;

use alora_drivers::{ActuatorFrame, Code, InputBatch, InputCode, Rails, Readout, datasheet::NominalElement};
use ndarray::{Array1, Array2, Array3, ArrayView2, Axis, s};
use serde::{Deserialize, Serialize};

use self::element::Setting;
use crate::{
    encoding::{EncodeError, Encoded, EncodedInputs, Encoding},
    weights::{Cell, WeightMatrix},
};

pub(crate) use characterise::characterise;
pub use characterise::{IncoherentCharacterisation, IncoherentPlan, InputCurve, RingLaw};
pub use element::ElementLookup;
pub(crate) use first::calibrate;

/// Zero-input vectors sent after a batch of single passes: their mean is what dark and the inputs' leak at code 0
/// bring, under the weights of the moment. 16 keep its own noise at a quarter of one reading's.
const REFERENCE_FRAMES: usize = 16;
/// A target this far beyond an element's reach counts as unreachable (full scale = 1): a fifth of an 8-bit step.
const REACH_SLACK: f64 = 1e-3;

/// What calibration learned of one incoherent processor.
///
/// Full scale (`w = ±1`) of a row is what every sound element of the row reaches with both signs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IncoherentCalibration {
    /// Detector rows.
    pub rows: usize,
    /// Inputs.
    pub cols: usize,
    /// One or two elements a weight.
    pub rails: Rails,
    /// Highest input code.
    pub input_limit: InputCode,
    /// Highest code of each element, in frame order.
    pub limits: Vec<Code>,
    /// Counts of each row with all codes and inputs at 0.
    pub dark: Vec<f64>,
    /// Counts of each row for one input at full power through the weight 1.
    pub row_gain: Vec<f64>,
    /// Law of the elements.
    pub element: NominalElement,
    /// Elements that do not work as the others; full scale is set without them.
    pub defects: Vec<Defect>,
    /// Look-up of each element, in frame order.
    pub lookups: Vec<ElementLookup>,
}

/// An element that does not work as the others.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Defect {
    /// Index in the frame.
    pub actuator: usize,
    /// Output.
    pub row: usize,
    /// Input.
    pub col: usize,
    /// What is wrong.
    pub kind: DefectKind,
    /// Change of the weight over the sweep, relative to the chip's median element.
    pub response: f64,
    /// Weight reached with the sign that the element is there for, relative to its row's median.
    pub reach: f64,
}

/// What is wrong with an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DefectKind {
    /// It does not follow its actuator: less than a tenth of the median response.
    Stuck,
    /// It follows, but reaches less than half of its row's median weight: a weak element, or the partner of one that
    /// is stuck open.
    Weak,
}

impl IncoherentCalibration {
    fn rail_count(&self) -> usize {
        match self.rails {
            Rails::Differential => 1,
            Rails::Dual => 2,
        }
    }

    fn setting(&self, actuator: usize, target: f64) -> Setting {
        self.lookups[actuator].nearest(&self.element, self.limits[actuator], target)
    }

    /// Sets the elements of one cell in `frame`; returns the weight expected and whether the target can be reached.
    ///
    /// Where two elements make a weight, each ends where the other begins, give or take the error of their look-ups:
    /// only the outer ends bound the reach.
    fn encode_cell(&self, frame: &mut ActuatorFrame, cell: usize, target: f64) -> (f64, bool) {
        let first = cell * self.rail_count();
        let reach = |actuator: usize| self.lookups[actuator].reach(&self.element);
        let (actuator, (lowest, highest)) = match self.rails {
            Rails::Differential => (first, reach(first)),
            Rails::Dual if target < self.resting_weight(first) => (first + 1, (reach(first + 1).0, target)),
            Rails::Dual => (first, (target, reach(first).1)),
        };
        let setting = self.setting(actuator, target);
        frame.0[actuator] = setting.code;
        (setting.weight, (lowest - REACH_SLACK..=highest + REACH_SLACK).contains(&target))
    }

    /// Weight of a cell of two elements with both at code 0, the mean of what their two look-ups say.
    fn resting_weight(&self, first: usize) -> f64 {
        let at_rest =
            |actuator: usize| self.lookups[actuator].weight(&self.element, 0, self.limits[actuator]);
        f64::midpoint(at_rest(first), at_rest(first + 1))
    }
}

impl Encoding for IncoherentCalibration {
    fn encode(&self, weights: &WeightMatrix) -> Result<Encoded, EncodeError> {
        let (found_rows, found_cols) = weights.dim();
        let (rows, cols) = (self.rows, self.cols);
        if (found_rows, found_cols) != (rows, cols) {
            return Err(EncodeError::Shape { rows, cols, found_rows, found_cols });
        }
        let mut frame = ActuatorFrame::zeros(self.limits.len());
        let mut unreachable = Vec::new();
        let mut expected = Array2::zeros((rows, cols));
        for ((row, col), &target) in weights.view().indexed_iter() {
            let (weight, reached) = self.encode_cell(&mut frame, row * cols + col, target);
            expected[(row, col)] = weight;
            if !reached {
                unreachable.push(Cell { row, col });
            }
        }
        Ok(Encoded { frame, expected, output_scale: 1.0, unreachable })
    }

    /// Intensities are never negative. A batch with a negative value takes two passes a vector, the positive and
    /// the negative parts, whose difference also removes dark and leak; without one, a single pass a vector and
    /// then reference frames with all inputs at 0.
    fn encode_inputs(&self, inputs: ArrayView2<'_, f64>) -> EncodedInputs {
        let signed = inputs.iter().any(|&value| value < 0.0);
        let passes = if signed { 2 } else { 1 };
        let vectors = inputs.nrows();
        let references = if signed || vectors == 0 { 0 } else { REFERENCE_FRAMES };
        let mut codes = Array2::zeros((passes * vectors + references, inputs.ncols()));
        let mut scales = Vec::with_capacity(vectors);
        let top = f64::from(self.input_limit);
        for (vector, values) in inputs.rows().into_iter().enumerate() {
            let scale = values.iter().fold(0.0_f64, |max, value| value.abs().max(max));
            scales.push(scale);
            let steps = if scale > 0.0 { top / scale } else { 0.0 };
            for (input, &value) in values.iter().enumerate() {
                let pass = usize::from(value < 0.0);
                codes[(vector * passes + pass, input)] = (value.abs() * steps).round() as InputCode;
            }
        }
        EncodedInputs { batch: InputBatch(codes), passes, scales }
    }

    fn decode(&self, readout: &Readout, inputs: &EncodedInputs, output_scale: f64) -> Array3<f64> {
        let vectors = inputs.scales.len();
        let passes = inputs.passes;
        let (repeats, frames, outputs) = readout.counts.dim();
        let reference = if passes == 1 { reference(readout, vectors) } else { Array1::zeros(outputs) };
        let mut values = Array3::zeros((repeats, vectors, outputs));
        debug_assert!(frames >= passes * vectors);
        for (mut values, counts) in values.axis_iter_mut(Axis(0)).zip(readout.counts.axis_iter(Axis(0))) {
            for (vector, mut values) in values.rows_mut().into_iter().enumerate() {
                let unit = inputs.scales[vector] * output_scale;
                let positive = counts.row(vector * passes);
                let negative = (passes == 2).then(|| counts.row(vector * passes + 1));
                for (output, value) in values.iter_mut().enumerate() {
                    let other = negative.map_or(reference[output], |counts| f64::from(counts[output]));
                    *value = (f64::from(positive[output]) - other) * unit / self.row_gain[output];
                }
            }
        }
        values
    }
}

/// Mean counts of the reference frames after the first `vectors` frames, over all repeats, one an output.
fn reference(readout: &Readout, vectors: usize) -> Array1<f64> {
    let counts = readout.counts.slice(s![.., vectors.., ..]);
    let count = (counts.len_of(Axis(0)) * counts.len_of(Axis(1))).max(1) as f64;
    counts.mapv(f64::from).sum_axis(Axis(0)).sum_axis(Axis(0)) / count
}
