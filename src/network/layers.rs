//! A network ready to run: its layers programmed, its digital parameters as tensors.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use burn::tensor::{Device, Tensor};
use ndarray::{Array2, ArrayView2};

use super::{
    NetworkError, constant, families,
    operations::layer::Frozen,
    pass::Pass,
    programming::{converters, divided, product},
    ranges::ConverterRanges,
};
use crate::{
    model::{Architecture, LayerKind, LayerSpec, Model, TensorRole},
    photonic::{ChipModel, Draw, Sampling, programmed},
};

/// What computes the products of the layers.
#[derive(Clone, Debug)]
pub enum Arithmetic {
    /// f32.
    Digital,
    /// A simulated chip.
    Chip {
        /// The chip.
        chip: ChipModel,
        /// Ranges of the converters that are static or learned; these start from here.
        ranges: ConverterRanges,
        /// Digital factors on the inputs of a group, by its name, where outlier columns are evened out: the chip holds `W / c`
        /// and gets `c · x`.
        input_scales: BTreeMap<String, Arc<Vec<f32>>>,
    },
}

impl Arithmetic {
    /// `chip` with dynamic ranges and plain inputs.
    #[must_use]
    pub fn chip(chip: ChipModel) -> Self {
        Self::Chip { chip, ranges: ConverterRanges::default(), input_scales: BTreeMap::new() }
    }
}

/// A model ready to run.
pub struct Network {
    model: Arc<Model>,
    arithmetic: Arithmetic,
    groups: HashMap<String, Group>,
    digital: HashMap<String, Tensor<2>>,
    /// Where its tensors lie; those that train must lie there too.
    device: Device,
}

/// Layers that share their input, as one operation.
pub(super) struct Group {
    /// Name of the first layer.
    pub(super) name: String,
    pub(super) layers: Vec<LayerSpec>,
    /// First layer's number in the network: errors of different layers differ.
    pub(super) first: u64,
    /// What multiplies when the base is frozen; `None` where its weights train.
    pub(super) frozen: Option<Frozen>,
}

impl Group {
    /// Features of the result.
    pub(super) fn outputs(&self) -> usize {
        self.layers.iter().map(|layer| layer.outputs).sum()
    }

    /// Features of the input; of an unrolled patch where the layer is a convolution.
    pub(super) fn inputs(&self) -> usize {
        self.layers.first().map_or(0, |layer| layer.inputs)
    }

    /// How the group multiplies.
    pub(super) fn kind(&self) -> LayerKind {
        self.layers.first().map_or(LayerKind::Linear, |layer| layer.kind)
    }

    /// Outputs of each layer.
    pub(super) fn parts(&self) -> Vec<usize> {
        self.layers.iter().map(|layer| layer.outputs).collect()
    }
}

impl Group {
    /// The same layers without what was programmed.
    pub(super) fn unprogrammed(&self) -> Self {
        Self { name: self.name.clone(), layers: self.layers.clone(), first: self.first, frozen: None }
    }
}

impl Network {
    /// Programs every layer of `model` whose weights are not among `trained`.
    ///
    /// # Errors
    /// A chip that cannot be computed, or a static range without a value.
    pub fn new(
        model: Arc<Model>,
        arithmetic: Arithmetic,
        trained: &dyn Fn(&str) -> bool,
    ) -> Result<Self, NetworkError> {
        if let Arithmetic::Chip { chip, .. } = &arithmetic {
            chip.check()?;
        }
        let device = Device::flex();
        let digital = digital(&model, &device);
        let mut network = Self { digital, model, arithmetic, groups: HashMap::new(), device };
        let mut first = 0;
        for layers in network.model.architecture().groups() {
            let count = layers.len() as u64;
            let name = layers.first().map(|layer| layer.name.clone()).unwrap_or_default();
            let trains = layers.iter().any(|layer| trained(&layer.weight_name()));
            let mut group = Group { name: name.clone(), layers, first, frozen: None };
            // Programmed in any case: what cannot be is refused before training starts.
            let frozen = network.frozen(&group, 0, 1.0)?;
            group.frozen = (!trains).then_some(frozen);
            network.groups.insert(name, group);
            first += count;
        }
        Ok(network)
    }

    /// The same network with its tensors on `device`, where those that train lie. It starts on burn-flex.
    #[must_use]
    pub fn on(mut self, device: &Device) -> Self {
        self.device = device.clone().inner();
        self.digital = digital(&self.model, &self.device);
        self
    }

    /// What it computes with.
    #[must_use]
    pub fn architecture(&self) -> &Architecture {
        self.model.architecture()
    }

    /// The model that it runs.
    #[must_use]
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// Logits, `[batch, classes]`, of `images`, `[batch, channels · height · width]`.
    ///
    /// # Errors
    /// Images of another size, or a parameter that is neither the model's nor trained.
    pub fn forward(&self, images: Array2<f32>, pass: &Pass<'_>) -> Result<Tensor<2>, NetworkError> {
        let input = self.architecture().input();
        if images.ncols() != input.values() {
            return Err(NetworkError::Images {
                found: images.ncols(),
                expected: input.values(),
                channels: input.channels,
                height: input.height,
                width: input.width,
            });
        }
        let images = constant(images, &self.device);
        families::forward(self, pass, images)
    }

    /// The inputs of the head, `[batch, features]`.
    ///
    /// # Errors
    /// As [`Self::forward`].
    pub fn features(&self, images: Array2<f32>, pass: &Pass<'_>) -> Result<Tensor<2>, NetworkError> {
        let images = constant(images, &self.device);
        families::features(self, pass, images)
    }

    /// The same network without what was programmed.
    pub(super) fn unprogrammed(&self) -> Self {
        Self {
            model: Arc::clone(&self.model),
            arithmetic: self.arithmetic.clone(),
            groups: HashMap::new(),
            digital: HashMap::new(),
            device: self.device.clone(),
        }
    }

    pub(crate) fn arithmetic(&self) -> &Arithmetic {
        &self.arithmetic
    }

    pub(super) fn group(&self, name: &str) -> Result<&Group, NetworkError> {
        self.groups.get(name).ok_or_else(|| NetworkError::NoTensor { name: name.to_owned() })
    }

    /// The parameter `name`: as it trains, or the model's.
    pub(super) fn parameter(&self, pass: &Pass<'_>, name: &str) -> Result<Tensor<2>, NetworkError> {
        pass.trained
            .get(name)
            .or_else(|| self.digital.get(name))
            .cloned()
            .ok_or_else(|| NetworkError::NoTensor { name: name.to_owned() })
    }

    /// Whether weights must be programmed anew for a run whose errors count `factor` times.
    pub(super) fn reprograms(&self, factor: f32) -> bool {
        let Arithmetic::Chip { chip, .. } = &self.arithmetic else { return false };
        chip.error.is_some()
            && match chip.sampling {
                Sampling::PerStep => true,
                // Held with the whole error; a part of it is another programming.
                Sampling::Frozen { .. } | Sampling::Map => factor != 1.0,
                Sampling::PerExecution => false,
            }
    }

    /// `group` as it multiplies with the model's weights.
    pub(super) fn frozen(&self, group: &Group, step: u64, factor: f32) -> Result<Frozen, NetworkError> {
        let mut weights = Vec::with_capacity(group.layers.len());
        for layer in &group.layers {
            let weight = self.model.matrix(layer);
            weights.push(weight.ok_or_else(|| NetworkError::NoTensor { name: layer.weight_name() })?);
        }
        let bias = |layer: &LayerSpec| self.model.bias(layer).map(|bias| bias.to_vec());
        self.programmed(group, &weights, group.layers.iter().map(bias).collect(), step, factor)
    }

    /// `group` as it multiplies with `weights`, one matrix a layer.
    pub(super) fn programmed(
        &self,
        group: &Group,
        weights: &[ArrayView2<'_, f32>],
        biases: Vec<Option<Vec<f32>>>,
        step: u64,
        error_factor: f32,
    ) -> Result<Frozen, NetworkError> {
        let Arithmetic::Chip { chip, ranges, input_scales } = &self.arithmetic else {
            return Ok(Frozen::digital(weights, biases));
        };
        let scale = input_scales.get(&group.name).cloned();
        let mut parts = Vec::with_capacity(weights.len());
        for (index, (weight, bias)) in weights.iter().zip(biases).enumerate() {
            let draw = Draw { layer: group.first + index as u64, step, factor: error_factor };
            let mut part = match &scale {
                None => programmed(*weight, chip, draw)?,
                Some(scale) => programmed(divided(*weight, scale).view(), chip, draw)?,
            };
            part.bias = bias;
            parts.push(part);
        }
        let converters = converters(chip, ranges, &group.name)?;
        let product = Arc::new(product(chip, group.inputs(), parts, converters));
        Ok(Frozen::Chip { product, input_scale: scale })
    }
}

/// Tensors that do not belong to a layer of the chip: matrices as they are, all else as one row.
fn digital(model: &Model, device: &Device) -> HashMap<String, Tensor<2>> {
    let mut tensors = HashMap::new();
    for spec in model.architecture().tensors() {
        if matches!(spec.role, TensorRole::Photonic | TensorRole::Bias) {
            continue;
        }
        if let Some(parameter) = model.weights().get(&spec.name) {
            let values = as_matrix(&parameter.shape, parameter.values.clone());
            tensors.insert(spec.name, constant(values, device));
        }
    }
    tensors
}

/// A tensor as a matrix: `[first dimension, all others]`, or one row where it is a vector or starts with ones.
pub(super) fn as_matrix(shape: &[usize], values: Vec<f32>) -> Array2<f32> {
    let length = values.len();
    let rows = match shape {
        [rows, _, ..] if *rows > 0 => *rows,
        _ => 1,
    };
    Array2::from_shape_vec((rows, length / rows.max(1)), values).unwrap_or_else(|error| {
        // As many values as the shape holds: the model saw to it.
        debug_assert!(false, "{error}");
        Array2::zeros((rows, length / rows.max(1)))
    })
}
