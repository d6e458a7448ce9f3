//! Named tensors in a safetensors file, with schema and origin in its metadata.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    io::Write,
    path::Path,
};

use alora_calibration::{Provenance, StoreError, write_atomically};
use ndarray::{Array1, Array2};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use super::{Mlp, ModelError};

/// Name, shape, and values in row-major order.
pub(super) type NamedTensor = (String, Vec<usize>, Vec<f32>);

/// Writes `tensors` as F32, whole or not at all. The metadata holds `schema`, `provenance` (JSON), `simulated`, and `more`.
pub(super) fn write_tensors(
    path: &Path,
    schema: &str,
    provenance: &Provenance,
    more: &[(&str, String)],
    tensors: Vec<NamedTensor>,
) -> Result<(), ModelError> {
    let malformed = |reason: String| StoreError::Malformed { path: path.to_owned(), reason };
    let provenance_text = serde_json::to_string(provenance).map_err(|error| malformed(error.to_string()))?;
    let mut metadata = HashMap::from([
        ("schema".to_owned(), schema.to_owned()),
        ("provenance".to_owned(), provenance_text),
        ("simulated".to_owned(), provenance.simulated.to_string()),
    ]);
    metadata.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    let bytes: Vec<(String, Vec<usize>, Vec<u8>)> = tensors
        .into_iter()
        .map(|(name, shape, values)| {
            (name, shape, values.iter().flat_map(|value| value.to_le_bytes()).collect())
        })
        .collect();
    let mut views = Vec::with_capacity(bytes.len());
    for (name, shape, bytes) in &bytes {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes)
            .map_err(|error| malformed(error.to_string()))?;
        views.push((name.as_str(), view));
    }
    let file = safetensors::serialize(views, Some(metadata)).map_err(|error| malformed(error.to_string()))?;
    Ok(write_atomically(path, |writer| writer.write_all(&file))?)
}

/// Tensors of a file that are not yet taken.
pub(super) struct TensorFile {
    tensors: BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>,
    metadata: HashMap<String, String>,
    pub(super) provenance: Provenance,
}

impl TensorFile {
    /// Reads a file of the schema `schema`.
    pub(super) fn read(path: &Path, schema: &'static str) -> Result<Self, ModelError> {
        let bytes = fs::read(path)
            .map_err(|source| StoreError::Read { path: path.to_owned(), source })
            .map_err(ModelError::from)?;
        Self::decode(&bytes, schema).map_err(|error| match error {
            ModelError::Metadata { key: "schema", found, .. } => {
                ModelError::Store(StoreError::Schema { path: path.to_owned(), found, expected: schema })
            }
            error => ModelError::File { path: path.to_owned(), source: Box::new(error) },
        })
    }

    fn decode(bytes: &[u8], schema: &'static str) -> Result<Self, ModelError> {
        let malformed =
            |error: safetensors::SafeTensorError| ModelError::Malformed { reason: error.to_string() };
        let file = SafeTensors::deserialize(bytes).map_err(malformed)?;
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(malformed)?;
        let metadata = header.metadata().clone().unwrap_or_default();
        let found = |key: &str| metadata.get(key).cloned().unwrap_or_else(|| "missing".to_owned());
        // PyTorch and numpy write networks without our metadata; names and shapes are checked all the same.
        let plain = schema == Mlp::SCHEMA && !metadata.contains_key("schema");
        if !plain && found("schema") != schema {
            return Err(ModelError::Metadata {
                key: "schema",
                expected: schema.to_owned(),
                found: found("schema"),
            });
        }
        let provenance = if plain {
            unknown_origin()
        } else {
            serde_json::from_str(&found("provenance")).map_err(|error| ModelError::Metadata {
                key: "provenance",
                expected: "the origin of the file as JSON".to_owned(),
                found: error.to_string(),
            })?
        };
        let tensors = file
            .iter()
            .map(|(name, view)| {
                (name.to_owned(), (view.dtype(), view.shape().to_vec(), view.data().to_vec()))
            })
            .collect();
        Ok(Self { tensors, metadata, provenance })
    }

    /// Names of the tensors not yet taken.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// A metadata entry.
    pub(super) fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
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
        let tensor = name.to_owned();
        let Some((format, shape, bytes)) = self.tensors.remove(name) else {
            return Err(ModelError::Missing { tensor });
        };
        if format != Dtype::F32 {
            return Err(ModelError::Format { tensor, found: format!("{format:?}") });
        }
        let value = |bytes: &[u8]| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        Ok((shape, bytes.chunks_exact(4).map(value).collect()))
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
fn unknown_origin() -> Provenance {
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
    ModelError::Metadata {
        key: "shape",
        expected: format!("{what} for `{name}`"),
        found: super::shape(&found),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::error::Error;

    use ndarray::array;

    use super::*;
    use crate::model::{Adapter, AdapterSet, LinearWeights, Mlp};

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
        write_tensors(&path, Mlp::SCHEMA, &provenance(), &[], tensors).unwrap();
        let error = Mlp::read(&path).unwrap_err();
        assert_eq!(error.to_string(), path.display().to_string());
        error.source().unwrap().to_string()
    }

    #[test]
    fn networks_and_adapters_come_back_as_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        base().write(&path, &provenance()).unwrap();
        assert_eq!(Mlp::read(&path).unwrap(), (base(), provenance()));
        let adapters = vec![
            Adapter { a: array![[1.0, 0.1]], b: array![[0.2], [0.3]], alpha: 16.0 },
            Adapter { a: array![[1.0, 2.0]], b: array![[0.5]], alpha: 0.5 },
        ];
        let set = AdapterSet::new(adapters, &base()).unwrap();
        let path = folder.path().join("adapters.safetensors");
        set.write(&path, &provenance()).unwrap();
        assert_eq!(AdapterSet::read(&path, &base()).unwrap(), (set, provenance()));
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
        write_tensors(&path, AdapterSet::SCHEMA, &provenance(), &[], vec![]).unwrap();
        let message = Mlp::read(&path).unwrap_err().to_string();
        assert!(
            message.contains(
                "schema is `alora.adapters/1`, expected `alora.mlp/1`; this is a file of another kind"
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
