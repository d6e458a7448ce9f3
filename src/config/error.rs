//! A configuration that cannot be used: which file, which key, what was found, what is allowed.

use std::{io, path::PathBuf};

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}", path.display())]
    Read {
        /// File.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The text is not TOML.
    #[error("{}, line {line}: {reason}", path.display())]
    Syntax {
        /// File.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What the parser said.
        reason: String,
    },
    /// A key that is unknown, or a value of the wrong type.
    #[error("{}: {key}: {reason}", path.display())]
    Key {
        /// File.
        path: PathBuf,
        /// Dotted key.
        key: String,
        /// What was found and expected.
        reason: String,
    },
    /// A value outside its range.
    #[error("{}: {key} = {value} is out of range; allowed: {allowed}", path.display())]
    Range {
        /// File.
        path: PathBuf,
        /// Dotted key.
        key: String,
        /// Value found.
        value: String,
        /// Values allowed.
        allowed: String,
    },
}
