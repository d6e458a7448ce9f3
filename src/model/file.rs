//! Named tensors in a safetensors file, with schema and origin in its metadata.

use std::{collections::BTreeMap, path::Path};

use alora_calibration::{Provenance, StoreError};
use ndarray::{Array1, Array2};

use super::{
    Mlp, ModelError, Parameter,
    error::shape,
    stream::{self, TensorReader},
};

/// Name, shape, and values in row-major order.
pub(super) type NamedTensor = (String, Vec<usize>, Vec<f32>);

/// What every file of ours says of itself: `schema`, `provenance` (JSON), `simulated`.
pub(super) fn stamp(schema: &str, provenance: &Provenance) -> BTreeMap<String, String> {
    // A provenance holds text, a number and enums without fields: JSON has words for all of it.
    let text = serde_json::to_string(provenance).unwrap_or_default();
    BTreeMap::from([
        ("schema".to_owned(), schema.to_owned()),
        ("provenance".to_owned(), text),
        ("simulated".to_owned(), provenance.simulated.to_string()),
    ])
}

/// Origin that a file of ours tells.
pub(super) fn origin(reader: &TensorReader) -> Result<Provenance, ModelError> {
    let text = reader.metadata("provenance").unwrap_or("missing");
    serde_json::from_str(text).map_err(|error| ModelError::Metadata {
        key: "provenance",
        expected: "the origin of the file as JSON".to_owned(),
        found: error.to_string(),
    })
}

/// Writes `tensors` as F32, whole or not at all. The metadata holds [`stamp`] and `more`.
pub(super) fn write_tensors(
    path: &Path,
    schema: &str,
    provenance: &Provenance,
    more: &[(&str, String)],
    tensors: &[NamedTensor],
) -> Result<(), ModelError> {
    let mut metadata = stamp(schema, provenance);
    metadata.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    let entries: Vec<stream::Entry<'_>> = tensors
        .iter()
        .map(|(name, shape, values)| (name.as_str(), shape.as_slice(), values.as_slice()))
        .collect();
    stream::write(path, &metadata, &entries)
}

/// Tensors of a small file that are not yet taken.
pub(super) struct TensorFile {
    tensors: BTreeMap<String, Parameter>,
    adapters: Option<String>,
    pub(super) provenance: Provenance,
}

impl TensorFile {
    /// Reads a file of the schema `schema`.
    pub(super) fn read(path: &Path, schema: &'static str) -> Result<Self, ModelError> {
        let mut reader = TensorReader::open(path)?;
        let found = reader.metadata("schema");
        // PyTorch and numpy write networks without our metadata; names and shapes are checked all the same.
        let plain = schema == Mlp::SCHEMA && found.is_none();
        if !plain && found != Some(schema) {
            let found = found.unwrap_or("missing").to_owned();
            return Err(StoreError::Schema { path: path.to_owned(), found, expected: schema }.into());
        }
        let provenance =
            if plain { unknown_origin() } else { origin(&reader).map_err(|error| error.within(path))? };
        let adapters = reader.metadata("adapters").map(str::to_owned);
        let mut tensors = BTreeMap::new();
        for name in reader.names() {
            let parameter = reader.read(&name)?;
            tensors.insert(name, parameter);
        }
        Ok(Self { tensors, adapters, provenance })
    }

    /// Names of the tensors not yet taken.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The metadata entry `adapters`: `none` or `merged`.
    pub(super) fn adapters(&self) -> Option<&str> {
        self.adapters.as_deref()
    }

    /// Takes a matrix.
    pub(super) fn take_matrix(&mut self, name: &str) -> Result<Array2<f32>, ModelError> {
        let (shape, values) = self.take(name)?;
        let [rows, cols] = shape[..] else {
            return Err(wrong_rank(name, 2, shape));
        };
        Array2::from_shape_vec((rows, cols), values)
            .map_err(|error| ModelError::Malformed { reason: error.to_string() })
    }

    /// Takes a vector.
    pub(super) fn take_vector(&mut self, name: &str) -> Result<Array1<f32>, ModelError> {
        let (shape, values) = self.take(name)?;
        if shape.len() == 1 { Ok(Array1::from_vec(values)) } else { Err(wrong_rank(name, 1, shape)) }
    }

    fn take(&mut self, name: &str) -> Result<(Vec<usize>, Vec<f32>), ModelError> {
        match self.tensors.remove(name) {
            Some(parameter) => Ok((parameter.shape, parameter.values)),
            None => Err(ModelError::Missing { tensor: name.to_owned() }),
        }
    }

    /// Refuses tensors that nobody took.
    pub(super) fn nothing_left(&self, what: &'static str) -> Result<(), ModelError> {
        match self.names().next() {
            Some(tensor) => Err(ModelError::Extra { tensor: tensor.to_owned(), what }),
            None => Ok(()),
        }
    }
}

/// Origin of a network that somebody brought.
pub(super) fn unknown_origin() -> Provenance {
    Provenance {
        tool: "unknown".to_owned(),
        processor: None,
        kind: None,
        simulated: false,
        created: String::new(),
        seed: 0,
    }
}

fn wrong_rank(name: &str, dimensions: usize, found: Vec<usize>) -> ModelError {
    let what = if dimensions == 1 { "one dimension" } else { "two dimensions" };
    ModelError::Metadata { key: "shape", expected: format!("{what} for `{name}`"), found: shape(&found) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::{error::Error, fs};

    use ndarray::array;

    use super::*;
    use crate::model::LinearWeights;

    fn provenance() -> Provenance {
        Provenance {
            tool: "alora test".to_owned(),
            processor: None,
            kind: None,
            simulated: true,
            created: "2026-01-01T00:00:00Z".to_owned(),
            seed: 7,
        }
    }

    fn base() -> Mlp {
        let first = LinearWeights {
            name: String::new(),
            weight: array![[1.0, 2.5], [-3.0, 0.1]],
            bias: array![0.0, 1.0],
        };
        let second = LinearWeights { name: String::new(), weight: array![[0.3, 0.7]], bias: array![-1.5] };
        Mlp::new(vec![first, second]).unwrap()
    }

    /// What the innermost error says of a file with these tensors.
    fn complaint(tensors: Vec<NamedTensor>) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        write_tensors(&path, Mlp::SCHEMA, &provenance(), &[], &tensors).unwrap();
        let error = Mlp::read(&path).unwrap_err();
        assert_eq!(error.to_string(), path.display().to_string());
        error.source().unwrap().to_string()
    }

    #[test]
    fn a_network_comes_back_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        base().write(&path, &provenance()).unwrap();
        assert_eq!(Mlp::read(&path).unwrap(), (base(), provenance()));
    }

    #[test]
    fn a_missing_extra_or_misshaped_tensor_is_named() {
        let matrix = |name: &str, rows, cols| (name.to_owned(), vec![rows, cols], vec![1.0; rows * cols]);
        let vector = |name: &str, length| (name.to_owned(), vec![length], vec![0.0; length]);
        assert_eq!(complaint(vec![matrix("fc1.weight", 2, 3)]), "the tensor `fc1.bias` is missing");
        assert_eq!(
            complaint(vec![matrix("fc1.weight", 2, 3), vector("fc1.bias", 2), vector("head", 1)]),
            "the tensor `head` is not part of a multi-layer perceptron; remove it"
        );
        assert_eq!(
            complaint(vec![matrix("fc1.weight", 2, 3), vector("fc1.bias", 3)]),
            "fc1.bias is 3, expected 2"
        );
        assert_eq!(
            complaint(vec![vector("fc1.weight", 6), vector("fc1.bias", 2)]),
            "the metadata entry `shape` is 6, expected two dimensions for `fc1.weight`"
        );
        let nan = ("fc1.weight".to_owned(), vec![1, 2], vec![0.0, f32::NAN]);
        assert_eq!(
            complaint(vec![nan, vector("fc1.bias", 1)]),
            "fc1.weight: the value at (row 0, column 1) is NaN; every value must be a finite number"
        );
    }

    #[test]
    fn another_schema_and_a_truncated_file_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        write_tensors(&path, "alora.adapters/2", &provenance(), &[], &[]).unwrap();
        let message = Mlp::read(&path).unwrap_err().to_string();
        assert!(
            message.contains(
                "schema is `alora.adapters/2`, expected `alora.mlp/1`; this is a file of another kind"
            ),
            "{message}"
        );
        base().write(&path, &provenance()).unwrap();
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
        let message = Mlp::read(&path).unwrap_err().source().unwrap().to_string();
        assert!(message.starts_with("not a whole safetensors file"), "{message}");
    }
}
