//! How a layer is scaled onto the processor.

use ndarray::{Array2, ArrayView2, s};
use serde::{Deserialize, Serialize};

use super::tiling::Tiling;

/// How a layer is scaled onto the processor, whose weights end at full scale 1.
///
/// The chip's error is fixed relative to **its** full scale; what a weight suffers is that error times the scale.
/// One outlier weight therefore multiplies the error of everything that shares its scale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WeightScaling {
    /// One scale a layer: `max|W|` (Taniguchi et al., OECC/PSC 2025).
    #[default]
    Matrix,
    /// One scale a tile: the largest magnitude in it.
    Tile,
    /// One scale an output row of the layer: each row has its own detector gain and digital scale.
    Row,
}

/// Full scale of each output row in each column block, `[col_blocks, out]`, in units of `weight`, `[out, in]`.
///
/// `weight / full_scale` lies within `[−1, 1]`; 0 where every weight under the scale is 0. The shape of `weight` must
/// be the grid's.
#[must_use]
pub fn full_scales(weight: ArrayView2<'_, f32>, tiling: &Tiling, scaling: WeightScaling) -> Array2<f32> {
    let mut scales = Array2::zeros((tiling.col_blocks(), weight.nrows()));
    match scaling {
        WeightScaling::Matrix => scales.fill(max_abs(weight)),
        WeightScaling::Row => {
            for (row, weights) in weight.rows().into_iter().enumerate() {
                let scale = weights.iter().fold(0.0, |max: f32, weight| max.max(weight.abs()));
                scales.column_mut(row).fill(scale);
            }
        }
        WeightScaling::Tile => {
            for tile in tiling.tiles() {
                let scale = max_abs(weight.slice(s![tile.rows.clone(), tile.cols]));
                scales.slice_mut(s![tile.col_block, tile.rows]).fill(scale);
            }
        }
    }
    scales
}

fn max_abs(weights: ArrayView2<'_, f32>) -> f32 {
    weights.iter().fold(0.0, |max, weight| max.max(weight.abs()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use ndarray::array;

    use super::*;
    use crate::photonic::TileShape;

    #[test]
    fn each_scaling_takes_the_largest_magnitude_of_its_part() {
        let weight = array![[1.0_f32, -2.0, 0.5], [4.0, 0.0, 0.0], [0.0, 3.0, -0.25]];
        let tiling = Tiling::new(3, 3, TileShape::new(2, 2).unwrap()).unwrap();
        let scales = |scaling| full_scales(weight.view(), &tiling, scaling);
        assert_eq!(scales(WeightScaling::Matrix), Array2::from_elem((2, 3), 4.0));
        assert_eq!(scales(WeightScaling::Row), array![[2.0, 4.0, 3.0], [2.0, 4.0, 3.0]]);
        assert_eq!(scales(WeightScaling::Tile), array![[4.0, 4.0, 3.0], [0.5, 0.5, 0.25]]);
    }

    #[test]
    fn names_in_files_are_snake_case() {
        assert_eq!(serde_json::to_string(&WeightScaling::Row).unwrap(), "\"row\"");
    }
}
