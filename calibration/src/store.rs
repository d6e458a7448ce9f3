//! Files that are whole or absent: written to a temporary name, synced, renamed.

use std::{
    fs,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};

/// A file that could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Writing failed; the target is as it was.
    #[error("cannot write {}; nothing was left half-written. Check that the folder exists, is writable and has space", path.display())]
    Write {
        /// Target.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Reading failed.
    #[error("cannot read {}", path.display())]
    Read {
        /// File.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The text is not what was expected.
    #[error("{}: {reason}", path.display())]
    Malformed {
        /// File.
        path: PathBuf,
        /// What was found, what was expected, what to do.
        reason: String,
    },
    /// Written by another version of the format, or a file of another kind.
    #[error("{}: {}", path.display(), other_schema(found, expected))]
    Schema {
        /// File.
        path: PathBuf,
        /// Schema in the file.
        found: String,
        /// Schema understood.
        expected: &'static str,
    },
}

/// What to do differs: another version is made again, a wrong file is exchanged.
fn other_schema(found: &str, expected: &str) -> String {
    let kind = |schema: &str| schema.split('/').next().unwrap_or_default().to_owned();
    if kind(found) == kind(expected) {
        format!(
            "schema is `{found}`, this version of alora reads `{expected}`; make the file again with this version"
        )
    } else {
        format!(
            "schema is `{found}`, expected `{expected}`; this is a file of another kind, give the right one"
        )
    }
}

/// The place and cause of a TOML error on one line.
fn one_line(text: &str, error: &toml::de::Error) -> String {
    let reason = error.message().lines().collect::<Vec<_>>().join(" ");
    match error.span().and_then(|span| text.get(..span.start)) {
        Some(before) => {
            let line = 1 + before.matches('\n').count();
            format!("line {line}: {reason}; the file is truncated or was changed, make it again")
        }
        None => format!("{reason}; the file is truncated or was changed, make it again"),
    }
}

/// Writes `path` by way of a temporary file beside it, synced and renamed, so that it is whole or absent.
///
/// # Errors
/// Any failure of the system; the target is then as it was.
pub fn write_atomically(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&mut fs::File>) -> io::Result<()>,
) -> Result<(), StoreError> {
    let attempt = || -> io::Result<()> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut temporary = readable_by_others().tempfile_in(folder)?;
        let mut buffer = BufWriter::new(temporary.as_file_mut());
        write(&mut buffer)?;
        buffer.flush()?;
        drop(buffer);
        temporary.as_file().sync_all()?;
        temporary.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    attempt().map_err(|source| StoreError::Write { path: path.to_owned(), source })
}

/// Temporary files are private by default; artefacts are as readable as the user's other files (mode less umask).
fn readable_by_others() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder
}

/// Writes `value` as TOML, whole or not at all.
///
/// # Errors
/// Any failure of the system, or a value that TOML cannot hold.
pub fn write_toml<T: Serialize>(path: &Path, value: &T) -> Result<(), StoreError> {
    let text = toml::to_string(value)
        .map_err(|error| StoreError::Malformed { path: path.to_owned(), reason: error.to_string() })?;
    write_atomically(path, |writer| writer.write_all(text.as_bytes()))
}

/// Reads TOML whose top-level `schema` key must be `schema`.
///
/// # Errors
/// A file that cannot be read, is no TOML, has another schema, or lacks or adds keys.
pub fn read_toml<T: DeserializeOwned>(path: &Path, schema: &'static str) -> Result<T, StoreError> {
    let text =
        fs::read_to_string(path).map_err(|source| StoreError::Read { path: path.to_owned(), source })?;
    let malformed = |reason: String| StoreError::Malformed { path: path.to_owned(), reason };
    let table: toml::Table = toml::from_str(&text).map_err(|error| malformed(one_line(&text, &error)))?;
    let found = match table.get("schema") {
        Some(toml::Value::String(found)) => found.clone(),
        _ => return Err(malformed(format!("there is no `schema` key; expected `schema = \"{schema}\"`"))),
    };
    if found != schema {
        return Err(StoreError::Schema { path: path.to_owned(), found, expected: schema });
    }
    table.try_into().map_err(|error: toml::de::Error| {
        let place = error.to_string().lines().collect::<Vec<_>>().join(" ");
        malformed(format!("{}; the file is truncated or was changed, make it again", place.trim_end()))
    })
}
