//! From a file to a checked [`Config`].

use std::{fs, path::Path};

use alora_drivers::station::{Station, StationError};
use serde::de::DeserializeOwned;

use super::{Config, ConfigError, check::check};

/// A key given on the command line, `key=value`, in place of the configuration's.
#[derive(Clone, Debug, PartialEq)]
pub struct Override {
    /// Dotted key.
    key: String,
    value: toml::Value,
}

impl std::str::FromStr for Override {
    type Err = String;

    /// `value` is TOML; what is no TOML is taken as text, so that paths need no quotes.
    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = text
            .split_once('=')
            .map(|(key, value)| (key.trim(), value.trim()))
            .filter(|(key, value)| !key.is_empty() && !value.is_empty() && !key.split('.').any(str::is_empty))
            .ok_or_else(|| format!("`{text}` is no `key=value`, e.g. `finetune.epochs=3`"))?;
        let parsed = toml::from_str::<toml::Table>(&format!("value = {value}")).ok();
        let value = parsed
            .and_then(|mut table| table.remove("value"))
            .unwrap_or_else(|| toml::Value::String(value.to_owned()));
        Ok(Self { key: key.to_owned(), value })
    }
}

impl Override {
    /// Puts the value in its place, making the tables on the way.
    fn apply(&self, table: &mut toml::Table) -> Result<(), String> {
        let mut place = table;
        let mut parts = self.key.split('.').peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                place.insert(part.to_owned(), self.value.clone());
                break;
            }
            let next = place.entry(part).or_insert_with(|| toml::Value::Table(toml::Table::new()));
            let toml::Value::Table(next) = next else {
                return Err(format!("`{part}` holds a value and no keys, so `{}` cannot be set", self.key));
            };
            place = next;
        }
        Ok(())
    }
}

/// Reads and checks the configuration at `path`, with `overrides` in place of its keys.
///
/// # Errors
/// A file that cannot be read, is no TOML, has an unknown key, a value of the wrong type or one out of range.
pub fn load(path: &Path, overrides: &[Override]) -> Result<Config, ConfigError> {
    resolve(load_table(path, overrides)?, path)
}

/// The keys of the configuration at `path` with `overrides`, not yet checked.
///
/// # Errors
/// A file that cannot be read or is no TOML, or an override below a key that holds no table.
pub fn load_table(path: &Path, overrides: &[Override]) -> Result<toml::Table, ConfigError> {
    let text =
        fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    let mut table: toml::Table = toml::from_str(&text).map_err(|error| ConfigError::Syntax {
        path: path.to_owned(),
        line: error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count()),
        reason: one_line(error.message()),
    })?;
    for change in overrides {
        change.apply(&mut table).map_err(|reason| ConfigError::Key {
            path: path.to_owned(),
            key: change.key.clone(),
            reason,
        })?;
    }
    Ok(table)
}

/// Checks `table`; `path` names it in errors.
///
/// # Errors
/// An unknown key, a value of the wrong type or one out of range.
pub fn resolve(table: toml::Table, path: &Path) -> Result<Config, ConfigError> {
    let path = || path.to_owned();
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

/// Reads a table that is not a configuration; ranges are its own to check.
///
/// # Errors
/// As for [`load`].
pub fn load_plain<T: DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    serde_path_to_error::deserialize(load_table(path, &[])?).map_err(|error| ConfigError::Key {
        path: path.to_owned(),
        key: error.path().to_string(),
        reason: one_line(error.inner().message()),
    })
}

/// Reads and checks the station file at `path`, with `overrides` in place of its keys.
///
/// # Errors
/// As for [`load`].
pub fn load_station(path: &Path, overrides: &[Override]) -> Result<Station, ConfigError> {
    let key = |key: String, reason| ConfigError::Key { path: path.to_owned(), key, reason };
    let table = load_table(path, overrides)?;
    let station: Station = serde_path_to_error::deserialize(table)
        .map_err(|error| key(error.path().to_string(), one_line(error.inner().message())))?;
    match station.check() {
        Ok(()) => Ok(station),
        Err(StationError::Value { key, value, allowed }) => {
            Err(ConfigError::Range { path: path.to_owned(), key, value, allowed })
        }
        Err(StationError::Missing { what, why }) => Err(key(what, format!("missing: {why}"))),
    }
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn applied(text: &str) -> toml::Table {
        let mut table = toml::from_str("[finetune]\nepochs = 5\nadapter = { rank = 8 }").unwrap();
        text.parse::<Override>().unwrap().apply(&mut table).unwrap();
        table
    }

    #[test]
    fn an_override_replaces_a_key_makes_its_tables_and_takes_bare_words_as_text() {
        assert_eq!(applied("finetune.adapter.rank=4")["finetune"]["adapter"]["rank"].as_integer(), Some(4));
        assert_eq!(applied("mapping.scaling=row")["mapping"]["scaling"].as_str(), Some("row"));
        assert_eq!(applied("model.hidden=[3, 4]")["model"]["hidden"].as_array().map(Vec::len), Some(2));
        assert_eq!(applied("data.path=my images/a")["data"]["path"].as_str(), Some("my images/a"));
        assert_eq!(
            applied("finetune.sampling={ frozen = { chip_seed = 3 } }")["finetune"]["epochs"].as_integer(),
            Some(5)
        );
    }

    #[test]
    fn what_is_no_override_is_said_with_an_example() {
        for text in ["epochs", "=3", "finetune..epochs=3", "a="] {
            assert!(text.parse::<Override>().unwrap_err().contains("finetune.epochs=3"), "{text}");
        }
        let mut table = toml::from_str("seed = 1").unwrap();
        let change: Override = "seed.x=1".parse().unwrap();
        assert!(change.apply(&mut table).unwrap_err().contains("`seed` holds a value"));
    }
}
