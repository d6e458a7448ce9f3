//! Error laws as training takes them.

use alora_calibration::{ErrorLaw, ErrorModel, SigmaReference};

use super::FinetuneError;

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
    let from = match &law {
        // The mean over programmings: what is left of the rms of single ones.
        ErrorLaw::Map { .. } => law.variance_at(0.0).sqrt(),
        _ => model.sigma,
    };
    let factor = sigma / from;
    if !(factor.is_finite() && factor > 0.0) {
        return Err(FinetuneError::Unscalable { from, to: sigma });
    }
    Ok(Some(stretched(law, factor)))
}

/// `law` with every error times `factor`.
#[must_use]
pub fn stretched(law: ErrorLaw, factor: f64) -> ErrorLaw {
    let scaled = |residuals: Vec<f64>| residuals.iter().map(|residual| residual * factor).collect();
    match law {
        ErrorLaw::Gaussian { sigma } => ErrorLaw::Gaussian { sigma: sigma * factor },
        ErrorLaw::StateDependent { a, b, c } => {
            let power = factor * factor;
            ErrorLaw::StateDependent { a: a * power, b: b * power, c: c * power }
        }
        ErrorLaw::Empirical { residuals } => ErrorLaw::Empirical { residuals: scaled(residuals) },
        ErrorLaw::Map { rows, cols, residuals } => ErrorLaw::Map { rows, cols, residuals: scaled(residuals) },
    }
}
