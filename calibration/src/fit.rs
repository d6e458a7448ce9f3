//! The fit: from pairs to a report of the weight error.

mod injected;
mod report;
mod validation;

use ndarray::Array2;

use crate::{
    error_model::SigmaReference,
    pairs::Pairs,
    provenance::Provenance,
    statistics::{
        components::components,
        defects::{all_but, kept_values, outliers, stuck},
        histogram::Histogram,
        interval::{Dependence, Effective, effective_n, mean_ci95, sigma_ci95},
        moments::{excess_kurtosis, gaussian_mle, mad_sigma, mean, rms, skewness},
        normality::anderson_darling,
        state::state_dependence,
        structure::structure,
    },
};

pub use injected::Injected;
pub use report::{Defects, FitReport, HistogramFit, MeanError, Normality, Shape, Sigma};
pub use validation::{
    ComponentRecovery, Coverage, StuckDetection, component_recovery, sigma_coverage, stuck_detection,
};

/// Most outliers that a report lists by position; all are counted.
const LISTED_OUTLIERS: usize = 100;

/// Fits the error of `pairs`. Pure: the same pairs give the same report.
///
/// Residuals are of the mean over the repeats, in units of the full scale; stuck elements are found first and left
/// out of everything but the outliers.
#[must_use]
pub fn fit(pairs: &Pairs, provenance: Provenance) -> FitReport {
    let residuals = pairs.residuals();
    let (programmings, rows, cols) = residuals.dim();
    let outliers = outliers(residuals.view());
    let core = mad_sigma(&residuals.iter().copied().collect::<Vec<_>>()) * pairs.reference();
    let stuck =
        if pairs.is_grid() { stuck(pairs.target(), pairs.means().view(), core, &outliers) } else { None };
    let kept = kept(pairs, stuck.as_deref());
    let r = kept_values(residuals.view(), kept.view());
    let w = pairs.target().mapv(|target| target / pairs.reference());

    let rms = rms(&r);
    let effective = effective(pairs, residuals.view(), kept.view());
    let parts = components(pairs.measured(), pairs.reference(), kept.view(), rms, &effective);
    let histogram = histogram(&r);
    let sigma = Sigma {
        rms,
        ci95: sigma_ci95(rms, effective.n_effective),
        gaussian_mle: gaussian_mle(&r),
        gaussian_histogram: histogram.as_ref().and_then(|fit| fit.least_squares.map(|curve| curve.sigma)),
        mad: mad_sigma(&r),
        programming: parts.map(|parts| parts.programming),
        readout: parts.map(|parts| parts.readout),
        reference: SigmaReference::FullScale,
        n: r.len() as u64,
    };
    let magnitudes: Vec<f64> = kept_values(w.view(), kept.view()).iter().map(|w| w.abs()).collect();
    FitReport {
        schema: FitReport::SCHEMA.to_owned(),
        simulated: provenance.simulated,
        full_scale: pairs.reference(),
        shape: Shape {
            programmings,
            repeats: pairs.repeats(),
            rows: pairs.is_grid().then_some(rows),
            cols: pairs.is_grid().then_some(cols),
        },
        provenance,
        sigma,
        effective,
        mean: mean_error(&r, pairs, residuals.view(), kept.view()),
        components: parts,
        normality: normality(&r, rms),
        structure: if pairs.is_grid() { structure(w.view(), residuals.view(), kept.view()) } else { None },
        state_dependence: state_dependence(&magnitudes, &r),
        defects: Defects {
            outliers: outliers.len() as u64,
            listed: outliers.into_iter().take(LISTED_OUTLIERS).collect(),
            excluded: (programmings * rows * cols - r.len()) as u64,
            stuck,
        },
        histogram,
    }
}

/// Elements that count, `[rows, cols]`: all but the stuck ones, or all if nothing else is left.
fn kept(pairs: &Pairs, stuck: Option<&[crate::weights::Cell]>) -> Array2<bool> {
    let (_, rows, cols) = pairs.target().dim();
    let stuck = stuck.unwrap_or_default();
    if stuck.len() == rows * cols { all_but(&[], rows, cols) } else { all_but(stuck, rows, cols) }
}

/// The residuals that a fit uses (stuck elements left out), in units of the full scale, `[P, rows, cols]` in C order.
#[must_use]
pub fn fitted_residuals(pairs: &Pairs, report: &FitReport) -> Vec<f64> {
    kept_values(pairs.residuals().view(), kept(pairs, report.defects.stuck.as_deref()).view())
}

/// A list of pairs has no groups: only its tails matter.
fn effective(
    pairs: &Pairs,
    residuals: ndarray::ArrayView3<'_, f64>,
    kept: ndarray::ArrayView2<'_, bool>,
) -> Effective {
    let effective = effective_n(residuals, kept);
    if pairs.is_grid() {
        return effective;
    }
    let n_effective = (effective.n as f64 / effective.tails).max(1.0);
    Effective { n_effective, dependence: Dependence::default(), ..effective }
}

fn mean_error(
    r: &[f64],
    pairs: &Pairs,
    residuals: ndarray::ArrayView3<'_, f64>,
    kept: ndarray::ArrayView2<'_, bool>,
) -> MeanError {
    let centre = mean(r);
    let dependence = if pairs.is_grid() {
        Dependence::of(residuals.mapv(|r| r - centre).view(), kept)
    } else {
        Dependence::default()
    };
    let n = r.len() as f64;
    let std_dev = gaussian_mle(r) * (n / (n - 1.0).max(1.0)).sqrt();
    MeanError { value: centre, ci95: mean_ci95(centre, std_dev, n / dependence.inflation()) }
}

fn normality(r: &[f64], rms: f64) -> Normality {
    let mad = mad_sigma(r);
    Normality {
        anderson_darling: anderson_darling(r),
        skewness: skewness(r),
        excess_kurtosis: excess_kurtosis(r),
        rms_over_mad: (mad > 0.0).then(|| rms / mad),
    }
}

fn histogram(r: &[f64]) -> Option<HistogramFit> {
    let histogram = Histogram::of(r)?;
    let likelihood = histogram.curve(mean(r), gaussian_mle(r), r.len());
    let least_squares = histogram.fit_gaussian_to(r);
    Some(HistogramFit { histogram, likelihood, least_squares })
}
