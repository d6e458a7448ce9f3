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
    /// δW of each element of one processor: what is programmed there has this error, whatever its weight.
    Map {
        /// Outputs of the processor.
        rows: usize,
        /// Inputs of the processor.
        cols: usize,
        /// Mean residual of each element over all programmings, row by row.
        residuals: Vec<f64>,
    },
}

impl ErrorLaw {
    /// What is wrong with the values of the law, if anything.
    fn defect(&self) -> Option<String> {
        match self {
            Self::Gaussian { sigma } => (!is_spread(*sigma)).then(|| not_a_spread("law.sigma", *sigma)),
            Self::StateDependent { a, b, c } => [("law.a", *a), ("law.b", *b), ("law.c", *c)]
                .into_iter()
                .find(|(_, value)| !value.is_finite())
                .map(|(key, value)| not_finite(key, value)),
            Self::Map { rows, cols, residuals } if rows * cols != residuals.len() || residuals.is_empty() => {
                Some(format!(
                    "`law.residuals` holds {} values, expected {rows} × {cols}, at least 1; fit the record again",
                    residuals.len()
                ))
            }
            Self::Empirical { residuals } | Self::Map { residuals, .. } => residuals
                .iter()
                .enumerate()
                .find(|(_, value)| !value.is_finite())
                .map(|(index, value)| not_finite(&format!("law.residuals[{index}]"), *value)),
        }
    }

    /// Variance of δW at the weight `w` (both in units of the reference).
    #[must_use]
    pub fn variance_at(&self, w: f64) -> f64 {
        match self {
            Self::Gaussian { sigma } => sigma * sigma,
            Self::StateDependent { a, b, c } => (a + b * w.abs() + c * w * w).max(0.0),
            Self::Empirical { residuals } | Self::Map { residuals, .. } => {
                residuals.iter().map(|r| r * r).sum::<f64>() / residuals.len().max(1) as f64
            }
        }
    }
}

fn is_spread(value: f64) -> bool {
    value.is_finite() && value >= 0.0
}

fn not_a_spread(key: &str, value: f64) -> String {
    format!("`{key}` is {value}, expected a finite number, 0 or more; fit the record again")
}

fn not_finite(key: &str, value: f64) -> String {
    format!("`{key}` is {value}, expected a finite number; fit the record again")
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
    /// A missing or malformed file, one of another schema, or a value that no spread can have.
    pub fn read(path: &Path) -> Result<Self, StoreError> {
        let model: Self = read_toml(path, Self::SCHEMA)?;
        match model
            .law
            .defect()
            .or_else(|| (!is_spread(model.sigma)).then(|| not_a_spread("sigma", model.sigma)))
        {
            Some(reason) => Err(StoreError::Malformed { path: path.to_owned(), reason }),
            None => Ok(model),
        }
    }

    /// Writes the model as TOML.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), StoreError> {
        write_toml(path, self)
    }
}
