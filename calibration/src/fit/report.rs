//! The report of a fit, as JSON and TOML. A value that the data cannot give is null in JSON and absent in TOML.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{
    error_model::SigmaReference,
    provenance::Provenance,
    statistics::{
        components::Components,
        defects::Outlier,
        histogram::{GaussianCurve, Histogram},
        interval::Effective,
        moments::Estimate,
        normality::AndersonDarling,
        state::StateDependence,
        structure::Structure,
    },
    store::{StoreError, read_toml, write_toml},
    weights::Cell,
};

/// σ of the weight error by every definition in use, in units of the reference.
///
/// With `r` the residuals of the means over the repeats divided by the full scale (`max|target|` of all targets), stuck
/// elements left out, in numpy:
///
/// ```python
/// r = (measured.mean(axis=1) - target) / numpy.abs(target).max()
/// rms = numpy.sqrt(numpy.mean(r**2)); gaussian_mle = numpy.std(r)
/// mad = 1.482602218505602 * numpy.median(numpy.abs(r - numpy.median(r)))
/// readout = numpy.sqrt(measured.var(axis=1, ddof=1).mean()) / numpy.abs(target).max()
/// programming = numpy.sqrt(max(0, rms**2 - readout**2 / R))
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sigma {
    /// *The* σ: root mean square of `r` about zero. It estimates `√(programming² + readout²/R)`.
    pub rms: f64,
    /// Its 95 % interval: chi-square with the effective n of [`FitReport::effective`].
    pub ci95: [f64; 2],
    /// σ of the Gaussian of greatest likelihood (about the mean).
    pub gaussian_mle: f64,
    /// σ of the Gaussian fitted to the histogram by least squares, the ALoRA paper's way; null where the fit failed.
    pub gaussian_histogram: Option<f64>,
    /// σ of the core by the median absolute deviation.
    pub mad: f64,
    /// σ of what stays over repeated readings; null with one reading.
    pub programming: Option<f64>,
    /// σ of one reading about the programmed value; null with one reading.
    pub readout: Option<f64>,
    /// What σ is relative to.
    pub reference: SigmaReference,
    /// Residuals used: `P · rows · cols` less the stuck elements.
    pub n: u64,
}

/// Mean residual: the bias.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeanError {
    /// Mean of the residuals.
    pub value: f64,
    /// 95 % interval (Student, effective n).
    pub ci95: [f64; 2],
}

/// Are the residuals Gaussian?
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Normality {
    /// Anderson–Darling test; null for fewer than 8 residuals or equal ones.
    pub anderson_darling: Option<AndersonDarling>,
    /// Skewness, 0 for a Gaussian.
    pub skewness: Option<Estimate>,
    /// Excess kurtosis, 0 for a Gaussian.
    pub excess_kurtosis: Option<Estimate>,
    /// `rms / mad`; above 1.15 the error is not Gaussian.
    pub rms_over_mad: Option<f64>,
}

/// Outliers and stuck elements.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Defects {
    /// Number of residuals further than 5 MAD σ from the median, stuck elements included.
    pub outliers: u64,
    /// Pairs left out of σ because their element is stuck.
    pub excluded: u64,
    /// Elements that do not respond; null with fewer than 3 programmings or without positions.
    pub stuck: Option<Vec<Cell>>,
    /// The farthest outliers, at most 100.
    pub listed: Vec<Outlier>,
}

/// Histogram of the residuals with both Gaussian fits: all that a figure needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistogramFit {
    /// Bins and counts.
    #[serde(flatten)]
    pub histogram: Histogram,
    /// The Gaussian of greatest likelihood on these bins.
    pub likelihood: GaussianCurve,
    /// The Gaussian of least squares on these bins; null where the fit did not converge.
    pub least_squares: Option<GaussianCurve>,
}

/// How many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Programmings, `P`.
    pub programmings: usize,
    /// Readings of each, `R`.
    pub repeats: usize,
    /// Rows; null for a list of pairs.
    pub rows: Option<usize>,
    /// Columns; null for a list of pairs.
    pub cols: Option<usize>,
}

/// What a fit found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FitReport {
    /// [`FitReport::SCHEMA`].
    pub schema: String,
    /// True when no physical processor stands behind the numbers.
    pub simulated: bool,
    /// The reference of every σ here, in the unit of the data: `max|target|`.
    pub full_scale: f64,
    /// σ by every definition.
    pub sigma: Sigma,
    /// Bias.
    pub mean: MeanError,
    /// Behind the interval of σ: effective n, tails, and dependence.
    pub effective: Effective,
    /// Programming and read-out parts with intervals; null with one reading.
    pub components: Option<Components>,
    /// Shape of the distribution.
    pub normality: Normality,
    /// Rows and columns; null without positions or with too few residuals.
    pub structure: Option<Structure>,
    /// σ(w); null with fewer than 60 residuals.
    pub state_dependence: Option<StateDependence>,
    /// Outliers and stuck elements.
    pub defects: Defects,
    /// Histogram with fits; null for fewer than 8 residuals or equal ones.
    pub histogram: Option<HistogramFit>,
    /// How many were measured.
    pub shape: Shape,
    /// Origin.
    pub provenance: Provenance,
}

impl FitReport {
    /// Version of the file format.
    pub const SCHEMA: &'static str = "alora.fit/1";

    /// Reads a report from TOML.
    ///
    /// # Errors
    /// A missing or malformed file, or one of another schema.
    pub fn read(path: &Path) -> Result<Self, StoreError> {
        read_toml(path, Self::SCHEMA)
    }

    /// Writes the report as TOML.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), StoreError> {
        write_toml(path, self)
    }
}
