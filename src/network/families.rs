//! The forward pass of each family.

mod cnn;
mod mlp;
mod resnet;
mod vit;

use burn::tensor::Tensor;

use super::{Network, NetworkError, pass::Pass};
use crate::model::Architecture;

/// Logits, `[batch, classes]`, of `images`, `[batch, channels · height · width]`.
pub(super) fn forward(
    network: &Network,
    pass: &Pass<'_>,
    images: Tensor<2>,
) -> Result<Tensor<2>, NetworkError> {
    let head = head(network.architecture());
    let features = features(network, pass, images)?;
    network.multiply(pass, features, &head)
}

/// Inputs of the head, `[batch, features]`.
pub(super) fn features(
    network: &Network,
    pass: &Pass<'_>,
    images: Tensor<2>,
) -> Result<Tensor<2>, NetworkError> {
    match network.architecture() {
        Architecture::Mlp(shape) => mlp::features(network, pass, images, shape),
        Architecture::Cnn(shape) => cnn::features(network, pass, images, shape),
        Architecture::ResNet(shape) => resnet::features(network, pass, images, shape),
        Architecture::Vit(config) => vit::features(network, pass, images, config),
    }
}

/// Name of the classification head.
pub(super) fn head(architecture: &Architecture) -> String {
    architecture.layers().pop().map(|layer| layer.name).unwrap_or_default()
}
