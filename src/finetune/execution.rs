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
#[inline(always)]
fn quantise_over_range(values: &mut [f32], bits: Bits) {
    let range = max_abs(values);
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

/// Largest magnitude, in lanes: a single running maximum would wait for itself.
#[inline(always)]
fn max_abs(values: &[f32]) -> f32 {
    let larger = |max: f32, value: f32| if value > max { value } else { max };
    let mut lanes = [0.0_f32; 8];
    let mut whole = values.chunks_exact(8);
    for part in &mut whole {
        for (lane, value) in lanes.iter_mut().zip(part) {
            *lane = larger(*lane, value.abs());
        }
    }
    let rest = whole.remainder().iter().fold(0.0, |max, value| larger(max, value.abs()));
    lanes.iter().fold(rest, |max, &lane| larger(max, lane))
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
    #[inline(always)]
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

    #[inline(always)]
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
#[inline(always)]
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use alora_calibration::ErrorLaw;
    use rand::{Rng, RngExt};

    use super::*;
    use crate::{
        finetune::{ChipModel, Sampling},
        photonic::{ConverterPrecision, Quantiser, TileShape, WeightScaling},
    };

    fn random(rows: usize, cols: usize, seed: u64) -> Array2<f32> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        Array2::from_shape_simple_fn((rows, cols), || rng.random_range(-1.0..1.0))
    }

    fn chip(precision: Option<u8>, error: Option<ErrorLaw>, sampling: Sampling) -> ChipModel {
        ChipModel {
            tile: TileShape::new(5, 7).unwrap(),
            scaling: WeightScaling::Tile,
            precision: precision.map(|bits| ConverterPrecision::uniform(bits).unwrap()),
            error,
            sampling,
        }
    }

    /// `s · round(x / s)` over the range of `part`, by the plain formula in f64.
    fn plainly_quantised(part: &[f64], bits: u8) -> Vec<f64> {
        let quantiser = Quantiser::of_range(part, Bits::new(bits).unwrap());
        part.iter().map(|&value| quantiser.quantise(value)).collect()
    }

    #[test]
    fn converters_and_tiles_compute_the_plain_formula() {
        let (weight, inputs, bits) = (random(13, 20, 1), random(9, 20, 2), 5);
        let programmed =
            Programmed::new(weight.view(), &chip(Some(bits), None, Sampling::PerExecution), 0).unwrap();
        let outputs = execute(sent(inputs.clone(), &programmed).view(), &programmed, 0);
        let mut ties = 0;
        for vector in 0..9 {
            let mut expected = vec![0.0; 13];
            let mut slack = [2e-5; 13];
            for tile in programmed.tiling.tiles() {
                let part: Vec<f64> = tile.cols.clone().map(|col| f64::from(inputs[(vector, col)])).collect();
                let part = plainly_quantised(&part, bits);
                let weights: Vec<f64> = tile
                    .rows
                    .clone()
                    .flat_map(|row| tile.cols.clone().map(move |col| (row, col)))
                    .map(|cell| f64::from(weight[cell]))
                    .collect();
                let held = plainly_quantised(&weights, bits);
                let analog: Vec<f64> = held
                    .chunks(tile.cols.len())
                    .map(|row| row.iter().zip(&part).map(|(weight, input)| weight * input).sum())
                    .collect();
                let step = Quantiser::of_range(&analog, Bits::new(bits).unwrap()).step();
                for ((row, value), analog) in
                    tile.rows.clone().zip(plainly_quantised(&analog, bits)).zip(&analog)
                {
                    expected[row] += value;
                    // Sums of products of codes do fall on ties, where f32 may round to the other neighbour.
                    if ((analog / step).abs().fract() - 0.5).abs() < 1e-4 {
                        slack[row] += step;
                        ties += 1;
                    }
                }
            }
            for (row, expected) in expected.into_iter().enumerate() {
                // f32 against f64: a few units in the last place of sums below 20.
                assert!((f64::from(outputs[(vector, row)]) - expected).abs() < slack[row], "{vector} {row}");
            }
        }
        // Of 9 · 13 · 3 conversions.
        assert!(ties < 18, "{ties} ties leave too little to compare");
    }

    /// Outputs of `draws` executions of the same vector, each with an error of its own: by the equivalent on the outputs, and by
    /// δW drawn out.
    fn drawn_both_ways(law: &ErrorLaw, draws: usize) -> [Array2<f32>; 2] {
        let (weight, vector) = (random(13, 20, 3), random(1, 20, 4));
        let repeated = vector.broadcast((draws, 20)).unwrap().to_owned();
        let fresh = Programmed::new(weight.view(), &chip(None, Some(law.clone()), Sampling::PerExecution), 0)
            .unwrap();
        let equivalent = execute(repeated.view(), &fresh, 5);
        let mut stepped =
            Programmed::new(weight.view(), &chip(None, Some(law.clone()), Sampling::PerStep), 0).unwrap();
        let mut explicit = Array2::zeros((draws, 13));
        let mut rng = ChaCha8Rng::seed_from_u64(6);
        for mut outputs in explicit.rows_mut() {
            stepped.redraw(rng.next_u64());
            outputs.assign(&execute(vector.view(), &stepped, 0).row(0));
        }
        [equivalent, explicit]
    }

    #[test]
    fn noise_on_the_outputs_has_the_distribution_of_errors_drawn_out() {
        let draws = 20_000;
        for law in
            [ErrorLaw::Gaussian { sigma: 0.05 }, ErrorLaw::StateDependent { a: 1e-4, b: 2e-3, c: 3e-3 }]
        {
            let (weight, vector) = (random(13, 20, 3), random(1, 20, 4));
            let exact = weight.dot(&vector.row(0));
            let clean = Programmed::new(weight.view(), &chip(None, None, Sampling::PerStep), 0).unwrap();
            let scales = crate::photonic::full_scales(weight.view(), &clean.tiling, WeightScaling::Tile);
            for outputs in drawn_both_ways(&law, draws) {
                let mut residuals = outputs.mapv(f64::from);
                for row in 0..13 {
                    // Var = Σ_c s² σ²(w/s) x².
                    let expected: f64 = (0..20)
                        .map(|col| {
                            let scale = f64::from(scales[(col / 7, row)]);
                            let input = f64::from(vector[(0, col)]);
                            let weight = f64::from(weight[(row, col)]);
                            (scale * input).powi(2) * law.variance_at(weight / scale)
                        })
                        .sum();
                    residuals
                        .column_mut(row)
                        .mapv_inplace(|output| (output - f64::from(exact[row])) / expected.sqrt());
                    // A variance from n normal draws has the relative standard error √(2/n); 4.5 of them over 52 checks.
                    let variance = residuals.column(row).mapv(|residual| residual * residual).mean().unwrap();
                    let bound = 4.5 * (2.0 / draws as f64).sqrt();
                    assert!((variance - 1.0).abs() < bound, "{law:?} row {row}: {variance}");
                }
                // Independent over rows: a mean product has the standard error 1/√n; 78 pairs, 4 ways.
                for first in 0..13 {
                    for second in 0..first {
                        let product = &residuals.column(first) * &residuals.column(second);
                        assert!(product.mean().unwrap().abs() < 4.8 / (draws as f64).sqrt());
                    }
                }
            }
        }
    }

    #[test]
    fn a_chip_keeps_its_error_and_another_chip_has_another() {
        let weight = random(13, 20, 7);
        let inputs = random(3, 20, 8);
        let law = ErrorLaw::Empirical { residuals: vec![-0.02, 0.01, 0.03] };
        let outputs = |chip_seed, layer, seed| {
            let chip = chip(None, Some(law.clone()), Sampling::Frozen { chip_seed });
            execute(inputs.view(), &Programmed::new(weight.view(), &chip, layer).unwrap(), seed)
        };
        assert_eq!(outputs(1, 0, 1), outputs(1, 0, 2));
        assert_ne!(outputs(1, 0, 1), outputs(2, 0, 1));
        assert_ne!(outputs(1, 0, 1), outputs(1, 1, 1));
    }

    #[test]
    fn results_do_not_depend_on_the_number_of_threads() {
        let (weight, inputs) = (random(40, 64, 9), random(100, 64, 10));
        let chip = chip(Some(6), Some(ErrorLaw::Gaussian { sigma: 0.02 }), Sampling::PerExecution);
        let programmed = Programmed::new(weight.view(), &chip, 0).unwrap();
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| execute(inputs.view(), &programmed, 11))
        };
        assert_eq!(with(1), with(3));
    }
}
