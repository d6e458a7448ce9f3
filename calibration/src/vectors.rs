//! Sets of input vectors by which a matrix is read.

use std::f64::consts::{PI, SQRT_2};

use ndarray::Array2;
use rand::{Rng, RngExt};

/// An orthogonal set of `modes` real vectors of amplitudes at most 1, one a row, in random order and with random signs of
/// vectors and inputs: Hadamard vectors (Sylvester) where `modes` is a power of two, else those of the discrete Hartley
/// transform. A new set for each reading dithers the converters.
pub(crate) fn orthogonal(modes: usize, rng: &mut impl Rng) -> Array2<f64> {
    let order = shuffled(modes, rng);
    let signs = |rng: &mut _| -> Vec<f64> { (0..modes).map(|_| sign(rng)).collect() };
    let (rows, columns) = (signs(rng), signs(rng));
    Array2::from_shape_fn((modes, modes), |(vector, input)| {
        let k = order[vector];
        let entry = if modes.is_power_of_two() {
            if (k & input).count_ones().is_multiple_of(2) { 1.0 } else { -1.0 }
        } else {
            let angle = 2.0 * PI * (k * input % modes) as f64 / modes as f64;
            (angle.cos() + angle.sin()) / SQRT_2
        };
        entry * rows[vector] * columns[input]
    })
}

/// `0 .. count` in random order.
pub(crate) fn shuffled(count: usize, rng: &mut impl Rng) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    for k in (1..count).rev() {
        order.swap(k, rng.random_range(0..=k));
    }
    order
}

/// 1 or −1.
pub(crate) fn sign(rng: &mut impl Rng) -> f64 {
    if rng.random::<bool>() { 1.0 } else { -1.0 }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn the_vectors_are_orthogonal_of_one_length_and_within_range_for_any_number_of_inputs() {
        let rng = &mut ChaCha8Rng::seed_from_u64(1);
        for modes in [1, 2, 3, 5, 8, 12, 16] {
            let vectors = orthogonal(modes, rng);
            assert!(vectors.iter().all(|entry| entry.abs() <= 1.0 + 1e-12));
            let gram = vectors.dot(&vectors.t());
            for ((i, j), entry) in gram.indexed_iter() {
                let expected = if i == j { gram[(0, 0)] } else { 0.0 };
                assert!((entry - expected).abs() < 1e-9, "{modes}");
            }
        }
    }
}
