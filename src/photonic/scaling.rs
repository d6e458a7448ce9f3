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
///
/// `clip_rms` > 0 takes at most so many times the rms of what shares the scale; larger weights then end at full scale.
#[must_use]
pub fn full_scales(
    weight: ArrayView2<'_, f32>,
    tiling: &Tiling,
    scaling: WeightScaling,
    clip_rms: f32,
) -> Array2<f32> {
    let scale_of = |part: ArrayView2<'_, f32>| {
        let largest = max_abs(part);
        if clip_rms > 0.0 { largest.min(clip_rms * rms(part)) } else { largest }
    };
    let mut scales = Array2::zeros((tiling.col_blocks(), weight.nrows()));
    match scaling {
        WeightScaling::Matrix => scales.fill(scale_of(weight)),
        WeightScaling::Row => {
            for row in 0..weight.nrows() {
                scales.column_mut(row).fill(scale_of(weight.slice(s![row..=row, ..])));
            }
        }
        WeightScaling::Tile => {
            for tile in tiling.tiles() {
                let scale = scale_of(weight.slice(s![tile.rows.clone(), tile.cols]));
                scales.slice_mut(s![tile.col_block, tile.rows]).fill(scale);
            }
        }
    }
    scales
}

/// Root mean square, summed in f64.
pub(super) fn rms(weights: ArrayView2<'_, f32>) -> f32 {
    let squares: f64 = weights.iter().map(|&weight| f64::from(weight) * f64::from(weight)).sum();
    (squares / weights.len().max(1) as f64).sqrt() as f32
}

pub(super) fn max_abs(weights: ArrayView2<'_, f32>) -> f32 {
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
        let scales = |scaling| full_scales(weight.view(), &tiling, scaling, 0.0);
        assert_eq!(scales(WeightScaling::Matrix), Array2::from_elem((2, 3), 4.0));
        assert_eq!(scales(WeightScaling::Row), array![[2.0, 4.0, 3.0], [2.0, 4.0, 3.0]]);
        assert_eq!(scales(WeightScaling::Tile), array![[4.0, 4.0, 3.0], [0.5, 0.5, 0.25]]);
    }

    #[test]
    fn clipping_bounds_the_scale_by_the_rms_of_what_shares_it() {
        let weight = array![[1.0_f32, -1.0, 1.0, 9.0], [1.0, 1.0, -1.0, 1.0]];
        let tiling = Tiling::new(2, 4, TileShape::new(2, 4).unwrap()).unwrap();
        let scales = full_scales(weight.view(), &tiling, WeightScaling::Row, 1.5);
        // The first row has an rms of √21; the second clips nothing, as its largest magnitude is 1.
        assert!((scales[(0, 0)] - 1.5 * 21.0_f32.sqrt()).abs() < 1e-5);
        assert_eq!(scales[(0, 1)], 1.0);
    }

    #[test]
    fn names_in_files_are_snake_case() {
        assert_eq!(serde_json::to_string(&WeightScaling::Row).unwrap(), "\"row\"");
    }
}
