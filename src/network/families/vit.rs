//! Vision transformer with pre-norm blocks (Dosovitskiy et al., arXiv 2010.11929).

use burn::tensor::Tensor;

use crate::{
    kernel::digital::activation::Activation,
    model::{HiddenActivation, VitConfig},
    network::{Network, NetworkError, operations, operations::Pixels, pass::Pass},
};

/// The class token after the last norm.
pub(super) fn features(
    network: &Network,
    pass: &Pass<'_>,
    images: Tensor<2>,
    config: &VitConfig,
) -> Result<Tensor<2>, NetworkError> {
    let tokens = config.tokens();
    let mut x = embed(network, pass, images, config)?;
    for index in 0..config.num_hidden_layers {
        x = block(network, pass, x, &format!("vit.encoder.layer.{index}"), config)?;
    }
    // The head reads the class token alone, and the norm works token by token.
    let class = operations::every_nth_row(x, tokens);
    network.layer_norm(pass, class, "vit.layernorm", config.layer_norm_eps as f32)
}

/// Patches through their projection, the class token before them, the position embedding added.
fn embed(
    network: &Network,
    pass: &Pass<'_>,
    images: Tensor<2>,
    config: &VitConfig,
) -> Result<Tensor<2>, NetworkError> {
    let pixels = Pixels { height: config.image_size, width: config.image_size };
    let x = operations::to_pixels(images, config.num_channels, pixels);
    let patches = operations::unroll(x, pixels, config.num_channels, config.patch_size, config.patch_size, 0);
    let projection = |part| format!("vit.embeddings.patch_embeddings.projection.{part}");
    let weight = network.parameter(pass, &projection("weight"))?;
    let bias = network.parameter(pass, &projection("bias"))?;
    let tokens = operations::linear(patches, weight, bias);
    let class = network.parameter(pass, "vit.embeddings.cls_token")?;
    let positions = network.parameter(pass, "vit.embeddings.position_embeddings")?;
    Ok(operations::embed(tokens, class, positions))
}

fn block(
    network: &Network,
    pass: &Pass<'_>,
    x: Tensor<2>,
    name: &str,
    config: &VitConfig,
) -> Result<Tensor<2>, NetworkError> {
    let epsilon = config.layer_norm_eps as f32;
    let normed = network.layer_norm(pass, x.clone(), &format!("{name}.layernorm_before"), epsilon)?;
    let qkv = network.multiply(pass, normed, &format!("{name}.attention.attention.query"))?;
    let mixed = operations::attention(qkv, config.tokens(), config.num_attention_heads);
    let x = x + network.multiply(pass, mixed, &format!("{name}.attention.output.dense"))?;
    let normed = network.layer_norm(pass, x.clone(), &format!("{name}.layernorm_after"), epsilon)?;
    let hidden = network.multiply(pass, normed, &format!("{name}.intermediate.dense"))?;
    let hidden = operations::activation(hidden, activation(config.hidden_act));
    Ok(x + network.multiply(pass, hidden, &format!("{name}.output.dense"))?)
}

fn activation(asked: HiddenActivation) -> Activation {
    match asked {
        HiddenActivation::Gelu => Activation::Gelu,
        HiddenActivation::GeluTanh => Activation::GeluTanh,
        HiddenActivation::QuickGelu => Activation::QuickGelu,
        HiddenActivation::Silu => Activation::Silu,
        HiddenActivation::Relu => Activation::Relu,
    }
}
