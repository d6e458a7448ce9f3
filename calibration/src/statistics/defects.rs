//! Outliers and stuck elements.

use ndarray::{Array2, ArrayView2, ArrayView3};
use serde::{Deserialize, Serialize};

use super::{
    linear::{LineSums, solve},
    moments::{mad_sigma, quantile, sorted},
};
use crate::weights::Cell;

/// A residual is an outlier when it is further than this from the median, in units of the MAD σ.
///
/// A Gaussian does so once in 1.7 million residuals.
pub const OUTLIER_Z: f64 = 5.0;

/// An element is stuck when its response is below this fraction of the median response.
pub const STUCK_SLOPE: f64 = 0.1;

/// Fewest programmings from which a response slope is judged.
pub const STUCK_PROGRAMMINGS: usize = 3;

/// One outlying residual.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outlier {
    /// Programming, from 0.
    pub programming: usize,
    /// Where.
    pub cell: Cell,
    /// Residual in units of the full scale.
    pub residual: f64,
    /// Distance from the median in units of the MAD σ.
    pub z: f64,
}

/// Residuals with `|r − median|/σ_MAD > 5`, farthest first. `r` is `[P, rows, cols]`.
///
/// Empty when the MAD is 0 (more than half of the residuals are equal: there is no scale to judge by).
#[must_use]
pub fn outliers(r: ArrayView3<'_, f64>) -> Vec<Outlier> {
    let all: Vec<f64> = r.iter().copied().collect();
    let (centre, scale) = (quantile(&sorted(&all), 0.5), mad_sigma(&all));
    if scale == 0.0 {
        return Vec::new();
    }
    let mut found: Vec<Outlier> = r
        .indexed_iter()
        .map(|((programming, row, col), &residual)| Outlier {
            programming,
            cell: Cell { row, col },
            residual,
            z: (residual - centre) / scale,
        })
        .filter(|outlier| outlier.z.abs() > OUTLIER_Z)
        .collect();
    found.sort_by(|a, b| b.z.abs().total_cmp(&a.z.abs()));
    found
}

/// A slope is judged when its standard error is below this fraction of the median slope, so that a sound element is 6
/// standard errors from being called stuck.
const SLOPE_STD_ERROR: f64 = 0.15;

/// Response of each element over the programmings: slope of measured against target, `[rows, cols]`; NaN where the
/// targets of an element are all equal. `target` and `measured` are `[P, rows, cols]`.
#[must_use]
pub fn response(target: ArrayView3<'_, f64>, measured: ArrayView3<'_, f64>) -> Array2<f64> {
    let (_, rows, cols) = target.dim();
    let mut sums = Array2::from_elem((rows, cols), LineSums::default());
    for ((p, i, j), &x) in target.indexed_iter() {
        sums[(i, j)].add(x, measured[(p, i, j)]);
    }
    sums.mapv(|sums| sums.line().map_or(f64::NAN, |line| line.gain))
}

/// A slope, and its standard error for noise of standard deviation 1.
#[derive(Clone, Copy)]
struct Slope {
    value: f64,
    unit_error: f64,
}

/// Slope of one element, `Σ(w − w̄)²` giving its error, and the two slopes of `y = b + g₊·max(w, 0) + g₋·min(w, 0)`;
/// those that the targets do not determine are left out.
fn slopes(points: &[(f64, f64)]) -> Vec<Slope> {
    let mut sums = LineSums::default();
    let (mut normal, mut right) = ([[0.0; 3]; 3], [0.0; 3]);
    for &(w, y) in points {
        sums.add(w, y);
        let basis = [1.0, w.max(0.0), w.min(0.0)];
        for i in 0..3 {
            right[i] += basis[i] * y;
            for j in 0..3 {
                normal[i][j] += basis[i] * basis[j];
            }
        }
    }
    let line = sums.line().map(|line| Slope { value: line.gain, unit_error: sums.spread().sqrt().recip() });
    let side = |k: usize| {
        let mut unit = [0.0; 3];
        unit[k] = 1.0;
        let unit_error = solve(normal, unit)?[k].max(0.0).sqrt();
        Some(Slope { value: solve(normal, right)?[k], unit_error })
    };
    [line, side(1), side(2)].into_iter().flatten().collect()
}

/// Elements that do not respond: slope of measured against target within ± 10 % of 0, relative to the median slope, over
/// all targets or on one side of 0 (where two elements carry a weight, one for each sign, a stuck one loses half of the
/// response), and at least one residual that is an outlier (`|z| > 5`).
///
/// The slopes of the sides are those of least squares of `y = b + g₊·max(w, 0) + g₋·min(w, 0)`. A slope is judged only
/// where the targets are spread enough for a standard error below 15 % of the median slope: a chance run of nearly equal
/// targets is not taken for a defect. `target` and `measured` are `[P, rows, cols]` in any unit, measured averaged over
/// repeats; `sigma` is the core σ of their difference in that unit.
/// `None` when `P < 3` or nothing responds at all.
#[must_use]
pub fn stuck(
    target: ArrayView3<'_, f64>,
    measured: ArrayView3<'_, f64>,
    sigma: f64,
    outliers: &[Outlier],
) -> Option<Vec<Cell>> {
    if target.dim().0 < STUCK_PROGRAMMINGS {
        return None;
    }
    let responses = response(target, measured);
    let finite: Vec<f64> = responses.iter().copied().filter(|slope| slope.is_finite()).collect();
    let median = quantile(&sorted(&finite), 0.5).abs();
    if median == 0.0 {
        return None;
    }
    let mut suspects: Vec<Cell> = outliers.iter().map(|outlier| outlier.cell).collect();
    suspects.sort_unstable();
    suspects.dedup();
    suspects.retain(|cell| {
        let of = |array: &ArrayView3<'_, f64>, p| array[(p, cell.row, cell.col)];
        let points: Vec<_> = (0..target.dim().0).map(|p| (of(&target, p), of(&measured, p))).collect();
        slopes(&points).iter().any(|slope| {
            let judged = sigma * slope.unit_error <= SLOPE_STD_ERROR * median;
            judged && slope.value.abs() < STUCK_SLOPE * median
        })
    });
    Some(suspects)
}

/// `kept`, `[rows, cols]`: false at `cells`.
#[must_use]
pub fn all_but(cells: &[Cell], rows: usize, cols: usize) -> Array2<bool> {
    let mut kept = Array2::from_elem((rows, cols), true);
    for cell in cells {
        kept[(cell.row, cell.col)] = false;
    }
    kept
}

/// The residuals of kept elements, `[P, rows, cols]` in C order.
#[must_use]
pub fn kept_values(r: ArrayView3<'_, f64>, kept: ArrayView2<'_, bool>) -> Vec<f64> {
    r.indexed_iter().filter(|((_, i, j), _)| kept[(*i, *j)]).map(|(_, &value)| value).collect()
}
