//! Vision transformers.

use serde::{Deserialize, Serialize};

use super::{
    DEEPEST, ImageShape, LARGEST_SIDE, LayerRole, LayerSpec, MOST_CHANNELS, TensorRole, TensorSpec, WIDEST,
    within,
};
use crate::model::ModelError;

/// Non-linearity between `fc1` and `fc2`, by its name in transformers' `hidden_act`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HiddenActivation {
    /// Exact GELU, `x Φ(x)`.
    #[serde(rename = "gelu")]
    Gelu,
    /// GELU by its tanh approximation.
    #[serde(rename = "gelu_new", alias = "gelu_pytorch_tanh", alias = "gelu_fast")]
    GeluTanh,
    /// `x · sigmoid(1.702 x)`.
    #[serde(rename = "quick_gelu")]
    QuickGelu,
    /// `x · sigmoid(x)`.
    #[serde(rename = "silu", alias = "swish")]
    Silu,
    /// `max(x, 0)`.
    #[serde(rename = "relu")]
    Relu,
}

impl HiddenActivation {
    /// Name in transformers.
    #[must_use]
    pub fn hf_name(self) -> &'static str {
        match self {
            Self::Gelu => "gelu",
            Self::GeluTanh => "gelu_new",
            Self::QuickGelu => "quick_gelu",
            Self::Silu => "silu",
            Self::Relu => "relu",
        }
    }
}

/// Vision transformer (Dosovitskiy et al., arXiv 2010.11929) as transformers' `ViTForImageClassification`: pre-norm
/// blocks, class token, head on the class token after the last norm. Fields bear transformers' names.
///
/// The patch embedding, norms, softmax and the products of attention are digital.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VitConfig {
    /// Width of a token, `d`.
    pub hidden_size: usize,
    /// Blocks.
    pub num_hidden_layers: usize,
    /// Heads; each `d / heads` wide.
    pub num_attention_heads: usize,
    /// Width between `fc1` and `fc2`.
    pub intermediate_size: usize,
    /// Non-linearity there.
    pub hidden_act: HiddenActivation,
    /// `ε` of every layer norm.
    pub layer_norm_eps: f64,
    /// Side of the square image, pixels.
    pub image_size: usize,
    /// Side of a square patch, pixels.
    pub patch_size: usize,
    /// Colour channels.
    pub num_channels: usize,
    /// Whether query, key and value have biases.
    pub qkv_bias: bool,
    /// Classes.
    pub classes: usize,
    /// Names of the classes; empty when unknown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
}

impl VitConfig {
    /// ViT-B/16 at 224 pixels, as `google/vit-base-patch16-224`.
    #[must_use]
    pub fn base_patch16_224(classes: usize) -> Self {
        Self {
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            hidden_act: HiddenActivation::Gelu,
            layer_norm_eps: 1e-12,
            image_size: 224,
            patch_size: 16,
            num_channels: 3,
            qkv_bias: true,
            classes,
            labels: Vec::new(),
        }
    }

    /// Patches along one side of the image.
    #[must_use]
    pub fn patches_per_side(&self) -> usize {
        self.image_size / self.patch_size
    }

    /// Tokens of one image: its patches and the class token.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.patches_per_side().pow(2) + 1
    }

    pub(super) fn input(&self) -> ImageShape {
        ImageShape { channels: self.num_channels, height: self.image_size, width: self.image_size }
    }

    pub(super) fn check(&self) -> Result<(), ModelError> {
        within("hidden_size", self.hidden_size, WIDEST)?;
        within("num_hidden_layers", self.num_hidden_layers, DEEPEST)?;
        within("num_attention_heads", self.num_attention_heads, WIDEST)?;
        within("intermediate_size", self.intermediate_size, WIDEST)?;
        within("image_size", self.image_size, LARGEST_SIDE)?;
        within("patch_size", self.patch_size, self.image_size)?;
        within("num_channels", self.num_channels, MOST_CHANNELS)?;
        within("number of classes", self.classes, WIDEST)?;
        divides("hidden_size", self.hidden_size, "num_attention_heads", self.num_attention_heads)?;
        divides("image_size", self.image_size, "patch_size", self.patch_size)?;
        if !(self.layer_norm_eps.is_finite() && self.layer_norm_eps > 0.0) {
            return Err(wrong("layer_norm_eps", self.layer_norm_eps.to_string(), "above 0".to_owned()));
        }
        if !self.labels.is_empty() && self.labels.len() != self.classes {
            let found = self.labels.len().to_string();
            return Err(wrong("number of labels", found, format!("one a class, {}", self.classes)));
        }
        Ok(())
    }

    pub(super) fn layers(&self) -> Vec<LayerSpec> {
        let mut layers: Vec<_> = (0..self.num_hidden_layers).flat_map(|index| self.block(index)).collect();
        layers.push(LayerSpec::linear("classifier", self.classes, self.hidden_size, LayerRole::Head));
        layers
    }

    fn block(&self, index: usize) -> [LayerSpec; 6] {
        let (d, mlp) = (self.hidden_size, self.intermediate_size);
        let layer = |part: &str, outputs, inputs, role| {
            LayerSpec::linear(format!("vit.encoder.layer.{index}.{part}"), outputs, inputs, role)
        };
        let attention = |part: &str, role| LayerSpec {
            bias: self.qkv_bias,
            ..layer(&format!("attention.attention.{part}"), d, d, role)
        };
        [
            attention("query", LayerRole::Query),
            attention("key", LayerRole::Key),
            attention("value", LayerRole::Value),
            layer("attention.output.dense", d, d, LayerRole::AttentionOutput),
            layer("intermediate.dense", mlp, d, LayerRole::Fc1),
            layer("output.dense", d, mlp, LayerRole::Fc2),
        ]
    }

    pub(super) fn tensors(&self) -> Vec<TensorSpec> {
        let mut tensors = self.embeddings();
        for index in 0..self.num_hidden_layers {
            let [query, key, value, output, fc1, fc2] = self.block(index);
            tensors.extend(self.norm(&format!("vit.encoder.layer.{index}.layernorm_before")));
            tensors.extend([query, key, value, output].iter().flat_map(LayerSpec::tensors));
            tensors.extend(self.norm(&format!("vit.encoder.layer.{index}.layernorm_after")));
            tensors.extend([fc1, fc2].iter().flat_map(LayerSpec::tensors));
        }
        tensors.extend(self.norm("vit.layernorm"));
        let head = LayerSpec::linear("classifier", self.classes, self.hidden_size, LayerRole::Head);
        tensors.extend(head.tensors());
        tensors
    }

    fn embeddings(&self) -> Vec<TensorSpec> {
        let (d, patch) = (self.hidden_size, self.patch_size);
        let tensor = |part: &str, shape: &[usize], role| {
            TensorSpec::new(format!("vit.embeddings.{part}"), shape, role)
        };
        vec![
            tensor("cls_token", &[1, 1, d], TensorRole::Embedding),
            tensor("position_embeddings", &[1, self.tokens(), d], TensorRole::Embedding),
            tensor(
                "patch_embeddings.projection.weight",
                &[d, self.num_channels, patch, patch],
                TensorRole::Digital,
            ),
            tensor("patch_embeddings.projection.bias", &[d], TensorRole::Digital),
        ]
    }

    fn norm(&self, name: &str) -> [TensorSpec; 2] {
        ["weight", "bias"]
            .map(|part| TensorSpec::new(format!("{name}.{part}"), &[self.hidden_size], TensorRole::Norm))
    }
}

fn divides(size: &str, found: usize, divisor: &str, by: usize) -> Result<(), ModelError> {
    if found.is_multiple_of(by) {
        return Ok(());
    }
    Err(wrong(size, found.to_string(), format!("a multiple of {divisor} ({by})")))
}

fn wrong(size: &str, found: String, expected: String) -> ModelError {
    ModelError::Architecture { size: size.to_owned(), found, expected }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Architecture;

    #[test]
    fn vit_b_16_has_85_798_656_parameters_and_769_a_class() {
        for classes in [10, 100, 1000] {
            let vit = Architecture::Vit(VitConfig::base_patch16_224(classes));
            assert_eq!(vit.parameters(), 85_798_656 + 769 * classes);
        }
        // 200 tensors and 86 567 656 values: what transformers saves for 1000 classes.
        assert_eq!(Architecture::Vit(VitConfig::base_patch16_224(1000)).tensors().len(), 200);
    }

    #[test]
    fn query_key_and_value_are_one_group_and_every_other_layer_its_own() {
        let groups = Architecture::Vit(VitConfig::base_patch16_224(10)).groups();
        assert_eq!(groups.len(), 12 * 4 + 1);
        assert_eq!(
            groups[4].iter().map(|layer| layer.name.as_str()).collect::<Vec<_>>(),
            ["query", "key", "value"].map(|part| format!("vit.encoder.layer.1.attention.attention.{part}"))
        );
        assert!(groups.iter().skip(1).take(3).all(|group| group.len() == 1));
    }
}
