//! Outliers and stuck elements.

use ndarray::{Array2, ArrayView2, ArrayView3};
use serde::{Deserialize, Serialize};

use super::{
    linear::LineSums,
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

/// Elements that do not respond: slope within ± 10 % of the median slope, and at least one residual that is an outlier
/// (`|z| > 5`), so that a chance run of nearly equal targets is not taken for a defect.
///
/// `target` and `measured` are `[P, rows, cols]`, measured averaged over repeats. `None` when `P < 3` or nothing
/// responds at all.
#[must_use]
pub fn stuck(
    target: ArrayView3<'_, f64>,
    measured: ArrayView3<'_, f64>,
    outliers: &[Outlier],
) -> Option<Vec<Cell>> {
    if target.dim().0 < STUCK_PROGRAMMINGS {
        return None;
    }
    let slopes = response(target, measured);
    let finite: Vec<f64> = slopes.iter().copied().filter(|slope| slope.is_finite()).collect();
    let median = quantile(&sorted(&finite), 0.5);
    if median == 0.0 {
        return None;
    }
    let mut suspect = Array2::from_elem(slopes.dim(), false);
    for outlier in outliers {
        suspect[(outlier.cell.row, outlier.cell.col)] = true;
    }
    Some(
        slopes
            .indexed_iter()
            .filter(|(position, slope)| suspect[*position] && (**slope / median).abs() < STUCK_SLOPE)
            .map(|((row, col), _)| Cell { row, col })
            .collect(),
    )
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
