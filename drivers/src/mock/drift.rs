//! Slow drift of a scalar.

use rand::Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

/// Ornstein–Uhlenbeck process: mean-reverting Gaussian drift with correlation time `tau_s` and stationary
/// standard deviation `sd`.
///
/// Exact update over a lag `t` (Gillespie, Phys. Rev. E 54, 2084 (1996)):
/// `x ← x e^(−t/τ) + sd √(1 − e^(−2t/τ)) · N(0, 1)`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrnsteinUhlenbeck {
    /// Stationary standard deviation, in the unit of the drifting quantity. 0 switches the drift off.
    pub sd: f64,
    /// Correlation time in seconds, > 0.
    pub tau_s: f64,
}

impl OrnsteinUhlenbeck {
    /// No drift.
    pub const OFF: Self = Self { sd: 0.0, tau_s: 1.0 };

    /// The value after `elapsed_s` seconds, from `value` now.
    pub fn advance(&self, value: f64, elapsed_s: f64, rng: &mut impl Rng) -> f64 {
        if self.sd == 0.0 {
            return 0.0;
        }
        let decay = (-elapsed_s / self.tau_s).exp();
        let kick: f64 = StandardNormal.sample(rng);
        value * decay + self.sd * (1.0 - decay * decay).sqrt() * kick
    }
}
