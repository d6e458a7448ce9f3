//! How much to measure.

use serde::{Deserialize, Serialize};

use crate::characterise::CharacteriseError;

/// How much to measure in the characterisation of a bank of rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IncoherentPlan {
    /// Seed of the random settings and of the amplitudes that dither the converters.
    pub seed: u64,
    /// Input codes at which each modulator's curve is read, 5 to 255.
    pub curve_points: usize,
    /// Points of the sweep of each column, evenly spaced in heater power, 12 to 1000.
    pub sweep_points: usize,
    /// Readings of each sweep point, each at an input amplitude of its own, 1 to 64.
    pub sweep_readings: usize,
    /// Points of the second sweep of a ring whose first one could not be taken, 12 to 1000.
    pub retry_points: usize,
    /// Random settings of the whole bank before crosstalk is known, 8 to 10 000.
    pub rough_settings: usize,
    /// Random settings with crosstalk compensated, 32 to 10 000.
    pub settings: usize,
    /// Vectors with all inputs at 0 beside those of each point, 1 to 64.
    pub zeros: usize,
}

impl Default for IncoherentPlan {
    fn default() -> Self {
        Self {
            seed: 1,
            curve_points: 64,
            sweep_points: 48,
            sweep_readings: 4,
            retry_points: 96,
            rough_settings: 64,
            settings: 256,
            zeros: 8,
        }
    }
}

impl IncoherentPlan {
    /// Every key with its value, and the least and most that are allowed.
    #[must_use]
    pub fn ranges(&self) -> [(&'static str, usize, usize, usize); 7] {
        [
            ("curve_points", self.curve_points, 5, 255),
            ("sweep_points", self.sweep_points, 12, 1000),
            ("sweep_readings", self.sweep_readings, 1, 64),
            ("retry_points", self.retry_points, 12, 1000),
            ("rough_settings", self.rough_settings, 8, 10_000),
            ("settings", self.settings, 32, 10_000),
            ("zeros", self.zeros, 1, 64),
        ]
    }

    /// Checks every key against its range.
    pub(super) fn check(&self) -> Result<(), CharacteriseError> {
        for (key, value, least, most) in self.ranges() {
            if !(least..=most).contains(&value) {
                return Err(CharacteriseError::IncoherentPlan { key, value, least, most });
            }
        }
        Ok(())
    }
}
