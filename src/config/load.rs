//! From a file to a checked [`Config`].

use std::{fs, path::Path};

use super::{Config, ConfigError, check::check};

/// Reads and checks the configuration at `path`.
///
/// # Errors
/// A file that cannot be read, is no TOML, has an unknown key, a value of the wrong type or one out of range.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let text =
        fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    parse(&text, path)
}

/// Parses and checks `text`; `path` names it in errors.
pub(super) fn parse(text: &str, path: &Path) -> Result<Config, ConfigError> {
    let path = || path.to_owned();
    let table: toml::Table = toml::from_str(text).map_err(|error| ConfigError::Syntax {
        path: path(),
        line: error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count()),
        reason: one_line(error.message()),
    })?;
    let config: Config = serde_path_to_error::deserialize(table).map_err(|error| ConfigError::Key {
        path: path(),
        key: error.path().to_string(),
        reason: one_line(error.inner().message()),
    })?;
    check(&config).map_err(|(key, value, allowed)| ConfigError::Range {
        path: path(),
        key,
        value,
        allowed,
    })?;
    config.processor.spec().map_err(|reason| ConfigError::Key {
        path: path(),
        key: "processor.physics".to_owned(),
        reason,
    })?;
    Ok(config)
}

/// One line, in the words of an operator rather than of Rust.
fn one_line(message: &str) -> String {
    let mut line = message.lines().collect::<Vec<_>>().join(" ");
    for (rust, plain) in [
        ("expected u64", "expected a whole number, 0 or more"),
        ("expected usize", "expected a whole number, 0 or more"),
        ("expected u8", "expected a whole number from 0 to 255"),
        ("expected u16", "expected a whole number from 0 to 65535"),
        ("expected a sequence", "expected a list"),
    ] {
        if line.ends_with(rust) {
            line = line.replace(rust, plain);
        }
    }
    match line.split_once("expected struct ") {
        Some((before, _)) => format!("{before}expected a table"),
        None => line,
    }
}
