//! From pairs of target and measured weight to statistics, error model and figures.

use alora_calibration::{
    Cell, ErrorModel, FitReport, LawChoice, MeasurementRecord, Pairs, Provenance, fit, fitted_residuals,
};
use ndarray::{Array2, Axis};

use super::Context;
use crate::{
    error::Error,
    figures::{
        NormalCurve, ResidualHistogram, ResidualMap, Spread, Subject, TargetAgainstMeasured,
        draw_residual_histogram, draw_residual_map, draw_target_against_measured,
    },
    run_folder::RunFolder,
};

/// Statistics and the error model made of them.
pub struct Fitted {
    /// Every statistic.
    pub report: FitReport,
    /// What fine-tuning takes.
    pub model: ErrorModel,
}

/// Fits the record of a run, with the law that the configuration names.
///
/// # Errors
/// A record that cannot be fitted, or a folder that cannot be written.
pub fn fit_record(context: &mut Context<'_>, record: &MeasurementRecord) -> Result<Fitted, Error> {
    let law = context.config.error_model.law;
    fit_pairs(&record.pairs()?, record.provenance.clone(), law, context.folder)
}

/// Fits `pairs`. Writes `fit.toml`, `error-model.toml` and the figures.
///
/// # Errors
/// Too few pairs for the law, a figure that cannot be drawn, or a folder that cannot be written.
pub fn fit_pairs(
    pairs: &Pairs,
    provenance: Provenance,
    law: LawChoice,
    folder: &mut RunFolder,
) -> Result<Fitted, Error> {
    let report = fit(pairs, provenance);
    let model = ErrorModel::from_fit(&report, pairs, law)?;
    draw(pairs, &report, folder)?;
    model.write(&folder.file("error_model", "error-model.toml"))?;
    report.write(&folder.file("fit", "fit.toml"))?;
    Ok(Fitted { report, model })
}

/// Name under which figures show the data.
pub(super) fn subject(provenance: &Provenance) -> Subject {
    Subject {
        name: provenance.processor.as_ref().map_or_else(|| "brought pairs".to_owned(), ToString::to_string),
        simulated: provenance.simulated,
    }
}

/// Words for the reference of σ, as axes and tables show it.
pub const FULL_SCALE: &str = "full scale";

fn draw(pairs: &Pairs, report: &FitReport, folder: &mut RunFolder) -> Result<(), Error> {
    let scale = 1.0 / pairs.reference();
    let targets: Vec<f64> = pairs.target().iter().map(|w| w * scale).collect();
    let measured: Vec<f64> = pairs.means().iter().map(|w| w * scale).collect();
    let sigma = Spread { value: report.sigma.rms, ci95: Some((report.sigma.ci95[0], report.sigma.ci95[1])) };
    let reference = FULL_SCALE.to_owned();
    draw_target_against_measured(
        &folder.file("figure_target_measured", "target-measured.png"),
        &TargetAgainstMeasured {
            subject: subject(&report.provenance),
            targets: &targets,
            measured: &measured,
            sigma: Some(sigma),
            reference: reference.clone(),
        },
    )?;
    let curve = |mean, sigma| NormalCurve { mean, sigma };
    let fits = report.histogram.as_ref();
    draw_residual_histogram(
        &folder.file("figure_histogram", "residual-histogram.png"),
        &ResidualHistogram {
            subject: subject(&report.provenance),
            residuals: &fitted_residuals(pairs, report),
            sigma: Some(sigma),
            reference: reference.clone(),
            maximum_likelihood: fits.map(|fits| curve(fits.likelihood.mean, fits.likelihood.sigma)),
            histogram_fit: fits
                .and_then(|fits| fits.least_squares.as_ref())
                .map(|fit| curve(fit.mean, fit.sigma)),
            mad: Some(report.sigma.mad),
        },
    )?;
    if pairs.is_grid() {
        let residuals: Array2<f64> =
            pairs.residuals().mean_axis(Axis(0)).unwrap_or_else(|| Array2::zeros((0, 0)));
        let defects: &[Cell] = report.defects.stuck.as_deref().unwrap_or_default();
        draw_residual_map(
            &folder.file("figure_map", "residual-map.png"),
            &ResidualMap {
                subject: subject(&report.provenance),
                residuals: residuals.view(),
                reference,
                programmings: report.shape.programmings,
                defects,
            },
        )?;
    }
    Ok(())
}
