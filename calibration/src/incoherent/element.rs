//! What calibration knows of one weight element.

use alora_drivers::{Code, datasheet::NominalElement};
use serde::{Deserialize, Serialize};

use super::law::Law;

/// Look-up of one element: `w(code) = offset + amplitude · f(φ)`, `φ = bias + span · (code/limit)^exponent`, with the
/// law `f` of the data sheet.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ElementLookup {
    /// Weight at `f = 0`, full scale = 1.
    pub offset: f64,
    /// Weight from `f = 0` to `f = 1`, full scale = 1; below 0 for an element of the negative rail.
    pub amplitude: f64,
    /// Phase at code 0, in radians.
    pub bias_rad: f64,
    /// Phase from code 0 to the highest code, in radians.
    pub span_rad: f64,
    /// Exponent of the drive.
    pub exponent: f64,
    /// Standard error of the look-up: of `w(code)`, rms over the sweep, full scale = 1.
    pub weight_sd: f64,
    /// rms of the sweep's readings about the fit, full scale = 1: read-out noise and crosstalk together.
    pub residual: f64,
}

/// A code and the weight that the look-up expects with it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Setting {
    pub(crate) code: Code,
    pub(crate) weight: f64,
}

impl ElementLookup {
    /// Phase at the drive `u` (0 to 1).
    pub(crate) fn phase(&self, u: f64) -> f64 {
        self.bias_rad + self.span_rad * u.powf(self.exponent)
    }

    /// Weight at the code `code` of `limit`.
    pub(crate) fn weight(&self, law: &NominalElement, code: Code, limit: Code) -> f64 {
        self.offset + self.amplitude * law.signal(self.phase(f64::from(code) / f64::from(limit)))
    }

    /// Lowest and highest weight on the rising branch.
    pub(crate) fn reach(&self, law: &NominalElement) -> (f64, f64) {
        let branch = law.branch();
        let ends = [self.bias_rad, self.bias_rad + self.span_rad].map(|phase| {
            self.offset + self.amplitude * law.signal(phase.clamp(branch.lowest, branch.highest))
        });
        (ends[0].min(ends[1]), ends[0].max(ends[1]))
    }

    /// The code whose weight is nearest to `target`.
    pub(crate) fn nearest(&self, law: &NominalElement, limit: Code, target: f64) -> Setting {
        let phase = law.phase_for((target - self.offset) / self.amplitude);
        let drive = ((phase - self.bias_rad) / self.span_rad).clamp(0.0, 1.0).powf(1.0 / self.exponent);
        // An element without response has no inverse; NaN becomes code 0.
        let below = (drive * f64::from(limit)).floor() as Code;
        let setting = |code: Code| Setting { code, weight: self.weight(law, code, limit) };
        let (lower, upper) = (setting(below.min(limit)), setting(below.saturating_add(1).min(limit)));
        if (upper.weight - target).abs() < (lower.weight - target).abs() { upper } else { lower }
    }

    /// The same look-up in units of `unit` old units.
    pub(crate) fn in_units_of(self, unit: f64) -> Self {
        Self {
            offset: self.offset / unit,
            amplitude: self.amplitude / unit,
            weight_sd: self.weight_sd / unit,
            residual: self.residual / unit,
            ..self
        }
    }
}
