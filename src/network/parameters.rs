//! Parameters that train: adapters stacked by group, or the base itself.

use std::collections::BTreeMap;

use ndarray::{Array1, Array2, s};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use super::{NetworkError, layers::as_matrix};
use crate::model::{Adapter, AdapterSet, Architecture, LayerSpec, Model, Parameter, TensorRole, Weights};

/// The four parts of a group's adapters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AdapterPart {
    /// `A`, `[layers · k, in]`.
    A,
    /// `B`, `[Σ out, k]`.
    B,
    /// Bias of `A`, `[1, layers · k]`.
    ABias,
    /// Bias of `B`, `[1, Σ out]`.
    BBias,
}

impl AdapterPart {
    /// Name among the trained parameters.
    pub(super) fn name(self, group: &str) -> String {
        let part = match self {
            Self::A => "a",
            Self::B => "b",
            Self::ABias => "a_bias",
            Self::BBias => "b_bias",
        };
        format!("{group}.adapter.{part}")
    }
}

/// Name of a group's learned input range among the trained parameters.
#[must_use]
pub fn input_range_name(group: &str) -> String {
    format!("{group}.input_range")
}

fn group_name(group: &[LayerSpec]) -> &str {
    group.first().map_or("", |layer| layer.name.as_str())
}

/// `A ~ N(0, 1/in)`, all else 0: the network starts as its base. Layers that share their input are stacked.
#[must_use]
pub fn initial_adapters(
    architecture: &Architecture,
    rank: usize,
    bias: bool,
    seed: u64,
) -> BTreeMap<String, Array2<f32>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut values = BTreeMap::new();
    for group in architecture.groups() {
        let name = group_name(&group).to_owned();
        let inputs = group.first().map_or(0, |layer| layer.inputs);
        let outputs: usize = group.iter().map(|layer| layer.outputs).sum();
        let spread = 1.0 / (inputs.max(1) as f32).sqrt();
        let rows = group.len() * rank;
        let a =
            Array2::from_shape_simple_fn((rows, inputs), || spread * rng.sample::<f32, _>(StandardNormal));
        values.insert(AdapterPart::A.name(&name), a);
        values.insert(AdapterPart::B.name(&name), Array2::zeros((outputs, rank)));
        if bias {
            values.insert(AdapterPart::ABias.name(&name), Array2::zeros((1, rows)));
            values.insert(AdapterPart::BBias.name(&name), Array2::zeros((1, outputs)));
        }
    }
    values
}

/// `adapters` by layer, as they are stacked for training; layers without one get zeros of the rank `rank`.
#[must_use]
pub fn stacked_adapters(
    architecture: &Architecture,
    adapters: &AdapterSet,
    rank: usize,
    bias: bool,
) -> BTreeMap<String, Array2<f32>> {
    let mut values = BTreeMap::new();
    for group in architecture.groups() {
        let name = group_name(&group).to_owned();
        let inputs = group.first().map_or(0, |layer| layer.inputs);
        let outputs: usize = group.iter().map(|layer| layer.outputs).sum();
        let mut a = Array2::zeros((group.len() * rank, inputs));
        let mut b = Array2::zeros((outputs, rank));
        let mut a_bias = Array2::zeros((1, group.len() * rank));
        let mut b_bias = Array2::zeros((1, outputs));
        let mut row = 0;
        for (index, layer) in group.iter().enumerate() {
            if let Some(adapter) = adapters.get(&layer.name).filter(|adapter| adapter.rank() == rank) {
                let (ranks, rows) = (index * rank..(index + 1) * rank, row..row + layer.outputs);
                a.slice_mut(s![ranks.clone(), ..]).assign(&adapter.a);
                b.slice_mut(s![rows.clone(), ..]).assign(&adapter.b);
                if let Some(values) = &adapter.a_bias {
                    a_bias.slice_mut(s![0, ranks]).assign(values);
                }
                if let Some(values) = &adapter.b_bias {
                    b_bias.slice_mut(s![0, rows]).assign(values);
                }
            }
            row += layer.outputs;
        }
        values.insert(AdapterPart::A.name(&name), a);
        values.insert(AdapterPart::B.name(&name), b);
        if bias {
            values.insert(AdapterPart::ABias.name(&name), a_bias);
            values.insert(AdapterPart::BBias.name(&name), b_bias);
        }
    }
    values
}

/// The adapters among `values`, by layer.
///
/// # Errors
/// A part that is missing.
pub fn adapters_from(
    architecture: &Architecture,
    values: &BTreeMap<String, Array2<f32>>,
    rank: usize,
    alpha: f32,
) -> Result<BTreeMap<String, Adapter>, NetworkError> {
    let mut adapters = BTreeMap::new();
    for group in architecture.groups() {
        let name = group_name(&group);
        let part = |part: AdapterPart| values.get(&part.name(name));
        let missing = |part: AdapterPart| NetworkError::NoTensor { name: part.name(name) };
        let a = part(AdapterPart::A).ok_or_else(|| missing(AdapterPart::A))?;
        let b = part(AdapterPart::B).ok_or_else(|| missing(AdapterPart::B))?;
        let mut row = 0;
        for (index, layer) in group.iter().enumerate() {
            let (ranks, rows) = (index * rank..(index + 1) * rank, row..row + layer.outputs);
            let bias = |values: &Array2<f32>, range: std::ops::Range<usize>| -> Array1<f32> {
                values.slice(s![0, range]).to_owned()
            };
            let adapter = Adapter {
                a: a.slice(s![ranks.clone(), ..]).to_owned(),
                b: b.slice(s![rows.clone(), ..]).to_owned(),
                a_bias: part(AdapterPart::ABias).map(|values| bias(values, ranks.clone())),
                b_bias: part(AdapterPart::BBias).map(|values| bias(values, rows.clone())),
                alpha,
            };
            adapters.insert(layer.name.clone(), adapter);
            row += layer.outputs;
        }
    }
    Ok(adapters)
}

/// Parameters of the base that train: all but running statistics, or the head's alone.
#[must_use]
pub fn initial_base(model: &Model, head_only: bool) -> BTreeMap<String, Array2<f32>> {
    let head = super::families::head(model.architecture());
    let ours =
        |name: &str| !head_only || name.strip_prefix(head.as_str()).is_some_and(|rest| rest.starts_with('.'));
    let mut values = BTreeMap::new();
    for spec in model.architecture().tensors() {
        if spec.role != TensorRole::RunningStatistic
            && ours(&spec.name)
            && let Some(parameter) = model.weights().get(&spec.name)
        {
            values.insert(spec.name, as_matrix(&parameter.shape, parameter.values.clone()));
        }
    }
    values
}

/// `model` with `values` in place of its own parameters of these names.
///
/// # Errors
/// Values of another number than the tensor holds.
pub fn with_base(model: &Model, values: &BTreeMap<String, Array2<f32>>) -> Result<Weights, NetworkError> {
    let mut weights = model.weights().clone();
    for (name, values) in values {
        if let Some(parameter) = weights.get_mut(name)
            && parameter.values.len() == values.len()
        {
            let shape = parameter.shape.clone();
            *parameter = Parameter { shape, values: values.iter().copied().collect() };
        }
    }
    Ok(weights)
}
