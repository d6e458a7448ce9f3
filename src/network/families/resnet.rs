//! Residual networks of basic blocks (He et al., arXiv 1512.03385).

use burn::tensor::Tensor;

use crate::{
    kernel::digital::activation::Activation,
    model::{ResNetBlock, ResNetShape, Shortcut, Stem},
    network::{Network, NetworkError, operations, operations::Pixels, pass::Pass},
};

const EPSILON: f32 = ResNetShape::BATCH_NORM_EPS as f32;

/// Mean over the pixels of the last block's outputs.
pub(super) fn features(
    network: &Network,
    pass: &Pass<'_>,
    images: Tensor<2>,
    shape: &ResNetShape,
) -> Result<Tensor<2>, NetworkError> {
    let pixels = Pixels { height: shape.input.height, width: shape.input.width };
    let x = operations::to_pixels(images, shape.input.channels, pixels);
    let (x, mut pixels) = network.convolve(pass, x, pixels, "conv1")?;
    let mut x = relu(network.batch_norm(pass, x, "bn1", EPSILON)?);
    if shape.stem == Stem::Imagenet {
        (x, pixels) = operations::max_pool(x, pixels, 3, 2, 1);
    }
    for block in shape.blocks_in_order() {
        (x, pixels) = basic_block(network, pass, x, pixels, &block)?;
    }
    Ok(operations::mean_pool(x, pixels))
}

fn basic_block(
    network: &Network,
    pass: &Pass<'_>,
    x: Tensor<2>,
    pixels: Pixels,
    block: &ResNetBlock,
) -> Result<(Tensor<2>, Pixels), NetworkError> {
    let name = &block.name;
    let (y, size) = network.convolve(pass, x.clone(), pixels, &format!("{name}.conv1"))?;
    let y = relu(network.batch_norm(pass, y, &format!("{name}.bn1"), EPSILON)?);
    let (y, size) = network.convolve(pass, y, size, &format!("{name}.conv2"))?;
    let y = network.batch_norm(pass, y, &format!("{name}.bn2"), EPSILON)?;
    let shortcut = match block.shortcut {
        None => x,
        Some(Shortcut::Pad) => operations::pad_shortcut(x, pixels, block.inputs, block.outputs),
        Some(Shortcut::Projection) => {
            let (down, _) = network.convolve(pass, x, pixels, &format!("{name}.downsample.0"))?;
            network.batch_norm(pass, down, &format!("{name}.downsample.1"), EPSILON)?
        }
    };
    Ok((relu(y + shortcut), size))
}

fn relu(x: Tensor<2>) -> Tensor<2> {
    operations::activation(x, Activation::Relu)
}
