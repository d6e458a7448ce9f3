//! What to write: every layer cut, scaled and quantised for the processor.

use alora_calibration::{WeightError, WeightMatrix};
use ndarray::{Array1, Array2};

use super::DeployError;
use crate::{
    model::{Adapter, AdapterSet, Mlp},
    photonic::{ConverterPrecision, ScaledTile, ScaledTiles, TileShape, VanishedDeltas, WeightScaling},
};

/// A network laid onto a processor.
#[derive(Clone, Debug)]
pub struct DeploymentPlan {
    /// Layers in the order of the network.
    pub layers: Vec<PlannedLayer>,
    /// Shape of the processor.
    pub tile: TileShape,
    /// Bits of weights, inputs and outputs.
    pub precision: ConverterPrecision,
}

/// One layer of a plan.
#[derive(Clone, Debug)]
pub struct PlannedLayer {
    /// Name, e.g. `fc1`.
    pub name: String,
    /// Tiles to write.
    pub tiles: ScaledTiles,
    /// Added digitally, `[out]`.
    pub bias: Array1<f32>,
    /// Adapter that stays digital beside the processor.
    pub adapter: Option<Adapter>,
}

impl DeploymentPlan {
    /// Lays `model` onto tiles of shape `tile`; `adapters`, where given, stay digital.
    ///
    /// # Errors
    /// A weight that is not finite.
    pub fn new(
        model: &Mlp,
        adapters: Option<&AdapterSet>,
        scaling: WeightScaling,
        tile: TileShape,
        precision: ConverterPrecision,
    ) -> Result<Self, DeployError> {
        let layers = model
            .layers()
            .iter()
            .map(|layer| {
                let tiles = ScaledTiles::new(layer.weight.view(), scaling, tile, precision.weight_bits)
                    .map_err(|source| weights_error(&layer.name, 0, source))?;
                let adapter = adapters.and_then(|set| set.get(&layer.name)).cloned();
                Ok(PlannedLayer { name: layer.name.clone(), tiles, bias: layer.bias.clone(), adapter })
            })
            .collect::<Result<_, DeployError>>()?;
        Ok(Self { layers, tile, precision })
    }

    /// Tiles of all layers.
    #[must_use]
    pub fn tiles(&self) -> usize {
        self.layers.iter().map(|layer| layer.tiles.tiles.len()).sum()
    }

    /// Inputs of the first layer.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.layers.first().map_or(0, |layer| layer.tiles.tiling.dim().1)
    }
}

/// What is asked of the processor for `tile`: its quantised weights.
pub(super) fn target_of(layer: &str, index: usize, tile: &ScaledTile) -> Result<WeightMatrix, DeployError> {
    target_from(layer, index, tile.quantised.clone())
}

pub(crate) fn target_from(
    layer: &str,
    index: usize,
    weights: Array2<f64>,
) -> Result<WeightMatrix, DeployError> {
    WeightMatrix::new(weights).map_err(|source| weights_error(layer, index, source))
}

fn weights_error(layer: &str, tile: usize, source: WeightError) -> DeployError {
    DeployError::Weights { layer: layer.to_owned(), tile, source }
}

/// Weight changes from `base` to `merged` that vanish below half an LSB, over all layers.
#[must_use]
pub fn vanished_deltas(
    base: &Mlp,
    merged: &Mlp,
    scaling: WeightScaling,
    tile: TileShape,
    precision: ConverterPrecision,
) -> VanishedDeltas {
    let mut total = VanishedDeltas::default();
    for (before, after) in base.layers().iter().zip(merged.layers()) {
        // Layers of the same network have the same shape; a mismatch was refused when they were merged.
        if let Ok(count) = crate::photonic::vanished_deltas(
            before.weight.view(),
            after.weight.view(),
            scaling,
            tile,
            precision.weight_bits,
        ) {
            total.changed += count.changed;
            total.vanished += count.vanished;
            total.weights += count.weights;
        }
    }
    total
}
