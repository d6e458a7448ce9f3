//! Ranges of converters from a few batches.

use std::{collections::BTreeMap, sync::Arc};

use super::FinetuneError;
use crate::{
    dataset::{Dataset, Epoch, Pipeline},
    model::Model,
    network::{Arithmetic, ConverterRanges, Network, Pass, Watch},
    photonic::{ChipModel, Mapping, RangeKind},
};

/// Images whose ranges are looked at.
const IMAGES: usize = 128;

/// The largest inputs and outputs of every group over the first images of the training set; empty where all ranges of `chip` are
/// dynamic. Seen without errors: a range must hold the signal, and errors are small beside it.
pub fn static_ranges(
    model: &Arc<Model>,
    chip: &ChipModel,
    input_scales: &BTreeMap<String, Arc<Vec<f32>>>,
    data: &Dataset,
    pipeline: &Pipeline,
) -> Result<ConverterRanges, FinetuneError> {
    let fixed = |kind| matches!(kind, RangeKind::Static | RangeKind::Learned);
    let mapping = chip.mapping;
    if !fixed(mapping.input_range) && !fixed(mapping.output_range) {
        return Ok(ConverterRanges::default());
    }
    let dynamic = Mapping { input_range: RangeKind::Vector, output_range: RangeKind::Vector, ..mapping };
    let quiet = ChipModel { mapping: dynamic, error: None, ..chip.clone() };
    let arithmetic = Arithmetic::Chip {
        chip: quiet,
        ranges: ConverterRanges::default(),
        input_scales: input_scales.clone(),
    };
    let network = Network::new(Arc::clone(model), arithmetic, &|_| false)?;
    let watch = Watch::ranges();
    let own = BTreeMap::new();
    // A fixed order: ranges belong to model and data, not to the seed of a run.
    let order = Epoch { seed: 0, number: 0 }.order(data.len());
    for indices in order.chunks(32).take(IMAGES / 32) {
        let batch = pipeline.batch(data, indices, None)?;
        network.forward(batch.images, &Pass { watch: Some(&watch), ..Pass::inference(&own, None, 0) })?;
    }
    Ok(ConverterRanges::from_seen(&watch.seen_ranges()))
}
