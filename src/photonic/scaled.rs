//! A layer as the processor gets it: normalised tiles, and the scales that bring the outputs back.

use alora_calibration::{Cell, WeightError};
use ndarray::{Array1, Array2, ArrayView2, Zip, s};

use super::{
    converter::{Bits, Quantiser},
    scaling::{WeightScaling, full_scales},
    tiling::{Tile, TileShape, Tiling},
};

/// One tile of a layer, normalised to the processor's full scale.
#[derive(Clone, Debug, PartialEq)]
pub struct ScaledTile {
    /// Its place in the grid.
    pub place: Tile,
    /// Target weights, tile rows × tile columns, within `[−1, 1]`, padded with zeros, not yet quantised.
    pub weights: Array2<f64>,
    /// `weights` as the weight converter holds them, within `[−1, 1]`: this is what is asked of the processor.
    pub quantised: Array2<f64>,
    /// Full scale of each row in units of the layer's weights, one a tile row (0 for padding): the tile's output `r`
    /// is multiplied by it.
    pub row_scales: Array1<f64>,
}

/// A layer cut, scaled and quantised for a processor.
#[derive(Clone, Debug, PartialEq)]
pub struct ScaledTiles {
    /// The grid.
    pub tiling: Tiling,
    /// The tiles, row block by row block.
    pub tiles: Vec<ScaledTile>,
}

impl ScaledTiles {
    /// Cuts `weight`, `[out, in]`, into tiles of `shape`, divides each row of each tile by its full scale and
    /// quantises to `weight_bits` over the processor's full scale.
    ///
    /// # Errors
    /// A weight that is not finite, or a matrix without weights.
    pub fn new(
        weight: ArrayView2<'_, f32>,
        scaling: WeightScaling,
        shape: TileShape,
        weight_bits: Bits,
    ) -> Result<Self, WeightError> {
        let (rows, cols) = weight.dim();
        let tiling = Tiling::new(rows, cols, shape).map_err(|_| WeightError::Empty { rows, cols })?;
        if let Some(((row, col), &value)) = weight.indexed_iter().find(|(_, value)| !value.is_finite()) {
            return Err(WeightError::NotFinite { cell: Cell { row, col }, value: f64::from(value) });
        }
        let scales = full_scales(weight, &tiling, scaling, 0.0);
        let quantiser = Quantiser::over(1.0, weight_bits);
        let tiles =
            tiling.tiles().map(|place| scaled_tile(weight, &scales, shape, quantiser, place)).collect();
        Ok(Self { tiling, tiles })
    }

    /// The layer as the quantised tiles represent it, `[out, in]`, in units of the layer's weights.
    #[must_use]
    pub fn represented(&self) -> Array2<f64> {
        let mut weight = Array2::zeros(self.tiling.dim());
        for tile in &self.tiles {
            let part = tile.quantised.slice(s![..tile.place.rows.len(), ..tile.place.cols.len()]);
            let scales = tile.row_scales.slice(s![..tile.place.rows.len()]);
            let mut target = weight.slice_mut(s![tile.place.rows.clone(), tile.place.cols.clone()]);
            Zip::from(target.rows_mut()).and(part.rows()).and(scales).for_each(|mut target, part, &scale| {
                target.assign(&part);
                target *= scale;
            });
        }
        weight
    }
}

fn scaled_tile(
    weight: ArrayView2<'_, f32>,
    scales: &Array2<f32>,
    shape: TileShape,
    quantiser: Quantiser,
    place: Tile,
) -> ScaledTile {
    let mut row_scales = Array1::zeros(shape.rows());
    let covered = scales.slice(s![place.col_block, place.rows.clone()]);
    row_scales.slice_mut(s![..place.rows.len()]).assign(&covered.mapv(f64::from));
    let mut weights = Array2::zeros((shape.rows(), shape.cols()));
    let part = weight.slice(s![place.rows.clone(), place.cols.clone()]);
    for ((row, col), &value) in part.indexed_iter() {
        let scale: f64 = row_scales[row];
        weights[(row, col)] = if scale > 0.0 { f64::from(value) / scale } else { 0.0 };
    }
    let quantised = weights.mapv(|weight| quantiser.quantise(weight));
    ScaledTile { place, weights, quantised, row_scales }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use alora_calibration::WeightMatrix;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_weight_that_is_not_a_number_is_refused_with_its_place() {
        let mut weight = Array2::<f32>::ones((2, 3));
        weight[(1, 2)] = f32::NAN;
        let error = ScaledTiles::new(
            weight.view(),
            WeightScaling::Row,
            TileShape::new(2, 2).unwrap(),
            Bits::new(8).unwrap(),
        )
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "the weight at (row 1, column 2) is NaN; every weight must be a finite number"
        );
    }

    proptest! {
        #[test]
        fn tiles_stay_within_full_scale_and_give_the_layer_back_within_half_an_lsb(
            values in prop::collection::vec(-5.0_f32..5.0, 7 * 9),
            scaling in prop::sample::select(vec![WeightScaling::Matrix, WeightScaling::Tile, WeightScaling::Row]),
            bits in 2_u8..=16,
        ) {
            let weight = Array2::from_shape_vec((7, 9), values).unwrap();
            let bits = Bits::new(bits).unwrap();
            let scaled = ScaledTiles::new(weight.view(), scaling, TileShape::new(4, 4).unwrap(), bits).unwrap();
            for tile in &scaled.tiles {
                prop_assert!(WeightMatrix::new(tile.weights.clone()).is_ok());
                prop_assert!(WeightMatrix::new(tile.quantised.clone()).is_ok());
            }
            let scales = full_scales(weight.view(), &scaled.tiling, scaling, 0.0);
            for ((row, col), &represented) in scaled.represented().indexed_iter() {
                let half_lsb = 0.5 * f64::from(scales[(col / 4, row)]) / f64::from(bits.max_code());
                prop_assert!((represented - f64::from(weight[(row, col)])).abs() <= half_lsb * (1.0 + 1e-9));
            }
        }
    }
}
