//! Import.

use std::{collections::BTreeMap, path::Path};

use super::{CONFIG, PREFIX, WEIGHTS, config::PeftConfig};
use crate::model::{
    Adapter, AdapterSet, Architecture, ModelError, Weights,
    adapter::{take_matrix, take_vector},
    import::canonical,
    json,
    stream::TensorReader,
};

/// Reads adapters that peft or [`super::write_peft`] wrote, for a network of `architecture`; a ViT's modules may be named
/// as in transformers 4 or 5.
///
/// # Errors
/// A folder that cannot be read; something else than LoRA, or with parts that are not read here; modules or shapes that
/// do not fit.
pub fn read_peft(folder: &Path, architecture: &Architecture) -> Result<AdapterSet, ModelError> {
    let path = folder.join(CONFIG);
    let config: PeftConfig = json::read(&path)?;
    config.check().map_err(|error| error.within(&path))?;
    let path = folder.join(WEIGHTS);
    let mut reader = TensorReader::open(&path)?;
    let mut tensors = Weights::default();
    for name in reader.names() {
        let parameter = reader.read(&name)?;
        tensors.insert(name.strip_prefix(PREFIX).unwrap_or(&name), parameter);
    }
    let vit = matches!(architecture, Architecture::Vit(_));
    adapters(tensors, &config, vit)
        .and_then(|adapters| AdapterSet::new(adapters, architecture))
        .map_err(|error| error.within(&path))
}

fn adapters(
    mut tensors: Weights,
    config: &PeftConfig,
    vit: bool,
) -> Result<BTreeMap<String, Adapter>, ModelError> {
    let modules: Vec<String> =
        tensors.names().filter_map(|name| Some(name.strip_suffix(".lora_A.weight")?.to_owned())).collect();
    let mut adapters = BTreeMap::new();
    for module in modules {
        let a = take_matrix(&mut tensors, format!("{module}.lora_A.weight"))?;
        let adapter = Adapter {
            b: take_matrix(&mut tensors, format!("{module}.lora_B.weight"))?,
            a_bias: None,
            b_bias: take_vector(&mut tensors, &format!("{module}.lora_B.bias")),
            alpha: config.alpha(&module, a.nrows()),
            a,
        };
        adapters.insert(if vit { canonical(&module) } else { module }, adapter);
    }
    match tensors.names().next() {
        Some(tensor) => Err(ModelError::Extra { tensor: tensor.to_owned(), what: "a set of LoRA adapters" }),
        None => Ok(adapters),
    }
}
