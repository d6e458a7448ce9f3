//! A user's own pairs from `.npz` or CSV, or from a record.

use std::{fs, io::Read as _, path::Path};

use super::Pairs;
use crate::{npz, provenance::Provenance, record::MeasurementRecord, store::StoreError};

/// Reads pairs, by extension: `.toml` is a measurement record (whose origin is returned as well), `.npz` holds
/// `target` and `measured` (or is a record's, read with the text beside it), anything else is CSV with the header `target,measured`.
///
/// Accepted in `.npz`: float64 and float32, either byte order, C or Fortran order, not compressed. Shapes: see
/// [`Pairs::from_arrays`].
///
/// # Errors
/// A file that cannot be read, or one sentence on what is wrong in it and where.
pub fn read_pairs(path: &Path) -> Result<(Pairs, Option<Provenance>), StoreError> {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    match extension.to_ascii_lowercase().as_str() {
        "toml" => from_record(path),
        "npz" => from_npz(path),
        _ => Ok((from_csv(path)?, None)),
    }
}

fn malformed(path: &Path, reason: impl std::fmt::Display) -> StoreError {
    StoreError::Malformed { path: path.to_owned(), reason: reason.to_string() }
}

fn read(path: &Path) -> Result<Vec<u8>, StoreError> {
    fs::read(path).map_err(|source| StoreError::Read { path: path.to_owned(), source })
}

fn from_npz(path: &Path) -> Result<(Pairs, Option<Provenance>), StoreError> {
    let mut npz = npz::open(path, read(path)?)?;
    // The arrays of a measurement record: the text beside them says what they are, above all whether they are simulated.
    if npz.names().iter().any(|name| name == "expected") {
        return from_record(path);
    }
    let (target, measured) = (npz.array("target")?, npz.array("measured")?);
    let pairs = Pairs::from_arrays(target, measured).map_err(|error| malformed(path, error))?;
    Ok((pairs, None))
}

fn from_record(path: &Path) -> Result<(Pairs, Option<Provenance>), StoreError> {
    let record = MeasurementRecord::read(path)?;
    let provenance = record.provenance;
    let pairs = Pairs::new(record.targets, record.measured).map_err(|error| malformed(path, error))?;
    Ok((pairs, Some(provenance)))
}

fn from_csv(path: &Path) -> Result<Pairs, StoreError> {
    let bytes = read(path)?;
    // Spreadsheets write a byte-order mark, which would hide the first header.
    let mut bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let mut text = String::new();
    bytes.read_to_string(&mut text).map_err(|_| malformed(path, "the file is not UTF-8 text; expected CSV with the header `target,measured`, or a file whose name ends in .npz"))?;
    let mut reader =
        csv::ReaderBuilder::new().trim(csv::Trim::All).flexible(true).from_reader(text.as_bytes());
    let headers = reader.headers().map_err(|error| malformed(path, error))?;
    if headers != vec!["target", "measured"] {
        let found = headers.iter().collect::<Vec<_>>().join(",");
        return Err(malformed(
            path,
            format!("line 1: the header is `{found}`, expected `target,measured`; add that line"),
        ));
    }
    let (mut target, mut measured) = (Vec::new(), Vec::new());
    for row in reader.records() {
        let row = row.map_err(|error| malformed(path, error))?;
        let line = || line_of(&text, row.position().map_or(0, csv::Position::byte));
        if row.len() != 2 {
            let reason =
                format!("line {}: found {} values, expected 2 (`target,measured`)", line(), row.len());
            return Err(malformed(path, reason));
        }
        target.push(number(path, &line, "target", row.get(0))?);
        measured.push(number(path, &line, "measured", row.get(1))?);
    }
    Pairs::list(target, measured).map_err(|error| malformed(path, error))
}

/// Line, from 1, of the record that the reader met at `byte`: it counts blank lines before a record as part of it.
fn line_of(text: &str, byte: u64) -> usize {
    let before = usize::try_from(byte).ok().and_then(|byte| text.get(..byte)).unwrap_or_default();
    let rest = &text[before.len()..];
    let blank = &rest[..rest.len() - rest.trim_start().len()];
    1 + before.matches('\n').count() + blank.matches('\n').count()
}

fn number(
    path: &Path,
    line: &dyn Fn() -> usize,
    column: &str,
    cell: Option<&str>,
) -> Result<f64, StoreError> {
    let cell = cell.unwrap_or_default();
    match cell.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        _ => Err(malformed(
            path,
            format!(
                "line {}, column `{column}`: found `{cell}`, expected a finite number such as -0.25; repair or remove the line",
                line()
            ),
        )),
    }
}
