//! A record as two files: the arrays first, then the text that names their hash.

use std::{
    fs,
    path::{Path, PathBuf},
};

use ndarray::{Array3, Array4};
use serde::{Deserialize, Serialize};

use super::{MeasurementRecord, ProgrammingLog};
use crate::{
    measure::MeasurementPlan,
    npz,
    pairs::Pairs,
    provenance::Provenance,
    store::{StoreError, read_toml, write_atomically, write_toml},
};

/// The text half of a record.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordText {
    schema: String,
    /// Rows (outputs) of the processor.
    rows: usize,
    /// Columns (inputs) of the processor.
    cols: usize,
    provenance: Provenance,
    plan: MeasurementPlan,
    arrays: ArraysFile,
    programming: Vec<ProgrammingLog>,
}

/// The array half of a record, by name and content.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ArraysFile {
    /// File name, in the folder of the text.
    file: String,
    /// SHA-256 of the whole file, hexadecimal.
    sha256: String,
}

impl MeasurementRecord {
    /// Writes `<path>.npz`, then `<path>.toml`; the extension of `path` is replaced. Each file is whole or absent,
    /// and a text without its arrays cannot arise.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), StoreError> {
        let arrays = path.with_extension("npz");
        let bytes = npz::to_bytes(
            &arrays,
            &[
                ("target", self.targets.view().into_dyn()),
                ("measured", self.measured.view().into_dyn()),
                ("expected", self.expected.view().into_dyn()),
            ],
        )?;
        write_atomically(&arrays, |writer| std::io::Write::write_all(writer, &bytes))?;
        let (_, rows, cols) = self.targets.dim();
        write_toml(
            &path.with_extension("toml"),
            &RecordText {
                schema: Self::SCHEMA.to_owned(),
                rows,
                cols,
                provenance: self.provenance.clone(),
                plan: self.plan,
                arrays: ArraysFile { file: name_of(&arrays), sha256: npz::sha256(&bytes) },
                programming: self.programmings.clone(),
            },
        )
    }

    /// Reads a record from `<path>.toml` and the `.npz` that it names; `path` may be either file.
    ///
    /// # Errors
    /// One sentence for each: a missing, truncated or changed file, another schema, arrays of a shape that the text
    /// does not say, readings that are not finite.
    pub fn read(path: &Path) -> Result<Self, StoreError> {
        let path = path.with_extension("toml");
        let text: RecordText = read_toml(&path, Self::SCHEMA)?;
        let arrays = path.with_file_name(&text.arrays.file);
        let bytes = arrays_bytes(&path, &arrays, &text.arrays)?;
        let mut npz = npz::open(&arrays, bytes)?;
        let (p, r, rows, cols) = (text.plan.programmings, text.plan.repeats, text.rows, text.cols);
        let mut three = |name| -> Result<Array3<f64>, StoreError> {
            npz::shaped(&arrays, name, npz.array(name)?, &[p, rows, cols])
        };
        let (targets, expected) = (three("target")?, three("expected")?);
        let measured: Array4<f64> =
            npz::shaped(&arrays, "measured", npz.array("measured")?, &[p, r, rows, cols])?;
        if text.programming.len() != p {
            let found = text.programming.len();
            let reason = format!(
                "there are {found} [[programming]] entries, the plan says {p}; restore the file as it was written, or measure again"
            );
            return Err(StoreError::Malformed { path, reason });
        }
        let pairs = Pairs::new(targets, measured)
            .map_err(|error| StoreError::Malformed { path: arrays, reason: error.to_string() })?;
        let (targets, measured) = pairs.into_arrays();
        let (provenance, plan, programmings) = (text.provenance, text.plan, text.programming);
        Ok(Self { provenance, plan, targets, measured, expected, programmings })
    }
}

fn arrays_bytes(text: &Path, arrays: &PathBuf, expected: &ArraysFile) -> Result<Vec<u8>, StoreError> {
    let bytes = match fs::read(arrays) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let reason = format!(
                "the readings `{}` that belong to it are not in the same folder; put both files of the record side by side",
                expected.file
            );
            return Err(StoreError::Malformed { path: text.to_owned(), reason });
        }
        Err(source) => return Err(StoreError::Read { path: arrays.clone(), source }),
    };
    let found = npz::sha256(&bytes);
    if found != expected.sha256 {
        let reason = format!(
            "the file ({} bytes, SHA-256 {}…) is not the one that `{}` was written with ({}…): it is truncated, changed, or of another record; restore it, or measure again",
            bytes.len(),
            start(&found),
            name_of(text),
            start(&expected.sha256)
        );
        return Err(StoreError::Malformed { path: arrays.clone(), reason });
    }
    Ok(bytes)
}

fn start(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
