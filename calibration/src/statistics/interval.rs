//! 95 % intervals that cover: chi-square and Student, with an effective n where residuals are not independent.

use ndarray::{Array1, Array2, ArrayView2, ArrayView3};
use serde::{Deserialize, Serialize};
use statrs::distribution::{ChiSquared, ContinuousCDF, Normal, StudentsT};

/// Quantile `p` of `χ²` with `dof > 0` degrees of freedom.
///
/// Above 10⁵ degrees by Wilson & Hilferty, `dof·(1 − 2/(9 dof) + z_p·√(2/(9 dof)))³` (PNAS 17, 684 (1931)), good to
/// 1e-8 there.
#[must_use]
pub fn chi_square_quantile(p: f64, dof: f64) -> f64 {
    if dof > 1e5 {
        let ninth = 2.0 / (9.0 * dof);
        return dof * (1.0 - ninth + standard_normal_quantile(p) * ninth.sqrt()).powi(3);
    }
    ChiSquared::new(dof).map_or(f64::NAN, |law| law.inverse_cdf(p))
}

fn standard_normal_quantile(p: f64) -> f64 {
    Normal::new(0.0, 1.0).map_or(f64::NAN, |law| law.inverse_cdf(p))
}

/// 95 % interval of σ from the mean square `σ̂²` of `dof` independent Gaussian values:
/// `[σ̂·√(dof/χ²_{0.975}), σ̂·√(dof/χ²_{0.025})]`.
///
/// Exact for any real `dof > 0` when `dof·σ̂²/σ² ~ χ²_dof`; with an effective `dof` it is Satterthwaite's
/// approximation (Biometrics Bull. 2, 110 (1946)).
#[must_use]
pub fn sigma_ci95(sigma: f64, dof: f64) -> [f64; 2] {
    [0.975, 0.025].map(|p| sigma * (dof / chi_square_quantile(p, dof)).sqrt())
}

/// 95 % interval of a mean: `x̄ ± t_{0.975, n−1}·s/√n`, `n` real and at least 2.
#[must_use]
pub fn mean_ci95(mean: f64, std_dev: f64, n: f64) -> [f64; 2] {
    let n = n.max(2.0);
    let t = StudentsT::new(0.0, 1.0, n - 1.0).map_or(f64::NAN, |law| law.inverse_cdf(0.975));
    let half = t * std_dev / n.sqrt();
    [mean - half, mean + half]
}

/// By how much the variance of a mean exceeds that of independent values, factor by factor.
///
/// The same element measured at several programmings, a row behind one amplifier, a column behind one modulator
/// and all elements of one programming share errors, so `n` residuals hold less than `n` values' worth of
/// information. With `z` the centred values whose mean is estimated and `S_d` the sum over the groups of factor
/// `d` of `(Σ_{g} z)²·G/(G−1)`:
///
/// * element: `S_element/Σz² − 1`; programming: `S_programming/Σz² − 1`;
/// * row, column (each holds its elements): `(S_row − S_element)/Σz²`, `(S_column − S_element)/Σz²`.
///
/// This is the cluster-robust variance of a mean, several ways (Cameron, Gelbach & Miller, J. Bus. Econ. Stat. 29,
/// 238 (2011)). A factor counts only where its ratio is above the 99 % point of `χ²_{G−1}/(G−1)`: taking the
/// positive part of noise would widen every interval. A dependence too weak to be seen is therefore not in the
/// interval. All are 0 for independent values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Dependence {
    /// Excess from errors that stay with an element over programmings.
    pub element: f64,
    /// Excess from errors common to a row.
    pub row: f64,
    /// Excess from errors common to a column.
    pub column: f64,
    /// Excess from errors common to a programming.
    pub programming: f64,
}

impl Dependence {
    /// Variance of the mean over that of independent values, at least 1.
    #[must_use]
    pub fn inflation(&self) -> f64 {
        1.0 + self.element + self.row + self.column + self.programming
    }

    /// Dependence of `z`, `[P, rows, cols]`, whose mean over the kept elements (`[rows, cols]`) is 0.
    #[must_use]
    pub fn of(z: ArrayView3<'_, f64>, kept: ArrayView2<'_, bool>) -> Self {
        let (programmings, rows, cols) = z.dim();
        let mut by_programming = Array1::<f64>::zeros(programmings);
        let mut by_row = Array1::<f64>::zeros(rows);
        let mut by_column = Array1::<f64>::zeros(cols);
        let mut by_element = Array2::<f64>::zeros((rows, cols));
        let mut squares = 0.0;
        for ((p, i, j), &value) in z.indexed_iter() {
            if kept[(i, j)] {
                by_programming[p] += value;
                by_row[i] += value;
                by_column[j] += value;
                by_element[(i, j)] += value;
                squares += value * value;
            }
        }
        if squares == 0.0 {
            return Self::default();
        }
        let elements = kept.iter().filter(|&&keep| keep).count();
        let full_rows = kept.rows().into_iter().filter(|row| row.iter().any(|&keep| keep)).count();
        let full_cols = kept.columns().into_iter().filter(|col| col.iter().any(|&keep| keep)).count();
        let repeated = programmings > 1;
        let element = if repeated { between(by_element.iter(), elements) } else { squares };
        let excess = |sum: f64, base: f64, groups: usize| {
            if exceeds(sum / base, groups) { (sum - base) / squares } else { 0.0 }
        };
        let grid = full_rows > 1 && full_cols > 1;
        Self {
            element: if repeated { excess(element, squares, elements) } else { 0.0 },
            row: if grid { excess(between(by_row.iter(), full_rows), element, full_rows) } else { 0.0 },
            column: if grid { excess(between(by_column.iter(), full_cols), element, full_cols) } else { 0.0 },
            programming: if repeated && elements > 1 {
                excess(between(by_programming.iter(), programmings), squares, programmings)
            } else {
                0.0
            },
        }
    }
}

/// `G/(G−1)·Σ(group sum)²`; 0 for a single group.
fn between<'a>(sums: impl Iterator<Item = &'a f64>, groups: usize) -> f64 {
    if groups < 2 {
        return 0.0;
    }
    sums.map(|sum| sum * sum).sum::<f64>() * groups as f64 / (groups as f64 - 1.0)
}

fn exceeds(ratio: f64, groups: usize) -> bool {
    let dof = groups.saturating_sub(1) as f64;
    dof > 0.0 && ratio > chi_square_quantile(0.99, dof) / dof
}

/// Effective number of independent Gaussian values behind a mean square.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Effective {
    /// Values used.
    pub n: usize,
    /// `n_eff`: degrees of freedom of the interval.
    pub n_effective: f64,
    /// `Var(r²)/2σ⁴`, above 1 for heavy tails; 1 where it is not distinguishable from a Gaussian's.
    pub tails: f64,
    /// Dependence of `r²` between values.
    pub dependence: Dependence,
}

/// Degrees of freedom for a chi-square interval of `√(Σr²/n)`.
///
/// For independent Gaussian `r` the variance of the mean square is `2σ⁴/n` and `n_eff = n`: the exact interval. In
/// general `n_eff = n / (tails · inflation)` with `tails = Var(r²)/2σ⁴` (counted where it exceeds 1 by 2.58 standard
/// errors `√(6/n)`; light tails leave the interval a little wide) and the [`Dependence`] of `r²`.
///
/// `r` is `[P, rows, cols]`, `kept` `[rows, cols]`.
#[must_use]
pub fn effective_n(r: ArrayView3<'_, f64>, kept: ArrayView2<'_, bool>) -> Effective {
    // SE of Var(r²)/2σ⁴ = (κ − 1)/2 is half that of the kurtosis κ, √(24/n).
    effective_n_of(r.mapv(|r| r * r).view(), kept, 2.0, 6.0)
}

/// Degrees of freedom of the mean of squares `s` whose variance is `unit·σ⁴` when all is Gaussian and independent;
/// the observed ratio to it then has standard error `√(spread/n)`. The mean is taken to have `2/unit·n` degrees.
pub(super) fn effective_n_of(
    s: ArrayView3<'_, f64>,
    kept: ArrayView2<'_, bool>,
    unit: f64,
    spread: f64,
) -> Effective {
    let programmings = s.dim().0;
    let n = programmings * kept.iter().filter(|&&keep| keep).count();
    let count = n.max(1) as f64;
    let mut total = 0.0;
    for ((_, i, j), &value) in s.indexed_iter() {
        if kept[(i, j)] {
            total += value;
        }
    }
    let centre = total / count;
    let z = s.mapv(|value| value - centre);
    let mut squares = 0.0;
    for ((_, i, j), &value) in z.indexed_iter() {
        if kept[(i, j)] {
            squares += value * value;
        }
    }
    let expected = unit * centre * centre;
    let ratio = if expected > 0.0 { squares / count / expected } else { 1.0 };
    let tails = if ratio - 1.0 > 2.58 * (spread / count).sqrt() { ratio } else { 1.0 };
    let dependence = Dependence::of(z.view(), kept);
    let degrees = 2.0 / unit * count;
    Effective { n, n_effective: (degrees / (tails * dependence.inflation())).max(1.0), tails, dependence }
}
