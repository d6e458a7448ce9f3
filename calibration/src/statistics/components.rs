//! Components of variance: read-out, re-programming, static error.

mod nested;

use ndarray::{Array3, ArrayView2, ArrayView4, Axis};
use serde::{Deserialize, Serialize};

use super::interval::{Effective, chi_square_quantile, effective_n_of};

pub use nested::{NestedComponents, nested_components};

/// Components of the error, with 95 % intervals, all in units of the full scale.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Components {
    /// σ of the programming error: what stays the same over repeated readings.
    pub programming: f64,
    /// Its 95 % interval; the lower end is 0 when the error may be read-out noise alone.
    pub programming_ci95: [f64; 2],
    /// σ of one reading about the programmed value.
    pub readout: f64,
    /// Its 95 % interval.
    pub readout_ci95: [f64; 2],
}

/// Balanced one-way random effects: `y[p, k, i, j] = a[p, i, j] + e[p, k, i, j]`, `k = 1…R`.
///
/// * read-out: `σ_e² = MS_within = Σ(y − ȳ)²/(n(R−1))`, chi-square interval;
/// * programming: `σ_a² = rms² − MS_within/R`, never below 0, with `rms² = Σr²/n` the mean square of the residuals
///   of the means about zero. A bias is part of the programming error, so `rms² = σ_a² + σ_e²/R` holds exactly.
///
/// The interval of `σ_a²`, a difference of two mean squares, is the modified large-sample one without cross term
/// (Graybill & Wang, JASA 75, 869 (1980); for differences Ting et al., J. Stat. Comput. Simul. 35, 135 (1990); also
/// known as MOVER, Zou & Donner, Stat. Med. 27, 1693 (2008)): with `[l, u]` the interval of `rms²` and `[l', u']`
/// that of `MS_within/R`, `σ_a² − √((rms² − l)² + (u' − MS/R)²)` to `σ_a² + √((u − rms²)² + (MS/R − l')²)`.
/// The degrees of freedom are effective ones (see [`super::interval::effective_n`]), for the within part from the
/// spread of the variances of the elements.
///
/// `readings` is `[P, R, rows, cols]` in any unit, `scale` that unit's full scale, `rms` and `effective` are of the
/// residuals of the means. `None` when `R < 2`.
#[must_use]
pub fn components(
    readings: ArrayView4<'_, f64>,
    scale: f64,
    kept: ArrayView2<'_, bool>,
    rms: f64,
    effective: &Effective,
) -> Option<Components> {
    let repeats = readings.len_of(Axis(1));
    if repeats < 2 || effective.n == 0 {
        return None;
    }
    let nu = repeats as f64 - 1.0;
    let variances = within(readings, scale);
    let kept_sum: f64 =
        variances.indexed_iter().filter(|((_, i, j), _)| kept[(*i, *j)]).map(|(_, variance)| variance).sum();
    let ms_within = kept_sum / effective.n as f64;
    // s² ~ σ²χ²_ν/ν has variance 2σ⁴/ν; the delta method for Var(s²)/mean(s²)² of a Gamma law of shape ν/2, relative
    // to its value 2/ν, gives 2 + 4/ν (6 for ν = 1, the case of `effective_n`).
    let degrees = effective_n_of(variances.view(), kept, 2.0 / nu, 2.0 + 4.0 / nu).n_effective;

    let means = MeanSquare { value: rms * rms, degrees: effective.n_effective };
    let readings = MeanSquare { value: ms_within, degrees };
    let (programming, programming_ci95) = means.less(readings, 1.0 / repeats as f64);
    Some(Components {
        programming,
        programming_ci95,
        readout: ms_within.sqrt(),
        readout_ci95: readings.interval().map(f64::sqrt),
    })
}

/// A mean square and its effective degrees of freedom.
#[derive(Clone, Copy, Debug)]
struct MeanSquare {
    value: f64,
    degrees: f64,
}

impl MeanSquare {
    /// 95 % interval of the variance behind it.
    fn interval(self) -> [f64; 2] {
        [0.975, 0.025].map(|p| self.value * self.degrees / chi_square_quantile(p, self.degrees))
    }

    /// `√(self − share · other)`, not below 0, with its modified large-sample 95 % interval.
    fn less(self, other: Self, share: f64) -> (f64, [f64; 2]) {
        let ([low, high], [other_low, other_high]) = (self.interval(), other.interval());
        let difference = self.value - share * other.value;
        let down = (self.value - low).hypot(share * (other_high - other.value));
        let up = (high - self.value).hypot(share * (other.value - other_low));
        let root = |square: f64| square.max(0.0).sqrt();
        (root(difference), [difference - down, difference + up].map(root))
    }
}

/// Sample variance over the repeats, `[P, rows, cols]`, divided by `scale²`.
fn within(readings: ArrayView4<'_, f64>, scale: f64) -> Array3<f64> {
    readings.map_axis(Axis(1), |reads| {
        let n = reads.len() as f64;
        let mean = reads.sum() / n;
        reads.iter().map(|y| (y - mean).powi(2)).sum::<f64>() / ((n - 1.0) * scale * scale)
    })
}
