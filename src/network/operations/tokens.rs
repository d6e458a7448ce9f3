//! Tokens of a transformer: embedding, attention, the class token.

use std::sync::Arc;

use burn::tensor::Tensor;

use super::super::host::{Computed, Derivative, Gradient, Operation, Values, apply};
use crate::kernel::digital::{
    attention::Attention,
    embedding::{Embedding, EmbeddingGradients, take_first_rows, take_first_rows_backward},
};

/// Attention of `qkv`, `[batch · tokens, 3 · width]` with the columns query, key, value: `[batch · tokens, width]`.
pub(in crate::network) fn attention(qkv: Tensor<2>, tokens: usize, heads: usize) -> Tensor<2> {
    apply(vec![qkv.into_dispatch()], Arc::new(Mix { tokens, heads }))
}

#[derive(Clone, Copy, Debug)]
struct Mix {
    tokens: usize,
    heads: usize,
}

impl Mix {
    fn kernel(self, qkv: &Values<'_>) -> Attention {
        let (rows, columns) = (qkv.shape[0], qkv.shape[1]);
        Attention { batch: rows / self.tokens, tokens: self.tokens, heads: self.heads, width: columns / 3 }
    }
}

impl Operation for Mix {
    fn forward(&self, inputs: &[Values<'_>], differentiate: bool) -> Computed {
        let kernel = self.kernel(&inputs[0]);
        let (y, normalisers) = kernel.forward(inputs[0].values);
        let derivative =
            differentiate.then(|| Arc::new(MixDerivative { mix: *self, normalisers }) as Arc<dyn Derivative>);
        Computed { shape: vec![inputs[0].shape[0], kernel.width], values: y, derivative }
    }

    fn retains(&self, _: usize) -> bool {
        true
    }
}

#[derive(Debug)]
struct MixDerivative {
    mix: Mix,
    normalisers: Vec<f32>,
}

impl Derivative for MixDerivative {
    fn backward(&self, inputs: &[Values<'_>], gradient: Gradient, _: &[bool]) -> Vec<Option<Vec<f32>>> {
        let gradient = gradient.values();
        let qkv = &inputs[0];
        vec![Some(self.mix.kernel(qkv).backward(qkv.values, &self.normalisers, gradient))]
    }
}

/// `patches`, `[batch · n, width]`, with the class token before those of each image and the positions added:
/// `[batch · (n + 1), width]`. `class` is `[1, width]`, `positions` `[1, (n + 1) · width]`.
pub(in crate::network) fn embed(patches: Tensor<2>, class: Tensor<2>, positions: Tensor<2>) -> Tensor<2> {
    let inputs = vec![patches.into_dispatch(), class.into_dispatch(), positions.into_dispatch()];
    apply(inputs, Arc::new(Embed))
}

#[derive(Clone, Copy, Debug)]
struct Embed;

impl Operation for Embed {
    fn forward(&self, inputs: &[Values<'_>], differentiate: bool) -> Computed {
        let (class, positions) = (inputs[1].values, inputs[2].values);
        let tokens = positions.len() / class.len();
        let rows = inputs[0].shape[0] / (tokens - 1) * tokens;
        let mut y = vec![0.0; rows * class.len()];
        Embedding { class_token: class, positions }.forward(inputs[0].values, &mut y);
        let derivative = differentiate.then(|| Arc::new(*self) as Arc<dyn Derivative>);
        Computed { shape: vec![rows, class.len()], values: y, derivative }
    }

    fn retains(&self, input: usize) -> bool {
        // Their lengths tell the sizes.
        input > 0
    }
}

impl Derivative for Embed {
    fn backward(&self, inputs: &[Values<'_>], gradient: Gradient, wanted: &[bool]) -> Vec<Option<Vec<f32>>> {
        let gradient = gradient.values();
        let (class, positions) = (inputs[1].values, inputs[2].values);
        let mut gradients: Vec<Option<Vec<f32>>> = inputs
            .iter()
            .zip(wanted)
            .map(|(input, wanted)| wanted.then(|| vec![0.0; input.shape.iter().product()]))
            .collect();
        if let [patches, class_token, place] = gradients.as_mut_slice() {
            let of = EmbeddingGradients {
                patches: patches.as_deref_mut(),
                class_token: class_token.as_deref_mut(),
                positions: place.as_deref_mut(),
            };
            Embedding { class_token: class, positions }.backward(gradient, of);
        }
        gradients
    }
}

/// Rows 0, n, 2n, … of `x`.
pub(in crate::network) fn every_nth_row(x: Tensor<2>, n: usize) -> Tensor<2> {
    apply(vec![x.into_dispatch()], Arc::new(EveryNth(n)))
}

#[derive(Clone, Copy, Debug)]
struct EveryNth(usize);

impl Operation for EveryNth {
    fn forward(&self, inputs: &[Values<'_>], differentiate: bool) -> Computed {
        let (rows, width) = (inputs[0].shape[0], inputs[0].shape[1]);
        let mut values = vec![0.0; rows / self.0 * width];
        take_first_rows(inputs[0].values, self.0, width, &mut values);
        let derivative = differentiate.then(|| Arc::new(*self) as Arc<dyn Derivative>);
        Computed { shape: vec![rows / self.0, width], values, derivative }
    }

    fn retains(&self, _: usize) -> bool {
        false
    }
}

impl Derivative for EveryNth {
    fn backward(&self, inputs: &[Values<'_>], gradient: Gradient, _: &[bool]) -> Vec<Option<Vec<f32>>> {
        let gradient = gradient.values();
        let width = inputs[0].shape[1];
        let mut gx = vec![0.0; inputs[0].shape.iter().product()];
        take_first_rows_backward(gradient, self.0, width, &mut gx);
        vec![Some(gx)]
    }
}
