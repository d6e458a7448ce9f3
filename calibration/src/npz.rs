//! `.npz` archives of float arrays, as numpy writes and reads them.
//!
//! Read: float64 and float32, little- or big-endian, C or Fortran order, stored. Not read, and refused with a
//! sentence: compressed archives, float16, integers, complex.

use std::{
    fmt::Write as _,
    io::Cursor,
    path::{Path, PathBuf},
};

use ndarray::{Array, ArrayD, ArrayViewD, Dimension};
use ndarray_npy::{NpzReader, NpzWriter, ReadNpyError, ReadNpzError};
use sha2::{Digest, Sha256};

use crate::store::StoreError;

/// Hexadecimal SHA-256 of `bytes`.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut hex, byte| {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// A stored `.npz` of the named arrays; `path` is for messages only.
pub(crate) fn to_bytes(path: &Path, arrays: &[(&str, ArrayViewD<'_, f64>)]) -> Result<Vec<u8>, StoreError> {
    let failed = |error: &dyn std::fmt::Display| StoreError::Malformed {
        path: path.to_owned(),
        reason: format!("the arrays cannot be packed: {error}"),
    };
    let mut npz = NpzWriter::new(Cursor::new(Vec::new()));
    for (name, array) in arrays {
        npz.add_array(*name, array).map_err(|error| failed(&error))?;
    }
    Ok(npz.finish().map_err(|error| failed(&error))?.into_inner())
}

/// An opened archive.
pub(crate) struct Npz {
    path: PathBuf,
    reader: NpzReader<Cursor<Vec<u8>>>,
}

/// Opens the archive in `bytes`, which were read from `path`.
pub(crate) fn open(path: &Path, bytes: Vec<u8>) -> Result<Npz, StoreError> {
    let found = bytes.len();
    match NpzReader::new(Cursor::new(bytes)) {
        Ok(reader) => Ok(Npz { path: path.to_owned(), reader }),
        Err(_) => Err(StoreError::Malformed {
            path: path.to_owned(),
            reason: format!(
                "the {found} bytes are not a whole .npz archive: the file is truncated or of another kind; write it again with numpy.savez"
            ),
        }),
    }
}

impl Npz {
    /// Names of the arrays; empty when even those cannot be read.
    pub(crate) fn names(&mut self) -> Vec<String> {
        self.reader.names().unwrap_or_default()
    }

    /// The array of that name as float64.
    pub(crate) fn array(&mut self, name: &str) -> Result<ArrayD<f64>, StoreError> {
        let names = match self.reader.names() {
            Ok(names) => names,
            Err(error) => {
                let reason = explain(name, &error);
                return Err(StoreError::Malformed { path: self.path.clone(), reason });
            }
        };
        if !names.iter().any(|found| found == name) {
            let reason =
                format!("there is no array `{name}`; found {}. Save it under that name", listed(&names));
            return Err(StoreError::Malformed { path: self.path.clone(), reason });
        }
        let wide: Result<ArrayD<f64>, ReadNpzError> = self.reader.by_name(name);
        let array = match wide {
            Err(ReadNpzError::Npy(ReadNpyError::WrongDescriptor(_))) => {
                let narrow: Result<ArrayD<f32>, ReadNpzError> = self.reader.by_name(name);
                narrow.map(|array| array.mapv(f64::from))
            }
            other => other,
        };
        array
            .map_err(|error| StoreError::Malformed { path: self.path.clone(), reason: explain(name, &error) })
    }
}

fn listed(names: &[String]) -> String {
    if names.is_empty() {
        "no arrays".to_owned()
    } else {
        names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    }
}

fn explain(name: &str, error: &ReadNpzError) -> String {
    match error {
        ReadNpzError::Npy(ReadNpyError::WrongDescriptor(found)) => format!(
            "array `{name}` is of type {found}, expected float64 or float32 ('<f8', '<f4', '>f8' or '>f4'); save it as {name}.astype(float)"
        ),
        ReadNpzError::Zip(zip) => format!(
            "array `{name}` cannot be unpacked ({zip}); save with numpy.savez, not numpy.savez_compressed"
        ),
        ReadNpzError::Npy(npy) => {
            format!(
                "array `{name}` cannot be read ({npy}); the file is damaged, write it again with numpy.savez"
            )
        }
    }
}

/// `array` in the dimension of `expected`, refused when its shape is another.
pub(crate) fn shaped<D: Dimension>(
    path: &Path,
    name: &str,
    array: ArrayD<f64>,
    expected: &[usize],
) -> Result<Array<f64, D>, StoreError> {
    let found = array.shape().to_vec();
    if found == expected
        && let Ok(array) = array.into_dimensionality()
    {
        return Ok(array);
    }
    let reason = format!(
        "array `{name}` has shape {found:?}, the text of the record says {expected:?}; restore the file as it was written, or measure again"
    );
    Err(StoreError::Malformed { path: path.to_owned(), reason })
}
