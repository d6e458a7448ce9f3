//! Small shifts of training images.

use ndarray::{Array2, s};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::FinetuneError;

/// Each image, a square in a row of `[batch, pixels]`, moved by up to `most` pixels both ways; zeros come in at the edges.
pub(super) fn shifted(
    images: Array2<f32>,
    most: usize,
    rng: &mut ChaCha8Rng,
) -> Result<Array2<f32>, FinetuneError> {
    if most == 0 {
        return Ok(images);
    }
    let side = images.ncols().isqrt();
    if side * side != images.ncols() || side <= most {
        return Err(FinetuneError::NotSquare { pixels: images.ncols(), shift: most });
    }
    let mut moved = Array2::zeros(images.dim());
    for (source, mut target) in images.rows().into_iter().zip(moved.rows_mut()) {
        // The window of `side` pixels from `down`, `right` on, in the image padded with `most` zeros.
        let [down, right] = [0, 1].map(|_| rng.random_range(0..=2 * most));
        let first = most.saturating_sub(right);
        let last = (side + most - right).min(side);
        for row in 0..side {
            let Some(from) = (row + down).checked_sub(most).filter(|from| *from < side) else { continue };
            let start = from * side + first + right - most;
            target
                .slice_mut(s![row * side + first..row * side + last])
                .assign(&source.slice(s![start..start + last - first]));
        }
    }
    Ok(moved)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn a_shift_moves_the_whole_image_and_lets_zeros_in() {
        let image = Array2::from_shape_fn((1, 784), |(_, pixel)| 1.0 + pixel as f32);
        let mut seen = std::collections::BTreeSet::new();
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        for _ in 0..200 {
            let moved = shifted(image.clone(), 1, &mut rng).unwrap();
            // The centre pixel tells the shift.
            let centre = moved[(0, 14 * 28 + 14)] as i64 - 1 - (14 * 28 + 14) as i64;
            let (down, right) = ((centre + 14).div_euclid(28), (centre + 14).rem_euclid(28) - 14);
            assert!(down.abs() <= 1 && right.abs() <= 1, "{centre}");
            seen.insert((down, right));
            for row in 0..28 {
                for col in 0..28 {
                    let (from_row, from_col) = (row + down, col + right);
                    let inside = (0..28).contains(&from_row) && (0..28).contains(&from_col);
                    let expected = if inside { 1.0 + (from_row * 28 + from_col) as f32 } else { 0.0 };
                    assert_eq!(moved[(0, (row * 28 + col) as usize)], expected);
                }
            }
        }
        assert_eq!(seen.len(), 9);
    }
}
