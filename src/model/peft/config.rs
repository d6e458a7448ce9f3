//! `adapter_config.json`.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::model::ModelError;

/// The keys that change what an adapter computes; others are allowed.
#[derive(Debug, Deserialize)]
pub(super) struct PeftConfig {
    peft_type: String,
    lora_alpha: f32,
    #[serde(default)]
    alpha_pattern: BTreeMap<String, f32>,
    #[serde(default)]
    use_rslora: bool,
    #[serde(default)]
    use_dora: bool,
    #[serde(default)]
    fan_in_fan_out: bool,
    #[serde(default)]
    bias: Option<String>,
    #[serde(default)]
    modules_to_save: Option<Vec<String>>,
}

impl PeftConfig {
    /// Refuses what is more than low-rank adapters.
    pub(super) fn check(&self) -> Result<(), ModelError> {
        let wrong = |key, found: String, expected: &str| {
            Err(ModelError::Metadata { key, found, expected: expected.to_owned() })
        };
        if self.peft_type != "LORA" {
            return wrong("peft_type", format!("`{}`", self.peft_type), "`LORA`");
        }
        if self.use_dora {
            return wrong("use_dora", "true".to_owned(), "false: weight-decomposed adapters are not read");
        }
        if self.fan_in_fan_out {
            return wrong("fan_in_fan_out", "true".to_owned(), "false: transposed weights are not read");
        }
        if let Some(bias) = self.bias.as_deref().filter(|bias| *bias != "none") {
            return wrong("bias", format!("`{bias}`"), "`none`: biases of the base stay frozen here");
        }
        if let Some(modules) = self.modules_to_save.as_ref().filter(|modules| !modules.is_empty()) {
            return wrong("modules_to_save", modules.join(", "), "none: give them in the base weights");
        }
        let patterned =
            |key: &&String| !key.chars().all(|letter| letter.is_alphanumeric() || "._".contains(letter));
        match self.alpha_pattern.keys().find(patterned) {
            Some(key) => {
                wrong("alpha_pattern", format!("`{key}`"), "names of modules: other patterns are not read")
            }
            None => Ok(()),
        }
    }

    /// `α` of `module` such that `α/k` is the factor that peft uses.
    pub(super) fn alpha(&self, module: &str, rank: usize) -> f32 {
        let named =
            |key: &str| module.strip_suffix(key).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        let pattern = self.alpha_pattern.iter().find(|(key, _)| named(key));
        let alpha = pattern.map_or(self.lora_alpha, |(_, alpha)| *alpha);
        // rsLoRA (arXiv 2312.03732) scales by α/√k.
        if self.use_rslora { alpha * (rank as f32).sqrt() } else { alpha }
    }
}
