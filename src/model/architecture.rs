//! What a network is made of: sizes, tensors, and the layers that run on the processor.

mod cnn;
mod mlp;
mod resnet;
mod spec;
mod vit;

use serde::{Deserialize, Serialize};

pub use cnn::CnnShape;
pub use mlp::MlpShape;
pub use resnet::{ResNetBlock, ResNetShape, Shortcut, Stem};
pub use spec::{ImageShape, LayerKind, LayerRole, LayerSpec, TensorRole, TensorSpec};
pub use vit::{HiddenActivation, VitConfig};

use super::ModelError;

/// Family and sizes of a network. As text: the fields of the family, with `family = "mlp" | "cnn" | "resnet" | "vit"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "family", rename_all = "lowercase")]
pub enum Architecture {
    /// Multi-layer perceptron.
    Mlp(MlpShape),
    /// Two convolutions, two linear layers.
    Cnn(CnnShape),
    /// Residual network of basic blocks.
    ResNet(ResNetShape),
    /// Vision transformer.
    Vit(VitConfig),
}

impl Architecture {
    /// Refuses sizes of which no network can be made. [`super::Model::new`] calls it.
    ///
    /// # Errors
    /// The first size that cannot be, with what it may be.
    pub fn check(&self) -> Result<(), ModelError> {
        match self {
            Self::Mlp(shape) => shape.check(),
            Self::Cnn(shape) => shape.check(),
            Self::ResNet(shape) => shape.check(),
            Self::Vit(config) => config.check(),
        }
    }

    /// Every tensor, in forward order; files hold them in this order.
    #[must_use]
    pub fn tensors(&self) -> Vec<TensorSpec> {
        match self {
            Self::Mlp(shape) => shape.layers().iter().flat_map(LayerSpec::tensors).collect(),
            Self::Cnn(shape) => shape.layers().iter().flat_map(LayerSpec::tensors).collect(),
            Self::ResNet(shape) => shape.tensors(),
            Self::Vit(config) => config.tensors(),
        }
    }

    /// Every layer that runs on the processor, in forward order.
    #[must_use]
    pub fn layers(&self) -> Vec<LayerSpec> {
        match self {
            Self::Mlp(shape) => shape.layers(),
            Self::Cnn(shape) => shape.layers(),
            Self::ResNet(shape) => shape.layers(),
            Self::Vit(config) => config.layers(),
        }
    }

    /// The layers of [`Self::layers`], those together that multiply the same inputs: query, key and value of one
    /// attention. A group of three costs one input conversion instead of three.
    #[must_use]
    pub fn groups(&self) -> Vec<Vec<LayerSpec>> {
        let mut groups: Vec<Vec<LayerSpec>> = Vec::new();
        for layer in self.layers() {
            let joins = matches!(layer.role, LayerRole::Key | LayerRole::Value);
            match groups.last_mut().filter(|_| joins) {
                Some(group) => group.push(layer),
                None => groups.push(vec![layer]),
            }
        }
        groups
    }

    /// The layer `name`, e.g. `fc1`.
    #[must_use]
    pub fn layer(&self, name: &str) -> Option<LayerSpec> {
        self.layers().into_iter().find(|layer| layer.name == name)
    }

    /// Images that the network takes.
    #[must_use]
    pub fn input(&self) -> ImageShape {
        match self {
            Self::Mlp(shape) => shape.input,
            Self::Cnn(shape) => shape.input,
            Self::ResNet(shape) => shape.input,
            Self::Vit(config) => config.input(),
        }
    }

    /// The same for `classes` classes, and for images of size `input` where the family takes any; a vision transformer keeps its
    /// own size, to which images are brought.
    #[must_use]
    pub fn fitted(&self, input: Option<ImageShape>, classes: usize) -> Self {
        match self.clone() {
            Self::Mlp(shape) => Self::Mlp(MlpShape { input: input.unwrap_or(shape.input), classes, ..shape }),
            Self::Cnn(shape) => Self::Cnn(CnnShape { input: input.unwrap_or(shape.input), classes, ..shape }),
            Self::ResNet(shape) => {
                Self::ResNet(ResNetShape { input: input.unwrap_or(shape.input), classes, ..shape })
            }
            Self::Vit(config) => Self::Vit(VitConfig { classes, labels: Vec::new(), ..config }),
        }
    }

    /// Number of classes told apart.
    #[must_use]
    pub fn classes(&self) -> usize {
        match self {
            Self::Mlp(shape) => shape.classes,
            Self::Cnn(shape) => shape.classes,
            Self::ResNet(shape) => shape.classes,
            Self::Vit(config) => config.classes,
        }
    }

    /// Number of parameters: every value but the running statistics of batch norms.
    #[must_use]
    pub fn parameters(&self) -> usize {
        let counted = |tensor: &TensorSpec| tensor.role != TensorRole::RunningStatistic;
        self.tensors().iter().filter(|tensor| counted(tensor)).map(TensorSpec::values).sum()
    }

    /// Name of the family with its article, for messages.
    #[must_use]
    pub fn what(&self) -> &'static str {
        match self {
            Self::Mlp(_) => "a multi-layer perceptron",
            Self::Cnn(_) => "a convolutional network",
            Self::ResNet(_) => "a ResNet",
            Self::Vit(_) => "a vision transformer",
        }
    }
}

/// Refuses a size of zero or one that no network has: a damaged file must not ask for all memory.
fn within(size: &str, found: usize, highest: usize) -> Result<(), ModelError> {
    if (1..=highest).contains(&found) {
        return Ok(());
    }
    let expected = format!("1 to {highest}");
    Err(ModelError::Architecture { size: size.to_owned(), found: found.to_string(), expected })
}

/// Highest width or number of classes. With the two below, products of sizes stay within 64 bits.
const WIDEST: usize = 1 << 18;
/// Highest side of an image.
const LARGEST_SIDE: usize = 1 << 14;
/// Highest number of colour channels.
const MOST_CHANNELS: usize = 1 << 12;
/// Highest number of layers, blocks or stages.
const DEEPEST: usize = 1000;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn an_architecture_comes_back_from_its_text_and_unknown_fields_are_refused() {
        for architecture in [
            Architecture::Mlp(MlpShape::default()),
            Architecture::Cnn(CnnShape::default()),
            Architecture::ResNet(ResNetShape::resnet18(Stem::Cifar, 10)),
            Architecture::Vit(VitConfig::base_patch16_224(10)),
        ] {
            architecture.check().unwrap();
            let text = serde_json::to_string(&architecture).unwrap();
            assert_eq!(serde_json::from_str::<Architecture>(&text).unwrap(), architecture);
            let more = text.replacen('{', "{\"colour\":1,", 1);
            let error = serde_json::from_str::<Architecture>(&more).unwrap_err().to_string();
            assert!(error.contains("unknown field `colour`"), "{error}");
        }
    }

    #[test]
    fn layers_and_tensors_agree_in_every_family() {
        for architecture in [
            Architecture::Mlp(MlpShape::default()),
            Architecture::Cnn(CnnShape::default()),
            Architecture::ResNet(ResNetShape::resnet18(Stem::Imagenet, 1000)),
            Architecture::ResNet(ResNetShape::cifar(3, 10)),
            Architecture::Vit(VitConfig { qkv_bias: false, ..VitConfig::base_patch16_224(10) }),
        ] {
            let tensors = architecture.tensors();
            let photonic = tensors.iter().filter(|tensor| tensor.role == TensorRole::Photonic).count();
            assert_eq!(photonic, architecture.layers().len());
            for layer in architecture.layers() {
                let weight = tensors.iter().find(|tensor| tensor.name == layer.weight_name()).unwrap();
                assert_eq!(weight.shape, layer.weight_shape());
                assert_eq!(weight.values(), layer.outputs * layer.inputs);
                let bias = tensors.iter().find(|tensor| tensor.name == layer.bias_name());
                assert_eq!(bias.is_some(), layer.bias, "{}", layer.name);
            }
            let grouped: Vec<_> = architecture.groups().into_iter().flatten().collect();
            assert_eq!(grouped, architecture.layers());
        }
    }

    #[test]
    fn impossible_sizes_are_named() {
        let message = |architecture: Architecture| architecture.check().unwrap_err().to_string();
        assert_eq!(
            message(Architecture::Vit(VitConfig {
                num_attention_heads: 7,
                ..VitConfig::base_patch16_224(10)
            })),
            "hidden_size is 768, expected a multiple of num_attention_heads (7)"
        );
        assert_eq!(
            message(Architecture::Vit(VitConfig { image_size: 225, ..VitConfig::base_patch16_224(10) })),
            "image_size is 225, expected a multiple of patch_size (16)"
        );
        assert_eq!(
            message(Architecture::Mlp(MlpShape { classes: 0, ..MlpShape::default() })),
            "classes is 0, expected 1 to 262144"
        );
    }
}
