//! Position embeddings for images of another size.

use std::path::Path;

use ndarray::ArrayD;

use super::ImportNote;
use crate::model::{ModelError, Parameter, VitConfig, Weights};

const TENSOR: &str = "vit.embeddings.position_embeddings";

/// Gives `weights` a position embedding for the image size of `config`, from `file` if there is one.
pub(super) fn fit(
    config: &VitConfig,
    weights: &mut Weights,
    file: Option<&Path>,
    notes: &mut Vec<ImportNote>,
) -> Result<(), ModelError> {
    if let Some(path) = file {
        weights.insert(TENSOR, read(path)?);
        notes.push(ImportNote::PositionsFrom { path: path.to_owned() });
    }
    // A missing tensor is named with all others by the check of the whole.
    let Some(found) = weights.get(TENSOR) else { return Ok(()) };
    let (d, to) = (config.hidden_size, config.patches_per_side());
    let [1, tokens, width] = found.shape[..] else { return Ok(()) };
    let from = tokens.saturating_sub(1).isqrt();
    if width != d || from == 0 || from * from + 1 != tokens {
        let expected = vec![1, config.tokens(), d];
        return Err(ModelError::Shape { tensor: TENSOR.to_owned(), expected, found: found.shape.clone() });
    }
    if from != to {
        let (class, patches) = found.values.split_at(d);
        let values = [class, &interpolate_positions(patches, from, to, d)].concat();
        weights.insert(TENSOR, Parameter { shape: vec![1, config.tokens(), d], values });
        notes.push(ImportNote::Positions { from, to });
    }
    Ok(())
}

fn read(path: &Path) -> Result<Parameter, ModelError> {
    let array: ArrayD<f32> = ndarray_npy::read_npy(path)
        .map_err(|error| ModelError::Metadata {
            key: "position_embedding",
            expected: "an F32 array in numpy's .npy format".to_owned(),
            found: error.to_string(),
        })
        .map_err(|error| error.within(path))?;
    Ok(Parameter { shape: array.shape().to_vec(), values: array.iter().copied().collect() })
}

/// Bicubic interpolation of a square of position embeddings, `[from², width]` to `[to², width]`.
///
/// As `interpolate_pos_encoding` of transformers, which calls torch's `interpolate(mode="bicubic",
/// align_corners=False)`: Keys' kernel with a = −0.75, output pixel `i` at `(i + ½)·from/to − ½`, edges repeated, no
/// low-pass filter when shrinking. Rows beyond `positions` must not exist: its length is `from² · width`.
#[must_use]
pub fn interpolate_positions(positions: &[f32], from: usize, to: usize, width: usize) -> Vec<f32> {
    let taps: Vec<[(usize, f64); 4]> = (0..to).map(|index| taps(index, from, to)).collect();
    let mut result = Vec::with_capacity(to * to * width);
    for rows in &taps {
        for columns in &taps {
            for channel in 0..width {
                let mut sum = 0.0;
                for (row, row_weight) in rows {
                    for (column, column_weight) in columns {
                        let value = positions[(row * from + column) * width + channel];
                        sum += row_weight * column_weight * f64::from(value);
                    }
                }
                result.push(sum as f32);
            }
        }
    }
    result
}

/// The four inputs of output `index`, with their weights.
fn taps(index: usize, from: usize, to: usize) -> [(usize, f64); 4] {
    let place = (index as f64 + 0.5) * from as f64 / to as f64 - 0.5;
    let first = place.floor();
    let t = place - first;
    [-1.0, 0.0, 1.0, 2.0].map(|offset: f64| {
        let tap = (first + offset).clamp(0.0, (from - 1) as f64) as usize;
        (tap, keys((t - offset).abs()))
    })
}

/// Cubic convolution kernel (Keys, IEEE Trans. ASSP 29, 1153 (1981)) at distance `x`, a = −0.75.
fn keys(x: f64) -> f64 {
    const A: f64 = -0.75;
    if x <= 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((x - 5.0) * x + 8.0) * x * A - 4.0 * A
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn greatest_difference(found: &[f32], expected: &[f32]) -> f32 {
        assert_eq!(found.len(), expected.len());
        found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    }

    #[test]
    fn values_are_those_of_torch() {
        // torch 2.15: F.interpolate(x, size=(n, n), mode="bicubic", align_corners=False) of the 3 × 3 square below.
        let square = [0.5, -1.0, 2.0, 0.25, 3.0, -0.75, 1.0, 0.0, -2.0];
        // f32 sums of 16 products of numbers up to 3 differ from ours, made in f64, by a few 1e-7.
        assert!(greatest_difference(&interpolate_positions(&square, 3, 2, 1), &TO_2) < 2e-6);
        assert!(greatest_difference(&interpolate_positions(&square, 3, 5, 1), &TO_5) < 2e-6);
    }

    #[rustfmt::skip]
    const TO_2: [f32; 4] = [
        0.275631, 1.087383, 0.913662, -1.216793,
    ];
    #[rustfmt::skip]
    const TO_5: [f32; 25] = [
        0.707168, -0.4789597, -1.384, 0.7112007, 2.614208, 0.3087761, 0.4932125, 0.7680004, 0.9542276, 1.047479, -0.01399985, 1.587, 3.0, 0.9029995, -1.11, 0.6179444, 1.214147, 1.451999, -0.4301885, -2.01684, 1.20256, 0.6762233, -0.2879999, -1.507104, -2.295873,
    ];

    #[test]
    fn the_same_size_changes_nothing_and_constants_stay() {
        let square: Vec<f32> = (0..32).map(|value| value as f32).collect();
        assert_eq!(interpolate_positions(&square, 4, 4, 2), square);
        let flat = interpolate_positions(&[0.7; 49], 7, 12, 1);
        assert!(greatest_difference(&flat, &[0.7; 144]) < 1e-6);
    }
}
