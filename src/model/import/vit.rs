//! Vision transformers as transformers saves them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use alora_calibration::{Provenance, StoreError};
use serde::Deserialize;

use super::{ImportNote, ImportOptions, Imported, finished, hf_config, names, preprocessor};
use crate::model::{
    Architecture, ModelError, Weights, export::MODEL_SCHEMA, file, json, mlp::MERGED, stream::TensorReader,
};

/// Reads a ViT of transformers: a folder with `config.json` and `model.safetensors` (or its shards, or a single
/// safetensors file of any name), or that safetensors file itself.
///
/// Both naming schemes are read, with or without `vit.`; F32, F16 and BF16. Tensors of a pooler are left out. Where the
/// file has no head, or one for another number of classes than asked, the head is new.
///
/// # Errors
/// A file that cannot be read; a configuration of another family; tensors that are missing, extra or mis-shaped; no head
/// and no number of classes.
pub fn read_vit(path: &Path, options: &ImportOptions) -> Result<Imported, ModelError> {
    let is_folder = path.is_dir();
    let folder = if is_folder { path } else { path.parent().unwrap_or(Path::new("")) };
    let mut config = hf_config::read(&folder.join("config.json"))?;
    let files = if is_folder { weight_files(folder)? } else { vec![path.to_owned()] };
    let mut read = Read::default();
    for file in &files {
        read.add(file)?;
    }
    let mut notes = read.notes();
    let preprocessor = optional_preprocessor(folder, &mut notes)?;
    match read.weights.get("classifier.weight") {
        // What the tensor says counts: configurations often keep the number of another head.
        Some(head) => {
            let classes = head.shape.first().copied().unwrap_or(0);
            if classes != config.classes {
                config.labels.clear();
            }
            config.classes = classes;
        }
        // For the check of sizes; the new head gets its own number.
        None => config.classes = options.classes.ok_or_else(|| ModelError::NoHead.within(path))?,
    }
    let (model, notes) = finished(Architecture::Vit(config), read.weights, notes, options)
        .map_err(|error| error.within(path))?;
    Ok(Imported { model, preprocessor, provenance: read.provenance, merged: read.merged, notes })
}

/// What the weight files hold, under canonical names.
#[derive(Default)]
struct Read {
    weights: Weights,
    ignored: Vec<String>,
    backbone: bool,
    merged: bool,
    provenance: Option<Provenance>,
}

impl Read {
    fn add(&mut self, path: &Path) -> Result<(), ModelError> {
        let mut reader = TensorReader::open(path)?;
        self.merged |= reader.metadata("adapters") == Some(MERGED);
        if reader.metadata("schema") == Some(MODEL_SCHEMA) {
            self.provenance = Some(file::origin(&reader).map_err(|error| error.within(path))?);
        }
        for name in reader.names() {
            let canonical = names::canonical(&name);
            if unused(&canonical) {
                self.ignored.push(name);
                continue;
            }
            self.backbone |= names::lacks_prefix(&name);
            let parameter = reader.read(&name)?;
            if self.weights.insert(canonical.clone(), parameter).is_some() {
                return Err(ModelError::Twice { tensor: canonical }.within(path));
            }
        }
        Ok(())
    }

    fn notes(&mut self) -> Vec<ImportNote> {
        let mut notes = Vec::new();
        if self.backbone {
            notes.push(ImportNote::Backbone);
        }
        if !self.ignored.is_empty() {
            notes.push(ImportNote::Ignored { tensors: std::mem::take(&mut self.ignored) });
        }
        notes
    }
}

/// The pooler stands beside the head and is not used by it; the mask token served masked pre-training only.
fn unused(canonical: &str) -> bool {
    canonical.starts_with("vit.pooler.") || canonical == "vit.embeddings.mask_token"
}

fn optional_preprocessor(
    folder: &Path,
    notes: &mut Vec<ImportNote>,
) -> Result<Option<super::Preprocessor>, ModelError> {
    let path = folder.join("preprocessor_config.json");
    if !path.exists() {
        return Ok(None);
    }
    let (preprocessor, more) = preprocessor::read(&path)?;
    notes.extend(more);
    Ok(Some(preprocessor))
}

/// Table of contents of a network in several files.
#[derive(Deserialize)]
struct ShardIndex {
    weight_map: BTreeMap<String, String>,
}

/// The files with the weights in a folder.
pub(super) fn weight_files(folder: &Path) -> Result<Vec<PathBuf>, ModelError> {
    let whole = folder.join("model.safetensors");
    if whole.exists() {
        return Ok(vec![whole]);
    }
    let index = folder.join("model.safetensors.index.json");
    if index.exists() {
        return shards(folder, &index);
    }
    let list = || -> std::io::Result<Vec<PathBuf>> {
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect()
    };
    let mut files = list().map_err(|source| StoreError::Read { path: folder.to_owned(), source })?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "safetensors"));
    if files.len() == 1 {
        return Ok(files);
    }
    Err(ModelError::WeightsFile { found: files.len() }.within(folder))
}

fn shards(folder: &Path, index: &Path) -> Result<Vec<PathBuf>, ModelError> {
    let found: ShardIndex = json::read(index)?;
    let files: BTreeSet<String> = found.weight_map.into_values().collect();
    let elsewhere = |file: &&String| Path::new(file).file_name().is_none_or(|name| name != file.as_str());
    if let Some(file) = files.iter().find(elsewhere) {
        return Err(ModelError::Metadata {
            key: "weight_map",
            expected: "names of files in this folder".to_owned(),
            found: format!("`{file}`"),
        }
        .within(index));
    }
    Ok(files.iter().map(|file| folder.join(file)).collect())
}
