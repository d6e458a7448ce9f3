//! Words for layers and tensors.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{LARGEST_SIDE, MOST_CHANNELS, within};
use crate::model::ModelError;

/// Size of an image; its values are ordered channel, row, column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageShape {
    /// Colour channels.
    pub channels: usize,
    /// Rows of pixels.
    pub height: usize,
    /// Columns of pixels.
    pub width: usize,
}

impl ImageShape {
    /// Pixels of one channel.
    #[must_use]
    pub const fn plane(&self) -> usize {
        self.height * self.width
    }

    /// Number of values, channels · height · width.
    #[must_use]
    pub const fn values(&self) -> usize {
        self.channels * self.height * self.width
    }

    pub(super) fn check(&self) -> Result<(), ModelError> {
        within("input.channels", self.channels, MOST_CHANNELS)?;
        within("input.height", self.height, LARGEST_SIDE)?;
        within("input.width", self.width, LARGEST_SIDE)
    }
}

impl fmt::Display for ImageShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} × {} × {}", self.channels, self.height, self.width)
    }
}

/// What a tensor is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TensorRole {
    /// Weight of a layer that runs on the processor.
    Photonic,
    /// Bias of such a layer, added digitally.
    Bias,
    /// Weight or bias of a projection that stays digital.
    Digital,
    /// Scale or shift of a norm.
    Norm,
    /// Class token or position embedding.
    Embedding,
    /// Running mean or variance of a batch norm; not a parameter.
    RunningStatistic,
}

/// One tensor of an architecture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TensorSpec {
    /// Name in files.
    pub name: String,
    /// Shape.
    pub shape: Vec<usize>,
    /// Use.
    pub role: TensorRole,
}

impl TensorSpec {
    pub(super) fn new(name: impl Into<String>, shape: &[usize], role: TensorRole) -> Self {
        Self { name: name.into(), shape: shape.to_vec(), role }
    }

    /// Number of values.
    #[must_use]
    pub fn values(&self) -> usize {
        self.shape.iter().product()
    }
}

/// How a layer multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LayerKind {
    /// `W x`.
    Linear,
    /// `W` times the unrolled patches of an image.
    Conv {
        /// Side of the square kernel.
        kernel: usize,
        /// Step between patches.
        stride: usize,
        /// Zeros added on every side.
        padding: usize,
    },
}

/// Place of a layer in its network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LayerRole {
    /// Attention query.
    Query,
    /// Attention key.
    Key,
    /// Attention value.
    Value,
    /// Projection after the attention.
    AttentionOutput,
    /// First linear layer of a transformer block.
    Fc1,
    /// Second linear layer of a transformer block.
    Fc2,
    /// Convolution.
    Conv,
    /// 1×1 convolution on the shortcut of a residual block.
    Shortcut,
    /// Linear layer before the last.
    Hidden,
    /// Classification head.
    Head,
}

/// One layer that runs on the processor: a matrix `[outputs, inputs]`, and a bias added digitally.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LayerSpec {
    /// Prefix of its tensors, e.g. `fc1` or `vit.encoder.layer.0.attention.attention.query`.
    pub name: String,
    /// How it multiplies.
    pub kind: LayerKind,
    /// Rows of its matrix.
    pub outputs: usize,
    /// Columns of its matrix; for a convolution channels · kernel², ordered channel, row, column.
    pub inputs: usize,
    /// Whether it has a bias.
    pub bias: bool,
    /// Place in the network.
    pub role: LayerRole,
}

impl LayerSpec {
    pub(super) fn linear(name: impl Into<String>, outputs: usize, inputs: usize, role: LayerRole) -> Self {
        Self { name: name.into(), kind: LayerKind::Linear, outputs, inputs, bias: true, role }
    }

    /// `W`.
    #[must_use]
    pub fn weight_name(&self) -> String {
        format!("{}.weight", self.name)
    }

    /// `b`, if there is one.
    #[must_use]
    pub fn bias_name(&self) -> String {
        format!("{}.bias", self.name)
    }

    /// Shape of the weight in files: `[outputs, inputs]`, or `[outputs, channels, kernel, kernel]`.
    #[must_use]
    pub fn weight_shape(&self) -> Vec<usize> {
        match self.kind {
            LayerKind::Linear => vec![self.outputs, self.inputs],
            LayerKind::Conv { kernel, .. } => {
                vec![self.outputs, self.inputs / (kernel * kernel), kernel, kernel]
            }
        }
    }

    /// Number of weights and biases.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.outputs * self.inputs + if self.bias { self.outputs } else { 0 }
    }

    pub(super) fn tensors(&self) -> Vec<TensorSpec> {
        let mut tensors =
            vec![TensorSpec::new(self.weight_name(), &self.weight_shape(), TensorRole::Photonic)];
        if self.bias {
            tensors.push(TensorSpec::new(self.bias_name(), &[self.outputs], TensorRole::Bias));
        }
        tensors
    }
}
