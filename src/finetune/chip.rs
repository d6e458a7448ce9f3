//! The chip as the network sees it: tiles, converters, error.

use alora_calibration::{ErrorLaw, ErrorModel, SigmaReference};

use super::{FinetuneError, Sampling};
use crate::photonic::{ConverterPrecision, TileShape, WeightScaling};

/// Everything that stands between a layer's weights and the product that the chip computes.
#[derive(Clone, Debug, PartialEq)]
pub struct ChipModel {
    /// Weights held at once.
    pub tile: TileShape,
    /// How a layer is scaled onto the chip.
    pub scaling: WeightScaling,
    /// Converters; `None` for ideal ones.
    pub precision: Option<ConverterPrecision>,
    /// Law of δW relative to the chip's full scale; `None` for no error.
    pub error: Option<ErrorLaw>,
    /// When δW is drawn anew.
    pub sampling: Sampling,
}

impl ChipModel {
    /// Refuses what cannot be computed: an empirical law per execution (the exact equivalent on the outputs holds only
    /// for normal laws).
    ///
    /// # Errors
    /// An empirical law with [`Sampling::PerExecution`], or without residuals.
    pub fn check(&self) -> Result<(), FinetuneError> {
        match (&self.error, self.sampling) {
            (Some(ErrorLaw::Empirical { .. }), Sampling::PerExecution) => {
                Err(FinetuneError::EmpiricalPerExecution)
            }
            (Some(ErrorLaw::Empirical { residuals }), _) if residuals.is_empty() => {
                Err(FinetuneError::NoResiduals)
            }
            _ => Ok(()),
        }
    }
}

/// The law of `model`, which must be relative to full scale.
///
/// # Errors
/// A model with another reference.
pub fn full_scale_law(model: &ErrorModel) -> Result<ErrorLaw, FinetuneError> {
    match model.reference {
        SigmaReference::FullScale => Ok(model.law.clone()),
        found => Err(FinetuneError::Reference { found }),
    }
}

/// The law of `model` with every error stretched by `sigma / model.sigma`, so that its rms is `sigma`, in units of full
/// scale. Shape and dependence on the weight stay. A σ of 0 gives no error.
///
/// # Errors
/// A model with another reference than full scale, or one without error that cannot be stretched to `sigma > 0`.
pub fn scaled_law(model: &ErrorModel, sigma: f64) -> Result<Option<ErrorLaw>, FinetuneError> {
    let law = full_scale_law(model)?;
    if sigma == 0.0 {
        return Ok(None);
    }
    let factor = sigma / model.sigma;
    if !(factor.is_finite() && factor > 0.0) {
        return Err(FinetuneError::Unscalable { from: model.sigma, to: sigma });
    }
    Ok(Some(match law {
        ErrorLaw::Gaussian { sigma } => ErrorLaw::Gaussian { sigma: sigma * factor },
        ErrorLaw::StateDependent { a, b, c } => {
            let power = factor * factor;
            ErrorLaw::StateDependent { a: a * power, b: b * power, c: c * power }
        }
        ErrorLaw::Empirical { residuals } => {
            ErrorLaw::Empirical { residuals: residuals.iter().map(|residual| residual * factor).collect() }
        }
    }))
}
