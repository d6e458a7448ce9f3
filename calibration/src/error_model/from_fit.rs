//! An error model from a fit.

use ndarray::Axis;
use serde::{Deserialize, Serialize};

use super::{ErrorLaw, ErrorModel};
use crate::{
    fit::{FitReport, fitted_residuals},
    pairs::Pairs,
    statistics::moments::{gaussian_mle, mean, quantile, sorted},
};

/// Which law an error model takes from a fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LawChoice {
    /// One σ: the rms.
    #[default]
    Gaussian,
    /// σ(w).
    StateDependent,
    /// The measured residuals themselves.
    Empirical,
    /// The measured residual of each element of this one processor.
    Map,
}

/// Why a law cannot be taken from a fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ErrorModelError {
    /// σ(w) was not fitted.
    #[error(
        "the fit of {found} residuals holds no σ(w), so the state-dependent law cannot be made; measure more programmings, or take the law `gaussian`"
    )]
    NoStateDependence {
        /// Residuals of the fit.
        found: u64,
    },
    /// Pairs that do not lie on the grid of a processor.
    #[error(
        "the pairs are a list without rows and columns, so there is no map of the processor; bring arrays (.npz, rows × columns) or a record, or take the law `empirical`"
    )]
    NoGrid,
}

/// Most residuals that an empirical law keeps.
pub const EMPIRICAL_RESIDUALS: usize = 4096;

impl ErrorModel {
    /// The model of law `choice` from the fit `report` of `pairs`.
    ///
    /// * Gaussian: `σ = rms`, so a bias widens it.
    /// * State-dependent: `a, b, c` of the fit.
    /// * Map: the mean residual of each element, stuck ones included.
    /// * Empirical: the residuals less their mean. Of more than 4096, the 4096 quantiles at `(k + ½)/4096`, stretched
    ///   by a common factor so that their variance is that of all (thinning cuts the far tails).
    ///
    /// # Errors
    /// The state-dependent law where the fit has no σ(w), or the map where the pairs are no grid.
    pub fn from_fit(report: &FitReport, pairs: &Pairs, choice: LawChoice) -> Result<Self, ErrorModelError> {
        let law = match choice {
            LawChoice::Gaussian => ErrorLaw::Gaussian { sigma: report.sigma.rms },
            LawChoice::StateDependent => {
                let found = report.sigma.n;
                let state =
                    report.state_dependence.as_ref().ok_or(ErrorModelError::NoStateDependence { found })?;
                ErrorLaw::StateDependent { a: state.a, b: state.b, c: state.c }
            }
            LawChoice::Empirical => ErrorLaw::Empirical {
                residuals: thinned(&fitted_residuals(pairs, report), EMPIRICAL_RESIDUALS),
            },
            LawChoice::Map if !pairs.is_grid() => return Err(ErrorModelError::NoGrid),
            LawChoice::Map => map(pairs),
        };
        Ok(Self {
            schema: Self::SCHEMA.to_owned(),
            reference: report.sigma.reference,
            sigma: report.sigma.rms,
            provenance: report.provenance.clone(),
            law,
        })
    }
}

/// Mean residual of each element over the programmings.
fn map(pairs: &Pairs) -> ErrorLaw {
    let residuals = pairs.residuals();
    let (programmings, rows, cols) = residuals.dim();
    let residuals = residuals.sum_axis(Axis(0)).iter().map(|sum| sum / programmings as f64).collect();
    ErrorLaw::Map { rows, cols, residuals }
}

/// At most `most` quantiles of `residuals`, with mean 0 and the variance of all.
fn thinned(residuals: &[f64], most: usize) -> Vec<f64> {
    let spread = gaussian_mle(residuals);
    let kept: Vec<f64> = if residuals.len() > most {
        let ordered = sorted(residuals);
        (0..most).map(|k| quantile(&ordered, (k as f64 + 0.5) / most as f64)).collect()
    } else {
        residuals.to_vec()
    };
    let (centre, kept_spread) = (mean(&kept), gaussian_mle(&kept));
    let stretch = if kept_spread > 0.0 { spread / kept_spread } else { 1.0 };
    kept.iter().map(|r| (r - centre) * stretch).collect()
}
