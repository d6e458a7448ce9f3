//! Export.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use ndarray::Array1;
use serde_json::{Value, json};

use super::{CONFIG, PREFIX, PeftLayout, WEIGHTS};
use crate::model::{
    Adapter, AdapterSet, Architecture, LayerKind, LayerSpec, ModelError, Parameter, Weights,
    export::make_folder, import::in_memory, json, stream,
};

/// How to write adapters for peft.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeftOptions {
    /// Names of a ViT's modules.
    pub layout: PeftLayout,
    /// Base model: a folder, or a name on the hub; peft's `base_model_name_or_path`.
    pub base: Option<String>,
}

/// Writes adapters as a folder that `PeftModel.from_pretrained` loads onto the base network.
///
/// peft has no bias of `A`: `s·(B (A x + a) + b) = s·B A x + s·(B a + b)`, so it is folded into that of `B`. Where any
/// adapter is biased all get a bias, as peft has one switch for them. Ranks and `α` may differ between layers.
///
/// A base whose head was replaced must be written with [`crate::model::write_hf`] and named in `options`: the head is not in
/// this folder.
///
/// # Errors
/// Adapters that do not fit `architecture`; a folder that cannot be made or written.
pub fn write_peft(
    adapters: &AdapterSet,
    architecture: &Architecture,
    folder: &Path,
    options: &PeftOptions,
) -> Result<(), ModelError> {
    adapters.check(architecture)?;
    make_folder(folder)?;
    let biased = adapters.iter().any(|(_, adapter)| adapter.folded_bias().is_some());
    let mut tensors = Weights::default();
    for layer in architecture.layers() {
        if let Some(adapter) = adapters.get(&layer.name) {
            insert(
                &mut tensors,
                &format!("{PREFIX}{}", module(&layer.name, options.layout)),
                &layer,
                adapter,
                biased,
            );
        }
    }
    let entries: Vec<stream::Entry<'_>> = tensors
        .iter()
        .map(|(name, parameter)| (name, parameter.shape.as_slice(), parameter.values.as_slice()))
        .collect();
    let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    stream::write(&folder.join(WEIGHTS), &metadata, &entries)?;
    json::write(&folder.join(CONFIG), &config(adapters, options, biased))
}

fn module(layer: &str, layout: PeftLayout) -> String {
    match layout {
        PeftLayout::Transformers5 => in_memory(layer),
        PeftLayout::Transformers4 => layer.to_owned(),
    }
}

fn insert(tensors: &mut Weights, module: &str, layer: &LayerSpec, adapter: &Adapter, biased: bool) {
    let rank = adapter.rank();
    // Beside a convolution A is a convolution with the same kernel, and B one of 1 × 1.
    let (a, b) = match layer.kind {
        LayerKind::Linear => (vec![rank, layer.inputs], vec![layer.outputs, rank]),
        LayerKind::Conv { kernel, .. } => {
            (vec![rank, layer.inputs / (kernel * kernel), kernel, kernel], vec![layer.outputs, rank, 1, 1])
        }
    };
    let tensor = |shape, values| Parameter { shape, values };
    tensors.insert(format!("{module}.lora_A.weight"), tensor(a, adapter.a.iter().copied().collect()));
    tensors.insert(format!("{module}.lora_B.weight"), tensor(b, adapter.b.iter().copied().collect()));
    if biased {
        let bias = adapter.folded_bias().unwrap_or_else(|| Array1::zeros(layer.outputs));
        tensors.insert(format!("{module}.lora_B.bias"), tensor(vec![layer.outputs], bias.to_vec()));
    }
}

fn config(adapters: &AdapterSet, options: &PeftOptions, biased: bool) -> Value {
    let (rank, alpha) = adapters.iter().next().map_or((1, 1.0), |(_, first)| (first.rank(), first.alpha));
    let named = |layer: &str| module(layer, options.layout);
    let targets: BTreeSet<String> = adapters.iter().map(|(layer, _)| named(layer)).collect();
    let ranks: BTreeMap<String, usize> = adapters
        .iter()
        .filter(|(_, adapter)| adapter.rank() != rank)
        .map(|(layer, adapter)| (named(layer), adapter.rank()))
        .collect();
    let alphas: BTreeMap<String, Value> = adapters
        .iter()
        .filter(|(_, adapter)| adapter.alpha != alpha)
        .map(|(layer, adapter)| (named(layer), number(adapter.alpha)))
        .collect();
    json!({
        "peft_type": "LORA",
        "task_type": null,
        "auto_mapping": null,
        "base_model_name_or_path": options.base,
        "revision": null,
        "inference_mode": true,
        "r": rank,
        "lora_alpha": number(alpha),
        "rank_pattern": ranks,
        "alpha_pattern": alphas,
        "target_modules": targets,
        "modules_to_save": null,
        "lora_bias": biased,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": false,
        "init_lora_weights": true,
        "use_rslora": false,
        "use_dora": false,
    })
}

/// Whole numbers without a point: peft's own type for `α` is an integer.
fn number(alpha: f32) -> Value {
    if alpha.fract() == 0.0 && alpha.abs() < 1e9 { json!(alpha as i64) } else { json!(alpha) }
}
