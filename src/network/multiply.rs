//! A group of layers in the forward pass: with a frozen base and adapters, or with a base that trains.

use std::sync::Arc;

use burn::tensor::Tensor;
use ndarray::ArrayView2;

use super::{
    Mode, Network, NetworkError,
    host::apply,
    layers::{Arithmetic, Group},
    operations::{
        Pixels, Unroll,
        layer::{AdaptedLayer, AdapterShape, Frozen, TrainedLayer},
    },
    parameters::{AdapterPart, input_range_name},
    pass::{Pass, SeenRange},
};
use crate::{
    kernel::{digital::dropout::Dropout, photonic::Execution},
    model::LayerKind,
    photonic::RangeKind,
};

impl Network {
    /// `W x + b` of the linear layers of the group `name`, side by side: `x` `[rows, in]` to `[rows, Σ out]`.
    pub(super) fn multiply(
        &self,
        pass: &Pass<'_>,
        x: Tensor<2>,
        name: &str,
    ) -> Result<Tensor<2>, NetworkError> {
        self.product(pass, x, name, None)
    }

    /// The convolution `name` of images of size `pixels`, and the size of its result.
    pub(super) fn convolve(
        &self,
        pass: &Pass<'_>,
        x: Tensor<2>,
        pixels: Pixels,
        name: &str,
    ) -> Result<(Tensor<2>, Pixels), NetworkError> {
        let group = self.group(name)?;
        let LayerKind::Conv { kernel, stride, padding } = group.kind() else {
            return Err(NetworkError::NoTensor { name: format!("{name} as a convolution") });
        };
        let channels = group.inputs() / (kernel * kernel);
        let unroll = Unroll::new(pixels, channels, kernel, stride, padding);
        let result = unroll.result();
        Ok((self.product(pass, x, name, Some(unroll))?, result))
    }

    fn product(
        &self,
        pass: &Pass<'_>,
        x: Tensor<2>,
        name: &str,
        unroll: Option<Unroll>,
    ) -> Result<Tensor<2>, NetworkError> {
        let group = self.group(name)?;
        let execution =
            Execution { seed: pass.seed_of(name), error_factor: pass.error_factor, input_range: None };
        match &group.frozen {
            None => self.with_trained_base(pass, group, x, unroll, execution),
            Some(frozen) => {
                let frozen = if self.reprograms(pass.error_factor) {
                    self.frozen(group, pass.seed_of("redraw"), pass.error_factor)?
                } else {
                    frozen.clone()
                };
                self.observe(pass, group, &frozen, &x, unroll)?;
                self.with_adapters(pass, group, frozen, x, unroll, execution)
            }
        }
    }

    fn with_adapters(
        &self,
        pass: &Pass<'_>,
        group: &Group,
        frozen: Frozen,
        x: Tensor<2>,
        unroll: Option<Unroll>,
        execution: Execution,
    ) -> Result<Tensor<2>, NetworkError> {
        let trained = |name: &str| pass.trained.get(name).cloned();
        let mut inputs = vec![x.into_dispatch()];
        let mut adapter = None;
        let [a, b] = [AdapterPart::A, AdapterPart::B].map(|part| trained(&part.name(&group.name)));
        if let (Some(a), Some(b), Some(of_pass)) = (a, b, pass.adapter) {
            let rank = b.dims()[1];
            inputs.extend([a.into_dispatch(), b.into_dispatch()]);
            let biases =
                [AdapterPart::ABias, AdapterPart::BBias].map(|part| trained(&part.name(&group.name)));
            let bias = biases.iter().all(Option::is_some);
            if bias {
                inputs.extend(biases.into_iter().flatten().map(Tensor::into_dispatch));
            }
            let probability = if pass.mode == Mode::Training { of_pass.dropout } else { 0.0 };
            let dropout = Dropout { probability, seed: pass.seed_of(&format!("{}.dropout", group.name)) };
            adapter =
                Some(AdapterShape { outputs: group.parts(), rank, factor: of_pass.factor, bias, dropout });
        }
        let range = trained(&input_range_name(&group.name)).filter(|_| self.learns_ranges());
        let learned_range = range.is_some();
        inputs.extend(range.map(Tensor::into_dispatch));
        let layer = AdaptedLayer {
            frozen,
            inputs: group.inputs(),
            outputs: group.outputs(),
            unroll,
            adapter,
            learned_range,
            execution,
        };
        Ok(apply(inputs, Arc::new(layer)))
    }

    fn with_trained_base(
        &self,
        pass: &Pass<'_>,
        group: &Group,
        x: Tensor<2>,
        unroll: Option<Unroll>,
        execution: Execution,
    ) -> Result<Tensor<2>, NetworkError> {
        let trained = |name: String| pass.trained.get(&name).cloned().ok_or(NetworkError::NoTensor { name });
        let mut inputs = vec![x.into_dispatch()];
        for layer in &group.layers {
            inputs.push(trained(layer.weight_name())?.into_dispatch());
        }
        let bias = group.layers.iter().all(|layer| layer.bias);
        if bias {
            for layer in &group.layers {
                inputs.push(trained(layer.bias_name())?.into_dispatch());
            }
        }
        let programmer = Programmer::new(self, group, pass);
        let layer = TrainedLayer {
            inputs: group.inputs(),
            outputs: group.parts(),
            bias,
            unroll,
            execution,
            program: Arc::new(move |weights: &[ArrayView2<'_, f32>]| programmer.program(weights)),
        };
        Ok(apply(inputs, Arc::new(layer)))
    }

    /// Whether ranges of input converters are learned.
    fn learns_ranges(&self) -> bool {
        matches!(self.arithmetic(), Arithmetic::Chip { chip, .. } if chip.mapping.input_range == RangeKind::Learned)
    }

    /// Notes the ranges at `group`, where the pass watches them.
    fn observe(
        &self,
        pass: &Pass<'_>,
        group: &Group,
        frozen: &Frozen,
        x: &Tensor<2>,
        unroll: Option<Unroll>,
    ) -> Result<(), NetworkError> {
        let (Some(watch), Frozen::Chip { product, input_scale }) = (pass.watch, frozen) else {
            return Ok(());
        };
        if watch.estimate_norms {
            return Ok(());
        }
        let x = super::matrix(x.clone())?;
        let mut values: Vec<f32> = x.into_raw_vec_and_offset().0;
        if let Some(unroll) = unroll {
            values = unroll.forward(&values);
        }
        if let Some(scale) = input_scale {
            for row in values.chunks_exact_mut(scale.len()) {
                row.iter_mut().zip(scale.iter()).for_each(|(x, scale)| *x *= scale);
            }
        }
        let seen = product.observe(&values);
        watch.range(&group.name, SeenRange { input: seen.input, output: seen.output });
        Ok(())
    }
}

/// Programs the weights of a group that trains, in one step.
struct Programmer {
    group: Group,
    network: Network,
    step: u64,
    error_factor: f32,
}

impl Programmer {
    fn new(network: &Network, group: &Group, pass: &Pass<'_>) -> Self {
        Self {
            group: group.unprogrammed(),
            network: network.unprogrammed(),
            step: pass.seed_of("redraw"),
            error_factor: pass.error_factor,
        }
    }

    fn program(&self, weights: &[ArrayView2<'_, f32>]) -> Frozen {
        let none = || vec![None; weights.len()];
        // These layers were programmed once when the network was built, so they can be.
        self.network
            .programmed(&self.group, weights, none(), self.step, self.error_factor)
            .unwrap_or_else(|_| Frozen::digital(weights, none()))
    }
}
