//! Deltas that the weight converter cannot hold.

use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

use super::{
    converter::{Bits, Quantiser},
    scaling::{WeightScaling, full_scales},
    tiling::{TileShape, Tiling, TilingError},
};

/// What became of a layer's weight changes when they were quantised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VanishedDeltas {
    /// Weights with `|ΔW| > 0`.
    pub changed: usize,
    /// Of these, weights whose code does not change: the delta is lost.
    pub vanished: usize,
    /// Weights of the layer.
    pub weights: usize,
}

/// Counts the changes from `base` to `merged`, both `[out, in]`, that vanish below half an LSB.
///
/// Both are quantised with the full scales of `merged`, the layer that is written: a weight that did not change its
/// code there is held by the converter as if it had not been adapted.
///
/// # Errors
/// Matrices of different shapes, or without weights.
pub fn vanished_deltas(
    base: ArrayView2<'_, f32>,
    merged: ArrayView2<'_, f32>,
    scaling: WeightScaling,
    shape: TileShape,
    weight_bits: Bits,
) -> Result<VanishedDeltas, TilingError> {
    let (rows, cols) = merged.dim();
    let tiling = Tiling::new(rows, cols, shape)?;
    if base.dim() != merged.dim() {
        return Err(TilingError::Shape { what: "the base layer", expected: merged.dim(), found: base.dim() });
    }
    let scales = full_scales(merged, &tiling, scaling, 0.0);
    let mut count = VanishedDeltas { weights: merged.len(), ..VanishedDeltas::default() };
    for ((row, col), &after) in merged.indexed_iter() {
        let before = base[(row, col)];
        if before != after {
            let quantiser = Quantiser::over(f64::from(scales[(col / shape.cols(), row)]), weight_bits);
            count.changed += 1;
            count.vanished +=
                usize::from(quantiser.code(f64::from(before)) == quantiser.code(f64::from(after)));
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use ndarray::array;

    use super::*;

    #[test]
    fn a_delta_below_half_an_lsb_is_counted_as_vanished() {
        // 4 bits over ±7: one LSB is 1.
        let base = array![[7.0_f32, 1.0, 2.0, 3.0]];
        let merged = array![[7.0_f32, 1.4, 2.6, 3.0]];
        let tile = TileShape::new(1, 4).unwrap();
        let count =
            vanished_deltas(base.view(), merged.view(), WeightScaling::Matrix, tile, Bits::new(4).unwrap())
                .unwrap();
        assert_eq!(count, VanishedDeltas { changed: 2, vanished: 1, weights: 4 });
    }

    #[test]
    fn layers_of_different_shapes_are_refused() {
        let tile = TileShape::new(1, 4).unwrap();
        let count = vanished_deltas(
            array![[1.0_f32]].view(),
            array![[1.0_f32, 2.0]].view(),
            WeightScaling::Row,
            tile,
            Bits::new(4).unwrap(),
        );
        assert_eq!(count.unwrap_err().to_string(), "the base layer is 1 × 1, expected 1 × 2");
    }
}
