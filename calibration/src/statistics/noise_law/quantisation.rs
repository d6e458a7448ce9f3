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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    use super::{super::transfer_curve, *};

    #[test]
    fn rounding_that_lasts_is_what_the_mean_of_many_readings_is_off() {
        // 500 signals over 20 steps of 1, 2000 readings each: noise of the mean is taken off, and what is left of it is 1 in √(500/2). 25 places in a step
        // give its mean square to 2/25².
        let rng = &mut ChaCha8Rng::seed_from_u64(12);
        for sigma in [0.0, 0.1, 0.2, 0.3] {
            let (mut square, mut noise) = (0.0, 0.0);
            for k in 0..500 {
                let signal = 20.0 * (f64::from(k) + 0.5) / 500.0;
                let readings: Vec<f64> = (0..2000)
                    .map(|_| {
                        let unit: f64 = StandardNormal.sample(rng);
                        (signal + sigma * unit).round()
                    })
                    .collect();
                let point = TransferPoint::of(&readings).unwrap();
                square += (point.mean - signal).powi(2) / 500.0;
                noise += point.variance / 2000.0 / 500.0;
            }
            let expected = lasting_rounding(sigma, 1.0);
            let bound =
                4.0 * (2.0_f64 / 500.0).sqrt() * (2.0 * (noise * expected).sqrt() + noise) + 4e-3 * expected;
            assert!((square - noise - expected).abs() < bound, "{sigma}: {} {expected}", square - noise);
        }
        assert!((lasting_rounding(0.0, 2.0) - 4.0 / 12.0).abs() < 1e-4);
    }

    #[test]
    fn repeats_average_a_dithered_step_and_not_an_undithered_one() {
        // 1000 signals read 100 times through a converter of step 1, with analogue noise of 1 and of 0.02 steps.
        let rng = &mut ChaCha8Rng::seed_from_u64(11);
        for (noise, undithered, dominates) in [(1.0, false, false), (0.02, true, true)] {
            let mut points = Vec::new();
            let mut bias = 0.0;
            for k in 0..1000 {
                let signal = 10.0 + 20.0 * (f64::from(k) + 0.5) / 1000.0;
                let readings: Vec<f64> = (0..100)
                    .map(|_| {
                        let unit: f64 = StandardNormal.sample(rng);
                        (signal + noise * unit).round()
                    })
                    .collect();
                points.push(TransferPoint::of(&readings).unwrap());
                bias += (points[k as usize].mean - signal).powi(2) / 1000.0;
            }
            let law = transfer_curve(&points).unwrap().law;
            let found = quantisation(&law, &points, 1.0).unwrap();
            assert_eq!(found.undithered > 0.5, undithered, "{found:?}");
            assert_eq!(found.dominates, dominates, "{found:?}");
            // With dither: (σ² + Δ²/12)/100, known to √(2/1000); without: Δ²/12 whatever the repeats.
            let expected = if undithered { 1.0 / 12.0 } else { (1.0 + 1.0 / 12.0) / 100.0 };
            assert!((bias / expected - 1.0).abs() < 4.0 * (2.0_f64 / 1000.0).sqrt(), "{bias} of {expected}");
        }
    }
}
