//! The figures of a fit against numpy and scipy on the same readings.

use alora_calibration::{Pairs, Provenance, fit};
use ndarray::{Array3, Array4};
use tokio::runtime::Handle;

use super::Case;
use crate::error::Error;

/// Readings that a few lines of numpy make too (numpy 2.4.6, scipy 1.17.1):
///
/// ```python
/// t = np.sin(0.7 * np.arange(256)).reshape(4, 8, 8)
/// b = 0.02 * np.sin(2.1 * np.arange(256)).reshape(4, 8, 8)
/// m = (t + b)[:, None] + 0.01 * np.sin(1.3 * np.arange(768)).reshape(4, 3, 8, 8)
/// fs = np.abs(t).max(); r = ((m.mean(axis=1) - t) / fs).ravel()
/// ```
fn readings() -> Result<Pairs, Error> {
    let (programmings, repeats, rows, cols) = (4, 3, 8, 8);
    let wave = |step: f64, index: usize| (step * index as f64).sin();
    let flat = |p: usize, i: usize, j: usize| (p * rows + i) * cols + j;
    let target = Array3::from_shape_fn((programmings, rows, cols), |(p, i, j)| wave(0.7, flat(p, i, j)));
    let measured = Array4::from_shape_fn((programmings, repeats, rows, cols), |(p, k, i, j)| {
        let programmed = target[(p, i, j)] + 0.02 * wave(2.1, flat(p, i, j));
        programmed + 0.01 * wave(1.3, flat(p * repeats + k, i, j))
    });
    Ok(Pairs::new(target, measured)?)
}

pub(super) fn cases(_: &Handle) -> Result<Vec<Case>, Error> {
    let provenance = Provenance {
        tool: String::new(),
        processor: None,
        kind: None,
        simulated: true,
        created: String::new(),
        seed: 0,
    };
    let report = fit(&readings()?, provenance);
    let (sigma, normality) = (&report.sigma, &report.normality);
    let or_nan = |value: Option<f64>| value.unwrap_or(f64::NAN);
    let rows = [
        ("σ rms", "numpy.sqrt(numpy.mean(r**2))", sigma.rms, 1.440_785_896_423_712e-2),
        ("Likelihood σ", "numpy.std(r)", sigma.gaussian_mle, 1.440_771_964_227_744e-2),
        (
            "MAD σ",
            "scipy.stats.median_abs_deviation(r, scale=\"normal\")",
            sigma.mad,
            1.792_842_523_758_793e-2,
        ),
        (
            "Read-out σ",
            "numpy.sqrt(m.var(axis=1, ddof=1).mean())/fs",
            or_nan(sigma.readout),
            8.050_327_657_754_517e-3,
        ),
        (
            "Programming σ",
            "numpy.sqrt(rms**2 - readout**2/R)",
            or_nan(sigma.programming),
            1.363_758_806_146_743e-2,
        ),
        ("Mean residual", "r.mean()", report.mean.value, 6.336_120_959_110_888e-5),
        (
            "Skewness",
            "scipy.stats.skew(r, bias=False)",
            or_nan(normality.skewness.map(|skewness| skewness.value)),
            -2.298_168_396_787_806e-1,
        ),
        (
            "Excess kurtosis",
            "scipy.stats.kurtosis(r, bias=False)",
            or_nan(normality.excess_kurtosis.map(|kurtosis| kurtosis.value)),
            -1.402_218_468_574_633,
        ),
        (
            "Anderson–Darling A*²",
            "scipy.stats.anderson(r).statistic · (1 + 0.75/n + 2.25/n²)",
            or_nan(normality.anderson_darling.map(|test| test.statistic)),
            7.912_096_292_109_477,
        ),
    ];
    Ok(rows
        .map(|(claim, call, measured, expected)| {
            let claim = format!("{claim} of fixed readings: relative difference from numpy's {expected:.7}");
            Case::at_most(
                claim,
                format!("`{call}`; 1e-9, as two programs differ in sums and in Φ"),
                (measured / expected - 1.0).abs(),
                1e-9,
            )
        })
        .into())
}
