//! Readings of growing strength: points of the photon-transfer curve.

use alora_drivers::{Descriptor, Detection, InputAlphabet, InputBatch, Readout};
use ndarray::{Array2, s};
use rand::Rng;

use super::detects_all_light;
use crate::{
    encoding::{Encoded, EncodedInputs, Encoding},
    readout::beyond_range,
    statistics::noise_law::{DetectedPoint, TransferPoint},
    vectors::sign,
};

/// Vectors of growing strength, the first one dark.
pub(super) struct Ladder {
    inputs: EncodedInputs,
    /// Light that each output detects, `[levels, outputs]`, in weights × one fully driven input.
    light: Array2<f64>,
}

/// What the ladder showed.
pub(super) struct Seen {
    /// Points of all levels and outputs that were at no limit.
    pub(super) points: Vec<DetectedPoint>,
    /// The same as the converters saw them (of an IQ receiver the channel that varies more), their variances in units of the square
    /// of the finest step over that of their own.
    pub(super) in_finest_steps: Vec<TransferPoint>,
    /// The finest step of the middle output, in weights × one fully driven input.
    pub(super) step: f64,
    /// Counts came that the converter's bits do not hold: the receiver has several ranges.
    pub(super) several_ranges: bool,
}

impl Ladder {
    /// Random signs, or for intensities a random half of the inputs, from no light to as much as the converters hold.
    pub(super) fn new(
        encoding: &dyn Encoding,
        encoded: &Encoded,
        descriptor: &Descriptor,
        levels: usize,
        rng: &mut impl Rng,
    ) -> Self {
        let cols = encoded.expected.ncols();
        let unipolar = descriptor.alphabet == InputAlphabet::Unipolar;
        let mut vectors = Array2::from_shape_simple_fn((levels, cols), || {
            let sign = sign(rng);
            if unipolar { sign.max(0.0) } else { sign }
        });
        vectors.row_mut(0).fill(0.0);
        for (level, mut vector) in vectors.rows_mut().into_iter().enumerate().skip(1) {
            if vector.iter().all(|&x| x == 0.0) {
                vector[level % cols] = 1.0;
            }
        }
        let mut inputs = encoding.encode_inputs(vectors.view());
        let top = inputs.batch.0.iter().map(|code| code.abs()).max().unwrap_or(0).max(1);
        let mut over = beyond_range(encoding, encoded, vectors.view());
        over.resize(levels, 1.0);
        for (level, over) in over.into_iter().enumerate().skip(1) {
            inputs.weaken(level, over * (levels - 1) as f64 / level as f64);
        }
        // Decoded values are then in units of one fully driven input.
        inputs.scales.fill(1.0);
        let passes = inputs.passes;
        let light = Array2::from_shape_fn((levels, encoded.expected.nrows()), |(level, output)| {
            let codes = inputs.batch.0.slice(s![level * passes..(level + 1) * passes, ..cols]);
            let all = detects_all_light(descriptor);
            let of_input = |input: usize| if all { 1.0 } else { encoded.expected[(output, input)].abs() };
            let lit = codes.indexed_iter().map(|((_, input), code)| f64::from(code.abs()) * of_input(input));
            lit.sum::<f64>() / f64::from(top)
        });
        Self { inputs, light }
    }

    pub(super) fn batch(&self) -> &InputBatch {
        &self.inputs.batch
    }

    /// Means and variances over the repeats of `readout`.
    pub(super) fn see(
        &self,
        encoding: &dyn Encoding,
        encoded: &Encoded,
        descriptor: &Descriptor,
        readout: &Readout,
    ) -> Seen {
        let values = encoding.decode(readout, &self.inputs, encoded.output_scale);
        let steps = self.finest_steps(encoding, encoded, descriptor, readout);
        let holds = f64::from(1u32 << (descriptor.bits.output - 1));
        let mut seen =
            Seen { points: Vec::new(), in_finest_steps: Vec::new(), step: 0.0, several_ranges: false };
        for ((level, output), &light) in self.light.indexed_iter() {
            let frame = level * self.inputs.passes;
            let channels = channels(descriptor, output);
            let at_limit =
                |&channel: &usize| readout.saturated.slice(s![.., frame, channel]).iter().any(|&at| at);
            if channels.iter().any(at_limit) {
                continue;
            }
            let counts = |channel: usize| readout.counts.slice(s![.., frame, channel]).mapv(f64::from);
            let largest = channels
                .iter()
                .flat_map(|&channel| counts(channel))
                .fold(0.0, |largest: f64, count| largest.max(count.abs()));
            let coarser = (largest / holds).max(1.0).log2().ceil().exp2();
            seen.several_ranges |= coarser > 1.0;
            let readings = values.slice(s![.., level, output]).to_vec();
            let Some(TransferPoint { mean, variance, dof }) = TransferPoint::of(&readings) else { continue };
            let step = steps[output] * coarser;
            seen.points.push(DetectedPoint { mean, light, step, variance, dof });
            let of_counts = channels
                .iter()
                .filter_map(|&channel| TransferPoint::of(&counts(channel).to_vec()))
                .fold(0.0, |most: f64, point| most.max(point.variance));
            seen.in_finest_steps.push(TransferPoint { mean, variance: of_counts / coarser.powi(2), dof });
        }
        seen.step = median(&steps);
        let unit = seen.step.powi(2);
        seen.in_finest_steps.iter_mut().for_each(|point| point.variance *= unit);
        seen
    }

    /// One count of each output, in weights × one fully driven input: by how much a reading changes with it. Of two
    /// quadratures both are tried.
    fn finest_steps(
        &self,
        encoding: &dyn Encoding,
        encoded: &Encoded,
        descriptor: &Descriptor,
        readout: &Readout,
    ) -> Vec<f64> {
        let mut one = Readout {
            counts: readout.counts.slice(s![..1, .., ..]).to_owned(),
            saturated: readout.saturated.slice(s![..1, .., ..]).to_owned(),
            ..readout.clone()
        };
        let mut value_of = |output: usize, channel: Option<usize>| {
            if let Some(channel) = channel {
                one.counts[(0, 0, channel)] += 1;
            }
            let value = encoding.decode(&one, &self.inputs, encoded.output_scale)[(0, 0, output)];
            if let Some(channel) = channel {
                one.counts[(0, 0, channel)] -= 1;
            }
            value
        };
        (0..encoded.expected.nrows())
            .map(|output| {
                let before = value_of(output, None);
                channels(descriptor, output)
                    .into_iter()
                    .map(|channel| value_of(output, Some(channel)) - before)
                    .fold(0.0, f64::hypot)
            })
            .collect()
    }
}

/// Channels of an output.
fn channels(descriptor: &Descriptor, output: usize) -> Vec<usize> {
    match descriptor.detection {
        Detection::Iq => vec![output, descriptor.outputs + output],
        Detection::Intensity | Detection::Balanced | Detection::Homodyne => vec![output],
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}
