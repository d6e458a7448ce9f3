//! Test support: reproducible numbers and gradients by finite differences in f64.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// `count` numbers, uniform within ±√3 (mean 0, variance 1).
pub(super) fn random(seed: u64, count: usize) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let bound = 3.0_f32.sqrt();
    (0..count).map(|_| rng.random_range(-bound..bound)).collect()
}

/// As f64.
pub(super) fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

/// `Σ weight · output`: makes a loss of any output, whose gradient by the output is `weight`.
pub(super) fn weigh(weights: &[f32], outputs: &[f64]) -> f64 {
    assert_eq!(weights.len(), outputs.len());
    weights.iter().zip(outputs).map(|(&weight, output)| f64::from(weight) * output).sum()
}

/// Checks `actual` against `expected`, relative to the largest expected magnitude.
pub(super) fn assert_close(what: &str, actual: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(actual.len(), expected.len(), "{what}: length");
    let largest = expected.iter().fold(1e-6_f64, |largest, value| largest.max(value.abs()));
    for (index, (&actual, &expected)) in actual.iter().zip(expected).enumerate() {
        let error = (f64::from(actual) - expected).abs() / largest;
        assert!(error <= tolerance, "{what}[{index}]: {actual} instead of {expected} (largest {largest})");
    }
}

/// Checks `gradient` against central differences of `loss` at `point`.
pub(super) fn assert_gradient(what: &str, point: &[f32], gradient: &[f32], loss: impl Fn(&[f64]) -> f64) {
    let mut point = wide(point);
    // Truncation h² and cancellation 2⁻⁵³/h are both near 10⁻¹⁰: the f32 gradient is what is being judged.
    let step = 1e-5;
    let expected: Vec<f64> = (0..point.len())
        .map(|index| {
            let at = point[index];
            point[index] = at + step;
            let above = loss(&point);
            point[index] = at - step;
            let below = loss(&point);
            point[index] = at;
            (above - below) / (2.0 * step)
        })
        .collect();
    assert_close(what, gradient, &expected, 1e-5);
}
