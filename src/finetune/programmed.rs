//! A layer as the chip holds it: quantised, with its error.

use alora_calibration::ErrorLaw;
use ndarray::{Array2, ArrayView2, Axis, Zip};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use super::{ChipModel, Sampling};
use crate::photonic::{Bits, Quantiser, Tiling, TilingError, full_scales};

/// Weights on the chip, transposed to `[in, out]` so that a column block is a contiguous block of rows.
#[derive(Clone, Debug)]
pub(crate) struct Programmed {
    pub(super) tiling: Tiling,
    pub(super) input_bits: Option<Bits>,
    pub(super) output_bits: Option<Bits>,
    /// Quantised, without error, `[in, out]`.
    clean: Array2<f32>,
    /// `clean` and the error that is held, `[in, out]`.
    pub(super) held: Array2<f32>,
    /// Full scale of each row in each column block, `[col_blocks, out]`.
    scales: Array2<f32>,
    /// Error that each execution draws anew.
    pub(super) noise: ExecutionNoise,
    redrawn: Option<ErrorLaw>,
}

/// Noise of an output that is equivalent to drawing δW anew for each vector.
///
/// With independent `δW_rc ~ N(0, σ_rc²)` drawn for each input vector `x`, `(δW x)_r ~ N(0, Σ_c σ_rc² x_c²)`, independent over `r`:
/// one normal number an output instead of one a weight, with the same distribution.
#[derive(Clone, Debug)]
pub(super) enum ExecutionNoise {
    /// No error.
    None,
    /// The same σ for every weight of a row in a tile: its value in units of the weights, `[col_blocks, out]`.
    Uniform(Array2<f32>),
    /// σ² of every weight in squared units of the weights, `[in, out]`.
    PerWeight(Array2<f32>),
}

impl Programmed {
    /// Programs `weight`, `[out, in]`, the `layer`-th of its network.
    pub(crate) fn new(
        weight: ArrayView2<'_, f32>,
        chip: &ChipModel,
        layer: u64,
    ) -> Result<Self, TilingError> {
        let tiling = Tiling::new(weight.nrows(), weight.ncols(), chip.tile)?;
        let scales = full_scales(weight, &tiling, chip.scaling);
        let clean = held_by_converter(weight, &scales, &tiling, chip.precision.map(|bits| bits.weight_bits));
        let mut programmed = Self {
            tiling,
            input_bits: chip.precision.map(|bits| bits.input_bits),
            output_bits: chip.precision.map(|bits| bits.output_bits),
            held: clean.clone(),
            clean,
            scales,
            noise: ExecutionNoise::None,
            redrawn: None,
        };
        if let Some(law) = &chip.error {
            match chip.sampling {
                Sampling::PerExecution => programmed.noise = programmed.execution_noise(law),
                Sampling::PerStep => programmed.redrawn = Some(law.clone()),
                Sampling::Frozen { chip_seed } => {
                    let mut rng = ChaCha8Rng::seed_from_u64(chip_seed);
                    rng.set_stream(layer);
                    programmed.draw(law, &mut rng);
                }
            }
        }
        Ok(programmed)
    }

    /// True where each step draws its own error.
    pub(crate) fn is_redrawn(&self) -> bool {
        self.redrawn.is_some()
    }

    /// Draws the error of a step; does nothing under the other samplings.
    pub(crate) fn redraw(&mut self, seed: u64) {
        if let Some(law) = self.redrawn.clone() {
            self.draw(&law, &mut ChaCha8Rng::seed_from_u64(seed));
        }
    }

    /// `W' + s · δW`, with δW drawn for the normalised weight `W'/s`.
    fn draw(&mut self, law: &ErrorLaw, rng: &mut impl Rng) {
        let cols = self.tiling.shape().cols();
        for (block, scales) in self.scales.rows().into_iter().enumerate() {
            let rows = block * cols..((block + 1) * cols).min(self.clean.nrows());
            for row in rows {
                Zip::from(self.held.row_mut(row)).and(self.clean.row(row)).and(scales).for_each(
                    |held, &clean, &scale| *held = clean + scale * draw_error(law, clean, scale, rng),
                );
            }
        }
    }

    fn execution_noise(&self, law: &ErrorLaw) -> ExecutionNoise {
        let cols = self.tiling.shape().cols();
        match law {
            ErrorLaw::Gaussian { sigma } => ExecutionNoise::Uniform(&self.scales * *sigma as f32),
            law => {
                let mut variance = self.clean.clone();
                for (input, mut row) in variance.axis_iter_mut(Axis(0)).enumerate() {
                    Zip::from(&mut row).and(self.scales.row(input / cols)).for_each(|weight, &scale| {
                        *weight = scale * scale * law.variance_at(normalised(*weight, scale)) as f32;
                    });
                }
                ExecutionNoise::PerWeight(variance)
            }
        }
    }
}

/// One δW of a weight, in units of full scale.
fn draw_error(law: &ErrorLaw, weight: f32, scale: f32, rng: &mut impl Rng) -> f32 {
    match law {
        ErrorLaw::Gaussian { sigma } => *sigma as f32 * rng.sample::<f32, _>(StandardNormal),
        ErrorLaw::StateDependent { .. } => {
            law.variance_at(normalised(weight, scale)).sqrt() as f32 * rng.sample::<f32, _>(StandardNormal)
        }
        ErrorLaw::Empirical { residuals } => residuals[rng.random_range(0..residuals.len())] as f32,
    }
}

fn normalised(weight: f32, scale: f32) -> f64 {
    if scale > 0.0 { f64::from(weight) / f64::from(scale) } else { 0.0 }
}

/// `s · Q(W/s)`, `[in, out]`; the weights themselves when the converter is ideal.
fn held_by_converter(
    weight: ArrayView2<'_, f32>,
    scales: &Array2<f32>,
    tiling: &Tiling,
    bits: Option<Bits>,
) -> Array2<f32> {
    let mut held = Array2::zeros((weight.ncols(), weight.nrows()));
    let quantiser = bits.map(|bits| Quantiser::over(1.0, bits));
    let cols = tiling.shape().cols();
    for (input, mut row) in held.axis_iter_mut(Axis(0)).enumerate() {
        Zip::from(&mut row).and(weight.column(input)).and(scales.row(input / cols)).for_each(
            |held, &weight, &scale| {
                *held = match &quantiser {
                    Some(quantiser) => {
                        (quantiser.quantise(normalised(weight, scale)) * f64::from(scale)) as f32
                    }
                    None => weight,
                };
            },
        );
    }
    held
}
