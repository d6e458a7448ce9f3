//! From a layer's weights to what the chip holds of them, in chip units.

use alora_calibration::ErrorLaw;
use ndarray::{Array2, ArrayView2};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::{ChipModel, ErrorReference, Sampling, Tiling, TilingError, full_scales, scaling::rms};
use crate::kernel::{
    normal::fill_normal,
    photonic::{Held, OutputNoise, Part},
};

/// Which random numbers a programming takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draw {
    /// The layer's number in its network: errors of different layers differ.
    pub(crate) layer: u64,
    /// Seed of this step, for errors drawn per step.
    pub(crate) step: u64,
    /// Factor on every error: below 1 while σ ramps up.
    pub(crate) factor: f32,
}

/// `weight`, `[out, in]`, as `chip` holds it, with what each execution adds.
///
/// Weights are divided by their full scale and rounded to the codes of the weight converter, `W' = s · Q(W/s)`. An error that
/// is held (per step, frozen, map) is added to them; one drawn per execution is left to the outputs.
pub(crate) fn programmed(
    weight: ArrayView2<'_, f32>,
    chip: &ChipModel,
    draw: Draw,
) -> Result<Part, TilingError> {
    let (outputs, inputs) = weight.dim();
    let tiling = Tiling::new(outputs, inputs, chip.tile_of(outputs, inputs))?;
    let scales = full_scales(weight, &tiling, chip.mapping.scaling, chip.mapping.clip_rms);
    let held = held_by_converter(weight, &scales, &tiling, chip);
    let error = chip.error.as_ref().filter(|_| draw.factor > 0.0);
    let (held, noise) = match error {
        None => (held, OutputNoise::None),
        Some(law) if chip.sampling == Sampling::PerExecution => {
            let noise = execution_noise(law, weight, &held, &scales, &tiling, chip);
            (held, noise)
        }
        Some(law) => {
            let sigmas = reference_factors(weight, &scales, &tiling, chip.reference);
            (Held::Values(with_error(&held, law, &sigmas, &tiling, chip, draw)), OutputNoise::None)
        }
    };
    let scales = scales.into_raw_vec_and_offset().0;
    Ok(Part { outputs, held, scales, noise, bias: None })
}

/// Codes of the converter where they fit a byte, else normalised weights, `[out, in]` in chip units.
fn held_by_converter(
    weight: ArrayView2<'_, f32>,
    scales: &Array2<f32>,
    tiling: &Tiling,
    chip: &ChipModel,
) -> Held {
    let cols = tiling.shape().cols();
    let inputs = weight.ncols();
    // One division a scale; a weight is then a product, in f64 so that codes are those that deployment writes.
    let normalise = |row: usize, col: usize, limit: f64| {
        let scale = f64::from(scales[(col / cols, row)]);
        let normalised = if scale > 0.0 { f64::from(weight[(row, col)]) / scale } else { 0.0 };
        normalised.clamp(-1.0, 1.0) * limit
    };
    let bits = chip.precision.map(|precision| precision.weight_bits);
    match bits {
        Some(bits) if bits.get() <= 8 => {
            let max_code = bits.max_code();
            let mut codes = vec![0_i8; weight.len()];
            codes.par_chunks_mut(inputs.max(1)).enumerate().for_each(|(row, codes)| {
                for (col, code) in codes.iter_mut().enumerate() {
                    // Within ±127 after the clamp.
                    *code = normalise(row, col, f64::from(max_code)).round_ties_even() as i8;
                }
            });
            Held::Codes { codes, max_code }
        }
        _ => {
            let max_code = bits.map(|bits| f64::from(bits.max_code()));
            let mut values = vec![0.0_f32; weight.len()];
            values.par_chunks_mut(inputs.max(1)).enumerate().for_each(|(row, values)| {
                for (col, value) in values.iter_mut().enumerate() {
                    *value = match max_code {
                        Some(limit) => (normalise(row, col, limit).round_ties_even() / limit) as f32,
                        None => normalise(row, col, 1.0) as f32,
                    };
                }
            });
            Held::Values(values)
        }
    }
}

/// What one unit of the law is in chip units, `[col_blocks, out]`: 1 for the chip's full scale.
fn reference_factors(
    weight: ArrayView2<'_, f32>,
    scales: &Array2<f32>,
    tiling: &Tiling,
    reference: ErrorReference,
) -> Array2<f32> {
    use super::WeightScaling::{Matrix, Row, Tile};
    let references = match reference {
        ErrorReference::FullScale => return Array2::ones(scales.dim()),
        ErrorReference::Matrix => full_scales(weight, tiling, Matrix, 0.0),
        ErrorReference::Tile => full_scales(weight, tiling, Tile, 0.0),
        ErrorReference::Row => full_scales(weight, tiling, Row, 0.0),
        ErrorReference::Rms => Array2::from_elem(scales.dim(), rms(weight)),
    };
    let mut factors = references;
    factors.zip_mut_with(scales, |reference, &scale| {
        *reference = if scale > 0.0 { *reference / scale } else { 0.0 };
    });
    factors
}

fn execution_noise(
    law: &ErrorLaw,
    weight: ArrayView2<'_, f32>,
    held: &Held,
    scales: &Array2<f32>,
    tiling: &Tiling,
    chip: &ChipModel,
) -> OutputNoise {
    match law {
        ErrorLaw::Gaussian { sigma } => {
            let mut sigmas = reference_factors(weight, scales, tiling, chip.reference);
            sigmas *= *sigma as f32;
            OutputNoise::Uniform(sigmas.into_raw_vec_and_offset().0)
        }
        law => {
            let variance = |normalised: f32| law.variance_at(f64::from(normalised)) as f32;
            OutputNoise::PerWeight(match held {
                Held::Codes { codes, max_code } => {
                    codes.par_iter().map(|&code| variance(f32::from(code) / *max_code as f32)).collect()
                }
                Held::Values(values) => values.par_iter().map(|&value| variance(value)).collect(),
            })
        }
    }
}

/// `W'/s + δW`, `[out, in]` in chip units, with δW drawn for each weight.
fn with_error(
    held: &Held,
    law: &ErrorLaw,
    factors: &Array2<f32>,
    tiling: &Tiling,
    chip: &ChipModel,
    draw: Draw,
) -> Vec<f32> {
    let inputs = tiling.dim().1.max(1);
    let (tile_rows, cols) = (tiling.shape().rows(), tiling.shape().cols());
    let seed = match chip.sampling {
        Sampling::Frozen { chip_seed } => chip_seed,
        _ => draw.step,
    };
    let mut weights: Vec<f32> = match held {
        Held::Codes { codes, max_code } => {
            codes.iter().map(|&code| f32::from(code) / *max_code as f32).collect()
        }
        Held::Values(values) => values.clone(),
    };
    weights.par_chunks_mut(inputs).enumerate().for_each(|(row, weights)| {
        let mut errors = vec![0.0_f32; inputs];
        match law {
            ErrorLaw::Gaussian { sigma } => {
                fill_normal(seed, draw.layer, (row * inputs) as u64, &mut errors);
                errors.iter_mut().for_each(|error| *error *= *sigma as f32);
            }
            ErrorLaw::StateDependent { .. } => {
                fill_normal(seed, draw.layer, (row * inputs) as u64, &mut errors);
                for (error, &weight) in errors.iter_mut().zip(&*weights) {
                    *error *= law.variance_at(f64::from(weight)).sqrt() as f32;
                }
            }
            ErrorLaw::Empirical { residuals } => {
                let mut rng = ChaCha8Rng::seed_from_u64(seed);
                rng.set_stream((draw.layer << 32) | row as u64);
                errors.iter_mut().for_each(|error| {
                    *error = residuals[rng.random_range(0..residuals.len())] as f32;
                });
            }
            ErrorLaw::Map { residuals, .. } => {
                // Every tile of every layer is programmed on the same elements.
                let element = (row % tile_rows) * cols;
                for (col, error) in errors.iter_mut().enumerate() {
                    *error = residuals[element + col % cols] as f32;
                }
            }
        }
        for (col, (weight, error)) in weights.iter_mut().zip(errors).enumerate() {
            *weight += draw.factor * factors[(col / cols, row)] * error;
        }
    });
    weights
}
