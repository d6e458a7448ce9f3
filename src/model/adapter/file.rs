//! Adapters in our own file format.

use std::{collections::BTreeMap, path::Path};

use alora_calibration::{Provenance, StoreError};
use ndarray::{Array1, Array2};

use super::{Adapter, AdapterSet};
use crate::model::{
    Architecture, ModelError, Parameter, Weights,
    file::{origin, stamp},
    stream::{self, TensorReader},
};

const PARTS: [&str; 4] = ["lora_A.weight", "lora_A.bias", "lora_B.weight", "lora_B.bias"];

impl AdapterSet {
    /// Writes the adapters as safetensors (`alora.adapters/2`): for each layer `fc1.lora_A.weight` `[k, in]`,
    /// `fc1.lora_A.bias` `[k]`, `fc1.lora_B.weight` `[out, k]`, `fc1.lora_B.bias` `[out]`, the biases where there are any;
    /// `alpha` of each layer as JSON in the metadata, with the origin.
    ///
    /// # Errors
    /// A folder that cannot be written; nothing is left half-written.
    pub fn write(&self, path: &Path, provenance: &Provenance) -> Result<(), ModelError> {
        let mut metadata = stamp(Self::SCHEMA, provenance);
        let alphas: BTreeMap<&str, f32> =
            self.iter().map(|(layer, adapter)| (layer, adapter.alpha)).collect();
        metadata.insert("alpha".to_owned(), serde_json::json!(alphas).to_string());
        let tensors = self.tensors();
        let entries: Vec<stream::Entry<'_>> = tensors
            .iter()
            .map(|(name, parameter)| (name, parameter.shape.as_slice(), parameter.values.as_slice()))
            .collect();
        stream::write(path, &metadata, &entries)
    }

    fn tensors(&self) -> Weights {
        let mut tensors = Weights::default();
        for (layer, adapter) in self.iter() {
            let parts = [
                Some(matrix(&adapter.a)),
                adapter.a_bias.as_ref().map(vector),
                Some(matrix(&adapter.b)),
                adapter.b_bias.as_ref().map(vector),
            ];
            for (part, parameter) in PARTS.iter().zip(parts) {
                if let Some(parameter) = parameter {
                    tensors.insert(format!("{layer}.{part}"), parameter);
                }
            }
        }
        tensors
    }

    /// Reads adapters for a network of `architecture`, with their origin.
    ///
    /// # Errors
    /// A file that cannot be read or is of another schema; a tensor that is missing, extra, mis-shaped or not finite.
    pub fn read(path: &Path, architecture: &Architecture) -> Result<(Self, Provenance), ModelError> {
        let mut reader = TensorReader::open(path)?;
        let found = reader.metadata("schema").unwrap_or("missing").to_owned();
        if found != Self::SCHEMA {
            return Err(StoreError::Schema { path: path.to_owned(), found, expected: Self::SCHEMA }.into());
        }
        let mut tensors = Weights::default();
        for name in reader.names() {
            let parameter = reader.read(&name)?;
            tensors.insert(name, parameter);
        }
        let read = || Ok((Self::new(adapters(tensors, &alphas(&reader)?)?, architecture)?, origin(&reader)?));
        read().map_err(|error: ModelError| error.within(path))
    }
}

fn alphas(reader: &TensorReader) -> Result<BTreeMap<String, f32>, ModelError> {
    let text = reader.metadata("alpha").unwrap_or("missing");
    serde_json::from_str(text).map_err(|_| ModelError::Metadata {
        key: "alpha",
        expected: "a number for each layer, as JSON".to_owned(),
        found: text.to_owned(),
    })
}

fn adapters(
    mut tensors: Weights,
    alphas: &BTreeMap<String, f32>,
) -> Result<BTreeMap<String, Adapter>, ModelError> {
    let mut adapters = BTreeMap::new();
    for (layer, &alpha) in alphas {
        let [a, a_bias, b, b_bias] = PARTS.map(|part| format!("{layer}.{part}"));
        let adapter = Adapter {
            a: take_matrix(&mut tensors, a)?,
            b: take_matrix(&mut tensors, b)?,
            a_bias: take_vector(&mut tensors, &a_bias),
            b_bias: take_vector(&mut tensors, &b_bias),
            alpha,
        };
        adapters.insert(layer.clone(), adapter);
    }
    match tensors.names().next() {
        Some(tensor) => Err(ModelError::Extra { tensor: tensor.to_owned(), what: "a set of adapters" }),
        None => Ok(adapters),
    }
}

/// Takes a matrix; the axes behind the first are one (a convolution's `A`).
pub(in crate::model) fn take_matrix(
    tensors: &mut Weights,
    tensor: String,
) -> Result<Array2<f32>, ModelError> {
    let Some(Parameter { shape, values }) = tensors.remove(&tensor) else {
        return Err(ModelError::Missing { tensor });
    };
    let rows = shape.first().copied().unwrap_or(1);
    let columns: usize = shape.iter().skip(1).product();
    Array2::from_shape_vec((rows, columns), values).map_err(|_| ModelError::Shape {
        tensor,
        expected: vec![rows, columns],
        found: shape,
    })
}

/// Takes a vector; of another rank its values all the same, so that the check of shapes names it.
pub(in crate::model) fn take_vector(tensors: &mut Weights, tensor: &str) -> Option<Array1<f32>> {
    tensors.remove(tensor).map(|parameter| Array1::from_vec(parameter.values))
}

fn matrix(array: &Array2<f32>) -> Parameter {
    Parameter { shape: array.shape().to_vec(), values: array.iter().copied().collect() }
}

fn vector(array: &Array1<f32>) -> Parameter {
    Parameter { shape: vec![array.len()], values: array.to_vec() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::error::Error;

    use ndarray::array;

    use super::*;
    use crate::model::{ImageShape, MlpShape, file::unknown_origin};

    fn architecture() -> Architecture {
        let input = ImageShape { channels: 1, height: 1, width: 2 };
        Architecture::Mlp(MlpShape { input, hidden: vec![2], classes: 1 })
    }

    fn set() -> AdapterSet {
        let first = Adapter {
            a: array![[1.0, 0.1]],
            b: array![[0.2], [0.3]],
            a_bias: Some(array![0.1]),
            b_bias: Some(array![-0.1, 7.0]),
            alpha: 16.0,
        };
        let second =
            Adapter { a: array![[1.0, 2.0]], b: array![[0.5]], a_bias: None, b_bias: None, alpha: 0.1 };
        let adapters = BTreeMap::from([("fc1".to_owned(), first), ("fc2".to_owned(), second)]);
        AdapterSet::new(adapters, &architecture()).unwrap()
    }

    #[test]
    fn adapters_come_back_as_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("adapters.safetensors");
        let provenance = unknown_origin();
        set().write(&path, &provenance).unwrap();
        assert_eq!(AdapterSet::read(&path, &architecture()).unwrap(), (set(), provenance));
    }

    #[test]
    fn files_of_another_kind_or_network_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("adapters.safetensors");
        set().write(&path, &unknown_origin()).unwrap();
        let input = ImageShape { channels: 1, height: 1, width: 3 };
        let other = Architecture::Mlp(MlpShape { input, hidden: vec![2], classes: 1 });
        let error = AdapterSet::read(&path, &other).unwrap_err();
        assert_eq!(error.source().unwrap().to_string(), "fc1.lora_A.weight is 1 × 2, expected 1 × 3");
        stream::write(&path, &BTreeMap::new(), &[]).unwrap();
        let message = AdapterSet::read(&path, &architecture()).unwrap_err().to_string();
        assert!(message.contains("schema is `missing`, expected `alora.adapters/2`"), "{message}");
        let mut metadata = stamp(AdapterSet::SCHEMA, &unknown_origin());
        metadata.insert("alpha".to_owned(), "{\"fc1\": 1}".to_owned());
        stream::write(&path, &metadata, &[]).unwrap();
        let error = AdapterSet::read(&path, &architecture()).unwrap_err();
        assert_eq!(error.source().unwrap().to_string(), "the tensor `fc1.lora_A.weight` is missing");
    }
}
