//! AdamW over a list of matrices.

use burn::{
    optim::{AdamW, AdamWConfig, AdamWState, Optimizer},
    tensor::{Gradients, Tensor},
};
use ndarray::Array2;

use super::{
    FinetuneError,
    linear::{array, constant},
};

/// Matrices that train, with the state of AdamW (Loshchilov and Hutter, arXiv 1711.05101).
pub(super) struct Trained {
    tensors: Vec<Tensor<2>>,
    states: Vec<Option<AdamWState<2>>>,
    adamw: AdamW,
    learning_rate: f64,
}

impl Trained {
    pub(super) fn new(
        values: Vec<Array2<f32>>,
        learning_rate: f64,
        weight_decay: f64,
        device: &burn::tensor::Device,
    ) -> Self {
        let tensors: Vec<_> =
            values.into_iter().map(|values| constant(values, device).require_grad()).collect();
        let adamw = AdamWConfig::new().with_epsilon(1e-8).with_weight_decay(weight_decay as f32).build();
        Self { states: tensors.iter().map(|_| None).collect(), tensors, adamw, learning_rate }
    }

    /// The tensors, to compute with.
    pub(super) fn tensors(&self) -> &[Tensor<2>] {
        &self.tensors
    }

    /// One step down the gradient of `loss`, with the learning rate times `factor`.
    pub(super) fn step(&mut self, loss: &Tensor<1>, factor: f64) {
        let mut gradients: Gradients = loss.backward();
        for (tensor, state) in self.tensors.iter_mut().zip(&mut self.states) {
            // A tensor without a gradient had no part in this loss.
            let Some(gradient) = tensor.grad_remove(&mut gradients) else { continue };
            let rate = self.learning_rate * factor;
            let (stepped, next) = self.adamw.step(rate, tensor.clone().inner(), gradient, state.take());
            *state = next;
            *tensor = Tensor::from_inner(stepped).autodiff().require_grad();
        }
    }

    /// The values.
    pub(super) fn values(&self) -> Result<Vec<Array2<f32>>, FinetuneError> {
        self.tensors.iter().cloned().map(array).collect()
    }
}
