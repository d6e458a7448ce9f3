//! Seeded numbers, and moments written out here so that the estimators under test do not judge themselves.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal, StudentT};

/// Standard errors that a Monte-Carlo figure may be off: a sound code fails once in 16 000 seeds.
pub(super) const STANDARD_ERRORS: f64 = 4.0;

pub(super) fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

pub(super) fn normal(rng: &mut ChaCha8Rng) -> f64 {
    StandardNormal.sample(rng)
}

pub(super) fn normals(n: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
    (0..n).map(|_| normal(rng)).collect()
}

/// Student's t with 5 degrees of freedom, scaled to variance 1.
pub(super) fn student_t5(n: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
    let scale = 0.6_f64.sqrt();
    match StudentT::new(5.0) {
        Ok(law) => (0..n).map(|_| scale * law.sample(rng)).collect(),
        // Never: 5 is a legal number of degrees. What is no number passes no case.
        Err(_) => vec![f64::NAN; n],
    }
}

/// Uniform in `[−1, 1]`.
pub(super) fn uniform(n: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
    (0..n).map(|_| rng.random_range(-1.0..=1.0)).collect()
}

pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// `Σ(x − x̄)²/(n − 1)`.
pub(super) fn variance(values: &[f64]) -> f64 {
    let centre = mean(values);
    values.iter().map(|x| (x - centre).powi(2)).sum::<f64>() / (values.len() as f64 - 1.0)
}

pub(super) fn rms(values: &[f64]) -> f64 {
    (values.iter().map(|x| x * x).sum::<f64>() / values.len() as f64).sqrt()
}

/// Largest magnitude; a value that is no number makes it infinite.
pub(super) fn largest(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().fold(0.0, |max: f64, x| if x.is_nan() { f64::INFINITY } else { max.max(x.abs()) })
}

/// To two significant digits, upwards: a tolerance on the page must not change with the last bits of a sample.
pub(super) fn rounded_up(value: f64) -> f64 {
    let unit = 10_f64.powf(value.log10().floor() - 1.0);
    (value / unit).ceil() * unit
}
