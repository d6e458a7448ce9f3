//! ResNets of torchvision and of the CIFAR family.

use std::path::Path;

use super::{ImportNote, ImportOptions, Imported, finished, names::bare};
use crate::model::{Architecture, ModelError, ResNetShape, Shortcut, Stem, Weights, stream::TensorReader};

/// Reads a ResNet of basic blocks from safetensors, with torchvision's names (head `fc`) or those of the CIFAR ResNets
/// (head `linear`, shortcut without parameters). Its sizes follow from the tensors.
///
/// A `module.` before the names is dropped, `num_batches_tracked` left out. The image side is that of its stem, 32 or
/// 224, unless `options` gives another.
///
/// # Errors
/// A file that cannot be read; tensors that are missing, extra or mis-shaped.
pub fn read_resnet(path: &Path, options: &ImportOptions) -> Result<Imported, ModelError> {
    let mut reader = TensorReader::open(path)?;
    let mut weights = Weights::default();
    let mut ignored = Vec::new();
    for name in reader.names() {
        if name.ends_with(".num_batches_tracked") {
            ignored.push(name);
            continue;
        }
        let parameter = reader.read(&name)?;
        weights.insert(bare(&name), parameter);
    }
    let notes = if ignored.is_empty() { vec![] } else { vec![ImportNote::Ignored { tensors: ignored }] };
    let (model, notes) = shape(&weights, options.image_size)
        .and_then(|shape| finished(Architecture::ResNet(shape), weights, notes, options))
        .map_err(|error| error.within(path))?;
    Ok(Imported { model, preprocessor: None, provenance: None, merged: false, notes })
}

/// Sizes of the network whose tensors these are.
fn shape(weights: &Weights, image_size: Option<usize>) -> Result<ResNetShape, ModelError> {
    let size = |tensor: &str, axis: usize| {
        let parameter =
            weights.get(tensor).ok_or_else(|| ModelError::Missing { tensor: tensor.to_owned() })?;
        // An axis that is not there makes a size of 0, which the check of sizes names.
        Ok::<_, ModelError>(parameter.shape.get(axis).copied().unwrap_or(0))
    };
    let stem = if size("conv1.weight", 3)? == 7 { Stem::Imagenet } else { Stem::Cifar };
    let plain = ResNetShape::resnet18(stem, 1);
    let shortcut = if weights.get("linear.weight").is_some() { Shortcut::Pad } else { Shortcut::Projection };
    let mut shape =
        ResNetShape { shortcut, width: size("conv1.weight", 0)?, blocks: blocks(weights), ..plain };
    shape.classes = size(&format!("{}.weight", shape.head_name()), 0)?;
    shape.input.channels = size("conv1.weight", 1)?;
    if let Some(side) = image_size {
        (shape.input.height, shape.input.width) = (side, side);
    }
    Ok(shape)
}

/// Blocks of each stage, counted without a gap.
fn blocks(weights: &Weights) -> Vec<usize> {
    let there =
        |stage: usize, index: usize| weights.get(&format!("layer{stage}.{index}.conv1.weight")).is_some();
    let count = |stage: usize| (0..).take_while(|index| there(stage, *index)).count();
    (1..).map(count).take_while(|count| *count > 0).collect()
}
