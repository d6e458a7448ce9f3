//! The law of the noise from the variances of readings.

use serde::{Deserialize, Serialize};

use super::{super::linear::solve, DetectedPoint, NoiseLaw, TransferPoint};

/// A law fitted, and how well it describes the points.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TransferCurve {
    /// The law.
    pub law: NoiseLaw,
    /// `Σ (s² − σ²)²ν/2σ⁴` over the points: about `points − 3` when the law holds.
    pub chi_square: f64,
    /// Points used.
    pub points: usize,
}

/// Fits [`NoiseLaw`] by non-negative weighted least squares, repeated with the weights of the last fit.
///
/// A sample variance of `ν` degrees has `Var(s²) = 2σ⁴/ν`, so the weight is `ν/2σ⁴`; with weights from the fit this is the
/// likelihood equation of the scaled chi-square (Davidian & Carroll, JASA 82, 1079 (1987)). Photon-transfer curve: Janesick,
/// *Photon Transfer* (SPIE 2007), chapter 5. Standard errors are the roots of the diagonal of the inverse of the normal
/// matrix of all three terms, so an estimate held at 0 keeps the standard error it would have free.
///
/// `None` for fewer than 4 points, when the means take fewer than 3 values in modulus, or when every variance is 0 or one
/// is negative or not finite.
#[must_use]
pub fn transfer_curve(points: &[TransferPoint]) -> Option<TransferCurve> {
    let detected = |p: &TransferPoint| DetectedPoint {
        mean: p.mean,
        light: p.mean.abs(),
        step: 0.0,
        variance: p.variance,
        dof: p.dof,
    };
    detected_curve(&points.iter().map(detected).collect::<Vec<_>>())
}

/// As [`transfer_curve`], by `a + b·light + c m² + Δ²/12`: the law found is without the converter's steps, whose variance
/// (uniform rounding errors) is known beforehand, point by point.
///
/// `None` also where light and signal do not tell the terms apart.
#[must_use]
pub fn detected_curve(points: &[DetectedPoint]) -> Option<TransferCurve> {
    let sound = |p: &DetectedPoint| {
        let finite = [p.mean, p.light, p.step, p.variance].iter().all(|value| value.is_finite());
        finite && p.light >= 0.0 && p.variance >= 0.0 && p.dof > 0.0
    };
    if points.len() < 4 || !points.iter().all(sound) {
        return None;
    }
    let weight: f64 = points.iter().map(|p| p.dof).sum();
    let unit = points.iter().map(|p| p.dof * p.variance).sum::<f64>() / weight;
    let span = points.iter().map(|p| p.mean.abs()).fold(0.0, f64::max);
    let brightest = points.iter().map(|p| p.light).fold(0.0, f64::max);
    if unit == 0.0 || span == 0.0 || brightest == 0.0 || levels(points, span) < 3 {
        return None;
    }
    // In units of the mean variance and the largest signal, so that the normal equations are well conditioned.
    let scaled: Vec<Scaled> = points
        .iter()
        .map(|p| Scaled {
            terms: [1.0, p.light / brightest, (p.mean / span).powi(2)],
            steps: p.step * p.step / 12.0 / unit,
            variance: p.variance / unit,
            dof: p.dof,
        })
        .collect();
    let mut fit = [1.0, 0.0, 0.0];
    for _ in 0..100 {
        let (normal, right) = normal_equations(&scaled, fit);
        let next = non_negative(&normal, &right)?;
        let moved = (0..3).map(|k| (next[k] - fit[k]).abs()).fold(0.0, f64::max);
        fit = next;
        if moved < 1e-12 {
            break;
        }
    }
    let (normal, _) = normal_equations(&scaled, fit);
    let error = |k: usize| {
        let mut one = [0.0; 3];
        one[k] = 1.0;
        solve(normal, one).map(|column| column[k].max(0.0).sqrt())
    };
    let scales = [unit, unit / brightest, unit / (span * span)];
    let [additive, shot, relative] = std::array::from_fn(|k| fit[k] * scales[k]);
    let law = NoiseLaw {
        additive,
        shot,
        relative,
        additive_std_error: error(0)? * scales[0],
        shot_std_error: error(1)? * scales[1],
        relative_std_error: error(2)? * scales[2],
    };
    let chi_square = scaled.iter().map(|p| 0.5 * p.dof * (p.variance / p.expected(fit) - 1.0).powi(2)).sum();
    Some(TransferCurve { law, chi_square, points: points.len() })
}

/// A point in units of the mean variance, the largest signal and the brightest light.
struct Scaled {
    terms: [f64; 3],
    steps: f64,
    variance: f64,
    dof: f64,
}

impl Scaled {
    /// Variance by `fit`; not below a millionth of the mean, so that a point without noise does not take all weight.
    fn expected(&self, fit: [f64; 3]) -> f64 {
        (self.steps + (0..3).map(|k| fit[k] * self.terms[k]).sum::<f64>()).max(1e-6)
    }
}

fn levels(points: &[DetectedPoint], span: f64) -> usize {
    let mut means: Vec<f64> = points.iter().map(|p| p.mean.abs()).collect();
    means.sort_unstable_by(f64::total_cmp);
    1 + means.windows(2).filter(|pair| pair[1] - pair[0] > 1e-9 * span).count()
}

fn normal_equations(points: &[Scaled], fit: [f64; 3]) -> ([[f64; 3]; 3], [f64; 3]) {
    let (mut normal, mut right) = ([[0.0; 3]; 3], [0.0; 3]);
    for p in points {
        let weight = 0.5 * p.dof / p.expected(fit).powi(2);
        for i in 0..3 {
            right[i] += weight * p.terms[i] * (p.variance - p.steps);
            normal[i].iter_mut().zip(p.terms).for_each(|(sum, term)| *sum += weight * p.terms[i] * term);
        }
    }
    (normal, right)
}

/// Least squares of three unknowns that are not negative, by trying every set of free ones.
fn non_negative(normal: &[[f64; 3]; 3], right: &[f64; 3]) -> Option<[f64; 3]> {
    let cost = |x: &[f64; 3]| -> f64 {
        (0..3).map(|i| x[i] * ((0..3).map(|j| normal[i][j] * x[j]).sum::<f64>() - 2.0 * right[i])).sum()
    };
    (0..8_u8)
        .filter_map(|free| {
            let (mut a, mut b) = (*normal, *right);
            for k in (0..3).filter(|k| free & (1 << k) == 0) {
                // Row and column: the others must not see an unknown that is held at 0.
                (0..3).for_each(|j| (a[k][j], a[j][k]) = (0.0, 0.0));
                (a[k][k], b[k]) = (1.0, 0.0);
            }
            solve(a, b).filter(|x| x.iter().all(|&value| value >= 0.0))
        })
        .min_by(|x, y| cost(x).total_cmp(&cost(y)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    use super::*;

    /// `points` signals from 0 to 1, each read `repeats` times with the noise of `law`.
    fn simulated(law: &NoiseLaw, points: usize, repeats: usize, rng: &mut impl Rng) -> Vec<TransferPoint> {
        (0..points)
            .map(|k| {
                let signal = k as f64 / (points - 1) as f64;
                let sd = law.variance_at(signal).sqrt();
                let readings: Vec<f64> = (0..repeats)
                    .map(|_| {
                        let unit: f64 = StandardNormal.sample(rng);
                        signal + sd * unit
                    })
                    .collect();
                TransferPoint::of(&readings).unwrap()
            })
            .collect()
    }

    #[test]
    fn exact_variances_give_the_law_back() {
        let law = NoiseLaw::new(2.0, 0.3, 0.01);
        let points: Vec<_> = (0..9)
            .map(|k| 10.0 * f64::from(k))
            .map(|mean| TransferPoint { mean, variance: law.variance_at(mean), dof: 9.0 })
            .collect();
        let found = transfer_curve(&points).unwrap();
        for (found, truth) in [(found.law.additive, 2.0), (found.law.shot, 0.3), (found.law.relative, 0.01)] {
            assert!((found - truth).abs() < 1e-9 * truth, "{found} against {truth}");
        }
        assert!(found.chi_square < 1e-15);
    }

    #[test]
    fn standard_errors_are_the_scatter_over_seeds() {
        // 1000 seeds: a mean is known to σ/√1000, a variance to √(2/1000) = 4.5 %; 4 of these. The law is such that no
        // estimate comes near 0, where it would be held.
        let truth = NoiseLaw::new(1e-4, 4e-4, 9e-4);
        let seeds = 1000;
        let laws: Vec<NoiseLaw> = (0..seeds)
            .map(|seed| {
                let rng = &mut ChaCha8Rng::seed_from_u64(seed);
                transfer_curve(&simulated(&truth, 100, 100, rng)).unwrap().law
            })
            .collect();
        let n = seeds as f64;
        type Part = fn(&NoiseLaw) -> (f64, f64);
        let parts: [Part; 3] = [
            |law| (law.additive, law.additive_std_error),
            |law| (law.shot, law.shot_std_error),
            |law| (law.relative, law.relative_std_error),
        ];
        for part in parts {
            let truth = part(&truth).0;
            let mean = laws.iter().map(|law| part(law).0).sum::<f64>() / n;
            let variance = laws.iter().map(|law| (part(law).0 - mean).powi(2)).sum::<f64>() / (n - 1.0);
            let claimed = laws.iter().map(|law| part(law).1.powi(2)).sum::<f64>() / n;
            assert!((mean - truth).abs() < 4.0 * (variance / n).sqrt(), "mean {mean} of {truth}");
            assert!(
                (variance / claimed - 1.0).abs() < 4.0 * (2.0 / n).sqrt(),
                "{variance} against {claimed}"
            );
        }
    }

    #[test]
    fn a_term_that_is_absent_is_not_found() {
        let rng = &mut ChaCha8Rng::seed_from_u64(5);
        let found = transfer_curve(&simulated(&NoiseLaw::new(1e-4, 0.0, 0.0), 64, 50, rng)).unwrap().law;
        assert!(found.shot >= 0.0 && found.relative >= 0.0);
        assert!(found.shot < 4.0 * found.shot_std_error && found.relative < 4.0 * found.relative_std_error);
        assert!((found.additive - 1e-4).abs() < 4.0 * found.additive_std_error);
    }

    #[test]
    fn a_fit_is_refused_where_the_terms_cannot_be_told_apart() {
        let point = |mean, variance| TransferPoint { mean, variance, dof: 5.0 };
        assert_eq!(
            transfer_curve(&[point(1.0, 1.0), point(-1.0, 1.0), point(1.0, 2.0), point(2.0, 1.0)]),
            None
        );
        assert_eq!(transfer_curve(&[0.0, 1.0, 2.0, 3.0].map(|mean| point(mean, 0.0))), None);
        assert!(transfer_curve(&[0.0, 1.0, 2.0, 3.0].map(|mean| point(mean, 1.0))).is_some());
    }

    #[test]
    fn light_that_is_subtracted_and_steps_that_are_known_are_told_from_the_rest() {
        // A balanced pair: twice the light of the signal or more, read in steps of twice the additive noise.
        let truth = NoiseLaw::new(2.5e-5, 4e-5, 1e-4);
        let rng = &mut ChaCha8Rng::seed_from_u64(8);
        let step = 0.01;
        let points: Vec<DetectedPoint> = (0..200)
            .map(|k| {
                let light = f64::from(k) / 50.0;
                let signal = 0.5 * light * (f64::from(k) * 0.7).sin();
                let sd = (truth.additive + truth.shot * light + truth.relative * signal * signal).sqrt();
                let readings: Vec<f64> = (0..100)
                    .map(|_| {
                        let unit: f64 = StandardNormal.sample(rng);
                        ((signal + sd * unit) / step).round() * step
                    })
                    .collect();
                let TransferPoint { mean, variance, dof } = TransferPoint::of(&readings).unwrap();
                DetectedPoint { mean, light, step, variance, dof }
            })
            .collect();
        let found = detected_curve(&points).unwrap();
        let law = found.law;
        for (found, error, truth) in [
            (law.additive, law.additive_std_error, truth.additive),
            (law.shot, law.shot_std_error, truth.shot),
            (law.relative, law.relative_std_error, truth.relative),
        ] {
            assert!(
                (found - truth).abs() < 4.0 * error && error < 0.2 * truth,
                "{found} ± {error} of {truth}"
            );
        }
        // 197 degrees, and s² of 99 degrees is not quite Gaussian.
        assert!(
            (found.chi_square - 197.0).abs() < 4.0 * (2.0 * 197.0_f64).sqrt() * 1.2,
            "{}",
            found.chi_square
        );
    }
}
