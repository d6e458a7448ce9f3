//! σ as a function of the weight.

use serde::{Deserialize, Serialize};
use statrs::distribution::{ChiSquared, ContinuousCDF};

use super::linear::solve;

/// Dependence of the error on the weight, `w = target / full scale`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StateDependence {
    /// Variance at `w = 0`.
    pub a: f64,
    /// Coefficient of `|w|`.
    pub b: f64,
    /// Coefficient of `w²`.
    pub c: f64,
    /// Breusch–Pagan statistic against a constant variance.
    pub breusch_pagan: f64,
    /// Probability of a statistic this large if σ does not depend on `w`.
    pub p_value: f64,
    /// The rms in bins of `|w|`, for the eye.
    pub bins: Vec<StateBin>,
}

/// One bin of `|w|`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StateBin {
    /// Mean `|w|` of the bin.
    pub weight: f64,
    /// rms of the residuals about zero.
    pub sigma: f64,
    /// Number of residuals.
    pub n: u64,
}

/// Fewest residuals for which σ(w) is fitted: three parameters of a variance, each bin about 15 residuals.
const MINIMUM: usize = 60;

/// Most bins.
const BINS: usize = 20;

/// Fits `σ²(w) = a + b|w| + c w²` to residuals `r` about zero.
///
/// Maximum likelihood of `r ~ N(0, σ²(w))` by Fisher scoring: least squares of `r²` on `1, |w|, w²` with weights
/// `1/σ⁴(w)`, repeated until the coefficients stand still (Davidian & Carroll, JASA 82, 1079 (1987)). The polynomial
/// is kept non-negative on `[0, 1]`: where the free fit is not, the coefficients in the basis
/// `(1−w)², 2w(1−w), w²` are kept ≥ 0, which suffices.
///
/// Test against a constant: Breusch–Pagan in Koenker's studentised form, `n·R²` of `r²` on `1, |w|, w²`, `χ²` with 2
/// degrees (Koenker, J. Econometrics 17, 107 (1981)): valid for heavy tails too.
///
/// `weights` are `|w|` in `[0, 1]`, one a residual. `None` for fewer than 60 residuals, when the residuals are all 0,
/// or the weights take fewer than 3 values.
#[must_use]
pub fn state_dependence(weights: &[f64], r: &[f64]) -> Option<StateDependence> {
    if r.len() < MINIMUM || weights.len() != r.len() {
        return None;
    }
    let constant = r.iter().map(|r| r * r).sum::<f64>() / r.len() as f64;
    if constant == 0.0 {
        return None;
    }
    // In units of the mean variance.
    let squares: Vec<f64> = r.iter().map(|r| r * r / constant).collect();
    let uniform = least_squares(weights, &squares, [1.0, 0.0, 0.0])?;
    let mut fit = non_negative(weights, &squares, [1.0, 0.0, 0.0], uniform)?;
    for _ in 0..50 {
        let free = least_squares(weights, &squares, fit)?;
        let next = non_negative(weights, &squares, fit, free)?;
        let moved = (0..3).map(|k| (next[k] - fit[k]).abs()).fold(0.0, f64::max);
        fit = next;
        if moved < 1e-10 {
            break;
        }
    }
    let breusch_pagan = koenker(weights, &squares, uniform);
    let p_value = ChiSquared::new(2.0).map_or(f64::NAN, |law| law.sf(breusch_pagan));
    let [a, b, c] = fit.map(|coefficient| coefficient * constant);
    Some(StateDependence { a, b, c, breusch_pagan, p_value, bins: bins(weights, r) })
}

fn polynomial([a, b, c]: [f64; 3], w: f64) -> f64 {
    a + w * (b + w * c)
}

/// Weight of a point in the scoring step; the variance is not taken below 1 % of the mean.
fn precision(fit: [f64; 3], w: f64) -> f64 {
    polynomial(fit, w).max(0.01).powi(-2)
}

fn least_squares(weights: &[f64], squares: &[f64], variance: [f64; 3]) -> Option<[f64; 3]> {
    let (normal, right) = normal_equations(weights, squares, variance, |w| [1.0, w, w * w]);
    solve(normal, right)
}

fn normal_equations(
    weights: &[f64],
    squares: &[f64],
    variance: [f64; 3],
    basis: impl Fn(f64) -> [f64; 3],
) -> ([[f64; 3]; 3], [f64; 3]) {
    let (mut normal, mut right) = ([[0.0; 3]; 3], [0.0; 3]);
    for (&w, &square) in weights.iter().zip(squares) {
        let (x, weight) = (basis(w), precision(variance, w));
        for i in 0..3 {
            right[i] += weight * x[i] * square;
            for j in 0..3 {
                normal[i][j] += weight * x[i] * x[j];
            }
        }
    }
    (normal, right)
}

/// `free` when it is non-negative on `[0, 1]`, else the best with non-negative Bernstein coefficients.
fn non_negative(weights: &[f64], squares: &[f64], variance: [f64; 3], free: [f64; 3]) -> Option<[f64; 3]> {
    let [a, b, c] = free;
    let bernstein = [a, a + 0.5 * b, a + b + c];
    let [first, middle, last] = bernstein;
    // A quadratic is ≥ 0 on [0, 1] exactly when its ends are and its middle coefficient is ≥ −√(ends).
    if first >= 0.0 && last >= 0.0 && middle >= -(first * last).sqrt() {
        return Some(free);
    }
    let (normal, right) =
        normal_equations(weights, squares, variance, |w| [(1.0 - w) * (1.0 - w), 2.0 * w * (1.0 - w), w * w]);
    let best = non_negative_least_squares(&normal, &right)?;
    let [p, q, s] = best;
    Some([p, 2.0 * (q - p), p - 2.0 * q + s])
}

/// Non-negative least squares of three unknowns by trying every set of free unknowns.
fn non_negative_least_squares(normal: &[[f64; 3]; 3], right: &[f64; 3]) -> Option<[f64; 3]> {
    let cost = |x: &[f64; 3]| -> f64 {
        (0..3).map(|i| x[i] * ((0..3).map(|j| normal[i][j] * x[j]).sum::<f64>() - 2.0 * right[i])).sum()
    };
    (1..8_u8)
        .filter_map(|free| {
            let mut a = *normal;
            let mut b = *right;
            for k in 0..3 {
                if free & (1 << k) == 0 {
                    a[k] = [0.0; 3];
                    a[k][k] = 1.0;
                    b[k] = 0.0;
                }
            }
            solve(a, b).filter(|x| x.iter().all(|&value| value >= 0.0))
        })
        .min_by(|x, y| cost(x).total_cmp(&cost(y)))
}

/// `n·R²` of the unweighted regression `fit` of `squares` (mean 1).
fn koenker(weights: &[f64], squares: &[f64], fit: [f64; 3]) -> f64 {
    let n = squares.len() as f64;
    let total: f64 = squares.iter().map(|square| (square - 1.0).powi(2)).sum();
    let explained: f64 = weights.iter().map(|&w| (polynomial(fit, w) - 1.0).powi(2)).sum();
    if total > 0.0 { n * explained / total } else { 0.0 }
}

/// Bins of equal count in `|w|`, at most 20, each of at least 15 residuals.
fn bins(weights: &[f64], r: &[f64]) -> Vec<StateBin> {
    let mut order: Vec<usize> = (0..r.len()).collect();
    order.sort_by(|&i, &j| weights[i].total_cmp(&weights[j]));
    let count = (r.len() / 15).clamp(1, BINS);
    (0..count)
        .map(|bin| &order[bin * r.len() / count..(bin + 1) * r.len() / count])
        .map(|members| {
            let n = members.len().max(1) as f64;
            let weight = members.iter().map(|&i| weights[i]).sum::<f64>() / n;
            let sigma = (members.iter().map(|&i| r[i] * r[i]).sum::<f64>() / n).sqrt();
            StateBin { weight, sigma, n: members.len() as u64 }
        })
        .collect()
}
