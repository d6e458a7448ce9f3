//! What trains, with the state of AdamW.

use std::collections::BTreeMap;

use burn::{
    optim::{AdamW, AdamWConfig, AdamWState, AdaptiveMomentumState, Optimizer},
    tensor::{Gradients, Tensor},
};

use ndarray::Array2;

use super::FinetuneError;
use crate::network::{constant, matrix};

/// Named matrices that train (Loshchilov and Hutter, arXiv 1711.05101).
pub struct Trained {
    tensors: BTreeMap<String, Tensor<2>>,
    states: BTreeMap<String, AdamWState<2>>,
    adamw: AdamW,
}

/// Moments of one matrix, as a checkpoint keeps them.
pub(super) struct Moments {
    pub(super) first: Array2<f32>,
    pub(super) second: Array2<f32>,
}

impl Trained {
    /// `values` by name; `device` differentiates.
    #[must_use]
    pub fn new(
        values: BTreeMap<String, Array2<f32>>,
        weight_decay: f64,
        device: &burn::tensor::Device,
    ) -> Self {
        let tensors =
            values.into_iter().map(|(name, values)| (name, constant(values, device).require_grad()));
        let adamw = AdamWConfig::new().with_epsilon(1e-8).with_weight_decay(weight_decay as f32).build();
        Self { tensors: tensors.collect(), states: BTreeMap::new(), adamw }
    }

    /// The tensors, to compute with.
    #[must_use]
    pub fn tensors(&self) -> &BTreeMap<String, Tensor<2>> {
        &self.tensors
    }

    /// The tensors without their graph, to evaluate with.
    pub(super) fn frozen(&self) -> BTreeMap<String, Tensor<2>> {
        self.tensors.iter().map(|(name, tensor)| (name.clone(), tensor.clone().inner())).collect()
    }

    /// One step down the gradient of `loss` with the learning rate `rate`; gradients are scaled down to the norm `most` (0: as
    /// they are).
    ///
    /// # Errors
    /// Gradients that cannot be read.
    pub fn step(&mut self, loss: &Tensor<1>, rate: f64, most: f64) -> Result<(), FinetuneError> {
        let mut gradients: Gradients = loss.backward();
        let mut found = Vec::new();
        for (name, tensor) in &self.tensors {
            // A tensor without a gradient had no part in this loss.
            if let Some(gradient) = tensor.grad_remove(&mut gradients) {
                found.push((name.clone(), gradient));
            }
        }
        let factor = if most > 0.0 { norm_factor(&found, most)? } else { 1.0 };
        for (name, gradient) in found {
            let gradient = if factor < 1.0 { gradient.mul_scalar(factor) } else { gradient };
            let Some(tensor) = self.tensors.get_mut(&name) else { continue };
            let state = self.states.remove(&name);
            let (stepped, state) = self.adamw.step(rate, tensor.clone().inner(), gradient, state);
            if let Some(state) = state {
                self.states.insert(name, state);
            }
            *tensor = Tensor::from_inner(stepped).autodiff().require_grad();
        }
        Ok(())
    }

    /// The values by name.
    ///
    /// # Errors
    /// Tensors that cannot be read.
    pub fn values(&self) -> Result<BTreeMap<String, Array2<f32>>, FinetuneError> {
        self.tensors
            .iter()
            .map(|(name, tensor)| Ok((name.clone(), matrix(tensor.clone().inner())?)))
            .collect()
    }

    /// Steps that AdamW took for each matrix, and its moments.
    pub(super) fn moments(&self) -> Result<BTreeMap<String, (usize, Moments)>, FinetuneError> {
        let moments = |state: &AdamWState<2>| {
            let momentum = &state.momentum;
            let first = matrix(momentum.moment_1.clone())?;
            Ok::<_, FinetuneError>((
                momentum.time,
                Moments { first, second: matrix(momentum.moment_2.clone())? },
            ))
        };
        self.states.iter().map(|(name, state)| Ok((name.clone(), moments(state)?))).collect()
    }

    /// Goes on from values and moments of a checkpoint.
    pub(super) fn restore(
        &mut self,
        values: BTreeMap<String, Array2<f32>>,
        moments: BTreeMap<String, (usize, Moments)>,
        device: &burn::tensor::Device,
    ) {
        for (name, values) in values {
            self.tensors.insert(name, constant(values, device).require_grad());
        }
        let plain = device.clone();
        self.states = moments
            .into_iter()
            .map(|(name, (time, Moments { first, second }))| {
                let tensor = |values| constant(values, &plain).inner();
                let state = AdaptiveMomentumState::new(time, tensor(first), tensor(second));
                (name, AdamWState::new(state))
            })
            .collect();
    }
}

/// Factor that brings the norm of all gradients together down to `most`.
fn norm_factor(gradients: &[(String, Tensor<2>)], most: f64) -> Result<f64, FinetuneError> {
    let mut squares = 0.0;
    for (_, gradient) in gradients {
        squares += matrix(gradient.clone())?.iter().map(|&g| f64::from(g) * f64::from(g)).sum::<f64>();
    }
    Ok((most / squares.sqrt().max(f64::MIN_POSITIVE)).min(1.0))
}
