//! A little seeded noise.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// Normal deviates of a seed.
#[derive(Clone, Debug)]
pub struct Noise(ChaCha8Rng);

impl Noise {
    /// Of that seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// One deviate of that standard deviation.
    pub fn normal(&mut self, sigma: f64) -> f64 {
        let deviate: f64 = StandardNormal.sample(&mut self.0);
        sigma * deviate
    }
}
