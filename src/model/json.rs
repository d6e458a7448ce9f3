//! JSON files beside networks.

use std::{fs, io::Write, path::Path};

use alora_calibration::{StoreError, write_atomically};
use serde::{Serialize, de::DeserializeOwned};

use super::ModelError;

/// Reads a JSON file; errors name the file.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<T, ModelError> {
    let text =
        fs::read_to_string(path).map_err(|source| StoreError::Read { path: path.to_owned(), source })?;
    serde_json::from_str(&text).map_err(|error| malformed(path, &error))
}

/// Writes `value` as indented JSON, whole or not at all.
pub(super) fn write(path: &Path, value: &impl Serialize) -> Result<(), ModelError> {
    let mut text = serde_json::to_string_pretty(value).map_err(|error| malformed(path, &error))?;
    text.push('\n');
    Ok(write_atomically(path, |writer| writer.write_all(text.as_bytes()))?)
}

fn malformed(path: &Path, error: &serde_json::Error) -> ModelError {
    StoreError::Malformed { path: path.to_owned(), reason: error.to_string() }.into()
}
