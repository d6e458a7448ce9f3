//! Evening out of outlier channels without changing what a network computes.
//!
//! Column `j` of a layer is divided by `c_j` and whatever feeds it multiplied by the same: `W x = (W/c) (c·x)`. A layer norm
//! or batch norm takes the factor into scale and shift, a layer before a ReLU into its rows, the values of an attention into
//! theirs. Nothing can take it through a GELU, nor from an image or a residual stream: there it is a digital factor on the
//! layer's inputs. After Xiao et al., "SmoothQuant" (arXiv 2211.10438), which evens out activations; here it is the weights, as
//! the error of a chip is relative to the largest of them.

use std::collections::BTreeMap;

use ndarray::{Array2, Axis};

use super::{Architecture, HiddenActivation, LayerKind, LayerRole, LayerSpec, Model, ModelError, Weights};

/// A network with its channels evened out.
#[derive(Clone, Debug, PartialEq)]
pub struct Equalised {
    /// The network; computes what it did before once the inputs below are multiplied.
    pub model: Model,
    /// Digital factors on the inputs of a group of layers, by the name of its first; empty where everything was folded.
    pub input_scales: BTreeMap<String, Vec<f32>>,
}

/// What can take the factors of a group's inputs.
enum Feeder {
    /// Scale and shift of a norm.
    Norm(String),
    /// Rows and bias of a layer.
    Layer(String),
}

/// Rounds of evening out rows and columns in turn.
const ROUNDS: usize = 8;
/// Largest factor either way: a channel that is nearly dead is not worth more.
const LARGEST: f32 = 1e3;

/// Evens out the input columns of every group of layers. `rows` says that rows will have scales of their own: columns are then
/// evened out after them, in turn (Sinkhorn and Knopp, Pac. J. Math. 21, 343 (1967)). Without `everywhere` only what folds
/// exactly is done.
///
/// # Errors
/// Weights that overflow.
pub fn equalise(model: &Model, rows: bool, everywhere: bool) -> Result<Equalised, ModelError> {
    let (architecture, mut weights) = model.clone().into_parts();
    let mut input_scales = BTreeMap::new();
    // From the last to the first: a layer that takes factors into its rows is evened out after that.
    for group in architecture.groups().into_iter().rev() {
        let Some(first) = group.first() else { continue };
        let feeder = feeder(&architecture, first);
        let features = match (&feeder, first.kind) {
            (Some(Feeder::Norm(norm)), _) => values(&weights, &format!("{norm}.weight")),
            (Some(Feeder::Layer(layer)), _) => {
                weights.get(&format!("{layer}.weight")).map_or(0, |parameter| parameter.shape[0])
            }
            (None, LayerKind::Conv { kernel, .. }) => first.inputs / (kernel * kernel),
            (None, LayerKind::Linear) => first.inputs,
        };
        if features == 0 || !first.inputs.is_multiple_of(features) || (feeder.is_none() && !everywhere) {
            continue;
        }
        let factors = factors(&stacked(&weights, &group), features, rows);
        let per_feature = first.inputs / features;
        let columns: Vec<f32> = (0..first.inputs).map(|column| factors[column / per_feature]).collect();
        match feeder {
            Some(feeder) => {
                feed(&mut weights, &feeder, &factors);
                for layer in &group {
                    divide_columns(&mut weights, layer, &columns);
                }
            }
            // The product divides by these itself; weights in the file stay as they are.
            None => {
                input_scales.insert(first.name.clone(), columns);
            }
        }
    }
    Ok(Equalised { model: Model::new(architecture, weights)?, input_scales })
}

fn values(weights: &Weights, name: &str) -> usize {
    weights.get(name).map_or(0, |parameter| parameter.values.len())
}

/// What feeds the group that starts with `layer`.
fn feeder(architecture: &Architecture, layer: &LayerSpec) -> Option<Feeder> {
    match architecture {
        Architecture::Vit(config) => {
            let block = |end: &str| layer.name.strip_suffix(end).map(str::to_owned);
            match layer.role {
                LayerRole::Query => block(".attention.attention.query")
                    .map(|block| Feeder::Norm(format!("{block}.layernorm_before"))),
                LayerRole::AttentionOutput => block(".attention.output.dense")
                    .map(|block| Feeder::Layer(format!("{block}.attention.attention.value"))),
                LayerRole::Fc1 => {
                    block(".intermediate.dense").map(|block| Feeder::Norm(format!("{block}.layernorm_after")))
                }
                LayerRole::Fc2 if config.hidden_act == HiddenActivation::Relu => {
                    block(".output.dense").map(|block| Feeder::Layer(format!("{block}.intermediate.dense")))
                }
                LayerRole::Head => Some(Feeder::Norm("vit.layernorm".to_owned())),
                _ => None,
            }
        }
        Architecture::Mlp(_) | Architecture::Cnn(_) => {
            let layers = architecture.layers();
            let place = layers.iter().position(|other| other.name == layer.name)?;
            place.checked_sub(1).map(|before| Feeder::Layer(layers[before].name.clone()))
        }
        Architecture::ResNet(_) => {
            layer.name.strip_suffix(".conv2").map(|block| Feeder::Norm(format!("{block}.bn1")))
        }
    }
}

/// The matrices of a group, one above the other.
fn stacked(weights: &Weights, group: &[LayerSpec]) -> Array2<f32> {
    let mut rows = Vec::new();
    let inputs = group.first().map_or(0, |layer| layer.inputs);
    for layer in group {
        if let Some(parameter) = weights.get(&layer.weight_name()) {
            rows.extend_from_slice(&parameter.values);
        }
    }
    Array2::from_shape_vec((rows.len() / inputs.max(1), inputs), rows)
        .unwrap_or_else(|_| Array2::zeros((0, inputs)))
}

/// `c`, one a feature: the largest magnitude of its columns, after the rows where these have scales of their own; geometric
/// mean 1.
fn factors(matrix: &Array2<f32>, features: usize, rows: bool) -> Vec<f32> {
    let per_feature = matrix.ncols() / features;
    let mut columns = vec![1.0_f32; features];
    let mut row_scales = vec![1.0_f32; matrix.nrows()];
    for _ in 0..if rows { ROUNDS } else { 1 } {
        if rows {
            for (scale, row) in row_scales.iter_mut().zip(matrix.axis_iter(Axis(0))) {
                let largest = row.iter().enumerate().fold(0.0_f32, |max, (column, weight)| {
                    max.max(weight.abs() / columns[column / per_feature])
                });
                *scale = if largest > 0.0 { largest } else { 1.0 };
            }
        }
        let mut largest = vec![0.0_f32; features];
        for (scale, row) in row_scales.iter().zip(matrix.axis_iter(Axis(0))) {
            for (column, weight) in row.iter().enumerate() {
                let feature = &mut largest[column / per_feature];
                *feature = feature.max(weight.abs() / scale);
            }
        }
        for (factor, largest) in columns.iter_mut().zip(largest) {
            *factor = if largest > 0.0 { largest } else { 1.0 };
        }
    }
    let logs: f64 = columns.iter().map(|factor| f64::from(*factor).ln()).sum();
    let mean = (logs / features as f64).exp() as f32;
    columns.iter().map(|factor| (factor / mean).clamp(1.0 / LARGEST, LARGEST)).collect()
}

/// Multiplies what feeds a layer.
fn feed(weights: &mut Weights, feeder: &Feeder, factors: &[f32]) {
    let name = match feeder {
        Feeder::Norm(name) | Feeder::Layer(name) => name,
    };
    for part in ["weight", "bias"] {
        let Some(parameter) = weights.get_mut(&format!("{name}.{part}")) else { continue };
        let per_row = (parameter.values.len() / factors.len()).max(1);
        for (row, factor) in parameter.values.chunks_mut(per_row).zip(factors) {
            row.iter_mut().for_each(|value| *value *= factor);
        }
    }
}

fn divide_columns(weights: &mut Weights, layer: &LayerSpec, columns: &[f32]) {
    if let Some(parameter) = weights.get_mut(&layer.weight_name()) {
        for row in parameter.values.chunks_mut(columns.len()) {
            row.iter_mut().zip(columns).for_each(|(weight, column)| *weight /= column);
        }
    }
}
