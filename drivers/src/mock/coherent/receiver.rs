//! From output fields to counts: local oscillator, hybrids, amplifiers, converters.

use ndarray::{Array2, Array3, Axis};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

use super::{optics::Transfer, truth::stream};
use crate::{frame::InputBatch, mock::converter::Adc};

/// Frames that share one random stream: results do not depend on the number of threads.
const BLOCK: usize = 256;
/// Amplitude of the reference as a fraction of the ADC's full scale.
pub(super) const REFERENCE_AMPLITUDE: f64 = 0.8;

/// Everything between the output facets and the counts, in units of the ADC's full scale.
#[derive(Clone, Debug)]
pub(super) struct Receiver {
    /// Both quadratures and a reference, or one quadrature.
    pub(super) iq: bool,
    /// Amplifier gain of each output, then of the reference; 0 for a dead detector.
    pub(super) gain: Vec<f64>,
    /// Relative gain of Q, and departure from 90°, of each output, then of the reference.
    pub(super) hybrid: Vec<(f64, f64)>,
    /// Dark offset of each channel.
    pub(super) dark: Vec<f64>,
    pub(super) read_noise: f64,
    pub(super) shot_noise: f64,
    /// Limit of the amplifier; infinite when it has none.
    pub(super) clip: f64,
    /// Amplitude of the reference in units of full scale.
    pub(super) reference: f64,
    pub(super) adc: Adc,
}

/// Noise of one execution, which goes on from batch to batch.
#[derive(Clone, Debug)]
pub(super) struct Noise {
    seed: u64,
    execution: u64,
    /// Blocks that are used up.
    blocks: u64,
    /// The generator of a block of which half is used.
    half: Option<ChaCha8Rng>,
}

impl Noise {
    pub(super) fn new(seed: u64, execution: u64) -> Self {
        Self { seed, execution, blocks: 0, half: None }
    }

    fn block(&self, block: u64) -> ChaCha8Rng {
        stream(self.seed ^ NOISE, (self.execution << 24) | (self.blocks + block))
    }
}

/// Counts and flags of a run of shots, `[shots, channels]` row-major.
struct Shots<'a> {
    counts: &'a mut [i32],
    saturated: &'a mut [bool],
}

impl Receiver {
    fn channels(&self) -> usize {
        self.dark.len()
    }

    /// Detects `repeats` passes over the batch. `lo` holds the oscillator's phase at each shot, in time order;
    /// `noise` goes on where it was: halves of a block may come apart.
    pub(super) fn detect(
        &self,
        transfer: &Transfer,
        inputs: &InputBatch,
        input_unit: f64,
        lo: &[f64],
        noise: &mut Noise,
    ) -> (Array3<i32>, Array3<bool>) {
        let frames = inputs.0.nrows();
        let repeats = lo.len() / frames.max(1);
        let channels = self.channels();
        let fields = output_fields(transfer, inputs, input_unit);
        let mut counts = Array3::zeros((repeats, frames, channels));
        let mut saturated = Array3::from_elem((repeats, frames, channels), false);
        if repeats == 1 && (frames == BLOCK / 2 || (noise.half.is_some() && frames < BLOCK / 2)) {
            self.detect_half((&mut counts, &mut saturated), lo, &fields, noise);
            return (counts, saturated);
        }
        if noise.half.take().is_some() {
            noise.blocks += 1;
        }
        let blocks_a_repeat = frames.div_ceil(BLOCK) as u64;
        for (repeat, (mut counts, mut saturated)) in
            counts.axis_iter_mut(Axis(0)).zip(saturated.axis_iter_mut(Axis(0))).enumerate()
        {
            let (Some(counts), Some(saturated)) = (counts.as_slice_mut(), saturated.as_slice_mut()) else {
                continue; // never: the arrays were just made in standard order
            };
            let lo = &lo[repeat * frames..(repeat + 1) * frames];
            counts
                .par_chunks_mut(BLOCK * channels)
                .zip(saturated.par_chunks_mut(BLOCK * channels))
                .zip(lo.par_chunks(BLOCK))
                .zip(fields.par_chunks(BLOCK * 2 * transfer.modes))
                .enumerate()
                .for_each(|(block, (((counts, saturated), lo), fields))| {
                    let block = repeat as u64 * blocks_a_repeat + block as u64;
                    let mut noise = noise.block(block);
                    self.detect_block(Shots { counts, saturated }, lo, fields, &mut noise);
                });
        }
        noise.blocks += repeats as u64 * blocks_a_repeat;
        (counts, saturated)
    }

    /// The first half of a block, or what follows it.
    fn detect_half(
        &self,
        (counts, saturated): (&mut Array3<i32>, &mut Array3<bool>),
        lo: &[f64],
        fields: &[f64],
        noise: &mut Noise,
    ) {
        let (mut rng, second) = match noise.half.take() {
            Some(rng) => (rng, true),
            None => (noise.block(0), false),
        };
        if let (Some(counts), Some(saturated)) = (counts.as_slice_mut(), saturated.as_slice_mut()) {
            self.detect_block(Shots { counts, saturated }, lo, fields, &mut rng);
        }
        if second {
            noise.blocks += 1;
        } else {
            noise.half = Some(rng);
        }
    }

    fn detect_block(&self, shots: Shots<'_>, lo: &[f64], fields: &[f64], noise: &mut ChaCha8Rng) {
        let channels = self.channels();
        let modes = self.gain.len() - 1;
        let rows = shots.counts.chunks_mut(channels).zip(shots.saturated.chunks_mut(channels));
        for (((counts, saturated), &phase), field) in rows.zip(lo).zip(fields.chunks(2 * modes)) {
            let (s, c) = phase.sin_cos();
            let (re, im) = field.split_at(modes);
            let mut channel = |index: usize, value: f64| {
                (counts[index], saturated[index]) = self.digitise(value, self.dark[index], noise);
            };
            for output in 0..modes {
                let gain = self.gain[output];
                let in_phase = gain * (c * re[output] - s * im[output]);
                channel(output, in_phase);
                if self.iq {
                    let quadrature = gain * (s * re[output] + c * im[output]);
                    channel(modes + output, imbalance(self.hybrid[output], in_phase, quadrature));
                }
            }
            if self.iq {
                let amplitude = self.reference * self.gain[modes];
                let (in_phase, quadrature) = (c * amplitude, s * amplitude);
                channel(2 * modes, in_phase);
                channel(2 * modes + 1, imbalance(self.hybrid[modes], in_phase, quadrature));
            }
        }
    }

    fn digitise(&self, value: f64, dark: f64, noise: &mut ChaCha8Rng) -> (i32, bool) {
        let variance =
            self.read_noise * self.read_noise + self.shot_noise * self.shot_noise * (1.0 + value * value);
        let current = if variance > 0.0 {
            let unit: f64 = StandardNormal.sample(noise);
            value + dark + variance.sqrt() * unit
        } else {
            value + dark
        };
        let clipped = current.clamp(-self.clip, self.clip);
        let (count, at_limit) = self.adc.convert(clipped);
        (count, at_limit || clipped != current)
    }
}

/// Keeps the noise's streams apart from those that draw the chip.
const NOISE: u64 = 0x6e6f_6973_6500_0000;

/// What a hybrid of relative gain `gain` and quadrature error `error` reports as Q.
fn imbalance((gain, error): (f64, f64), in_phase: f64, quadrature: f64) -> f64 {
    let (s, c) = error.sin_cos();
    gain * (s * in_phase + c * quadrature)
}

/// Fields at the outputs, `[frames, 2 N]`: real parts, then imaginary parts.
fn output_fields(transfer: &Transfer, inputs: &InputBatch, input_unit: f64) -> Vec<f64> {
    let modes = transfer.modes;
    let amplitudes = inputs.0.mapv(|code| f64::from(code) * input_unit);
    let kernel = Array2::from_shape_fn((modes, 2 * modes), |(input, column)| {
        if column < modes {
            transfer.re[column * modes + input]
        } else {
            transfer.im[(column - modes) * modes + input]
        }
    });
    amplitudes.dot(&kernel).into_iter().collect()
}
