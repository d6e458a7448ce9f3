//! The curve of an input modulator, and its fit.

use serde::{Deserialize, Serialize};

use super::{probe::LOWEST_AMPLITUDE, solve::Cholesky};
use crate::statistics::moments::Estimate;

/// Terms of a curve beyond the straight line.
const TERMS: usize = 3;
const MOST_STEPS: usize = 12;
/// Steps over the amplitudes that readings are taken at.
const AMPLITUDE_STEPS: u32 = 32;

/// What was learned of one input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputCurve {
    /// Power at the highest code in use, relative to the mean input.
    pub power: Estimate,
    /// `a` of `f(x) = x + x(1 − x)(a0 + a1 (2x − 1) + a2 (2x − 1)²)`: power at code `x · limit` less that at 0,
    /// relative to the highest code in use.
    pub terms: [Estimate; TERMS],
}

impl InputCurve {
    /// `f(x)`.
    #[must_use]
    pub fn at(&self, x: f64) -> f64 {
        x + basis(x).iter().zip(&self.terms).map(|(basis, term)| basis * term.value).sum::<f64>()
    }
}

fn basis(x: f64) -> [f64; TERMS] {
    let bump = x * (1.0 - x);
    let odd = 2.0 * x - 1.0;
    [bump, bump * odd, bump * odd * odd]
}

/// A fitted curve.
pub(super) struct Curve {
    pub(super) terms: [Estimate; TERMS],
    /// Counts of each row at the highest code in use.
    pub(super) gains: Vec<f64>,
    pub(super) scale_error: f64,
}

/// Curve that all rows share, `s_i(x) = G_i f(x)`, and the gains `G_i`. `rows[i]` holds `(x, s_i)`.
///
/// Gauss–Newton with the gains projected out (variable projection; Golub & Pereyra, SIAM J. Numer. Anal. 10, 413
/// (1973)); standard errors from the residual's scatter.
pub(super) fn fit_curve(rows: &[Vec<(f64, f64)>]) -> Option<Curve> {
    let mut terms = [0.0; TERMS];
    let curve = |terms: &[f64; TERMS], x: f64| {
        x + basis(x).iter().zip(terms).map(|(basis, term)| basis * term).sum::<f64>()
    };
    let gains = |terms: &[f64; TERMS]| -> Vec<f64> {
        let gain = |points: &Vec<(f64, f64)>| {
            let (product, square) = points.iter().fold((0.0, 0.0), |(product, square), &(x, signal)| {
                let f = curve(terms, x);
                (product + f * signal, square + f * f)
            });
            if square > 0.0 { product / square } else { 0.0 }
        };
        rows.iter().map(gain).collect()
    };
    let mut covariance = [[0.0; TERMS]; TERMS];
    for _ in 0..MOST_STEPS {
        let of_rows = gains(&terms);
        let mut normal = [[0.0; TERMS]; TERMS];
        let mut gradient = [0.0; TERMS];
        let (mut squares, mut count) = (0.0, 0.0);
        for (points, gain) in rows.iter().zip(&of_rows) {
            let mut along = [0.0; TERMS];
            let mut norm = 0.0;
            for &(x, _) in points {
                let f = curve(&terms, x);
                norm += f * f;
                along.iter_mut().zip(basis(x)).for_each(|(along, basis)| *along += basis * f);
            }
            for &(x, signal) in points {
                let f = curve(&terms, x);
                let residual = signal - gain * f;
                squares += residual * residual;
                count += 1.0;
                let own = basis(x);
                let across: [f64; TERMS] =
                    std::array::from_fn(|i| gain * (own[i] - along[i] * f / norm.max(f64::MIN_POSITIVE)));
                for i in 0..TERMS {
                    gradient[i] += across[i] * residual;
                    for j in 0..TERMS {
                        normal[i][j] += across[i] * across[j];
                    }
                }
            }
        }
        let cholesky = Cholesky::of(normal)?;
        let step = cholesky.solve(gradient);
        terms.iter_mut().zip(step).for_each(|(term, step)| *term += step);
        let freedom: f64 = count - rows.len() as f64 - TERMS as f64;
        let variance = squares / freedom.max(1.0);
        covariance = cholesky.inverse().map(|row| row.map(|entry| entry * variance));
    }
    // A weight read at the powers f is Σ f s / Σ f²: an error of the curve moves it by Σ f δf / Σ f².
    let mut along = [0.0; TERMS];
    let mut squares = 0.0;
    for step in 0..=AMPLITUDE_STEPS {
        let x = LOWEST_AMPLITUDE + (1.0 - LOWEST_AMPLITUDE) * f64::from(step) / f64::from(AMPLITUDE_STEPS);
        let f = curve(&terms, x);
        squares += f * f;
        along.iter_mut().zip(basis(x)).for_each(|(along, basis)| *along += f * basis);
    }
    let variance: f64 = (0..TERMS)
        .flat_map(|i| (0..TERMS).map(move |j| (i, j)))
        .map(|(i, j)| along[i] * covariance[i][j] * along[j])
        .sum();
    let terms_found =
        std::array::from_fn(|i| Estimate { value: terms[i], std_error: covariance[i][i].sqrt() });
    Some(Curve { terms: terms_found, gains: gains(&terms), scale_error: variance.max(0.0).sqrt() / squares })
}

/// Does the curve rise from 0 to 1 everywhere?
pub(super) fn rises(terms: &[Estimate; TERMS]) -> bool {
    let at = |x: f64| x + basis(x).iter().zip(terms).map(|(basis, term)| basis * term.value).sum::<f64>();
    (0..100).all(|step| at(f64::from(step + 1) / 100.0) > at(f64::from(step) / 100.0))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    use super::*;

    #[test]
    fn a_curve_that_rows_share_is_found_within_its_stated_errors() {
        let rng = &mut ChaCha8Rng::seed_from_u64(1);
        let mut scores = Vec::new();
        for _ in 0..100 {
            let rows: Vec<Vec<(f64, f64)>> = (0..8)
                .map(|row| {
                    let gain = -600.0 - 20.0 * f64::from(row);
                    (1..=32)
                        .map(|step| {
                            let x = f64::from(step) / 32.0;
                            let deviate: f64 = StandardNormal.sample(rng);
                            (x, gain * (x + 0.12 * x * (1.0 - x)) + 3.0 * deviate)
                        })
                        .collect()
                })
                .collect();
            let curve = fit_curve(&rows).unwrap();
            assert!(rises(&curve.terms));
            let errors = curve.terms.iter().zip([0.12, 0.0, 0.0]);
            scores.extend(errors.map(|(term, truth)| (term.value - truth) / term.std_error));
        }
        // 300 scores of variance 1, three by three correlated: ± √(2/100) at most, 4 of them.
        let variance = scores.iter().map(|score| score * score).sum::<f64>() / scores.len() as f64;
        assert!((variance - 1.0).abs() < 0.57, "{variance}");
    }

    #[test]
    fn a_curve_that_turns_back_does_not_rise() {
        let term = |value| Estimate { value, std_error: 0.0 };
        assert!(!rises(&[term(1.5), term(0.0), term(0.0)]));
    }
}
