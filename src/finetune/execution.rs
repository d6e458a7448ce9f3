//! The photonic product of a batch: input converter, tiles, fresh noise, output converter, digital sum.

use ndarray::{Array2, ArrayView2, ArrayViewMut1, Axis};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::normal::fill_normal;
use super::programmed::{ExecutionNoise, Programmed};
use crate::photonic::Bits;

/// Vectors a task. Fixed, so that results do not depend on the number of threads.
const CHUNK: usize = 16;

/// Adding and taking away `1.5 · 2²³` rounds an `f32` below `2²²` to the nearest whole number, ties to even, in two
/// additions that every compiler vectorises.
const ROUND: f32 = 12_582_912.0;

/// `s · round(x / s)` with `s = max|x| / (2^(n−1) − 1)`, in place over `values`.
fn quantise_over_range(values: &mut [f32], bits: Bits) {
    let range = values.iter().fold(0.0_f32, |max, value| max.max(value.abs()));
    let step = range / bits.max_code() as f32;
    // A range below the smallest normal number has no step; nothing is representable but 0.
    if step < f32::MIN_POSITIVE {
        values.fill(0.0);
        return;
    }
    for value in values {
        *value = step * ((*value / step + ROUND) - ROUND);
    }
}

/// What the input converter sends for `inputs`, `[batch, in]`: each vector is quantised over the dynamic range of each of its
/// MVMs, that is over the part of it that one column block takes.
pub(crate) fn sent(mut inputs: Array2<f32>, programmed: &Programmed) -> Array2<f32> {
    if let Some(bits) = programmed.input_bits {
        let cols = programmed.tiling.shape().cols();
        for mut vector in inputs.rows_mut() {
            // Arrays built here are in standard layout, so each row is a slice.
            if let Some(values) = vector.as_slice_mut() {
                values.chunks_mut(cols).for_each(|part| quantise_over_range(part, bits));
            }
        }
    }
    inputs
}

/// Products of the vectors `sent`, `[batch, in]`, with the programmed weights: `[batch, out]`, without bias.
///
/// For each vector and tile: `y = W̃ x'` with the noise of this execution; the ADC quantises the tile's outputs over their
/// dynamic range (the largest magnitude among the outputs of that tile for that vector); the column blocks are summed digitally.
/// Vector `v` of the batch draws from the stream `v` of `seed`.
pub(crate) fn execute(sent: ArrayView2<'_, f32>, programmed: &Programmed, seed: u64) -> Array2<f32> {
    let mut outputs = Array2::zeros((sent.nrows(), programmed.held.ncols()));
    outputs.axis_chunks_iter_mut(Axis(0), CHUNK).into_par_iter().enumerate().for_each(
        |(chunk, mut outputs)| {
            let first = chunk * CHUNK;
            let mut executions: Vec<Execution<'_>> = outputs
                .rows_mut()
                .into_iter()
                .zip(sent.rows().into_iter().skip(first))
                .enumerate()
                .filter_map(|(index, (sums, vector))| {
                    Some(Execution { vector: vector.to_slice()?, sums, rng: stream(seed, first + index) })
                })
                .collect();
            let mut partial = vec![0.0; programmed.held.ncols()];
            let mut normals = partial.clone();
            // Column blocks outside, vectors inside: a block's weights stay in the nearest cache for the whole chunk.
            for block in 0..programmed.tiling.col_blocks() {
                executions
                    .iter_mut()
                    .for_each(|execution| execution.add_block(programmed, block, &mut partial, &mut normals));
            }
        },
    );
    outputs
}

fn stream(seed: u64, vector: usize) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(vector as u64);
    rng
}

/// One vector on its way through the column blocks.
struct Execution<'a> {
    vector: &'a [f32],
    sums: ArrayViewMut1<'a, f32>,
    rng: ChaCha8Rng,
}

impl Execution<'_> {
    fn add_block(&mut self, programmed: &Programmed, block: usize, partial: &mut [f32], normals: &mut [f32]) {
        let (rows, cols) = (programmed.tiling.shape().rows(), programmed.tiling.shape().cols());
        let inputs = block * cols..((block + 1) * cols).min(self.vector.len());
        let part = &self.vector[inputs.clone()];
        // Dark inputs give dark outputs, with no error: δW multiplies them.
        if part.iter().all(|&input| input == 0.0) {
            return;
        }
        let Some(weights) = programmed.held.as_slice() else { return };
        let outputs = partial.len();
        multiply(part, &weights[inputs.start * outputs..inputs.end * outputs], partial);
        self.add_noise(&programmed.noise, block, inputs, partial, normals);
        if let Some(bits) = programmed.output_bits {
            partial.chunks_mut(rows).for_each(|tile| quantise_over_range(tile, bits));
        }
        self.sums.iter_mut().zip(partial.iter()).for_each(|(sum, &value)| *sum += value);
    }

    fn add_noise(
        &mut self,
        noise: &ExecutionNoise,
        block: usize,
        inputs: std::ops::Range<usize>,
        partial: &mut [f32],
        normals: &mut [f32],
    ) {
        let part = &self.vector[inputs.clone()];
        match noise {
            ExecutionNoise::None => {}
            ExecutionNoise::Uniform(sigmas) => {
                let norm = part.iter().map(|input| input * input).sum::<f32>().sqrt();
                fill_normal(&mut self.rng, normals);
                for ((value, &sigma), &normal) in partial.iter_mut().zip(sigmas.row(block)).zip(&*normals) {
                    *value += sigma * norm * normal;
                }
            }
            ExecutionNoise::PerWeight(variances) => {
                let squares: Vec<f32> = part.iter().map(|input| input * input).collect();
                let outputs = partial.len();
                let mut variance = vec![0.0; outputs];
                let Some(variances) = variances.as_slice() else { return };
                multiply(&squares, &variances[inputs.start * outputs..inputs.end * outputs], &mut variance);
                fill_normal(&mut self.rng, normals);
                for ((value, variance), &normal) in partial.iter_mut().zip(variance).zip(&*normals) {
                    *value += variance.sqrt() * normal;
                }
            }
        }
    }
}

/// Outputs summed at a time: as many as fit the vector registers.
const LANES: usize = 32;

/// `out = xᵀ M` with `M` `[x.len(), out.len()]` in row-major order.
fn multiply(x: &[f32], matrix: &[f32], out: &mut [f32]) {
    let width = out.len();
    let whole = width - width % LANES;
    for start in (0..whole).step_by(LANES) {
        let mut sums = [0.0_f32; LANES];
        for (&factor, row) in x.iter().zip(matrix.chunks_exact(width)) {
            for (sum, &weight) in sums.iter_mut().zip(&row[start..start + LANES]) {
                *sum += factor * weight;
            }
        }
        out[start..start + LANES].copy_from_slice(&sums);
    }
    out[whole..].fill(0.0);
    for (&factor, row) in x.iter().zip(matrix.chunks_exact(width)) {
        for (sum, &weight) in out[whole..].iter_mut().zip(&row[whole..]) {
            *sum += factor * weight;
        }
    }
}
