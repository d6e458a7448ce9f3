//! Layers that run on the chip: the product of a group with a frozen base and adapters beside it, or with a base that trains.

use std::sync::Arc;

use ndarray::ArrayView2;
use rayon::prelude::*;

use super::super::host::{Computed, Derivative, Gradient, Operation, Values};
use super::convolution::Unroll;
use crate::kernel::{
    digital::{
        adapter::{AdapterGradients, GroupAdapter, PreparedAdapter},
        add_column_sums,
        dropout::Dropout,
        linear::{Linear, LinearGradients},
        matmul::{Update, matmul_tn},
    },
    photonic::{BACKWARD_ROWS, Execution, InputGradient, Product},
};

/// What multiplies with weights that do not change.
#[derive(Clone, Debug)]
pub(in crate::network) enum Frozen {
    /// f32.
    Digital(Arc<DigitalLayer>),
    /// A simulated chip.
    Chip {
        /// Weights as programmed.
        product: Arc<Product>,
        /// Digital factors on the inputs.
        input_scale: Option<Arc<Vec<f32>>>,
    },
}

/// Weights of a group in f32.
#[derive(Debug)]
pub(in crate::network) struct DigitalLayer {
    inputs: usize,
    /// `[Σ out, in]`.
    weight: Vec<f32>,
    /// `[Σ out]`.
    bias: Vec<f32>,
}

impl Frozen {
    /// `weights`, `[out, in]` each, stacked.
    pub(in crate::network) fn digital(
        weights: &[ArrayView2<'_, f32>],
        biases: Vec<Option<Vec<f32>>>,
    ) -> Self {
        let inputs = weights.first().map_or(0, ArrayView2::ncols);
        let mut layer = DigitalLayer { inputs, weight: Vec::new(), bias: Vec::new() };
        for (weight, bias) in weights.iter().zip(biases) {
            layer.weight.extend(weight.iter());
            layer.bias.extend(bias.unwrap_or_else(|| vec![0.0; weight.nrows()]));
        }
        Self::Digital(Arc::new(layer))
    }

    fn forward(&self, x: &[f32], execution: &Execution) -> Vec<f32> {
        self.forward_with(x, execution, |_, _| ()).0
    }

    /// The outputs; `finish` gets each few rows of them, with the number of the first, as soon as they are there.
    fn forward_with<T: Send>(
        &self,
        x: &[f32],
        execution: &Execution,
        finish: impl Fn(usize, &mut [f32]) -> T + Sync,
    ) -> (Vec<f32>, Vec<T>) {
        match self {
            Self::Digital(layer) => {
                let mut y = layer.forward(x);
                let finished = by_rows(&mut y, layer.outputs(), finish);
                (y, finished)
            }
            Self::Chip { product, input_scale: None } => product.forward_with(x, execution, finish),
            Self::Chip { product, input_scale: Some(scale) } => {
                product.forward_with(&times(x, scale), execution, finish)
            }
        }
    }

    /// Gradients by `x` and by a learned input range; `finish` gets each [`BACKWARD_ROWS`] rows of that by `x`, with the number of
    /// the first, as soon as they are there.
    fn backward_with<T: Send>(
        &self,
        x: &[f32],
        gradient: &[f32],
        execution: &Execution,
        finish: impl Fn(usize, &mut [f32]) -> T + Sync,
    ) -> (InputGradient, Vec<T>) {
        match self {
            Self::Digital(layer) => {
                let mut x = layer.backward_input(gradient);
                let finished = by_rows(&mut x, layer.inputs, finish);
                (InputGradient { x, range: None }, finished)
            }
            Self::Chip { product, input_scale: None } => {
                product.backward_with(x, gradient, execution, finish)
            }
            Self::Chip { product, input_scale: Some(scale) } => {
                let scaled = if x.is_empty() { Vec::new() } else { times(x, scale) };
                product.backward_with(&scaled, gradient, execution, |first, rows| {
                    for row in rows.chunks_exact_mut(scale.len()) {
                        row.iter_mut().zip(scale.iter()).for_each(|(gradient, scale)| *gradient *= scale);
                    }
                    finish(first, rows)
                })
            }
        }
    }

    /// `x` as the input converter sent it; `None` where there is none. With digital factors the chip holds `W/c` and gets
    /// `c · x`: what stands beside `W` is what was sent, over `c`.
    fn sent(&self, x: &[f32]) -> Option<Vec<f32>> {
        match self {
            Self::Digital(_) => None,
            Self::Chip { product, input_scale: None } => Some(product.sent(x)),
            Self::Chip { product, input_scale: Some(scale) } => {
                let mut sent = product.sent(&times(x, scale));
                for row in sent.chunks_exact_mut(scale.len()) {
                    row.iter_mut().zip(scale.iter()).for_each(|(sent, scale)| *sent /= scale);
                }
                Some(sent)
            }
        }
    }

    /// Whether the backward pass reads the inputs.
    fn reads_inputs(&self) -> bool {
        matches!(self, Self::Chip { product, .. } if product.has_static_input_range())
    }
}

impl DigitalLayer {
    fn linear(&self) -> Linear<'_> {
        Linear { weight: &self.weight, bias: Some(&self.bias), inputs: self.inputs }
    }

    fn outputs(&self) -> usize {
        self.bias.len()
    }

    fn forward(&self, x: &[f32]) -> Vec<f32> {
        let rows = x.len() / self.inputs.max(1);
        let mut y = vec![0.0; rows * self.outputs()];
        self.linear().forward(x, &mut y);
        y
    }

    fn backward_input(&self, gradient: &[f32]) -> Vec<f32> {
        let rows = gradient.len() / self.outputs().max(1);
        let mut x = vec![0.0; rows * self.inputs];
        self.linear().backward(&[], gradient, LinearGradients { x: Some(&mut x), ..Default::default() });
        x
    }
}

/// Gives each [`BACKWARD_ROWS`] rows of `width` numbers to `finish`, with the number of the first.
fn by_rows<T: Send>(
    values: &mut [f32],
    width: usize,
    finish: impl Fn(usize, &mut [f32]) -> T + Sync,
) -> Vec<T> {
    let tasks = values.par_chunks_mut(BACKWARD_ROWS * width.max(1)).enumerate();
    tasks.map(|(task, rows)| finish(task * BACKWARD_ROWS, rows)).collect()
}

/// Every row of `x` times `scale`.
fn times(x: &[f32], scale: &[f32]) -> Vec<f32> {
    x.chunks_exact(scale.len()).flat_map(|row| row.iter().zip(scale).map(|(x, scale)| x * scale)).collect()
}

/// Adapters beside a group.
#[derive(Clone, Debug)]
pub(in crate::network) struct AdapterShape {
    /// Outputs of each layer.
    pub(in crate::network) outputs: Vec<usize>,
    pub(in crate::network) rank: usize,
    /// `α/k`.
    pub(in crate::network) factor: f32,
    /// Whether `A` and `B` have biases.
    pub(in crate::network) bias: bool,
    pub(in crate::network) dropout: Dropout,
}

/// `y = frozen(x) + adapters(x)`. Inputs: `x`, then `A`, `B` and their biases where there are adapters, then the input range where
/// it is learned.
#[derive(Clone, Debug)]
pub(in crate::network) struct AdaptedLayer {
    pub(in crate::network) frozen: Frozen,
    pub(in crate::network) inputs: usize,
    pub(in crate::network) outputs: usize,
    pub(in crate::network) unroll: Option<Unroll>,
    pub(in crate::network) adapter: Option<AdapterShape>,
    /// Whether the last input is the range of the input converter.
    pub(in crate::network) learned_range: bool,
    pub(in crate::network) execution: Execution,
}

impl AdaptedLayer {
    /// Place of the input range among the inputs.
    fn range_place(&self) -> Option<usize> {
        let adapter = self.adapter.as_ref().map_or(0, |adapter| if adapter.bias { 4 } else { 2 });
        self.learned_range.then_some(1 + adapter)
    }

    /// The execution with the range as it stands.
    fn execution(&self, inputs: &[Values<'_>]) -> Execution {
        let range = self.range_place().and_then(|place| inputs.get(place)?.values.first());
        Execution { input_range: range.copied(), ..self.execution }
    }

    fn group_adapter<'a>(&'a self, shape: &'a AdapterShape, inputs: &[Values<'a>]) -> GroupAdapter<'a> {
        let at = |place: usize| inputs.get(place).map_or(&[][..], |input| input.values);
        GroupAdapter {
            inputs: self.inputs,
            outputs: &shape.outputs,
            rank: shape.rank,
            factor: shape.factor,
            a: at(1),
            b: at(2),
            a_bias: shape.bias.then(|| at(3)),
            b_bias: shape.bias.then(|| at(4)),
            dropout: shape.dropout,
        }
    }
}

impl Operation for AdaptedLayer {
    fn forward(&self, inputs: &[Values<'_>], differentiate: bool) -> Computed {
        let unrolled = self.unroll.map(|unroll| unroll.forward(inputs[0].values));
        let x = unrolled.as_deref().unwrap_or(inputs[0].values);
        let rows = x.len() / self.inputs.max(1);
        let execution = self.execution(inputs);
        let (y, adapted) = match &self.adapter {
            None => (self.frozen.forward(x, &execution), None),
            Some(shape) => {
                let adapter = self.group_adapter(shape, inputs).prepare();
                let (y, hidden) = self.frozen.forward_with(x, &execution, |first, y| {
                    let rows = y.len() / self.outputs;
                    let mut hidden = vec![0.0; rows * adapter.ranks()];
                    let x = &x[first * self.inputs..][..rows * self.inputs];
                    adapter.forward_rows(first, x, y, &mut hidden);
                    hidden
                });
                (y, Some((adapter, hidden.concat())))
            }
        };
        let derivative = differentiate
            .then(|| Arc::new(AdaptedDerivative { layer: self.clone(), adapted }) as Arc<dyn Derivative>);
        Computed { shape: vec![rows, self.outputs], values: y, derivative }
    }

    fn retains(&self, input: usize) -> bool {
        // The adapters' own values are kept in the form in which they are used.
        self.range_place() == Some(input)
            || input == 0 && (self.adapter.is_some() || self.frozen.reads_inputs())
    }
}

#[derive(Debug)]
struct AdaptedDerivative {
    layer: AdaptedLayer,
    /// The adapters, and `A x̃ + a`, `[rows, layers · k]`.
    adapted: Option<(PreparedAdapter, Vec<f32>)>,
}

impl Derivative for AdaptedDerivative {
    fn backward(&self, inputs: &[Values<'_>], gradient: Gradient, wanted: &[bool]) -> Vec<Option<Vec<f32>>> {
        let gradient = gradient.values();
        let layer = &self.layer;
        let wants = |place: usize| wanted.get(place).copied().unwrap_or(false);
        let unrolled = layer
            .unroll
            .filter(|_| !inputs[0].values.is_empty())
            .map(|unroll| unroll.forward(inputs[0].values));
        let x = unrolled.as_deref().unwrap_or(inputs[0].values);
        let mut gradients: Vec<Option<Vec<f32>>> = vec![None; inputs.len()];
        let range_place = layer.range_place();
        let wants_x = wants(0) || range_place.is_some_and(wants);
        let execution = layer.execution(inputs);
        let mut gx = None;
        if let (Some(shape), Some((adapter, hidden))) = (&layer.adapter, &self.adapted) {
            let partial = wants_x.then(|| {
                layer.frozen.backward_with(x, gradient, &execution, |first, gx| {
                    let rows = gx.len() / layer.inputs;
                    let rows = [(x, layer.inputs), (hidden, adapter.ranks()), (gradient, layer.outputs)]
                        .map(|(values, width)| &values[first * width..][..rows * width]);
                    adapter.backward_rows(first, rows, Some(gx), shape.bias)
                })
            });
            let zeros = |place: usize| vec![0.0; inputs[place].shape.iter().product()];
            let (mut a, mut b) = (zeros(1), zeros(2));
            let mut a_bias = shape.bias.then(|| zeros(3));
            let mut b_bias = shape.bias.then(|| zeros(4));
            let of = AdapterGradients {
                a: &mut a,
                b: &mut b,
                a_bias: a_bias.as_deref_mut(),
                b_bias: b_bias.as_deref_mut(),
            };
            match partial {
                Some((of_input, partial)) => {
                    adapter.add_gradients(partial, of);
                    gx = Some(of_input);
                }
                None => adapter.backward(x, hidden, gradient, None, of),
            }
            gradients[1] = Some(a);
            gradients[2] = Some(b);
            if shape.bias {
                gradients[3] = a_bias;
                gradients[4] = b_bias;
            }
        } else if wants_x {
            gx = Some(layer.frozen.backward_with(x, gradient, &execution, |_, _| ()).0);
        }
        let (gx, of_range) = gx.map_or((None, None), |gradient| (Some(gradient.x), gradient.range));
        if let Some(place) = range_place {
            gradients[place] = of_range.map(|gradient| vec![gradient]);
        }
        gradients[0] = match (gx, layer.unroll) {
            (Some(gx), Some(unroll)) if wants(0) => Some(unroll.backward(&gx)),
            (gx, _) => gx.filter(|_| wants(0)),
        };
        gradients
    }
}

/// Programs weights that train, one matrix a layer of the group, for one step.
pub(in crate::network) type Programmer = dyn Fn(&[ArrayView2<'_, f32>]) -> Frozen + Send + Sync;

/// `y = W x + b` with a base that trains. Inputs: `x`, the weights of the layers, then their biases where they have any.
#[derive(Clone)]
pub(in crate::network) struct TrainedLayer {
    pub(in crate::network) inputs: usize,
    /// Outputs of each layer.
    pub(in crate::network) outputs: Vec<usize>,
    pub(in crate::network) bias: bool,
    pub(in crate::network) unroll: Option<Unroll>,
    pub(in crate::network) execution: Execution,
    /// Weights to what multiplies with them.
    pub(in crate::network) program: Arc<Programmer>,
}

impl std::fmt::Debug for TrainedLayer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TrainedLayer").field("inputs", &self.inputs).field("outputs", &self.outputs).finish()
    }
}

impl TrainedLayer {
    fn width(&self) -> usize {
        self.outputs.iter().sum()
    }
}

impl Operation for TrainedLayer {
    fn forward(&self, inputs: &[Values<'_>], differentiate: bool) -> Computed {
        let unrolled = self.unroll.map(|unroll| unroll.forward(inputs[0].values));
        let x = unrolled.as_deref().unwrap_or(inputs[0].values);
        let rows = x.len() / self.inputs.max(1);
        let views = self.outputs.iter().zip(&inputs[1..]);
        let weights: Vec<_> = views
            .filter_map(|(&outputs, weight)| {
                ArrayView2::from_shape((outputs, self.inputs), weight.values).ok()
            })
            .collect();
        let frozen = (self.program)(&weights);
        let mut y = frozen.forward(x, &self.execution);
        if self.bias {
            let biases: Vec<f32> =
                inputs[1 + self.outputs.len()..].iter().flat_map(|bias| bias.values).copied().collect();
            for row in y.chunks_exact_mut(biases.len().max(1)) {
                row.iter_mut().zip(&biases).for_each(|(y, bias)| *y += bias);
            }
        }
        let derivative = differentiate
            .then(|| Arc::new(TrainedDerivative { layer: self.clone(), frozen }) as Arc<dyn Derivative>);
        Computed { shape: vec![rows, self.width()], values: y, derivative }
    }

    fn retains(&self, input: usize) -> bool {
        input == 0
    }
}

#[derive(Debug)]
struct TrainedDerivative {
    layer: TrainedLayer,
    frozen: Frozen,
}

impl Derivative for TrainedDerivative {
    fn backward(&self, inputs: &[Values<'_>], gradient: Gradient, wanted: &[bool]) -> Vec<Option<Vec<f32>>> {
        let gradient = gradient.values();
        let layer = &self.layer;
        let wants = |place: usize| wanted.get(place).copied().unwrap_or(false);
        let unrolled = layer.unroll.map(|unroll| unroll.forward(inputs[0].values));
        let x = unrolled.as_deref().unwrap_or(inputs[0].values);
        let rows = x.len() / layer.inputs.max(1);
        let mut gradients: Vec<Option<Vec<f32>>> = vec![None; inputs.len()];
        if wants(0) {
            let gx = self.frozen.backward_with(x, gradient, &layer.execution, |_, _| ()).0.x;
            gradients[0] = Some(match layer.unroll {
                Some(unroll) => unroll.backward(&gx),
                None => gx,
            });
        }
        let parts = layer.outputs.len();
        if (1..=parts).any(wants) {
            // Straight through: the inputs that were sent, and all weights of the group at once.
            let sent = self.frozen.sent(x);
            let mut of_weights = vec![0.0; layer.width() * layer.inputs];
            matmul_tn(gradient, sent.as_deref().unwrap_or(x), rows, Update::SET, &mut of_weights);
            let mut rest = of_weights.as_slice();
            for (place, &outputs) in layer.outputs.iter().enumerate() {
                let (own, others) = rest.split_at(outputs * layer.inputs);
                gradients[1 + place] = Some(own.to_vec());
                rest = others;
            }
        }
        if layer.bias {
            let mut sums = vec![0.0; layer.width()];
            add_column_sums(gradient, &mut sums);
            let mut rest = sums.as_slice();
            for (place, &outputs) in layer.outputs.iter().enumerate() {
                let (own, others) = rest.split_at(outputs);
                gradients[1 + parts + place] = Some(own.to_vec());
                rest = others;
            }
        }
        gradients
    }
}
