//! The state of a training run between two steps, so that it goes on after a kill as if it had never stopped.

use std::{collections::BTreeMap, fs, io::Write, path::Path};

use alora_calibration::write_atomically;
use ndarray::Array2;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};

use super::{FinetuneError, optimiser::Moments};

/// Everything that the next step depends on.
pub(super) struct Checkpoint {
    pub(super) progress: Progress,
    /// What trains.
    pub(super) values: BTreeMap<String, Array2<f32>>,
    /// Steps and moments of AdamW.
    pub(super) moments: BTreeMap<String, (usize, Moments)>,
    /// Running statistics of batch norms.
    pub(super) statistics: BTreeMap<String, Array2<f32>>,
    /// Values of the best epoch, where training stops early.
    pub(super) best: BTreeMap<String, Array2<f32>>,
}

/// Numbers of a checkpoint. Losses are kept as bits: text would round them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Progress {
    /// What the run was asked to do, condensed; another run does not go on from here.
    pub(super) fingerprint: String,
    /// Steps done.
    pub(super) step: usize,
    /// Loss of each epoch done, as bits.
    pub(super) losses: Vec<u64>,
    /// Sum of the losses of the present epoch, as bits.
    pub(super) sum: u64,
    /// Loss on the held-out images after each epoch, as bits.
    pub(super) held_out: Vec<u64>,
    /// Steps of AdamW by parameter.
    pub(super) times: BTreeMap<String, usize>,
}

const SCHEMA: &str = "alora.checkpoint/1";

impl Checkpoint {
    /// Writes the checkpoint: whole or not at all.
    pub(super) fn write(&self, path: &Path) -> Result<(), FinetuneError> {
        let malformed = |reason: String| FinetuneError::Checkpoint { path: path.to_owned(), reason };
        let mut bytes: Vec<(String, [usize; 2], Vec<u8>)> = Vec::new();
        let mut add = |kind: &str, name: &str, values: &Array2<f32>| {
            let data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            bytes.push((format!("{kind}/{name}"), [values.nrows(), values.ncols()], data));
        };
        for (name, values) in &self.values {
            add("value", name, values);
        }
        for (name, (_, moments)) in &self.moments {
            add("first", name, &moments.first);
            add("second", name, &moments.second);
        }
        for (name, values) in &self.statistics {
            add("statistic", name, values);
        }
        for (name, values) in &self.best {
            add("best", name, values);
        }
        let views = bytes.iter().map(|(name, shape, data)| {
            TensorView::new(Dtype::F32, shape.to_vec(), data).map(|view| (name.as_str(), view))
        });
        let views = views.collect::<Result<Vec<_>, _>>().map_err(|error| malformed(error.to_string()))?;
        let mut progress = self.progress.clone();
        progress.times = self.moments.iter().map(|(name, (time, _))| (name.clone(), *time)).collect();
        let progress = serde_json::to_string(&progress).map_err(|error| malformed(error.to_string()))?;
        let metadata = [("schema", SCHEMA.to_owned()), ("progress", progress)];
        let metadata = metadata.map(|(key, value)| (key.to_owned(), value)).into();
        let file =
            safetensors::serialize(views, Some(metadata)).map_err(|error| malformed(error.to_string()))?;
        write_atomically(path, |writer| writer.write_all(&file))?;
        Ok(())
    }

    /// Reads a checkpoint; `None` where there is none.
    pub(super) fn read(path: &Path, fingerprint: &str) -> Result<Option<Self>, FinetuneError> {
        let malformed = |reason: String| FinetuneError::Checkpoint { path: path.to_owned(), reason };
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(malformed(error.to_string())),
        };
        let whole = |error: safetensors::SafeTensorError| malformed(format!("it is not whole: {error}"));
        let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(whole)?;
        let entry = |key: &str| metadata.metadata().as_ref().and_then(|entries| entries.get(key)).cloned();
        if entry("schema").as_deref() != Some(SCHEMA) {
            return Err(malformed("it is no checkpoint of this version".to_owned()));
        }
        let progress: Progress = serde_json::from_str(&entry("progress").unwrap_or_default())
            .map_err(|error| malformed(format!("its progress cannot be read: {error}")))?;
        if progress.fingerprint != fingerprint {
            return Err(malformed(
                "it is of another run: the configuration, the data or the model changed since".to_owned(),
            ));
        }
        let mut kinds: BTreeMap<String, BTreeMap<String, Array2<f32>>> = BTreeMap::new();
        for (name, view) in SafeTensors::deserialize(&bytes).map_err(whole)?.tensors() {
            let (Some((kind, name)), [rows, cols]) = (name.split_once('/'), view.shape()) else { continue };
            let value = |bytes: &[u8]| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            let values = view.data().chunks_exact(4).map(value).collect();
            let matrix = Array2::from_shape_vec((*rows, *cols), values)
                .map_err(|error| malformed(error.to_string()))?;
            kinds.entry(kind.to_owned()).or_default().insert(name.to_owned(), matrix);
        }
        let mut take = |kind: &str| kinds.remove(kind).unwrap_or_default();
        let (first, mut second) = (take("first"), take("second"));
        let mut moments = BTreeMap::new();
        for (name, first) in first {
            if let (Some(second), Some(&time)) = (second.remove(&name), progress.times.get(&name)) {
                moments.insert(name, (time, Moments { first, second }));
            }
        }
        let (values, statistics, best) = (take("value"), take("statistic"), take("best"));
        Ok(Some(Self { progress, values, moments, statistics, best }))
    }
}
