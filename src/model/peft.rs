//! Adapters as folders of Hugging Face's peft: `adapter_config.json` and `adapter_model.safetensors`.

mod config;
mod read;
mod write;

use serde::{Deserialize, Serialize};

pub use read::read_peft;
pub use write::{PeftOptions, write_peft};

/// Names of a ViT's modules, which differ between versions of transformers. Other families have one name each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeftLayout {
    /// `vit.layers.0.attention.q_proj`, as transformers 5 has it in memory.
    #[default]
    Transformers5,
    /// `vit.encoder.layer.0.attention.attention.query`, as transformers 4 has it.
    Transformers4,
}

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";
/// Before every module's name in the file.
const PREFIX: &str = "base_model.model.";

#[cfg(test)]
mod tests;
