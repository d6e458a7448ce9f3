//! Activations, and linear layers that are always digital.

use std::sync::Arc;

use burn::tensor::Tensor;

use super::super::host::{Computed, Derivative, Gradient, Operation, Values, apply};
use crate::kernel::digital::{
    activation::Activation,
    linear::{Linear, LinearGradients},
};

/// `f(x)`, value by value.
pub(in crate::network) fn activation(x: Tensor<2>, activation: Activation) -> Tensor<2> {
    apply(vec![x.into_dispatch()], Arc::new(Pointwise(activation)))
}

#[derive(Clone, Copy, Debug)]
struct Pointwise(Activation);

impl Operation for Pointwise {
    fn forward(&self, inputs: &[Values<'_>], differentiate: bool) -> Computed {
        let y = self.0.forward(inputs[0].values);
        let derivative = differentiate.then(|| Arc::new(*self) as Arc<dyn Derivative>);
        Computed { shape: inputs[0].shape.to_vec(), values: y, derivative }
    }

    fn retains(&self, _: usize) -> bool {
        true
    }
}

impl Derivative for Pointwise {
    fn backward(&self, inputs: &[Values<'_>], gradient: Gradient, _: &[bool]) -> Vec<Option<Vec<f32>>> {
        let mut gradient = gradient.into_values();
        self.0.backward(inputs[0].values, &mut gradient);
        vec![Some(gradient)]
    }
}

/// `x Wᵀ + b` in f32: `x` `[rows, in]`, `weight` `[out, in]`, `bias` `[1, out]`.
pub(in crate::network) fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<2>) -> Tensor<2> {
    let inputs = vec![x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch()];
    apply(inputs, Arc::new(DigitalLinear))
}

#[derive(Clone, Copy, Debug)]
struct DigitalLinear;

fn layer<'a>(inputs: &[Values<'a>]) -> Linear<'a> {
    let width = inputs[1].shape.last().copied().unwrap_or(1);
    Linear { weight: inputs[1].values, bias: Some(inputs[2].values), inputs: width }
}

impl Operation for DigitalLinear {
    fn forward(&self, inputs: &[Values<'_>], differentiate: bool) -> Computed {
        let (rows, outputs) = (inputs[0].shape[0], inputs[2].values.len());
        let mut y = vec![0.0; rows * outputs];
        layer(inputs).forward(inputs[0].values, &mut y);
        let derivative = differentiate.then(|| Arc::new(*self) as Arc<dyn Derivative>);
        Computed { shape: vec![rows, outputs], values: y, derivative }
    }

    fn retains(&self, _: usize) -> bool {
        true
    }
}

impl Derivative for DigitalLinear {
    fn backward(&self, inputs: &[Values<'_>], gradient: Gradient, wanted: &[bool]) -> Vec<Option<Vec<f32>>> {
        let gradient = gradient.values();
        let mut gradients: Vec<Option<Vec<f32>>> = inputs
            .iter()
            .zip(wanted)
            .map(|(input, wanted)| wanted.then(|| vec![0.0; input.values.len()]))
            .collect();
        if let [x, weight, bias] = gradients.as_mut_slice() {
            let wanted = LinearGradients {
                x: x.as_deref_mut(),
                weight: weight.as_deref_mut(),
                bias: bias.as_deref_mut(),
            };
            layer(inputs).backward(inputs[0].values, gradient, wanted);
        }
        gradients
    }
}
