//! The error model: what fine-tuning needs to know of a processor's weight error.

mod from_fit;

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{
    provenance::Provenance,
    store::{StoreError, read_toml, write_toml},
};

pub use from_fit::{EMPIRICAL_RESIDUALS, ErrorModelError, LawChoice};

/// What a σ is relative to. Peers disagree, so it is never left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SigmaReference {
    /// Largest target magnitude of the tile: the processor's full scale.
    FullScale,
    /// `max W − min W` of the tile.
    Range,
    /// Largest magnitude of each row.
    RowMax,
    /// Root mean square of the tile.
    Rms,
}

/// Distribution of the weight error δW of a weight `w`, both in units of the reference (full scale = 1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "law", rename_all = "snake_case", deny_unknown_fields)]
pub enum ErrorLaw {
    /// `δW ~ N(0, σ²)`.
    Gaussian {
        /// Standard deviation.
        sigma: f64,
    },
    /// `δW ~ N(0, a + b|w| + c w²)`; the variance is taken as 0 where the polynomial is negative.
    StateDependent {
        /// Variance at `w = 0`.
        a: f64,
        /// Linear coefficient.
        b: f64,
        /// Quadratic coefficient.
        c: f64,
    },
    /// δW drawn with replacement from measured residuals.
    Empirical {
        /// Residuals, mean removed.
        residuals: Vec<f64>,
    },
}

impl ErrorLaw {
    /// Variance of δW at the weight `w` (both in units of the reference).
    #[must_use]
    pub fn variance_at(&self, w: f64) -> f64 {
        match self {
            Self::Gaussian { sigma } => sigma * sigma,
            Self::StateDependent { a, b, c } => (a + b * w.abs() + c * w * w).max(0.0),
            Self::Empirical { residuals } => {
                residuals.iter().map(|r| r * r).sum::<f64>() / residuals.len().max(1) as f64
            }
        }
    }
}

/// Error model of a processor, as fine-tuning takes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorModel {
    /// [`ErrorModel::SCHEMA`].
    pub schema: String,
    /// What σ is relative to.
    pub reference: SigmaReference,
    /// rms of the programming error in units of the reference, whatever the law.
    pub sigma: f64,
    /// Origin.
    pub provenance: Provenance,
    /// Distribution of δW.
    pub law: ErrorLaw,
}

impl ErrorModel {
    /// Version of the file format.
    pub const SCHEMA: &'static str = "alora.error-model/1";

    /// Reads a model from TOML.
    ///
    /// # Errors
    /// A missing or malformed file, or one of another schema.
    pub fn read(path: &Path) -> Result<Self, StoreError> {
        read_toml(path, Self::SCHEMA)
    }

    /// Writes the model as TOML.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), StoreError> {
        write_toml(path, self)
    }
}
