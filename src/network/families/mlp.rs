//! Multi-layer perceptron: linear layers with ReLU between them.

use burn::tensor::Tensor;

use crate::{
    kernel::digital::activation::Activation,
    model::MlpShape,
    network::{Network, NetworkError, operations, pass::Pass},
};

/// Outputs of the last hidden layer.
pub(super) fn features(
    network: &Network,
    pass: &Pass<'_>,
    images: Tensor<2>,
    shape: &MlpShape,
) -> Result<Tensor<2>, NetworkError> {
    let mut x = images;
    for index in 1..=shape.hidden.len() {
        x = operations::activation(network.multiply(pass, x, &format!("fc{index}"))?, Activation::Relu);
    }
    Ok(x)
}
