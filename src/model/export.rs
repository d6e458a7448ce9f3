//! Networks to files: our own format, and folders that transformers loads.

use std::{collections::BTreeMap, path::Path};

use alora_calibration::Provenance;
use serde_json::{Map, Value, json};

use super::{
    Architecture, Model, ModelError, Preprocessor, VitConfig, file::stamp, import, json, mlp::MERGED, stream,
};

/// Schema of a network's file.
pub const MODEL_SCHEMA: &str = "alora.model/1";

/// What is written beside a network's weights.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelMetadata {
    /// Origin.
    pub provenance: Provenance,
    /// True when adapters were merged into the weights; no others can then be added to them.
    pub merged: bool,
    /// How to make its inputs; written as `preprocessor_config.json` beside a ViT.
    pub preprocessor: Option<Preprocessor>,
}

impl ModelMetadata {
    /// Of weights without adapters in them.
    #[must_use]
    pub fn base(provenance: Provenance) -> Self {
        Self { provenance, merged: false, preprocessor: None }
    }
}

/// Writes a network of any family as one safetensors file (`alora.model/1`): its tensors under their names, F32, with
/// architecture, origin and `adapters` (`none` or `merged`) in the metadata. [`super::read_model`] reads it.
///
/// # Errors
/// A folder that cannot be written; nothing is left half-written.
pub fn write_model(model: &Model, path: &Path, metadata: &ModelMetadata) -> Result<(), ModelError> {
    let specs = model.architecture().tensors();
    let mut entries = Vec::with_capacity(specs.len());
    for spec in &specs {
        if let Some(parameter) = model.weights().get(&spec.name) {
            entries.push((spec.name.as_str(), parameter.shape.as_slice(), parameter.values.as_slice()));
        }
    }
    stream::write(path, &file_metadata(model.architecture(), metadata), &entries)
}

/// Writes a network into a folder, as `model.safetensors` of `alora.model/1`; beside a ViT also `config.json` and, if
/// known, `preprocessor_config.json`, so that transformers' `ViTForImageClassification.from_pretrained` loads it.
///
/// # Errors
/// A folder that cannot be made or written; no file is left half-written.
pub fn write_hf(model: &Model, folder: &Path, metadata: &ModelMetadata) -> Result<(), ModelError> {
    make_folder(folder)?;
    if let Architecture::Vit(config) = model.architecture() {
        json::write(&folder.join("config.json"), &hf_config(config))?;
        if let Some(preprocessor) = &metadata.preprocessor {
            import::write_preprocessor(preprocessor, &folder.join("preprocessor_config.json"))?;
        }
    }
    write_model(model, &folder.join("model.safetensors"), metadata)
}

pub(super) fn make_folder(folder: &Path) -> Result<(), ModelError> {
    std::fs::create_dir_all(folder)
        .map_err(|source| alora_calibration::StoreError::Write { path: folder.to_owned(), source }.into())
}

fn file_metadata(architecture: &Architecture, metadata: &ModelMetadata) -> BTreeMap<String, String> {
    let mut entries = stamp(MODEL_SCHEMA, &metadata.provenance);
    // Numbers, names and lists: JSON has words for all of it.
    let text = serde_json::to_string(architecture).unwrap_or_default();
    entries.insert("architecture".to_owned(), text);
    let adapters = if metadata.merged { MERGED } else { "none" };
    entries.insert("adapters".to_owned(), adapters.to_owned());
    // transformers refuses a file that does not say which tensors it is for.
    entries.insert("format".to_owned(), "pt".to_owned());
    entries
}

fn hf_config(config: &VitConfig) -> Value {
    let label = |index: usize| config.labels.get(index).cloned().unwrap_or_else(|| format!("LABEL_{index}"));
    let id2label: Map<String, Value> =
        (0..config.classes).map(|index| (index.to_string(), label(index).into())).collect();
    let label2id: Map<String, Value> =
        (0..config.classes).map(|index| (label(index), index.into())).collect();
    json!({
        "architectures": ["ViTForImageClassification"],
        "model_type": "vit",
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.num_hidden_layers,
        "num_attention_heads": config.num_attention_heads,
        "intermediate_size": config.intermediate_size,
        "hidden_act": config.hidden_act.hf_name(),
        "layer_norm_eps": config.layer_norm_eps,
        "image_size": config.image_size,
        "patch_size": config.patch_size,
        "num_channels": config.num_channels,
        "qkv_bias": config.qkv_bias,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "initializer_range": 0.02,
        "dtype": "float32",
        "id2label": id2label,
        "label2id": label2id,
    })
}
