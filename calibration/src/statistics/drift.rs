//! How far weights drift in a given time: structure function, its laws, and the time until a budget is spent.

mod law;
mod outlook;
mod seen;

use ndarray::{Array2, ArrayView1, ArrayView2, Axis};
use serde::{Deserialize, Serialize};

pub use law::{DriftFit, DriftLaw, OrnsteinUhlenbeck, RandomWalk, ornstein_uhlenbeck, random_walk};
pub use outlook::{DriftOutlook, Validity, outlook};
pub use seen::{DriftTest, drift_test};

/// `D(τ)` of each element in bins of lag.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StructureFunction {
    /// Mean lag of the pairs of each bin, ascending, in the unit of the times.
    pub lags: Vec<f64>,
    /// Pairs of times in each bin.
    pub pairs: Vec<u64>,
    /// `D(τ)` of each element, noise still in it, `[lags, elements]`; in the unit of the series squared.
    pub of_element: Array2<f64>,
}

/// One lag of a structure function averaged over elements.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LagPoint {
    /// Lag.
    pub lag: f64,
    /// Mean over elements, noise still in it.
    pub mean: f64,
    /// Standard error from the scatter over elements, which must drift independently.
    pub std_error: f64,
}

impl StructureFunction {
    /// Average over elements and its standard error.
    #[must_use]
    pub fn points(&self) -> Vec<LagPoint> {
        self.lags
            .iter()
            .zip(self.of_element.rows())
            .map(|(&lag, row)| {
                let (mean, std_error) = average(row);
                LagPoint { lag, mean, std_error }
            })
            .collect()
    }

    /// `points` with the average over the elements listed, which may occur more than once. The standard errors
    /// stay, so that all samples are fitted with the same weights.
    fn resampled(&self, points: &[LagPoint], elements: &[usize]) -> Vec<LagPoint> {
        let mean =
            |row: ArrayView1<'_, f64>| elements.iter().map(|&e| row[e]).sum::<f64>() / elements.len() as f64;
        points
            .iter()
            .zip(self.of_element.rows())
            .map(|(point, row)| LagPoint { mean: mean(row), ..*point })
            .collect()
    }

    /// `D(τ) − 2σ_n²`, not below 0: the drift alone, for read-out noise of known variance `σ_n²`.
    #[must_use]
    pub fn without_noise(&self, readout_variance: f64) -> Vec<LagPoint> {
        let drift =
            |point: LagPoint| LagPoint { mean: (point.mean - 2.0 * readout_variance).max(0.0), ..point };
        self.points().into_iter().map(drift).collect()
    }
}

fn average(row: ArrayView1<'_, f64>) -> (f64, f64) {
    let n = row.len() as f64;
    let mean = row.sum() / n;
    let squares: f64 = row.iter().map(|d| (d - mean).powi(2)).sum();
    (mean, (squares / (n * (n - 1.0).max(1.0))).sqrt())
}

/// Structure function `D(τ) = ⟨(x(t + τ) − x(t))²⟩` over all pairs of times, in `bins` bins of equal width in ln τ between the
/// shortest and the longest lag (Kolmogorov, Dokl. Akad. Nauk SSSR 30, 301 (1941); for irregular sampling Simonetti et al.,
/// Astrophys. J. 296, 46 (1985)).
///
/// `times` is `[T]`, ascending, `series` `[T, elements]`. Lags above half the duration have few independent pairs and are
/// left out. Bins without pairs are left out. `None` for fewer than 4 times, times that do not ascend, no elements, or
/// another number of times than of rows.
#[must_use]
pub fn structure_function(
    times: &[f64],
    series: ArrayView2<'_, f64>,
    bins: usize,
) -> Option<StructureFunction> {
    let ascending = times.windows(2).all(|pair| pair[1] > pair[0]);
    if times.len() < 4 || !ascending || series.nrows() != times.len() || series.ncols() == 0 || bins == 0 {
        return None;
    }
    let shortest = times.windows(2).map(|pair| pair[1] - pair[0]).fold(f64::INFINITY, f64::min);
    let longest = 0.5 * (times[times.len() - 1] - times[0]);
    let span = (longest / shortest).ln();
    // A lag of whole widths but for rounding goes to the bin above.
    let bin_of = |lag: f64| {
        if span > 0.0 {
            ((lag / shortest).ln() / span * bins as f64 + 1e-9).floor().max(0.0) as usize
        } else {
            0
        }
    };
    let mut sums = Array2::<f64>::zeros((bins, series.ncols()));
    let (mut pairs, mut lags) = (vec![0_u64; bins], vec![0.0; bins]);
    for first in 0..times.len() {
        for second in first + 1..times.len() {
            let lag = times[second] - times[first];
            if lag > longest * (1.0 + 1e-9) {
                break;
            }
            let bin = bin_of(lag).min(bins - 1);
            pairs[bin] += 1;
            lags[bin] += lag;
            let (earlier, later) = (series.row(first), series.row(second));
            for ((sum, x), y) in sums.row_mut(bin).iter_mut().zip(earlier).zip(later) {
                *sum += (y - x).powi(2);
            }
        }
    }
    let filled: Vec<usize> = (0..bins).filter(|&bin| pairs[bin] > 0).collect();
    let mut of_element = sums.select(Axis(0), &filled);
    for (mut row, &bin) in of_element.rows_mut().into_iter().zip(&filled) {
        row /= pairs[bin] as f64;
    }
    Some(StructureFunction {
        lags: filled.iter().map(|&bin| lags[bin] / pairs[bin] as f64).collect(),
        pairs: filled.iter().map(|&bin| pairs[bin]).collect(),
        of_element,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn a_straight_drift_has_the_square_of_the_lag() {
        // x = v t: D = v² τ² at every lag, whatever the times.
        let times = [0.0, 1.0, 3.0, 3.5, 8.0, 11.0, 12.0];
        let series = Array2::from_shape_fn((7, 2), |(t, e)| times[t] * (e as f64 + 1.0));
        let found = structure_function(&times, series.view(), 60).unwrap();
        // Narrow bins: each holds lags within 4 %, so ⟨τ²⟩ is ⟨τ⟩² to 0.04²/12·… below 1e-3.
        for (k, lag) in found.lags.iter().enumerate() {
            for (element, speed) in [(0, 1.0), (1, 2.0)] {
                let ratio = found.of_element[(k, element)] / (speed * lag).powi(2);
                assert!((ratio - 1.0).abs() < 1e-3, "{lag}: {ratio}");
            }
        }
        // Half of 12 is the longest lag.
        assert!(found.lags.iter().all(|&lag| lag <= 6.0));
    }

    #[test]
    fn pairs_are_counted_once_in_the_bin_of_their_lag() {
        let times: Vec<f64> = (0..9).map(f64::from).collect();
        let series = Array2::<f64>::zeros((9, 1));
        let found = structure_function(&times, series.view(), 2).unwrap();
        // Lags 1 | 2 3 4: 8, and 7 + 6 + 5 pairs.
        assert_eq!(found.pairs, [8, 18]);
        assert_eq!(found.lags, [1.0, (2.0 * 7.0 + 3.0 * 6.0 + 4.0 * 5.0) / 18.0]);
    }

    #[test]
    fn noise_alone_leaves_no_drift() {
        let function = StructureFunction {
            lags: vec![1.0, 2.0],
            pairs: vec![1, 1],
            of_element: array![[2.0, 2.2], [1.9, 1.9]],
        };
        let drift = function.without_noise(1.0);
        assert!((drift[0].mean - 0.1).abs() < 1e-12 && drift[1].mean == 0.0);
    }

    #[test]
    fn series_without_an_order_are_refused() {
        let series = Array2::<f64>::zeros((4, 1));
        assert!(structure_function(&[0.0, 1.0, 1.0, 2.0], series.view(), 4).is_none());
        assert!(structure_function(&[0.0, 1.0, 2.0], series.view(), 4).is_none());
        assert!(structure_function(&[0.0, 1.0, 2.0, 3.0], series.view(), 4).is_some());
    }
}
