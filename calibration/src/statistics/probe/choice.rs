//! Which basis gives the least variance of a weight in a given time.

use ndarray::ArrayView1;
use serde::{Deserialize, Serialize};
use statrs::function::erf::erfc;

use super::{
    Basis,
    conditions::{AUTO_RANGED, AdcRange, InputAlphabet, MatrixScale},
};
use crate::statistics::noise_law::NoiseLaw;

/// Parts of a variance, which sum to 1 where there is any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VarianceShares {
    /// From additive noise.
    pub additive: f64,
    /// From shot noise.
    pub shot: f64,
    /// From multiplicative noise.
    pub relative: f64,
    /// From the converter's steps.
    pub quantisation: f64,
}

impl VarianceShares {
    /// Name and size of the largest part.
    #[must_use]
    pub fn largest(&self) -> (&'static str, f64) {
        [
            ("additive noise", self.additive),
            ("shot noise", self.shot),
            ("relative intensity noise", self.relative),
            ("the output converter's step", self.quantisation),
        ]
        .into_iter()
        .fold(("no noise", 0.0), |most, part| if part.1 > most.1 { part } else { most })
    }
}

/// What is expected of one pass over a basis.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// The basis.
    pub basis: Basis,
    /// Readings of every output that one pass takes.
    pub passes: usize,
    /// Largest reading to be expected at full input, in units of a weight.
    pub largest_reading: f64,
    /// Factor by which the inputs are dimmed to stay within a fixed range; 1 for none.
    pub dimming: f64,
    /// Variance of one estimate of a weight from one pass, mean over the inputs.
    pub variance: f64,
    /// `variance · passes / N`: for the time that one-hot takes for one pass.
    pub variance_per_time: f64,
    /// Where the variance comes from.
    pub shares: VarianceShares,
}

/// Basis chosen, and what was weighed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// The basis.
    pub basis: Basis,
    /// Every basis that the inputs allow, the plainest first.
    pub candidates: Vec<Prediction>,
    /// Why, in a sentence.
    pub reason: String,
}

/// A basis takes the place of a plainer one when its variance is below this part of the plainer one's.
const WORTHWHILE: f64 = 0.95;

/// Chooses the basis of least variance per unit time for `inputs ≥ 1`.
///
/// A basis must be better than a plainer one by 5 % to be taken: under purely multiplicative noise one-hot and signed Hadamard
/// tie (`Σy² = M Σw²`), and one-hot is taken. `law` is without the converter's steps
/// ([`NoiseLaw::without_quantisation`]). Time buys variance only where readings are dithered; undithered steps compare by
/// `variance`, and there one-hot wins by a factor larger than the passes of any basis here.
#[must_use]
pub fn choose(
    law: &NoiseLaw,
    alphabet: InputAlphabet,
    inputs: usize,
    matrix: &MatrixScale,
    adc: AdcRange,
) -> Choice {
    let candidates: Vec<Prediction> = Basis::ALL
        .into_iter()
        .filter(|basis| alphabet == InputAlphabet::Bipolar || !basis.is_signed())
        .map(|basis| predict(basis, inputs, law, matrix, adc))
        .collect();
    let one_hot = predict(Basis::OneHot, inputs, law, matrix, adc);
    let best = candidates.iter().fold(one_hot, |best, candidate| {
        if candidate.variance_per_time < WORTHWHILE * best.variance_per_time { *candidate } else { best }
    });
    Choice { basis: best.basis, reason: reason(&best, &one_hot, &candidates), candidates }
}

fn reason(best: &Prediction, one_hot: &Prediction, candidates: &[Prediction]) -> String {
    if best.basis != Basis::OneHot {
        let (noise, share) = one_hot.shares.largest();
        let gain = one_hot.variance_per_time / best.variance_per_time;
        return format!(
            "{}: {noise} makes {:.0} % of the variance of a one-hot reading, and reading many weights at once has {gain:.1} \
             times less variance in the same time",
            best.basis.name(),
            100.0 * share,
        );
    }
    let others = candidates.iter().filter(|candidate| candidate.basis != Basis::OneHot);
    match others.min_by(|x, y| x.variance_per_time.total_cmp(&y.variance_per_time)) {
        Some(next) if one_hot.variance_per_time > 0.0 => {
            let (noise, share) = next.shares.largest();
            format!(
                "one-hot: the next best, {}, has {:.2} times its variance in the same time, {:.0} % of it from {noise}, \
                 which grows with the light of a reading",
                next.basis.name(),
                next.variance_per_time / one_hot.variance_per_time,
                100.0 * share,
            )
        }
        _ => "one-hot: the readings have no noise by which bases could be told apart".to_owned(),
    }
}

/// Mean and variance of a reading over matrices, and the light in it.
struct Reading {
    mean: f64,
    variance: f64,
    light: f64,
    bound: f64,
}

impl Reading {
    /// Weights independent of mean `µ` and variance `v`: `µ Σp` and `v Σp²`; its light is `Σ|p| E|w|`.
    fn of(pattern: ArrayView1<'_, f64>, matrix: &MatrixScale) -> Self {
        let light: f64 = pattern.iter().map(|p| p.abs()).sum();
        let squares: f64 = pattern.iter().map(|p| p * p).sum();
        let spread = (matrix.rms * matrix.rms - matrix.mean * matrix.mean).max(0.0);
        let (mean, variance) = (matrix.mean * pattern.sum(), spread * squares);
        Self { mean, variance, light: matrix.mean_modulus * light, bound: matrix.peak * light }
    }

    /// Probability of a modulus above `x`.
    fn above(&self, x: f64) -> f64 {
        if x >= self.bound {
            return 0.0;
        }
        let scale = (2.0 * self.variance).sqrt();
        if scale == 0.0 {
            return if self.mean.abs() > x { 1.0 } else { 0.0 };
        }
        0.5 * (erfc((x - self.mean) / scale) + erfc((x + self.mean) / scale))
    }
}

/// Largest of all readings of `outputs` outputs: `Σ P(|y| > x) = e^−γ`, the mean of the limiting Gumbel law; never above
/// what the largest weights could give.
fn largest(readings: &[Reading], outputs: usize) -> f64 {
    let expected = |x: f64| outputs as f64 * readings.iter().map(|reading| reading.above(x)).sum::<f64>();
    let bound = readings.iter().map(|reading| reading.bound).fold(0.0, f64::max);
    let (mut low, mut high) = (0.0, bound);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if expected(middle) > (-EULER).exp() { low = middle } else { high = middle }
    }
    high
}

/// Euler's γ.
const EULER: f64 = 0.577_215_664_901_532_9;

/// Predicts the variance of a weight from one pass of `basis` over `inputs ≥ 1`.
///
/// Reading `k` of pattern `p_k` is `y_k = Σ_j p_kj w_j`, its noise `a + b Σ_j |p_kj w_j| + c y_k²` and the step's `Δ²/12`:
/// shot noise follows all light that is detected, also where it is subtracted (balanced detectors); with the decoder
/// `D` (`[N, K]`) the variance of weight `j` is `Σ_k D_jk² Var(y_k)`. The readings' moments are those over matrices
/// of independent weights; inputs dimmed by `g` divide additive variances by `g²`, that of shot noise by `g`.
#[must_use]
pub fn predict(
    basis: Basis,
    inputs: usize,
    law: &NoiseLaw,
    matrix: &MatrixScale,
    adc: AdcRange,
) -> Prediction {
    let probe = basis.probe(inputs);
    let readings: Vec<Reading> =
        probe.patterns().rows().into_iter().map(|pattern| Reading::of(pattern, matrix)).collect();
    let largest_reading =
        if basis == Basis::OneHot { matrix.peak } else { largest(&readings, matrix.outputs) };
    let (dimming, step) = match adc {
        AdcRange::Ideal | AdcRange::AutoRanged { .. } => (1.0, 0.0),
        AdcRange::Rescaled { bits } => (1.0, largest_reading / 2_f64.powi(bits.cast_signed())),
        AdcRange::Fixed { full_scale, bits } => {
            let dimming = if largest_reading > full_scale { full_scale / largest_reading } else { 1.0 };
            (dimming, full_scale / 2_f64.powi(bits.cast_signed()))
        }
    };
    // Steps that follow the readings are a part of their squares.
    let of_reading = match adc {
        AdcRange::AutoRanged { bits } => AUTO_RANGED / 4_f64.powi(bits.cast_signed()),
        AdcRange::Ideal | AdcRange::Fixed { .. } | AdcRange::Rescaled { .. } => 0.0,
    };
    let mut parts = VarianceShares::default();
    for (column, reading) in probe.decoder().columns().into_iter().zip(&readings) {
        let weight = column.iter().map(|d| d * d).sum::<f64>() / inputs as f64;
        parts.additive += weight * law.additive / (dimming * dimming);
        parts.shot += weight * law.shot * reading.light / dimming;
        let square = reading.mean * reading.mean + reading.variance;
        parts.relative += weight * law.relative * square;
        parts.quantisation += weight * (step * step / (dimming * dimming) + of_reading * square) / 12.0;
    }
    let variance = parts.additive + parts.shot + parts.relative + parts.quantisation;
    let share = |part: f64| if variance > 0.0 { part / variance } else { 0.0 };
    Prediction {
        basis,
        passes: probe.passes(),
        largest_reading,
        dimming,
        variance,
        variance_per_time: variance * probe.passes() as f64 / inputs as f64,
        shares: VarianceShares {
            additive: share(parts.additive),
            shot: share(parts.shot),
            relative: share(parts.relative),
            quantisation: share(parts.quantisation),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(law: NoiseLaw, alphabet: InputAlphabet, adc: AdcRange) -> Choice {
        choose(&law, alphabet, 64, &MatrixScale::uniform_unipolar(64), adc)
    }

    #[test]
    fn additive_noise_asks_for_hadamard() {
        let law = NoiseLaw::new(1e-4, 0.0, 0.0);
        let bipolar = chosen(law, InputAlphabet::Bipolar, AdcRange::Ideal);
        assert_eq!(bipolar.basis, Basis::SignedHadamard);
        assert!(bipolar.reason.contains("additive noise makes 100 %"), "{}", bipolar.reason);
        assert!(bipolar.reason.contains("64.0 times less variance"), "{}", bipolar.reason);
        // Split: 2/64 of the variance in twice the time; S-matrix: 4/68 in 67/64 of it.
        let unipolar = chosen(law, InputAlphabet::Unipolar, AdcRange::Ideal);
        assert_ne!(unipolar.basis, Basis::OneHot);
        assert_eq!(unipolar.candidates.len(), 3);
    }

    #[test]
    fn source_noise_and_converters_ask_for_one_hot() {
        for alphabet in [InputAlphabet::Unipolar, InputAlphabet::Bipolar] {
            let source = chosen(NoiseLaw::new(0.0, 0.0, 1e-4), alphabet, AdcRange::Ideal);
            assert_eq!(source.basis, Basis::OneHot, "{}", source.reason);
            assert!(source.reason.contains("relative intensity noise"), "{}", source.reason);
            let converter = chosen(NoiseLaw::default(), alphabet, AdcRange::Rescaled { bits: 8 });
            assert_eq!(converter.basis, Basis::OneHot, "{}", converter.reason);
            assert!(converter.reason.contains("the output converter's step"), "{}", converter.reason);
            assert_eq!(chosen(NoiseLaw::new(0.0, 1.0, 0.0), alphabet, AdcRange::Ideal).basis, Basis::OneHot);
        }
    }

    #[test]
    fn a_fixed_range_for_all_inputs_asks_for_light() {
        // A range of 64 weights in 8 bits: a one-hot reading has 4 steps, a Hadamard one is averaged over 64.
        let wide = chosen(
            NoiseLaw::default(),
            InputAlphabet::Bipolar,
            AdcRange::Fixed { full_scale: 64.0, bits: 8 },
        );
        assert_eq!(wide.basis, Basis::SignedHadamard);
        // A range of one weight: many inputs must be dimmed, by as much as their sum is larger.
        let narrow =
            chosen(NoiseLaw::default(), InputAlphabet::Bipolar, AdcRange::Fixed { full_scale: 1.0, bits: 8 });
        assert_eq!(narrow.basis, Basis::OneHot);
        assert!(narrow.candidates.iter().all(|c| (c.dimming * c.largest_reading - 1.0).abs() < 1e-12));
    }

    #[test]
    fn a_range_that_follows_every_reading_is_like_noise_of_the_source() {
        let adc = AdcRange::AutoRanged { bits: 8 };
        let of = |basis| {
            predict(basis, 64, &NoiseLaw::default(), &MatrixScale::uniform_unipolar(64), adc).variance
        };
        // E Δ² = 2.16 E w²/2¹⁶, and Σy² = M Σw².
        assert!((of(Basis::OneHot) / (1.5 / 2_f64.ln() / 65536.0 / 36.0) - 1.0).abs() < 1e-12);
        assert!((of(Basis::OneHot) / of(Basis::SignedHadamard) - 1.0).abs() < 1e-12);
        assert_eq!(chosen(NoiseLaw::default(), InputAlphabet::Unipolar, adc).basis, Basis::OneHot);
    }

    #[test]
    fn without_noise_nothing_is_claimed() {
        let quiet = chosen(NoiseLaw::default(), InputAlphabet::Bipolar, AdcRange::Ideal);
        assert_eq!(quiet.basis, Basis::OneHot);
        assert!(quiet.reason.contains("no noise"), "{}", quiet.reason);
    }

    #[test]
    fn the_energy_of_the_readings_is_that_of_the_weights() {
        // Parseval: Σ y² = M Σ w², so multiplicative noise costs a signed Hadamard exactly what it costs one-hot.
        for inputs in [8, 20, 64] {
            for matrix in [MatrixScale::uniform_unipolar(8), MatrixScale::uniform_bipolar(8)] {
                let of = |basis| {
                    predict(basis, inputs, &NoiseLaw::new(0.0, 0.0, 1.0), &matrix, AdcRange::Ideal).variance
                };
                assert!((of(Basis::OneHot) / of(Basis::SignedHadamard) - 1.0).abs() < 1e-12);
            }
        }
    }
}
