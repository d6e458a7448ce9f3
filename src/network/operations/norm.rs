//! Layer norm and batch norm.

use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::Tensor;

use super::super::{
    Network, NetworkError,
    host::{Computed, Derivative, Gradient, Operation, Values, apply},
    pass::{BatchMoments, Pass},
};
use crate::kernel::digital::{
    batch_norm::{BatchNorm, ChannelMoments, Statistics},
    layer_norm::{AffineGradients, LayerNorm, RowMoments},
};

impl Network {
    /// The layer norm `name` of each row of `x`.
    pub(in crate::network) fn layer_norm(
        &self,
        pass: &Pass<'_>,
        x: Tensor<2>,
        name: &str,
        epsilon: f32,
    ) -> Result<Tensor<2>, NetworkError> {
        let gamma = self.parameter(pass, &format!("{name}.weight"))?;
        let beta = self.parameter(pass, &format!("{name}.bias"))?;
        let inputs = vec![x.into_dispatch(), gamma.into_dispatch(), beta.into_dispatch()];
        Ok(apply(inputs, Arc::new(RowNorm { epsilon })))
    }

    /// The batch norm `name` of each column of `x`: by its running statistics, or by those of the batch where the pass watches
    /// norms, which then notes them.
    pub(in crate::network) fn batch_norm(
        &self,
        pass: &Pass<'_>,
        x: Tensor<2>,
        name: &str,
        epsilon: f32,
    ) -> Result<Tensor<2>, NetworkError> {
        let part = |part: &str| self.parameter(pass, &format!("{name}.{part}"));
        let tensors = [x, part("weight")?, part("bias")?, part("running_mean")?, part("running_var")?];
        let rows = tensors[0].dims()[0];
        let seen = Arc::new(Mutex::new(None));
        let watch = pass.watch.filter(|watch| watch.estimate_norms);
        let norm = ColumnNorm { epsilon, of_batch: watch.is_some(), seen: Arc::clone(&seen) };
        let y = apply(tensors.into_iter().map(Tensor::into_dispatch).collect(), Arc::new(norm));
        let seen = seen.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let (Some(watch), Some(moments)) = (watch, seen) {
            watch.moments(name, BatchMoments { rows, moments });
        }
        Ok(y)
    }
}

#[derive(Clone, Copy, Debug)]
struct RowNorm {
    epsilon: f32,
}

impl RowNorm {
    fn kernel<'a>(self, inputs: &[Values<'a>]) -> LayerNorm<'a> {
        LayerNorm { gamma: inputs[1].values, beta: inputs[2].values, epsilon: self.epsilon }
    }
}

impl Operation for RowNorm {
    fn forward(&self, inputs: &[Values<'_>], differentiate: bool) -> Computed {
        let mut y = vec![0.0; inputs[0].values.len()];
        let moments = self.kernel(inputs).forward(inputs[0].values, &mut y);
        let derivative = differentiate
            .then(|| Arc::new(RowNormDerivative { norm: *self, moments }) as Arc<dyn Derivative>);
        Computed { shape: inputs[0].shape.to_vec(), values: y, derivative }
    }

    fn retains(&self, _: usize) -> bool {
        true
    }
}

#[derive(Debug)]
struct RowNormDerivative {
    norm: RowNorm,
    moments: RowMoments,
}

impl Derivative for RowNormDerivative {
    fn backward(&self, inputs: &[Values<'_>], gradient: Gradient, wanted: &[bool]) -> Vec<Option<Vec<f32>>> {
        let gradient = gradient.values();
        let mut gx = vec![0.0; inputs[0].values.len()];
        let features = inputs[1].values.len();
        let (mut gamma, mut beta) = (vec![0.0; features], vec![0.0; features]);
        let trains = wanted.iter().skip(1).any(|wanted| *wanted);
        let parameters = trains.then(|| AffineGradients { gamma: &mut gamma, beta: &mut beta });
        self.norm.kernel(inputs).backward(inputs[0].values, &self.moments, gradient, &mut gx, parameters);
        vec![Some(gx), trains.then_some(gamma), trains.then_some(beta)]
    }
}

/// Inputs: `x`, scale, shift, running mean, running variance.
#[derive(Clone, Debug)]
struct ColumnNorm {
    epsilon: f32,
    of_batch: bool,
    /// Moments of the batch, for the running statistics.
    seen: Arc<Mutex<Option<ChannelMoments>>>,
}

impl ColumnNorm {
    fn kernel<'a>(&self, inputs: &[Values<'a>]) -> BatchNorm<'a> {
        BatchNorm { gamma: inputs[1].values, beta: inputs[2].values, epsilon: self.epsilon }
    }
}

impl Operation for ColumnNorm {
    fn forward(&self, inputs: &[Values<'_>], differentiate: bool) -> Computed {
        let x = inputs[0].values;
        let mut y = vec![0.0; x.len()];
        let norm = self.kernel(inputs);
        let moments = if self.of_batch {
            let moments = ChannelMoments::of_batch(x, inputs[1].values.len());
            *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(moments.clone());
            moments
        } else {
            ChannelMoments { mean: inputs[3].values.to_vec(), variance: inputs[4].values.to_vec() }
        };
        norm.forward(x, &moments, &mut y);
        let derivative = differentiate
            .then(|| Arc::new(ColumnNormDerivative { norm: self.clone(), moments }) as Arc<dyn Derivative>);
        Computed { shape: inputs[0].shape.to_vec(), values: y, derivative }
    }

    fn retains(&self, _: usize) -> bool {
        true
    }
}

#[derive(Debug)]
struct ColumnNormDerivative {
    norm: ColumnNorm,
    moments: ChannelMoments,
}

impl Derivative for ColumnNormDerivative {
    fn backward(&self, inputs: &[Values<'_>], gradient: Gradient, wanted: &[bool]) -> Vec<Option<Vec<f32>>> {
        let gradient = gradient.values();
        let x = inputs[0].values;
        let mut gx = vec![0.0; x.len()];
        let channels = inputs[1].values.len();
        let (mut gamma, mut beta) = (vec![0.0; channels], vec![0.0; channels]);
        let trains = wanted.iter().skip(1).any(|wanted| *wanted);
        let parameters = trains.then(|| AffineGradients { gamma: &mut gamma, beta: &mut beta });
        let norm = self.norm.kernel(inputs);
        let statistics = if self.norm.of_batch { Statistics::Batch } else { Statistics::Running };
        norm.backward(x, (&self.moments, statistics), gradient, &mut gx, parameters);
        vec![Some(gx), trains.then_some(gamma), trains.then_some(beta), None, None]
    }
}
