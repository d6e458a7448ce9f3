//! How many repeated readings are enough, and when more of them or of corrections would be vain.

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

use super::{interval::chi_square_quantile, noise_law::NoiseLaw};

/// Fewest and most repeats that are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepeatLimits {
    /// At least this many, 1 or more.
    pub least: u32,
    /// At most this many.
    pub most: u32,
}

impl RepeatLimits {
    fn of(self, wanted: f64) -> u32 {
        // A float beyond u32 saturates, and is then limited.
        (wanted.ceil().max(1.0) as u32).clamp(self.least.max(1), self.most.max(self.least.max(1)))
    }
}

/// Repeats planned, and what they reach.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RepeatPlan {
    /// Readings of each value.
    pub repeats: u32,
    /// Standard uncertainty after them, in the unit asked in.
    pub uncertainty: f64,
    /// The uncertainty asked for is reached.
    pub reached: bool,
    /// Uncertainty that no number of repeats goes below.
    pub floor: f64,
}

/// Repeats by which a weight has standard uncertainty `asked > 0`: `R = ⌈σ²/(asked² − u₀²)⌉`.
///
/// `σ²` is the variance of one estimate of the weight (one-hot: [`NoiseLaw::variance_at`]; other bases:
/// [`super::probe::Prediction::variance`]), `u₀` the part that is the same at each repeat, e.g. `Δ/√12` of a converter's
/// step without dither. All in one unit. Where `asked ≤ u₀` the most repeats are planned and `reached` is false.
#[must_use]
pub fn repeats_for_weight(variance: f64, unaveraged: f64, asked: f64, limits: RepeatLimits) -> RepeatPlan {
    let room = asked * asked - unaveraged * unaveraged;
    let wanted = if room > 0.0 { variance / room } else { f64::INFINITY };
    // A quotient that is whole but for rounding is whole.
    let repeats = limits.of(wanted * (1.0 - 1e-12));
    let uncertainty = (variance / f64::from(repeats) + unaveraged * unaveraged).sqrt();
    RepeatPlan { repeats, uncertainty, reached: uncertainty <= asked * (1.0 + 1e-9), floor: unaveraged }
}

/// [`repeats_for_weight`] of one-hot readings of the signal at which `law` is noisiest, `peak`.
#[must_use]
pub fn repeats_for_law(law: &NoiseLaw, peak: f64, asked: f64, limits: RepeatLimits) -> RepeatPlan {
    repeats_for_weight(law.variance_at(peak), 0.0, asked, limits)
}

/// Standard uncertainty of a programming σ found from `n` residuals of means of `R ≥ 2` readings of variance `s²`:
///
/// `u(σ̂) = √(2(σ² + s²/R)²/n + 2s⁴/(R² n(R−1)))/2σ`,
///
/// from `σ̂² = rms² − MS_within/R` of [`super::components::components`], both mean squares of independent Gaussian values.
#[must_use]
pub fn sigma_uncertainty(sigma: f64, readout_variance: f64, residuals: f64, repeats: u32) -> f64 {
    let r = f64::from(repeats);
    let share = readout_variance / r;
    let of_means = (sigma * sigma + share).powi(2);
    let within = share * share / (r - 1.0);
    (2.0 * (of_means + within) / residuals).sqrt() / (2.0 * sigma)
}

/// Fewest repeats, 2 at least, by which σ of about `sigma > 0` has standard uncertainty `asked`.
///
/// The floor is `σ/√2n`, that of the programming errors themselves: below it only more programmings help.
#[must_use]
pub fn repeats_for_sigma(
    sigma: f64,
    readout_variance: f64,
    residuals: f64,
    asked: f64,
    limits: RepeatLimits,
) -> RepeatPlan {
    let (least, most) = (limits.least.max(2), limits.most.max(limits.least.max(2)));
    let after = |repeats| sigma_uncertainty(sigma, readout_variance, residuals, repeats);
    // It falls with each repeat, so the fewest are found by halving.
    let (mut low, mut high) = (least, most);
    while low < high {
        let middle = low + (high - low) / 2;
        if after(middle) <= asked { high = middle } else { low = middle + 1 }
    }
    let uncertainty = after(low);
    let floor = sigma / (2.0 * residuals).sqrt();
    RepeatPlan { repeats: low, uncertainty, reached: uncertainty <= asked, floor }
}

/// Second stage after a pilot.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SecondStage {
    /// Readings in all.
    pub total: u32,
    /// Readings still to be taken.
    pub further: u32,
    /// Quantile of Student's t that was used.
    pub t: f64,
    /// The limit was below what the rule asks for: the interval is not guaranteed.
    pub limited: bool,
}

/// Stein's two-stage rule: after a pilot of `pilot ≥ 2` readings of sample variance `s²`,
///
/// `n = max(pilot, ⌈t² s²/h²⌉)`, `t = t_{(1+confidence)/2, ν}`,
///
/// readings make `mean ± h` an interval of at least that confidence, whatever the true variance, for Gaussian readings
/// (Stein, Ann. Math. Stat. 16, 243 (1945)). The mean is that of all readings, `s²` of the pilot alone. `ν` is `pilot − 1`, or
/// more where `s²` is pooled over elements of equal variance. `None` for fewer than 2 readings, `ν < 1`, `h ≤ 0` or a
/// confidence outside (0, 1).
#[must_use]
pub fn second_stage(
    pilot: u32,
    pilot_variance: f64,
    dof: f64,
    half_width: f64,
    confidence: f64,
    limits: RepeatLimits,
) -> Option<SecondStage> {
    let legal = pilot >= 2 && dof >= 1.0 && half_width > 0.0 && confidence > 0.0 && confidence < 1.0;
    if !legal || !pilot_variance.is_finite() || pilot_variance < 0.0 {
        return None;
    }
    let t = StudentsT::new(0.0, 1.0, dof).ok()?.inverse_cdf(0.5 * (1.0 + confidence));
    let wanted = (t * t * pilot_variance / (half_width * half_width)).max(f64::from(pilot));
    let total = limits.of(wanted).max(pilot);
    Some(SecondStage { total, further: total - pilot, t, limited: f64::from(total) < wanted.ceil() })
}

/// Whether a loop of measuring and correcting should go on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub enum Verdict {
    /// The error without noise is within what was asked for.
    Reached {
        /// Its rms, `√(rms² − u²)`, 0 where the noise explains all.
        error: f64,
    },
    /// The residuals are what the noise alone would give, and more than was asked for: a correction would write the noise into
    /// the weights. Read more often first.
    NoiseLimited {
        /// Factor by which repeats must grow for noise to be half of what was asked for.
        repeats_factor: f64,
    },
    /// There is error beyond the noise.
    Correct {
        /// Its rms.
        error: f64,
    },
}

/// Noise-aware stop of an iteration: the discrepancy principle (Morozov, Sov. Math. Dokl. 7, 414 (1966)).
///
/// `rms` is that of `n` residuals whose readings have standard uncertainty `noise`; `asked` is the rms error to be reached.
/// The residuals are explained by noise when `rms² ≤ noise² χ²_{0.95, n}/n`.
#[must_use]
pub fn verdict(rms: f64, noise: f64, n: f64, asked: f64) -> Verdict {
    let error = (rms * rms - noise * noise).max(0.0).sqrt();
    let explained = rms * rms <= noise * noise * chi_square_quantile(0.95, n) / n;
    // What could hide in the noise: the error's square is known to no better than this.
    let hidden = noise * (2.0 * chi_square_spread(n)).sqrt();
    if error.max(if explained { hidden } else { 0.0 }) <= asked {
        Verdict::Reached { error }
    } else if explained {
        Verdict::NoiseLimited { repeats_factor: (2.0 * noise / asked).powi(2).max(1.0) }
    } else {
        Verdict::Correct { error }
    }
}

/// Relative standard error `√(2/n)` of a mean square of `n` values.
fn chi_square_spread(n: f64) -> f64 {
    (2.0 / n).sqrt()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    use super::*;

    const ANY: RepeatLimits = RepeatLimits { least: 1, most: 100_000 };

    fn normal(rng: &mut impl Rng) -> f64 {
        StandardNormal.sample(rng)
    }

    #[test]
    fn one_repeat_fewer_would_not_do() {
        for asked in [0.3, 0.1, 0.05, 0.017] {
            let plan = repeats_for_weight(1.0, 0.0, asked, ANY);
            assert!(plan.reached && plan.uncertainty <= asked * (1.0 + 1e-9));
            assert!((1.0 / (f64::from(plan.repeats) - 1.0)).sqrt() > asked);
        }
        assert_eq!(repeats_for_weight(1.0, 0.0, 0.1, ANY).repeats, 100);
        assert_eq!(repeats_for_law(&NoiseLaw::new(1.0, 2.0, 1.0), 1.0, 0.2, ANY).repeats, 100);
    }

    #[test]
    fn limits_and_what_does_not_average_are_told() {
        let few = RepeatLimits { least: 3, most: 10 };
        assert_eq!(repeats_for_weight(1.0, 0.0, 10.0, few).repeats, 3);
        let limited = repeats_for_weight(1.0, 0.0, 0.1, few);
        assert!(limited.repeats == 10 && !limited.reached);
        let floor = repeats_for_weight(1e-4, 0.2, 0.1, ANY);
        assert!(!floor.reached && floor.floor == 0.2 && floor.repeats == ANY.most);
    }

    #[test]
    fn the_uncertainty_of_sigma_is_its_scatter() {
        // 2000 sets: their standard deviation is known to 1/√4000 = 1.6 %; 4 of these, and second order 1/n.
        let (sigma, readout, n, repeats) = (1.0, 2.0_f64, 400, 3_u32);
        let rng = &mut ChaCha8Rng::seed_from_u64(1);
        let sets = 2000;
        let found: Vec<f64> = (0..sets)
            .map(|_| {
                let (mut squares, mut within) = (0.0, 0.0);
                for _ in 0..n {
                    let truth = sigma * normal(rng);
                    let reads: Vec<f64> = (0..repeats).map(|_| truth + readout * normal(rng)).collect();
                    let mean = reads.iter().sum::<f64>() / f64::from(repeats);
                    squares += mean * mean;
                    within += reads.iter().map(|y| (y - mean).powi(2)).sum::<f64>() / f64::from(repeats - 1);
                }
                ((squares - within / f64::from(repeats)) / f64::from(n)).max(0.0).sqrt()
            })
            .collect();
        let mean = found.iter().sum::<f64>() / f64::from(sets);
        let scatter = (found.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / f64::from(sets)).sqrt();
        let predicted = sigma_uncertainty(sigma, readout * readout, f64::from(n), repeats);
        assert!(
            (scatter / predicted - 1.0).abs() < 4.0 * 0.016 + 1.0 / f64::from(n),
            "{scatter} {predicted}"
        );
    }

    #[test]
    fn repeats_for_sigma_are_the_fewest_and_have_a_floor() {
        let plan = repeats_for_sigma(0.012, 0.03_f64.powi(2), 256.0, 0.0006, ANY);
        assert!(plan.reached);
        assert!(sigma_uncertainty(0.012, 0.03_f64.powi(2), 256.0, plan.repeats - 1) > 0.0006);
        // σ/√2n = 0.00053 is above 0.0005.
        let vain = repeats_for_sigma(0.012, 0.03_f64.powi(2), 256.0, 0.0005, ANY);
        assert!(!vain.reached && vain.floor > 0.0005);
    }

    #[test]
    fn stein_covers_whatever_the_variance() {
        // At least 95 %; of 4000 sets at least 95 % − 4·√(0.95·0.05/4000) = 93.6 %. And not by waste: where the total
        // is well above the pilot the coverage is 95 %, at most 96.4 %.
        let rng = &mut ChaCha8Rng::seed_from_u64(2);
        for (sd, exact) in [(0.1, false), (1.0, true), (3.0, true)] {
            let sets = 4000;
            let covered = (0..sets)
                .filter(|_| {
                    let pilot: Vec<f64> = (0..6).map(|_| sd * normal(rng)).collect();
                    let mean = pilot.iter().sum::<f64>() / 6.0;
                    let s2 = pilot.iter().map(|y| (y - mean).powi(2)).sum::<f64>() / 5.0;
                    let stage = second_stage(6, s2, 5.0, 0.25, 0.95, ANY).unwrap();
                    assert!(!stage.limited && stage.total == 6 + stage.further);
                    let more: f64 = (0..stage.further).map(|_| sd * normal(rng)).sum();
                    ((6.0 * mean + more) / f64::from(stage.total)).abs() <= 0.25
                })
                .count();
            let fraction = covered as f64 / f64::from(sets);
            assert!(fraction >= 0.936, "{sd}: {fraction}");
            assert!(!exact || fraction <= 0.964, "{sd}: {fraction}");
        }
        // t of 5 degrees at 97.5 %, a printed table: 2.571.
        assert!((second_stage(6, 1.0, 5.0, 0.25, 0.95, ANY).unwrap().t - 2.571).abs() < 5e-4);
    }

    #[test]
    fn a_second_stage_that_is_cut_short_says_so() {
        let few = RepeatLimits { least: 1, most: 20 };
        assert!(second_stage(6, 1.0, 5.0, 0.25, 0.95, few).unwrap().limited);
        assert_eq!(second_stage(1, 1.0, 5.0, 0.25, 0.95, few), None);
        assert_eq!(second_stage(6, 1.0, 5.0, 0.0, 0.95, few), None);
    }

    #[test]
    fn corrections_stop_at_the_noise() {
        // n = 256: residuals of pure noise stay below noise·√(χ²_{0.95}/n) = 1.073 noise.
        assert!(matches!(verdict(1.05, 1.0, 256.0, 0.1), Verdict::NoiseLimited { repeats_factor: 400.0 }));
        assert!(
            matches!(verdict(1.5, 1.0, 256.0, 0.1), Verdict::Correct { error } if (error - 1.25_f64.sqrt()).abs() < 1e-12)
        );
        assert!(matches!(verdict(1.05, 1.0, 256.0, 0.5), Verdict::Reached { .. }));
        // With noise alone, 95 % are told to be noise: of 2000 sets ± 4·0.49 %.
        let rng = &mut ChaCha8Rng::seed_from_u64(3);
        let stopped = (0..2000)
            .filter(|_| {
                let mean_square = (0..256).map(|_| normal(rng).powi(2)).sum::<f64>() / 256.0;
                matches!(verdict(mean_square.sqrt(), 1.0, 256.0, 0.1), Verdict::NoiseLimited { .. })
            })
            .count();
        assert!((stopped as f64 / 2000.0 - 0.95).abs() < 4.0 * 0.0049, "{stopped}");
    }
}
