//! A network with its weights.

use alora_calibration::Cell;
use ndarray::{Array2, ArrayView1, ArrayView2};
use rand::{Rng, RngExt};
use rand_distr::StandardNormal;

use super::{
    Architecture, ImageShape, LayerSpec, LinearWeights, Mlp, MlpShape, ModelError, Parameter, TensorProblem,
    TensorRole, TensorSpec, Weights,
};

/// An architecture and its weights.
///
/// Invariant: exactly the architecture's tensors, each of its shape, every value finite.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    architecture: Architecture,
    weights: Weights,
}

impl Model {
    /// Checks `weights` against `architecture`.
    ///
    /// # Errors
    /// Impossible sizes; tensors that are missing, extra or of another shape (all of them); a value that is not finite.
    pub fn new(architecture: Architecture, weights: Weights) -> Result<Self, ModelError> {
        architecture.check()?;
        let problems = problems(&architecture.tensors(), &weights);
        if !problems.is_empty() {
            return Err(ModelError::Tensors { what: architecture.what(), problems });
        }
        for (name, parameter) in weights.iter() {
            check_finite(name, parameter)?;
        }
        Ok(Self { architecture, weights })
    }

    /// A network that knows nothing yet.
    ///
    /// Weights of a ViT are N(0, 0.02²) as in transformers; all others N(0, 2/inputs) (He et al., arXiv 1502.01852).
    /// Biases and means are 0, scales and variances 1.
    ///
    /// # Errors
    /// Impossible sizes.
    pub fn random(architecture: Architecture, rng: &mut impl Rng) -> Result<Self, ModelError> {
        architecture.check()?;
        let vit = matches!(architecture, Architecture::Vit(_));
        let tensors = architecture.tensors().into_iter().map(|spec| {
            let parameter = initial(&spec, vit, rng);
            (spec.name, parameter)
        });
        let weights = tensors.collect();
        Ok(Self { architecture, weights })
    }

    /// Family and sizes.
    #[must_use]
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// Weights by name.
    #[must_use]
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// Architecture and weights.
    #[must_use]
    pub fn into_parts(self) -> (Architecture, Weights) {
        (self.architecture, self.weights)
    }

    /// Matrix of a layer, `[outputs, inputs]`; a convolution's is unrolled. `None` for a layer of another network.
    #[must_use]
    pub fn matrix(&self, layer: &LayerSpec) -> Option<ArrayView2<'_, f32>> {
        let values = &self.weights.get(&layer.weight_name())?.values;
        ArrayView2::from_shape((layer.outputs, layer.inputs), values).ok()
    }

    /// Bias of a layer, `[outputs]`, if it has one.
    #[must_use]
    pub fn bias(&self, layer: &LayerSpec) -> Option<ArrayView1<'_, f32>> {
        Some(ArrayView1::from(&self.weights.get(&layer.bias_name())?.values))
    }

    /// The network `mlp` on images of size `input`.
    ///
    /// # Errors
    /// An image of another number of values than the first layer takes.
    pub fn from_mlp(mlp: &Mlp, input: ImageShape) -> Result<Self, ModelError> {
        let widths: Vec<usize> = mlp.layers().iter().map(|layer| layer.weight.nrows()).collect();
        let Some((&classes, hidden)) = widths.split_last() else { return Err(ModelError::Empty) };
        let mut weights = Weights::default();
        for layer in mlp.layers() {
            let (shape, values) = (layer.weight.shape().to_vec(), layer.weight.iter().copied().collect());
            weights.insert(format!("{}.weight", layer.name), Parameter { shape, values });
            let bias = Parameter { shape: vec![layer.bias.len()], values: layer.bias.to_vec() };
            weights.insert(format!("{}.bias", layer.name), bias);
        }
        Self::new(Architecture::Mlp(MlpShape { input, hidden: hidden.to_vec(), classes }), weights)
    }

    /// The same network as an [`Mlp`]; `None` for another family.
    #[must_use]
    pub fn to_mlp(&self) -> Option<Mlp> {
        let Architecture::Mlp(_) = self.architecture else { return None };
        let layers = self.architecture.layers().into_iter().map(|layer| {
            let weight: Array2<f32> = self.matrix(&layer)?.to_owned();
            let bias = self.bias(&layer)?.to_owned();
            Some(LinearWeights { name: layer.name, weight, bias })
        });
        Mlp::new(layers.collect::<Option<_>>()?).ok()
    }
}

/// Every tensor that does not fit, in the order of the architecture, then what is too much.
fn problems(specs: &[TensorSpec], weights: &Weights) -> Vec<TensorProblem> {
    let mut problems = Vec::new();
    for spec in specs {
        match weights.get(&spec.name) {
            None => problems.push(TensorProblem::Missing(spec.name.clone())),
            Some(found) if found.shape != spec.shape || found.values.len() != spec.values() => {
                problems.push(TensorProblem::Shape {
                    tensor: spec.name.clone(),
                    expected: spec.shape.clone(),
                    found: found.shape.clone(),
                });
            }
            Some(_) => {}
        }
    }
    let known: std::collections::HashSet<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
    let extra = weights.names().filter(|name| !known.contains(name));
    problems.extend(extra.map(|name| TensorProblem::Extra(name.to_owned())));
    problems
}

pub(super) fn check_finite(tensor: &str, parameter: &Parameter) -> Result<(), ModelError> {
    let Some(index) = parameter.values.iter().position(|value| !value.is_finite()) else { return Ok(()) };
    let rows = if parameter.shape.len() < 2 { 1 } else { parameter.shape[0] };
    let columns = parameter.values.len() / rows;
    let cell = Cell { row: index / columns, col: index % columns };
    Err(ModelError::NotFinite { tensor: tensor.to_owned(), cell, value: parameter.values[index] })
}

/// Standard deviation of a ViT's first weights (`initializer_range`).
pub(super) const VIT_SPREAD: f32 = 0.02;

fn initial(spec: &TensorSpec, vit: bool, rng: &mut impl Rng) -> Parameter {
    let shape = spec.shape.clone();
    let one = spec.name.ends_with(".weight") || spec.name.ends_with(".running_var");
    let spread = match spec.role {
        TensorRole::Norm | TensorRole::RunningStatistic if one => return Parameter::filled(shape, 1.0),
        TensorRole::Norm | TensorRole::RunningStatistic | TensorRole::Bias => {
            return Parameter::filled(shape, 0.0);
        }
        TensorRole::Digital if !one => return Parameter::filled(shape, 0.0),
        TensorRole::Photonic | TensorRole::Digital | TensorRole::Embedding if vit => VIT_SPREAD,
        TensorRole::Photonic | TensorRole::Digital | TensorRole::Embedding => {
            let inputs: usize = shape.iter().skip(1).product();
            (2.0 / inputs as f32).sqrt()
        }
    };
    normal(shape, spread, rng)
}

/// Independent N(0, spread²).
pub(super) fn normal(shape: Vec<usize>, spread: f32, rng: &mut impl Rng) -> Parameter {
    let length: usize = shape.iter().product();
    let values = (0..length).map(|_| spread * rng.sample::<f32, _>(StandardNormal)).collect();
    Parameter { shape, values }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::model::{ResNetShape, VitConfig};

    fn mlp() -> Model {
        let shape =
            MlpShape { input: ImageShape { channels: 1, height: 2, width: 3 }, hidden: vec![4], classes: 2 };
        Model::random(Architecture::Mlp(shape), &mut ChaCha8Rng::seed_from_u64(1)).unwrap()
    }

    #[test]
    fn every_tensor_that_does_not_fit_is_named() {
        let (architecture, mut weights) = mlp().into_parts();
        weights.remove("fc1.bias");
        weights.insert("fc2.weight", Parameter::filled(vec![3, 4], 0.0));
        weights.insert("head.weight", Parameter::filled(vec![1], 0.0));
        assert_eq!(
            Model::new(architecture, weights).unwrap_err().to_string(),
            "the tensors do not make a multi-layer perceptron: `fc1.bias` is missing, \
             `fc2.weight` is 3 × 4, expected 2 × 4, `head.weight` is not part of it"
        );
        let vit = Architecture::Vit(VitConfig::base_patch16_224(10));
        let message = Model::new(vit, Weights::default()).unwrap_err().to_string();
        assert!(message.ends_with("`vit.encoder.layer.0.layernorm_before.bias` is missing, and 194 more"));
    }

    #[test]
    fn a_value_that_is_no_number_is_named_with_its_place() {
        let (architecture, mut weights) = mlp().into_parts();
        weights.get_mut("fc1.weight").unwrap().values[8] = f32::NAN;
        assert_eq!(
            Model::new(architecture, weights).unwrap_err().to_string(),
            "fc1.weight: the value at (row 1, column 2) is NaN; every value must be a finite number"
        );
    }

    #[test]
    fn random_weights_have_the_spread_of_their_rule() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let resnet = Model::random(Architecture::ResNet(ResNetShape::cifar(1, 10)), &mut rng).unwrap();
        assert_eq!(Model::new(resnet.architecture.clone(), resnet.weights.clone()).unwrap(), resnet);
        let conv = resnet.weights.get("layer3.0.conv2.weight").unwrap();
        let power = conv.values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>();
        // Mean square of n normals has the relative standard deviation √(2/n) = 0.7 %; 4 of them.
        assert!((power / conv.values.len() as f64 * 576.0 / 2.0 - 1.0).abs() < 0.03);
        assert_eq!(resnet.weights.get("bn1.running_var").unwrap().values, [1.0; 16]);
        assert_eq!(resnet.weights.get("bn1.bias").unwrap().values, [0.0; 16]);
    }

    #[test]
    fn an_mlp_becomes_a_model_and_comes_back() {
        let model = mlp();
        let mlp = model.to_mlp().unwrap();
        assert_eq!(Model::from_mlp(&mlp, model.architecture().input()).unwrap(), model);
        let wrong = ImageShape { channels: 1, height: 5, width: 5 };
        assert!(matches!(Model::from_mlp(&mlp, wrong), Err(ModelError::Tensors { .. })));
    }
}
