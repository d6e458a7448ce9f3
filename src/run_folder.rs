//! The folder of one run: every file is whole or absent, and named in the report.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use alora_calibration::write_toml;
use serde::{Deserialize, Serialize};

use crate::{config::Config, error::Error};

/// A folder for results, and what is in it.
#[derive(Clone, Debug)]
pub struct RunFolder {
    root: PathBuf,
    files: BTreeMap<String, PathBuf>,
}

/// Where a run comes from: enough to repeat it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`Manifest::SCHEMA`].
    pub schema: String,
    /// Tool and version.
    pub tool: String,
    /// The command as given.
    pub command: Vec<String>,
    /// When, RFC 3339.
    pub created: String,
    /// Operating system and processor architecture.
    pub host: String,
    /// Seeds by what they decide.
    pub seeds: BTreeMap<String, u64>,
    /// Versions of the libraries that decide numbers.
    pub versions: BTreeMap<String, String>,
}

impl Manifest {
    /// Version of the file format.
    pub const SCHEMA: &'static str = "alora.manifest/1";

    /// The manifest of a run of `config`.
    #[must_use]
    pub fn of(config: &Config, command: Vec<String>, created: &str) -> Self {
        let seeds = [("master", config.seed), ("chip", config.processor.chip_seed)];
        let versions = [("alora", env!("CARGO_PKG_VERSION")), ("burn", "0.22.1"), ("npz", "1.0")];
        Self {
            schema: Self::SCHEMA.to_owned(),
            tool: concat!("alora ", env!("CARGO_PKG_VERSION")).to_owned(),
            command,
            created: created.to_owned(),
            host: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            seeds: seeds.map(|(name, seed)| (name.to_owned(), seed)).into(),
            versions: versions.map(|(name, version)| (name.to_owned(), version.to_owned())).into(),
        }
    }
}

impl RunFolder {
    /// Makes the folder, with its parents, and sees to it that files can be written there.
    ///
    /// # Errors
    /// A folder that cannot be made or written.
    pub fn create(root: &Path) -> Result<Self, Error> {
        let refused = |source| Error::OutputFolder { path: root.to_owned(), source };
        fs::create_dir_all(root).map_err(refused)?;
        tempfile::NamedTempFile::new_in(root).map_err(refused)?;
        Ok(Self { root: root.to_owned(), files: BTreeMap::new() })
    }

    /// Path of a file of this folder, remembered as `key` in the report.
    pub fn file(&mut self, key: &str, name: &str) -> PathBuf {
        let path = self.root.join(name);
        self.files.insert(key.to_owned(), path.clone());
        path
    }

    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Files written, by key.
    #[must_use]
    pub fn files(&self) -> &BTreeMap<String, PathBuf> {
        &self.files
    }

    /// Writes the configuration as resolved and the manifest.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn begin(&mut self, config: &Config, manifest: &Manifest) -> Result<(), Error> {
        write_toml(&self.file("config", "config.toml"), config)?;
        write_toml(&self.file("manifest", "manifest.toml"), manifest)?;
        Ok(())
    }
}
