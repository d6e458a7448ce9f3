//! The photon-transfer curve: read-out variance against signal.

mod quantisation;
mod transfer;

use serde::{Deserialize, Serialize};

pub use quantisation::{DITHER, Quantisation, lasting_rounding, quantisation};
pub use transfer::{TransferCurve, detected_curve, transfer_curve};

/// Repeated readings of one signal.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TransferPoint {
    /// Mean of the readings, in any unit.
    pub mean: f64,
    /// Sample variance of the readings, `Σ(y − ȳ)²/(R − 1)`, in that unit squared.
    pub variance: f64,
    /// Degrees of freedom of the variance, `R − 1`.
    pub dof: f64,
}

impl TransferPoint {
    /// Mean and sample variance of repeated readings; `None` for fewer than 2.
    #[must_use]
    pub fn of(readings: &[f64]) -> Option<Self> {
        if readings.len() < 2 {
            return None;
        }
        let (n, dof) = (readings.len() as f64, readings.len() as f64 - 1.0);
        let mean = readings.iter().sum::<f64>() / n;
        let variance = readings.iter().map(|y| (y - mean).powi(2)).sum::<f64>() / dof;
        Some(Self { mean, variance, dof })
    }
}

/// A point of which is known what light was detected and in what steps it was read.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetectedPoint {
    /// Mean of the readings.
    pub mean: f64,
    /// Light behind it, in the unit of the mean: `|m|` where one detector sees all of it, more where a balanced pair
    /// subtracts.
    pub light: f64,
    /// Step `Δ` of the converter, in that unit; 0 for none.
    pub step: f64,
    /// Sample variance of the readings, in that unit squared.
    pub variance: f64,
    /// Degrees of freedom of the variance.
    pub dof: f64,
}

/// Variance of one reading of signal `m`: `a + b|m| + c m²`.
///
/// Unit of `a` is that of the readings squared, of `b` that of the readings, `c` has none. `√c` is the relative intensity
/// noise within the detector's band.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NoiseLaw {
    /// `a`: what does not depend on the light, i.e. amplifier, dark current, quantisation.
    pub additive: f64,
    /// `b`: shot noise, proportional to the light.
    pub shot: f64,
    /// `c`: multiplicative noise, e.g. of the laser's intensity.
    pub relative: f64,
    /// Standard error of `a`. Where the unconstrained estimate is negative the estimate is 0 and this the width beyond it.
    pub additive_std_error: f64,
    /// Standard error of `b`.
    pub shot_std_error: f64,
    /// Standard error of `c`.
    pub relative_std_error: f64,
}

impl NoiseLaw {
    /// A law without uncertainty.
    #[must_use]
    pub fn new(additive: f64, shot: f64, relative: f64) -> Self {
        Self { additive, shot, relative, ..Self::default() }
    }

    /// Variance of one reading of `signal`.
    #[must_use]
    pub fn variance_at(&self, signal: f64) -> f64 {
        self.variance_of(signal, signal.abs())
    }

    /// Variance of one reading of `signal`, with `light` detected: more than the signal where a balanced pair subtracts.
    #[must_use]
    pub fn variance_of(&self, signal: f64, light: f64) -> f64 {
        self.additive + self.shot * light + self.relative * signal * signal
    }

    /// The law without the part of `a` that a step of the converter explains, `Δ²/12`; `a` is not taken below 0.
    #[must_use]
    pub fn without_quantisation(&self, step: f64) -> Self {
        Self { additive: (self.additive - step * step / 12.0).max(0.0), ..*self }
    }
}
