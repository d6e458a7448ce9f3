//! A network on the processor: every product goes through the backend, codes in and counts out.
//!
//! The processor holds one tile at a time, so layers are run tile after tile: program, verify, send the whole batch,
//! go on. Partial outputs are scaled and summed digitally; bias, activation and digital adapters are digital too.

use alora_calibration::{Event, Observer, Processor};
use ndarray::{Array2, ArrayView2, Axis, Zip, s};

use super::{
    DeployError, DeploymentPlan, LayerRecord, PlannedLayer, VerificationLimits,
    plan::target_of,
    write_back::{TileOutcome, write_tile},
};
use crate::photonic::{Bits, Quantiser, ScaledTile, TileShape};

/// What came of running a network on the processor.
#[derive(Clone, Debug)]
pub struct OnChipOutcome {
    /// Outputs of the last layer, `[images, classes]`.
    pub logits: Array2<f32>,
    /// What was written and measured, layer by layer.
    pub layers: Vec<LayerRecord>,
    /// Detector counts at a limit, over all products.
    pub saturated: usize,
    /// Input vectors that the processor multiplied.
    pub vectors: usize,
}

impl OnChipOutcome {
    /// Images whose largest output is at their label.
    #[must_use]
    pub fn correct(&self, labels: &[usize]) -> usize {
        self.logits
            .rows()
            .into_iter()
            .zip(labels)
            .filter(|(row, label)| {
                let best = row.iter().enumerate().fold((0, f32::NEG_INFINITY), |best, (index, &value)| {
                    if value > best.1 { (index, value) } else { best }
                });
                best.0 == **label
            })
            .count()
    }
}

/// Writes `plan` tile after tile, verifies each tile, and runs `images`, `[images, pixels]`, through it; `stage` names it to
/// the observer.
///
/// The processor is left with the last tile programmed; park it when done, and after any error.
///
/// # Errors
/// Images of another size, a device error, or the operator's interruption.
pub async fn run_on_chip(
    processor: &mut Processor,
    plan: &DeploymentPlan,
    images: ArrayView2<'_, f32>,
    limits: VerificationLimits,
    stage: &'static str,
    observer: &mut dyn Observer,
) -> Result<OnChipOutcome, DeployError> {
    if images.ncols() != plan.inputs() {
        return Err(DeployError::ImageSize { expected: plan.inputs(), found: images.ncols() });
    }
    observer.on(Event::Started { stage, steps: plan.tiles() as u64 });
    let mut outcome =
        OnChipOutcome { logits: images.to_owned(), layers: Vec::new(), saturated: 0, vectors: 0 };
    let last = plan.layers.len().saturating_sub(1);
    for (index, layer) in plan.layers.iter().enumerate() {
        let mut record = LayerRecord::begin(layer);
        let mut outputs = digital_part(layer, outcome.logits.view());
        for (tile_index, tile) in layer.tiles.tiles.iter().enumerate() {
            if observer.interrupted() {
                return Err(DeployError::Interrupted);
            }
            let run = TileRun { layer, tile_index, tile, plan, limits };
            let (written, product) = run.execute(processor, outcome.logits.view()).await?;
            outcome.saturated += product.saturated;
            outcome.vectors += images.nrows();
            add_scaled(&mut outputs, tile, &product.values);
            record.push(tile, written);
            observer.on(Event::Step);
        }
        if index != last {
            outputs.mapv_inplace(|value| value.max(0.0));
        }
        outcome.logits = outputs;
        outcome.layers.push(record);
    }
    observer.on(Event::Finished);
    Ok(outcome)
}

/// One tile's product with the whole batch.
struct TileRun<'a> {
    layer: &'a PlannedLayer,
    tile_index: usize,
    tile: &'a ScaledTile,
    plan: &'a DeploymentPlan,
    limits: VerificationLimits,
}

/// Outputs of one tile, `[images, tile rows]`, in units of the tile's full scale × input.
struct TileProduct {
    values: Array2<f64>,
    saturated: usize,
}

impl TileRun<'_> {
    async fn execute(
        &self,
        processor: &mut Processor,
        activations: ArrayView2<'_, f32>,
    ) -> Result<(TileOutcome, TileProduct), DeployError> {
        let at =
            |source| DeployError::Processor { layer: self.layer.name.clone(), tile: self.tile_index, source };
        let target = target_of(&self.layer.name, self.tile_index, self.tile)?;
        let written = write_tile(processor, &target, self.limits).await.map_err(at)?;
        let inputs = tile_inputs(activations, self.tile, self.plan.tile, self.plan.precision.input_bits);
        let readings = processor.mvm(inputs.view(), 1).await.map_err(at)?;
        let mut values = readings.values.index_axis_move(Axis(0), 0);
        quantise_outputs(&mut values, self.plan.precision.output_bits);
        Ok((written, TileProduct { values, saturated: readings.saturated }))
    }
}

/// Bias, and the digital adapter where there is one: `b + (α/k)·B(A x)`, `[images, out]`.
fn digital_part(layer: &PlannedLayer, activations: ArrayView2<'_, f32>) -> Array2<f32> {
    let out = layer.tiles.tiling.dim().0;
    let mut outputs = match &layer.adapter {
        Some(adapter) => activations.dot(&adapter.a.t()).dot(&adapter.b.t()) * adapter.factor(),
        None => Array2::zeros((activations.nrows(), out)),
    };
    outputs += &layer.bias;
    outputs
}

/// The columns of `activations` that the tile takes, padded with zeros; each vector quantised over its own range.
fn tile_inputs(
    activations: ArrayView2<'_, f32>,
    tile: &ScaledTile,
    shape: TileShape,
    bits: Bits,
) -> Array2<f64> {
    let cols = tile.place.cols.clone();
    let mut inputs = Array2::zeros((activations.nrows(), shape.cols()));
    inputs.slice_mut(s![.., ..cols.len()]).assign(&activations.slice(s![.., cols]).mapv(f64::from));
    for mut vector in inputs.rows_mut() {
        let quantiser = Quantiser::of_range(vector.iter(), bits);
        vector.mapv_inplace(|value| quantiser.quantise(value));
    }
    inputs
}

/// The output converter: the tile's outputs for one vector, quantised over their range.
fn quantise_outputs(values: &mut Array2<f64>, bits: Bits) {
    for mut vector in values.rows_mut() {
        let quantiser = Quantiser::of_range(vector.iter(), bits);
        vector.mapv_inplace(|value| quantiser.quantise(value));
    }
}

fn add_scaled(outputs: &mut Array2<f32>, tile: &ScaledTile, product: &Array2<f64>) {
    let rows = tile.place.rows.clone();
    let covered = product.slice(s![.., ..rows.len()]);
    let scales = tile.row_scales.slice(s![..rows.len()]);
    let mut target = outputs.slice_mut(s![.., rows]);
    Zip::from(target.rows_mut()).and(covered.rows()).for_each(|mut target, product| {
        Zip::from(&mut target).and(product).and(scales).for_each(|target, &value, &scale| {
            *target += (value * scale) as f32;
        });
    });
}
