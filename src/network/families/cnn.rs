//! Two convolutions, each with ReLU and a 2×2 max pool, and a hidden layer.

use burn::tensor::Tensor;

use crate::{
    kernel::digital::activation::Activation,
    model::CnnShape,
    network::{Network, NetworkError, operations, operations::Pixels, pass::Pass},
};

/// Outputs of the hidden layer.
pub(super) fn features(
    network: &Network,
    pass: &Pass<'_>,
    images: Tensor<2>,
    shape: &CnnShape,
) -> Result<Tensor<2>, NetworkError> {
    let mut pixels = Pixels { height: shape.input.height, width: shape.input.width };
    let mut x = operations::to_pixels(images, shape.input.channels, pixels);
    for name in ["conv1", "conv2"] {
        let (y, size) = network.convolve(pass, x, pixels, name)?;
        let y = operations::activation(y, Activation::Relu);
        (x, pixels) = operations::max_pool(y, size, 2, 2, 0);
    }
    let flat = operations::from_pixels(x, shape.channels[1], pixels);
    Ok(operations::activation(network.multiply(pass, flat, "fc1")?, Activation::Relu))
}
