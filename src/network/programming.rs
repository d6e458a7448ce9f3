//! From a chip model to the kernel's product.

use ndarray::{Array2, ArrayView2};

use super::{NetworkError, ranges::ConverterRanges};
use crate::{
    kernel::photonic::{Converters, InputRange, OutputRange, Part, Product},
    photonic::{ChipModel, RangeKind},
};

/// The product of layers with the same `inputs` on `chip`.
pub(super) fn product(chip: &ChipModel, inputs: usize, parts: Vec<Part>, converters: Converters) -> Product {
    // A chip as large as the layer has one tile a layer.
    let rows = parts.iter().map(|part| part.outputs).max().unwrap_or(1);
    let (rows, cols) = chip.tile.map_or((rows, inputs), |tile| (tile.rows(), tile.cols()));
    Product::new(inputs, rows, cols, parts, converters)
}

/// Every row of `weight` divided by `scale`.
pub(super) fn divided(weight: ArrayView2<'_, f32>, scale: &[f32]) -> Array2<f32> {
    let mut divided = weight.to_owned();
    for mut row in divided.rows_mut() {
        row.iter_mut().zip(scale).for_each(|(weight, scale)| *weight /= scale);
    }
    divided
}

/// Converters of `chip` at the group of layers `group`.
pub(super) fn converters(
    chip: &ChipModel,
    ranges: &ConverterRanges,
    group: &str,
) -> Result<Converters, NetworkError> {
    let missing = |which| NetworkError::NoRange { which, layer: group.to_owned() };
    let input_range = match chip.mapping.input_range {
        RangeKind::Vector => InputRange::Vector,
        RangeKind::Batch => InputRange::Batch,
        RangeKind::Static | RangeKind::Learned => {
            InputRange::Static(*ranges.input.get(group).ok_or_else(|| missing("input"))?)
        }
    };
    let output_range = match chip.mapping.output_range {
        RangeKind::Vector => OutputRange::Vector,
        RangeKind::Batch => OutputRange::Batch,
        RangeKind::Static | RangeKind::Learned => {
            OutputRange::Static(*ranges.output.get(group).ok_or_else(|| missing("output"))?)
        }
    };
    Ok(Converters {
        input_bits: chip.precision.map(|bits| bits.input_bits.get()),
        output_bits: chip.precision.map(|bits| bits.output_bits.get()),
        input_range,
        output_range,
    })
}
