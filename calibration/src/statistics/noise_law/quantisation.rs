//! What the steps of an output converter do to repeated readings.

use serde::{Deserialize, Serialize};

use super::{NoiseLaw, TransferPoint};

/// What the steps of an output converter do to repeated readings.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quantisation {
    /// `Δ`, in the unit of the readings.
    pub step: f64,
    /// `Δ²/12`, the variance of a rounding error that is uniform (Bennett, Bell Syst. Tech. J. 27, 446 (1948)).
    pub variance: f64,
    /// Share of the additive noise that it explains, `min(1, Δ²/12a)`; 1 for `a = 0`.
    pub share: f64,
    /// The share is above a half: a finer converter would help more than a quieter amplifier.
    pub dominates: bool,
    /// Part of the points whose readings are not dithered: analogue noise below [`DITHER`] steps. Their rounding error is
    /// the same at each repeat and does not average away.
    pub undithered: f64,
}

/// Analogue noise, in steps, from which rounding errors of repeats are independent: at `σ = Δ/2` the mean of the
/// converter's output is off by at most `(Δ/π)·exp(−2π²σ²/Δ²) = 0.0023 Δ`
/// (Carbone & Petri, IEEE Trans. Instrum. Meas. 43, 389 (1994)).
pub const DITHER: f64 = 0.5;

/// Compares the noise of the points with a step `Δ > 0` of the converter.
///
/// With dither the total variance of a reading is the analogue one plus `Δ²/12`; a point whose measured variance is below
/// `Δ²(1/4 + 1/12)` therefore has less analogue noise than half a step. `None` without points.
#[must_use]
pub fn quantisation(law: &NoiseLaw, points: &[TransferPoint], step: f64) -> Option<Quantisation> {
    if points.is_empty() || step.is_nan() || step <= 0.0 {
        return None;
    }
    let variance = step * step / 12.0;
    let share = if law.additive > variance { variance / law.additive } else { 1.0 };
    let least = step * step * DITHER * DITHER + variance;
    let undithered = points.iter().filter(|p| p.variance < least).count() as f64 / points.len() as f64;
    Some(Quantisation { step, variance, share, dominates: share > 0.5, undithered })
}

/// Mean square of the rounding errors that are the same at each repeat, for signals spread over many steps `Δ > 0` and Gaussian
/// noise `σ`: `Σ_k Δ²/(2π²k²) · exp(−4π²k²σ²/Δ²)`, i.e. `Δ²/12` without noise and next to nothing from `σ = Δ/2` on.
///
/// The converter's mean output differs from its input by a Fourier series whose terms the noise's characteristic
/// function damps (Carbone & Petri, IEEE Trans. Instrum. Meas. 43, 389 (1994)).
#[must_use]
pub fn lasting_rounding(sigma: f64, step: f64) -> f64 {
    let turn = std::f64::consts::TAU * sigma / step;
    // Beyond, the terms are below 1e-5 of the sum even without noise.
    let terms = (1..=10_000).map(|k| {
        let k = f64::from(k);
        (-(turn * k).powi(2)).exp() / (k * k)
    });
    let series: f64 = terms.take_while(|&term| term > 1e-12).sum();
    step * step * series / (2.0 * std::f64::consts::PI.powi(2))
}
