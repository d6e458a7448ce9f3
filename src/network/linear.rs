//! One photonic linear layer on burn, outside a network: for benchmarks, validation, and models of one's own.

use std::sync::Arc;

use burn::tensor::Tensor;
use ndarray::ArrayView2;

use super::{
    NetworkError,
    host::apply,
    operations::layer::{AdaptedLayer, AdapterShape, Frozen},
    programming::{converters, product},
    ranges::ConverterRanges,
};
use crate::{
    kernel::{digital::dropout::Dropout, photonic::Execution},
    photonic::{ChipModel, Draw, programmed},
};

/// The product of a linear layer with frozen weights on a chip, straight-through backward.
#[derive(Clone, Debug)]
pub struct PhotonicLinear {
    frozen: Frozen,
    inputs: usize,
    outputs: usize,
}

impl PhotonicLinear {
    /// Programs `weight`, `[out, in]`, the `layer`-th of its network (frozen errors differ between layers), with the digital `bias`,
    /// `[out]`. Errors per step are drawn once, for step 0.
    ///
    /// # Errors
    /// A chip that cannot be computed, a matrix without weights, or static ranges.
    pub fn new(
        weight: ArrayView2<'_, f32>,
        bias: Option<Vec<f32>>,
        chip: &ChipModel,
        layer: u64,
    ) -> Result<Self, NetworkError> {
        chip.check()?;
        let (outputs, inputs) = weight.dim();
        let mut part = programmed(weight, chip, Draw { layer, step: 0, factor: 1.0 })?;
        part.bias = bias;
        let converters = converters(chip, &ConverterRanges::default(), "the layer")?;
        let product = Arc::new(product(chip, inputs, vec![part], converters));
        Ok(Self { frozen: Frozen::Chip { product, input_scale: None }, inputs, outputs })
    }

    /// `x Wᵀ + b` as the chip computes it, for `x` `[rows, in]`: `[rows, out]`. `seed` is for what is drawn anew.
    #[must_use]
    pub fn forward(&self, x: Tensor<2>, seed: u64) -> Tensor<2> {
        apply(vec![x.into_dispatch()], Arc::new(self.layer(None, seed)))
    }

    /// The same with an adapter beside it: `+ factor · B (A x)`, `a` `[k, in]`, `b` `[out, k]`.
    #[must_use]
    pub fn forward_adapted(
        &self,
        x: Tensor<2>,
        a: Tensor<2>,
        b: Tensor<2>,
        factor: f32,
        seed: u64,
    ) -> Tensor<2> {
        let rank = b.dims()[1];
        let shape =
            AdapterShape { outputs: vec![self.outputs], rank, factor, bias: false, dropout: Dropout::OFF };
        let inputs = [x, a, b].map(Tensor::into_dispatch).to_vec();
        apply(inputs, Arc::new(self.layer(Some(shape), seed)))
    }

    fn layer(&self, adapter: Option<AdapterShape>, seed: u64) -> AdaptedLayer {
        AdaptedLayer {
            frozen: self.frozen.clone(),
            inputs: self.inputs,
            outputs: self.outputs,
            unroll: None,
            adapter,
            learned_range: false,
            execution: Execution { seed, error_factor: 1.0, input_range: None },
        }
    }
}
