//! A multi-layer perceptron.

use std::path::Path;

use alora_calibration::{Cell, Provenance};
use ndarray::{Array1, Array2, ArrayView2};

use super::{
    ModelError,
    file::{TensorFile, write_tensors},
};

/// One linear layer: `y = W x + b`.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearWeights {
    /// Name, e.g. `fc1`.
    pub name: String,
    /// `W`, `[out, in]`.
    pub weight: Array2<f32>,
    /// `b`, `[out]`, added digitally.
    pub bias: Array1<f32>,
}

/// Linear layers with ReLU between them.
///
/// Invariant: at least one layer, named `fc1`, `fc2`, …; each takes as many inputs as the one before gives; all values
/// are finite.
#[derive(Clone, Debug, PartialEq)]
pub struct Mlp {
    layers: Vec<LinearWeights>,
}

/// What the metadata entry `adapters` says of a network with adapters in it.
pub(super) const MERGED: &str = "merged";

impl Mlp {
    /// Version of the file format.
    pub const SCHEMA: &'static str = "alora.mlp/1";

    /// Checks `layers` and names them `fc1`, `fc2`, … in order.
    ///
    /// # Errors
    /// No layer, a shape that does not fit its neighbours, or a value that is not finite.
    pub fn new(mut layers: Vec<LinearWeights>) -> Result<Self, ModelError> {
        if layers.is_empty() {
            return Err(ModelError::Empty);
        }
        let mut inputs = layers[0].weight.ncols();
        for (index, layer) in layers.iter_mut().enumerate() {
            layer.name = format!("fc{}", index + 1);
            check_layer(layer, inputs)?;
            inputs = layer.weight.nrows();
        }
        Ok(Self { layers })
    }

    /// The layers, first to last.
    #[must_use]
    pub fn layers(&self) -> &[LinearWeights] {
        &self.layers
    }

    /// The layers, first to last.
    #[must_use]
    pub fn into_layers(self) -> Vec<LinearWeights> {
        self.layers
    }

    /// Number of weights and biases.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.layers.iter().map(|layer| layer.weight.len() + layer.bias.len()).sum()
    }

    /// Outputs for `inputs`, `[n, in]`, in digital arithmetic: `[n, out]`, before any softmax.
    ///
    /// The inputs must be as wide as the first layer.
    #[must_use]
    pub fn forward(&self, inputs: ArrayView2<'_, f32>) -> Array2<f32> {
        let mut activations = inputs.to_owned();
        for (index, layer) in self.layers.iter().enumerate() {
            if index > 0 {
                activations.mapv_inplace(|value| value.max(0.0));
            }
            activations = activations.dot(&layer.weight.t()) + &layer.bias;
        }
        activations
    }

    /// Writes the network as safetensors: `fc1.weight` `[out, in]`, `fc1.bias` `[out]`, …
    ///
    /// # Errors
    /// A folder that cannot be written; nothing is left half-written.
    pub fn write(&self, path: &Path, provenance: &Provenance) -> Result<(), ModelError> {
        self.write_as(path, provenance, "none")
    }

    /// The same for a network into which adapters were merged: the file says so, and [`Self::read_base`] refuses it.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn write_merged(&self, path: &Path, provenance: &Provenance) -> Result<(), ModelError> {
        self.write_as(path, provenance, MERGED)
    }

    fn write_as(&self, path: &Path, provenance: &Provenance, adapters: &str) -> Result<(), ModelError> {
        let mut tensors = Vec::new();
        for layer in &self.layers {
            let (out, inputs) = layer.weight.dim();
            tensors.push((
                format!("{}.weight", layer.name),
                vec![out, inputs],
                layer.weight.iter().copied().collect(),
            ));
            tensors.push((format!("{}.bias", layer.name), vec![out], layer.bias.to_vec()));
        }
        write_tensors(path, Self::SCHEMA, provenance, &[("adapters", adapters.to_owned())], &tensors)
    }

    /// Reads a network to which adapters will be added.
    ///
    /// # Errors
    /// As [`Self::read`], or a file that says that adapters were merged into it already.
    pub fn read_base(path: &Path) -> Result<(Self, Provenance), ModelError> {
        let file = TensorFile::read(path, Self::SCHEMA)?;
        if file.adapters() == Some(MERGED) {
            return Err(ModelError::AlreadyMerged { path: path.to_owned() });
        }
        Self::read(path)
    }

    /// Reads a network from safetensors, with its origin.
    ///
    /// # Errors
    /// A file that cannot be read or is of another schema (one without schema is read as a network, its origin unknown);
    /// a tensor that is missing, extra, mis-shaped or not finite.
    pub fn read(path: &Path) -> Result<(Self, Provenance), ModelError> {
        let mut file = TensorFile::read(path, Self::SCHEMA)?;
        let provenance = file.provenance.clone();
        Self::from_file(&mut file)
            .map(|mlp| (mlp, provenance))
            .map_err(|source| ModelError::File { path: path.to_owned(), source: Box::new(source) })
    }

    fn from_file(file: &mut TensorFile) -> Result<Self, ModelError> {
        // The last layer present decides how many there must be, so that a gap is named.
        let number = |name: &str| name.strip_prefix("fc")?.split('.').next()?.parse::<usize>().ok();
        let count = file.names().filter_map(number).filter(|number| *number < 1000).max().unwrap_or(1).max(1);
        let mut layers = Vec::with_capacity(count);
        for index in 1..=count {
            let name = format!("fc{index}");
            let weight = file.take_matrix(&format!("{name}.weight"))?;
            let bias = file.take_vector(&format!("{name}.bias"))?;
            layers.push(LinearWeights { name, weight, bias });
        }
        file.nothing_left("a multi-layer perceptron")?;
        Self::new(layers)
    }
}

fn check_layer(layer: &LinearWeights, inputs: usize) -> Result<(), ModelError> {
    let tensor = format!("{}.weight", layer.name);
    let (out, found) = layer.weight.dim();
    if found != inputs || found == 0 || out == 0 {
        let expected = vec![out.max(1), inputs.max(1)];
        return Err(ModelError::Shape { tensor, expected, found: vec![out, found] });
    }
    check_finite(&tensor, layer.weight.view())?;
    let tensor = format!("{}.bias", layer.name);
    if layer.bias.len() != out {
        return Err(ModelError::Shape { tensor, expected: vec![out], found: vec![layer.bias.len()] });
    }
    check_finite(&tensor, layer.bias.view().insert_axis(ndarray::Axis(0)))
}

/// Refuses NaN and infinities with tensor and place.
pub(super) fn check_finite(tensor: &str, values: ArrayView2<'_, f32>) -> Result<(), ModelError> {
    match values.indexed_iter().find(|(_, value)| !value.is_finite()) {
        Some(((row, col), &value)) => {
            Err(ModelError::NotFinite { tensor: tensor.to_owned(), cell: Cell { row, col }, value })
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use ndarray::array;

    use super::*;

    fn layer(out: usize, inputs: usize) -> LinearWeights {
        LinearWeights { name: String::new(), weight: Array2::ones((out, inputs)), bias: Array1::zeros(out) }
    }

    #[test]
    fn the_paper_s_mlp_has_335_114_parameters() {
        let sizes = [784, 256, 256, 256, 10];
        let mlp = Mlp::new(sizes.windows(2).map(|pair| layer(pair[1], pair[0])).collect()).unwrap();
        assert_eq!(mlp.parameters(), 335_114);
        assert_eq!(mlp.layers()[3].name, "fc4");
    }

    #[test]
    fn relu_stands_between_layers_and_not_after_the_last() {
        let first =
            LinearWeights { name: String::new(), weight: array![[1.0], [-1.0]], bias: array![0.0, 0.5] };
        let second = LinearWeights { name: String::new(), weight: array![[1.0, -2.0]], bias: array![0.25] };
        let mlp = Mlp::new(vec![first, second]).unwrap();
        // x = 2: [2, −1.5] → [2, 0] → 2.25. x = −2: [−2, 2.5] → [0, 2.5] → −4.75.
        assert_eq!(mlp.forward(array![[2.0], [-2.0]].view()), array![[2.25], [-4.75]]);
    }

    #[test]
    fn layers_that_do_not_fit_and_values_that_are_no_numbers_are_named() {
        let message = |layers| Mlp::new(layers).unwrap_err().to_string();
        assert_eq!(message(vec![layer(4, 3), layer(2, 5)]), "fc2.weight is 2 × 5, expected 2 × 4");
        let mut bad = layer(2, 3);
        bad.weight[(1, 2)] = f32::NAN;
        assert_eq!(
            message(vec![bad]),
            "fc1.weight: the value at (row 1, column 2) is NaN; every value must be a finite number"
        );
        assert_eq!(message(vec![]), "a network needs at least one layer");
    }
}
