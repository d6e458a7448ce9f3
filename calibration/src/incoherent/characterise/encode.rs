//! Encoding by the characterised model, and small moves of what is programmed.

use alora_drivers::{ActuatorFrame, Celsius, Code, InputBatch, InputCode, Readout};
use ndarray::{Array1, Array2, Array3, ArrayView2, Axis, s};

use super::{
    bank::BankModel, learned::IncoherentCharacterisation, probe::power_of, program::heats_of_weights,
};
use crate::{
    encoding::{EncodeError, Encoded, EncodedInputs, Encoding},
    incoherent::{DefectKind, REACH_SLACK, REFERENCE_FRAMES},
    weights::{Cell, WeightMatrix},
};

/// Rounds in which each code is chosen anew with the others as they were rounded.
const ROUNDING_ROUNDS: usize = 2;

/// The model with what encoding needs of every heater.
struct Programmer<'a> {
    learned: &'a IncoherentCharacterisation,
    model: BankModel,
}

impl Programmer<'_> {
    fn heat(&self, ring: usize, code: Code) -> f64 {
        self.model.heat(ring, power_of(code, self.learned.limits[ring], self.learned.exponent))
    }

    fn heats(&self, codes: &[Code]) -> Vec<f64> {
        codes.iter().enumerate().map(|(ring, &code)| self.heat(ring, code)).collect()
    }

    /// The two codes about the heat `heat`.
    fn codes_about(&self, ring: usize, heat: f64) -> [Code; 2] {
        let limit = self.learned.limits[ring];
        let drive = self.model.power_for(ring, heat).powf(1.0 / self.learned.exponent);
        let below = (drive * f64::from(limit)).floor().clamp(0.0, f64::from(limit)) as Code;
        [below, below.saturating_add(1).min(limit)]
    }

    /// Weights in full scales.
    fn expected(&self, heats: &[f64]) -> Vec<f64> {
        let scale = |ring: usize| self.learned.full_scale[ring / self.model.cols];
        self.model.weights(heats).iter().enumerate().map(|(ring, weight)| weight / scale(ring)).collect()
    }

    /// For each ring of `rings`, the code whose weight is nearest to `targets` (nominal weights) with the other rings
    /// as they are.
    fn round(&self, codes: &mut [Code], rings: &[usize], targets: &[f64]) {
        let mut heats = self.heats(codes);
        let phases = self.model.phases(&heats);
        for &ring in rings {
            let tail = self.model.tail(ring, |neighbour| phases[neighbour]).taken;
            let rest = self.model.rings[ring][super::bank::BIAS]
                + self.model.disturbance(ring, |neighbour| heats[neighbour]);
            let wanted = self.model.phase_for(ring, targets[ring], tail) - rest;
            let miss = |code: Code| {
                (self.model.weight(ring, rest + self.heat(ring, code), tail) - targets[ring]).abs()
            };
            let [below, above] = self.codes_about(ring, wanted.max(0.0));
            codes[ring] = if miss(above) < miss(below) { above } else { below };
            heats[ring] = self.heat(ring, codes[ring]);
        }
    }
}

impl IncoherentCharacterisation {
    fn programmer(&self) -> Option<Programmer<'_>> {
        self.model().map(|model| Programmer { learned: self, model })
    }

    fn encoded(&self, codes: Vec<Code>, expected: Vec<f64>, unreachable: Vec<Cell>) -> Encoded {
        let shape = (self.rows, self.cols);
        let expected = Array2::from_shape_fn(shape, |(row, col)| expected[row * self.cols + col]);
        Encoded { frame: ActuatorFrame(codes), expected, output_scale: 1.0, unreachable }
    }

    /// Cells whose ring cannot hold its target, with the others as they are under `heats`.
    fn unreachable(&self, model: &BankModel, heats: &[f64], targets: &[f64]) -> Vec<Cell> {
        let phases = model.phases(heats);
        let out_of_reach = |ring: &usize| {
            let ring = *ring;
            let tail = model.tail(ring, |neighbour| phases[neighbour]).taken;
            let rest = phases[ring] - heats[ring];
            let ends =
                [rest, rest + model.heat(ring, 1.0)].map(|phase| model.weight(ring, phase.min(0.0), tail));
            let slack = REACH_SLACK * self.full_scale[ring / self.cols];
            targets[ring] < ends[0].min(ends[1]) - slack || targets[ring] > ends[0].max(ends[1]) + slack
        };
        let stuck = |ring: usize| {
            self.defects.iter().any(|defect| defect.actuator == ring && defect.kind == DefectKind::Stuck)
        };
        (0..targets.len())
            .filter(|ring| out_of_reach(ring) || stuck(*ring))
            .map(|ring| Cell { row: ring / self.cols, col: ring % self.cols })
            .collect()
    }
}

impl Encoding for IncoherentCharacterisation {
    /// The codes whose weights are nearest to `weights` by the model, with crosstalk and tails of all rings compensated.
    fn encode(&self, weights: &WeightMatrix) -> Result<Encoded, EncodeError> {
        let (found_rows, found_cols) = weights.dim();
        let (rows, cols) = (self.rows, self.cols);
        if (found_rows, found_cols) != (rows, cols) {
            return Err(EncodeError::Shape { rows, cols, found_rows, found_cols });
        }
        let Some(programmer) = self.programmer() else {
            return Err(EncodeError::Shape { rows: 0, cols: 0, found_rows, found_cols });
        };
        let targets: Vec<f64> =
            weights.view().indexed_iter().map(|((row, _), weight)| weight * self.full_scale[row]).collect();
        let heats = heats_of_weights(&programmer.model, &targets);
        let mut codes: Vec<Code> =
            heats.iter().enumerate().map(|(ring, &heat)| programmer.codes_about(ring, heat)[0]).collect();
        let rings: Vec<usize> = (0..codes.len()).collect();
        for _ in 0..ROUNDING_ROUNDS {
            programmer.round(&mut codes, &rings, &targets);
        }
        let heats = programmer.heats(&codes);
        let unreachable = self.unreachable(&programmer.model, &heats, &targets);
        let expected = programmer.expected(&heats);
        Ok(self.encoded(codes, expected, unreachable))
    }

    /// As for an [`IncoherentCalibration`](crate::IncoherentCalibration), with codes that make up for the modulators'
    /// curves: two passes a vector where a batch has a negative value, else one and reference frames.
    fn encode_inputs(&self, inputs: ArrayView2<'_, f64>) -> EncodedInputs {
        let signed = inputs.iter().any(|&value| value < 0.0);
        let passes = if signed { 2 } else { 1 };
        let vectors = inputs.nrows();
        let references = if signed || vectors == 0 { 0 } else { REFERENCE_FRAMES };
        let mut codes = Array2::zeros((passes * vectors + references, inputs.ncols()));
        let mut scales = Vec::with_capacity(vectors);
        let inverses: Vec<Vec<f64>> = (0..self.cols).map(|input| self.powers(input)).collect();
        for (vector, values) in inputs.rows().into_iter().enumerate() {
            let scale = values.iter().fold(0.0_f64, |max, value| value.abs().max(max));
            scales.push(scale);
            for (input, &value) in values.iter().enumerate() {
                let pass = usize::from(value < 0.0);
                let share = if scale > 0.0 { value.abs() / scale } else { 0.0 };
                codes[(vector * passes + pass, input)] = nearest(&inverses[input], share);
            }
        }
        EncodedInputs { batch: InputBatch(codes), passes, scales }
    }

    fn decode(&self, readout: &Readout, inputs: &EncodedInputs, output_scale: f64) -> Array3<f64> {
        let vectors = inputs.scales.len();
        let passes = inputs.passes;
        let (repeats, _, outputs) = readout.counts.dim();
        let reference = if passes == 1 { reference(readout, vectors) } else { Array1::zeros(outputs) };
        Array3::from_shape_fn((repeats, vectors, outputs), |(repeat, vector, output)| {
            let count = |pass: usize| f64::from(readout.counts[(repeat, vector * passes + pass, output)]);
            let other = if passes == 2 { count(1) } else { reference[output] };
            (count(0) - other) * inputs.scales[vector] * output_scale / self.row_gain(output)
        })
    }

    fn at(&self, chip: Celsius) -> Option<Box<dyn Encoding>> {
        Some(Box::new(Self::at(self, chip)))
    }

    fn expected(&self, frame: &ActuatorFrame) -> Option<Array2<f64>> {
        let programmer = self.programmer()?;
        let weights = programmer.expected(&programmer.heats(&frame.0));
        Array2::from_shape_vec((self.rows, self.cols), weights).ok()
    }

    /// A ring moves to the code that is nearest to its corrected weight; where that is the code it has (a correction
    /// of less than half a step) it stays, whatever its neighbours do.
    fn refine(&self, encoded: &Encoded, correction: ArrayView2<'_, f64>) -> Option<Encoded> {
        let programmer = self.programmer()?;
        let old = programmer.expected(&programmer.heats(&encoded.frame.0));
        let mut codes = encoded.frame.0.clone();
        let scale = |ring: usize| self.full_scale[ring / self.cols];
        let wanted: Vec<f64> = (0..codes.len())
            .map(|ring| (old[ring] + correction[(ring / self.cols, ring % self.cols)]) * scale(ring))
            .collect();
        let moving: Vec<usize> =
            (0..codes.len()).filter(|&ring| wanted[ring] != old[ring] * scale(ring)).collect();
        programmer.round(&mut codes, &moving, &wanted);
        let new = programmer.expected(&programmer.heats(&codes));
        let expected: Vec<f64> =
            encoded.expected.iter().zip(&old).zip(&new).map(|((was, old), new)| was + new - old).collect();
        Some(self.encoded(codes, expected, encoded.unreachable.clone()))
    }
}

impl IncoherentCharacterisation {
    /// Power of `input` at each of its codes, less that at 0, relative to the highest.
    fn powers(&self, input: usize) -> Vec<f64> {
        let top = f64::from(self.input_limit.max(1));
        (0..=self.input_limit).map(|code| self.inputs[input].at(f64::from(code) / top)).collect()
    }
}

/// The code whose power is nearest to `share`; `powers` rises.
fn nearest(powers: &[f64], share: f64) -> InputCode {
    let above = powers.partition_point(|&power| power < share).min(powers.len().saturating_sub(1));
    let below = above.saturating_sub(1);
    let miss = |code: usize| (powers[code] - share).abs();
    let code = if miss(below) < miss(above) { below } else { above };
    code as InputCode
}

/// Mean counts of the reference frames after the first `vectors` frames, over all repeats, one an output.
fn reference(readout: &Readout, vectors: usize) -> Array1<f64> {
    let counts = readout.counts.slice(s![.., vectors.., ..]);
    let count = (counts.len_of(Axis(0)) * counts.len_of(Axis(1))).max(1) as f64;
    counts.mapv(f64::from).sum_axis(Axis(0)).sum_axis(Axis(0)) / count
}
