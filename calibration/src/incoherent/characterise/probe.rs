//! Reading single elements: one input on at a time, with vectors that say what dark and leak bring.

use alora_drivers::{ActuatorFrame, Descriptor, InputBatch, InputCode, Readout};
use ndarray::{Array2, Axis};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::inputs::Inputs;

/// Lowest share of the highest code among the amplitudes that dither the converter.
pub(super) const LOWEST_AMPLITUDE: f64 = 0.6;

/// Streams of the plan's seed.
pub(super) mod stream {
    /// Amplitudes of the random settings.
    pub(in super::super) const SETTINGS: u64 = 1;
    /// Amplitudes of the sweeps; the column is added.
    pub(in super::super) const SWEEPS: u64 = 1 << 16;
    /// Amplitudes of the second sweeps; the ring is added.
    pub(in super::super) const RETRIES: u64 = 1 << 32;
}

/// The generator of one stream of the plan's seed.
pub(super) fn generator(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    rng
}

/// `zeros` vectors of zeros, then one vector for each `(input, code)`.
pub(super) fn one_hot(width: usize, zeros: usize, lit: &[(usize, InputCode)]) -> InputBatch {
    let mut codes = Array2::zeros((zeros + lit.len(), width));
    for (vector, &(input, code)) in lit.iter().enumerate() {
        codes[(zeros + vector, input)] = code;
    }
    InputBatch(codes)
}

/// A code between [`LOWEST_AMPLITUDE`] and 1 of `top`: constant readings would all be rounded the same way.
pub(super) fn dither(top: InputCode, rng: &mut ChaCha8Rng) -> InputCode {
    let lowest = (LOWEST_AMPLITUDE * f64::from(top)).ceil() as InputCode;
    rng.random_range(lowest.min(top)..=top)
}

/// Counts of every lit vector less those of the zero vectors, mean over repeats, `[lit, rows]`; `None` where one of
/// the readings was at a limit.
pub(super) fn signals(readout: &Readout, zeros: usize) -> Array2<Option<f64>> {
    let (repeats, vectors, rows) = readout.counts.dim();
    let mean = |vector: usize, row: usize| {
        let total: i64 = (0..repeats).map(|repeat| i64::from(readout.counts[(repeat, vector, row)])).sum();
        total as f64 / repeats.max(1) as f64
    };
    let at_limit =
        |vector: usize, row: usize| (0..repeats).any(|repeat| readout.saturated[(repeat, vector, row)]);
    let dark: Vec<f64> = (0..rows)
        .map(|row| (0..zeros).map(|vector| mean(vector, row)).sum::<f64>() / zeros.max(1) as f64)
        .collect();
    Array2::from_shape_fn((vectors.saturating_sub(zeros), rows), |(vector, row)| {
        (!at_limit(zeros + vector, row)).then(|| mean(zeros + vector, row) - dark[row])
    })
}

/// One reading of an element's weight, in units of a nominal element at full power.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Reading {
    /// Setting that it was taken at.
    pub(super) setting: usize,
    /// Weight.
    pub(super) weight: f64,
    /// Size of the photocurrent: what the noise depends on.
    pub(super) current: f64,
    /// Readings of noise 1 in weight that this one is worth: `n f²` of `n` readings at the input power `f`.
    pub(super) worth: f64,
}

/// What the calibrator knows of how counts come about.
pub(super) struct Receiver<'a> {
    pub(super) descriptor: &'a Descriptor,
    pub(super) inputs: &'a Inputs,
    pub(super) counts_per_unit: f64,
    pub(super) zeros: usize,
}

impl Receiver<'_> {
    /// One vector for each input, at an amplitude of its own.
    pub(super) fn all_inputs(&self, rng: &mut ChaCha8Rng) -> InputBatch {
        let top = self.inputs.limit;
        let lit: Vec<_> = (0..self.descriptor.inputs).map(|input| (input, dither(top, rng))).collect();
        one_hot(self.descriptor.inputs, self.zeros, &lit)
    }

    /// `readings` vectors of one input, each at an amplitude of its own.
    pub(super) fn one_input(&self, input: usize, readings: usize, rng: &mut ChaCha8Rng) -> InputBatch {
        let lit: Vec<_> = (0..readings).map(|_| (input, dither(self.inputs.limit, rng))).collect();
        one_hot(self.descriptor.inputs, self.zeros, &lit)
    }

    /// Input and power of every lit vector of `batch`.
    fn lit(&self, batch: &InputBatch) -> Vec<(usize, f64)> {
        let vectors = batch.0.axis_iter(Axis(0)).skip(self.zeros);
        let lit =
            vectors.filter_map(|codes| codes.iter().position(|&code| code > 0).map(|at| (at, codes[at])));
        lit.map(|(input, code)| (input, self.inputs.power(input, code))).collect()
    }

    /// Readings of every element of the lit inputs, `(element, reading)`; several of one element become their mean.
    pub(super) fn readings(
        &self,
        readout: &Readout,
        batch: &InputBatch,
        setting: usize,
    ) -> Vec<(usize, Reading)> {
        let signals = signals(readout, self.zeros);
        let lit = self.lit(batch);
        let (rows, cols) = (self.descriptor.outputs, self.descriptor.inputs);
        let mut readings = Vec::new();
        for row in 0..rows {
            let mut sums: Vec<(usize, [f64; 4])> = Vec::new();
            for (vector, &(input, power)) in lit.iter().enumerate() {
                let Some(counts) = signals[(vector, row)] else { continue };
                let current = counts / self.counts_per_unit;
                let terms = [power * current, power * power, current.abs(), 1.0];
                match sums.last_mut() {
                    Some((last, sums)) if *last == input => {
                        sums.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
                    }
                    _ => sums.push((input, terms)),
                }
            }
            for (input, [product, worth, current, count]) in sums {
                let reading = Reading { setting, weight: product / worth, current: current / count, worth };
                readings.push((row * cols + input, reading));
            }
        }
        readings
    }
}

/// A frame with every code of `powers`, drives from 0 to 1 proportional to heater power.
pub(super) fn frame_of(
    descriptor: &Descriptor,
    exponent: f64,
    powers: impl Fn(usize) -> f64,
) -> ActuatorFrame {
    let codes = descriptor.limits.iter().enumerate();
    ActuatorFrame(
        codes
            .map(|(ring, &limit)| {
                let drive = powers(ring).clamp(0.0, 1.0).powf(1.0 / exponent);
                (drive * f64::from(limit)).round() as u16
            })
            .collect(),
    )
}

/// Heater power of `code`, 0 to 1.
pub(super) fn power_of(code: u16, limit: u16, exponent: f64) -> f64 {
    (f64::from(code) / f64::from(limit.max(1))).powf(exponent)
}
