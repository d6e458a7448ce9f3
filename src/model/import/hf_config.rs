//! `config.json` of transformers' ViT.

use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;

use crate::model::{HiddenActivation, ModelError, VitConfig, json};

/// The keys that matter here, with transformers' defaults. Unknown keys are allowed: transformers adds some with every
/// version.
#[derive(Debug, Deserialize)]
#[serde(default)]
struct HfVitConfig {
    model_type: String,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    hidden_act: serde_json::Value,
    layer_norm_eps: f64,
    image_size: Side,
    patch_size: Side,
    num_channels: usize,
    qkv_bias: bool,
    id2label: BTreeMap<String, String>,
    num_labels: Option<usize>,
}

impl Default for HfVitConfig {
    fn default() -> Self {
        let VitConfig {
            hidden_size,
            num_hidden_layers,
            num_attention_heads,
            intermediate_size,
            layer_norm_eps,
            image_size,
            patch_size,
            num_channels,
            qkv_bias,
            ..
        } = VitConfig::base_patch16_224(2);
        Self {
            model_type: "vit".to_owned(),
            hidden_size,
            num_hidden_layers,
            num_attention_heads,
            intermediate_size,
            hidden_act: "gelu".into(),
            layer_norm_eps,
            image_size: Side::Square(image_size),
            patch_size: Side::Square(patch_size),
            num_channels,
            qkv_bias,
            id2label: BTreeMap::new(),
            num_labels: None,
        }
    }
}

/// A side in pixels, or height and width.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Side {
    Square(usize),
    Sides([usize; 2]),
}

impl Side {
    fn square(&self, size: &'static str) -> Result<usize, ModelError> {
        match *self {
            Self::Square(side) => Ok(side),
            Self::Sides([height, width]) if height == width => Ok(height),
            Self::Sides([height, width]) => Err(ModelError::Architecture {
                size: size.to_owned(),
                found: format!("{height} × {width}"),
                expected: "a square".to_owned(),
            }),
        }
    }
}

/// Reads `config.json`. `classes` is 0 where it does not say.
pub(super) fn read(path: &Path) -> Result<VitConfig, ModelError> {
    let found: HfVitConfig = json::read(path)?;
    typed(found).map_err(|error| error.within(path))
}

fn typed(found: HfVitConfig) -> Result<VitConfig, ModelError> {
    let wrong = |key, expected: &str, found: String| ModelError::Metadata {
        key,
        expected: expected.to_owned(),
        found,
    };
    if found.model_type != "vit" {
        return Err(wrong("model_type", "`vit`", format!("`{}`", found.model_type)));
    }
    let hidden_act: HiddenActivation = serde_json::from_value(found.hidden_act.clone()).map_err(|_| {
        let expected = "gelu, gelu_new, gelu_pytorch_tanh, gelu_fast, quick_gelu, silu, swish or relu";
        wrong("hidden_act", expected, found.hidden_act.to_string())
    })?;
    let labels = labels(&found.id2label);
    let classes = found.num_labels.unwrap_or(found.id2label.len());
    Ok(VitConfig {
        hidden_size: found.hidden_size,
        num_hidden_layers: found.num_hidden_layers,
        num_attention_heads: found.num_attention_heads,
        intermediate_size: found.intermediate_size,
        hidden_act,
        layer_norm_eps: found.layer_norm_eps,
        image_size: found.image_size.square("image_size")?,
        patch_size: found.patch_size.square("patch_size")?,
        num_channels: found.num_channels,
        qkv_bias: found.qkv_bias,
        classes,
        labels: if labels.len() == classes { labels } else { Vec::new() },
    })
}

/// Names in the order of their numbers; none when they are transformers' placeholders or have gaps.
fn labels(id2label: &BTreeMap<String, String>) -> Vec<String> {
    let in_order = (0..id2label.len()).map(|index| id2label.get(&index.to_string()).cloned());
    let names: Vec<String> = in_order.collect::<Option<_>>().unwrap_or_default();
    let placeholder = |(index, name): (usize, &String)| *name == format!("LABEL_{index}");
    if names.iter().enumerate().all(placeholder) { Vec::new() } else { names }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn parsed(text: &str) -> Result<VitConfig, String> {
        typed(serde_json::from_str(text).unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_not_said_has_the_default_of_transformers() {
        let expected = VitConfig { classes: 0, ..VitConfig::base_patch16_224(10) };
        assert_eq!(parsed("{\"model_type\": \"vit\", \"some_new_key\": 1}"), Ok(expected));
    }

    #[test]
    fn labels_are_kept_in_the_order_of_their_numbers_unless_they_are_placeholders() {
        let config = parsed(
            r#"{"id2label": {"10": "k", "0": "a", "1": "b", "2": "c", "3": "d", "4": "e", "5": "f",
            "6": "g", "7": "h", "8": "i", "9": "j"}}"#,
        )
        .unwrap();
        assert_eq!(config.labels.join(""), "abcdefghijk");
        assert_eq!(config.classes, 11);
        assert!(parsed(r#"{"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}"#).unwrap().labels.is_empty());
    }

    #[test]
    fn other_families_oblongs_and_unknown_activations_are_refused() {
        assert_eq!(
            parsed(r#"{"model_type": "deit"}"#).unwrap_err(),
            "the metadata entry `model_type` is `deit`, expected `vit`"
        );
        assert_eq!(
            parsed(r#"{"image_size": [224, 192]}"#).unwrap_err(),
            "image_size is 224 × 192, expected a square"
        );
        assert!(
            parsed(r#"{"hidden_act": "tanh"}"#).unwrap_err().starts_with("the metadata entry `hidden_act`")
        );
        assert_eq!(parsed(r#"{"patch_size": [8, 8]}"#).unwrap().patch_size, 8);
    }
}
