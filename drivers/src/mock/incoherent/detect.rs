//! From photocurrents to counts: noise, amplifier, converter.

use ndarray::{Array2, Array3};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

use super::{IncoherentPhysics, receiver::Receiver};

/// Frames that share one noise stream, so that the counts do not depend on the number of threads.
const BLOCK: usize = 128;
/// Counts below which threads cost more than they bring.
const WORTH_THREADS: usize = 1 << 16;

/// One detector row at the time of an execution.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) dark: f64,
    /// Factor on the amplifier's gain.
    pub(crate) gain: f64,
}

/// What reaches the detectors: photocurrents `[frames, rows]` without dark, and their noise.
pub(crate) struct Light {
    pub(crate) current: Array2<f64>,
    /// Standard deviation of one reading; `None` when nothing is noisy.
    pub(crate) noise: Option<Array2<f64>>,
}

impl Light {
    /// Noise by `σ² = σ_th² + s² (I⁺ + I⁻) + (RIN · (I⁺ − I⁻))²`, from the difference and (when shot noise is on)
    /// the sum of the diode currents, both `[frames, rows]`.
    pub(crate) fn new(
        physics: &IncoherentPhysics,
        difference: Array2<f64>,
        sum: Option<Array2<f64>>,
    ) -> Self {
        let thermal = physics.thermal_noise.powi(2);
        let shot = physics.shot_noise.powi(2);
        let rin = physics.rin.powi(2);
        let quiet = thermal + shot + rin == 0.0;
        let noise = (!quiet).then(|| match sum {
            Some(mut sum) => {
                sum.zip_mut_with(&difference, |sum, &signal| {
                    *sum = (thermal + shot * sum.abs() + rin * signal * signal).sqrt();
                });
                sum
            }
            None => difference.mapv(|signal| (thermal + rin * signal * signal).sqrt()),
        });
        Self { current: difference, noise }
    }
}

/// Seeds of the noise of one execution.
#[derive(Clone, Copy)]
pub(crate) struct NoiseStream {
    pub(crate) seed: u64,
    pub(crate) execution: u64,
    /// Blocks of this execution that were used before.
    pub(crate) first_block: usize,
}

impl NoiseStream {
    /// The generator of one block of one repeat: 2⁴⁰ executions of 2²⁴ blocks before any stream comes twice.
    fn block(self, block: usize) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream((self.execution << 24) | (self.first_block + block) as u64);
        rng
    }
}

/// Noise blocks of one pass over so many frames.
pub(crate) fn blocks(frames: usize) -> usize {
    frames.div_ceil(BLOCK)
}

/// Counts and limit flags, `[repeats, frames, rows]`.
pub(crate) fn count(
    light: &Light,
    rows: &[Row],
    receiver: &Receiver,
    repeats: usize,
    stream: NoiseStream,
) -> (Array3<i32>, Array3<bool>) {
    let (frames, width) = light.current.dim();
    let total = repeats * frames * width;
    let mut counts = vec![0_i32; total];
    let mut flags = vec![false; total];
    let per_repeat = frames * width;
    let blocks_a_repeat = blocks(frames);
    if per_repeat > 0 {
        let job = |repeat: usize, block: usize, counts: &mut [i32], flags: &mut [bool]| {
            let rng = stream.block(repeat * blocks_a_repeat + block);
            count_block(light, rows, receiver, block * BLOCK, rng, counts, flags);
        };
        let repeats_of = counts.chunks_mut(per_repeat).zip(flags.chunks_mut(per_repeat)).enumerate();
        let mut jobs: Vec<_> = repeats_of
            .flat_map(|(repeat, (counts, flags))| {
                let blocks =
                    counts.chunks_mut(BLOCK * width).zip(flags.chunks_mut(BLOCK * width)).enumerate();
                blocks.map(move |(block, (counts, flags))| (repeat, block, counts, flags))
            })
            .collect();
        if total >= WORTH_THREADS {
            jobs.par_iter_mut()
                .for_each(|(repeat, block, counts, flags)| job(*repeat, *block, counts, flags));
        } else {
            jobs.iter_mut().for_each(|(repeat, block, counts, flags)| job(*repeat, *block, counts, flags));
        }
    }
    let shape = (repeats, frames, width);
    let into = |_| Array3::from_elem(shape, 0);
    let counts = Array3::from_shape_vec(shape, counts).unwrap_or_else(into);
    let flags = Array3::from_shape_vec(shape, flags).unwrap_or_else(|_| Array3::from_elem(shape, true));
    (counts, flags)
}

fn count_block(
    light: &Light,
    rows: &[Row],
    receiver: &Receiver,
    first_frame: usize,
    mut rng: ChaCha8Rng,
    counts: &mut [i32],
    flags: &mut [bool],
) {
    let width = rows.len();
    let frames = counts.chunks_exact_mut(width).zip(flags.chunks_exact_mut(width));
    for (offset, (counts, flags)) in frames.enumerate() {
        let frame = first_frame + offset;
        let current = light.current.row(frame);
        let noise = light.noise.as_ref().map(|noise| noise.row(frame));
        for row in 0..width {
            let deviate = match noise {
                Some(noise) => {
                    let deviate: f64 = StandardNormal.sample(&mut rng);
                    noise[row] * deviate
                }
                None => 0.0,
            };
            let value = (current[row] + rows[row].dark + deviate) * rows[row].gain;
            (counts[row], flags[row]) = receiver.count(value);
        }
    }
}
