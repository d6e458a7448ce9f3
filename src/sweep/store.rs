//! Finished cells, one file each.

use std::{
    collections::BTreeMap,
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
};

use alora_calibration::{StoreError, read_toml, write_toml};
use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use toml::Table;

use super::{
    SweepError,
    cell::Cell,
    key::changes,
    plan::{PlannedCell, key_of},
    result::Outcome,
};

/// A finished cell, as its file holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellRecord {
    /// [`CellRecord::SCHEMA`].
    pub schema: String,
    /// Tool and version.
    pub tool: String,
    /// When the cell ended, RFC 3339.
    pub finished: String,
    /// True: no physical processor stands behind a sweep.
    pub simulated: bool,
    /// Key of `cell` and `determined_by`.
    pub key: String,
    /// Which cell.
    pub cell: Cell,
    /// How it ended.
    pub outcome: Outcome,
    /// Everything that decided the result.
    pub determined_by: Table,
}

impl CellRecord {
    /// Version of the file format.
    pub const SCHEMA: &'static str = "alora.sweep-cell/2";

    fn of(planned: &PlannedCell, outcome: Outcome) -> Self {
        Self {
            schema: Self::SCHEMA.to_owned(),
            tool: concat!("alora ", env!("CARGO_PKG_VERSION")).to_owned(),
            finished: OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default(),
            simulated: true,
            key: planned.key.clone(),
            cell: planned.cell.clone(),
            outcome,
            determined_by: planned.determined_by.clone(),
        }
    }

    fn file_name(&self) -> String {
        format!("{}-{}.toml", self.cell.slug(), self.key)
    }
}

/// The folder of a sweep: `cells` with one file a finished cell, whole or absent, and beside it the tables and figures
/// made from them. One process at a time writes to it.
#[derive(Debug)]
pub struct SweepStore {
    folder: PathBuf,
    records: BTreeMap<String, CellRecord>,
    /// Held while the store is open; a process that dies lets it go. `None` where the file system has no locks.
    _lock: Option<File>,
}

impl SweepStore {
    /// Opens the folder, making it if need be, and reads every cell in it.
    ///
    /// # Errors
    /// A folder that cannot be made, read or written, that another sweep is using, or that holds a file which is not a
    /// whole cell of a sweep: that file is named.
    pub fn open(folder: &Path) -> Result<Self, SweepError> {
        let cells = folder.join("cells");
        let refused = |source| StoreError::Write { path: cells.clone(), source };
        fs::create_dir_all(&cells).map_err(refused)?;
        let lock = File::create(cells.join(".lock")).map_err(refused)?;
        let lock = match lock.try_lock() {
            Ok(()) => Some(lock),
            Err(TryLockError::WouldBlock) => return Err(SweepError::Busy { folder: folder.to_owned() }),
            Err(TryLockError::Error(_)) => None,
        };
        let mut records = BTreeMap::new();
        for path in files(&cells)? {
            let record = read_record(&path)?;
            records.insert(record.key.clone(), record);
        }
        Ok(Self { folder: folder.to_owned(), records, _lock: lock })
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What is kept of a planned cell under the configuration it is planned with.
    #[must_use]
    pub fn record(&self, planned: &PlannedCell) -> Option<&CellRecord> {
        self.records.get(&planned.key)
    }

    /// What has changed since the cell was last run, against the most similar run; `None` if it was never run.
    #[must_use]
    pub fn changes_since(&self, planned: &PlannedCell) -> Option<Vec<String>> {
        let earlier = self.records.values().filter(|record| record.cell == planned.cell);
        earlier.map(|record| changes(&record.determined_by, &planned.determined_by)).min_by_key(Vec::len)
    }

    /// Writes and remembers how a cell ended.
    ///
    /// # Errors
    /// Any failure of the system; nothing is then left half-written.
    pub fn keep(&mut self, planned: &PlannedCell, outcome: Outcome) -> Result<(), StoreError> {
        let record = CellRecord::of(planned, outcome);
        write_toml(&self.folder.join("cells").join(record.file_name()), &record)?;
        self.records.insert(record.key.clone(), record);
        Ok(())
    }
}

/// Every file but hidden ones: the lock, and what a write that was killed has left under a temporary name.
fn files(cells: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let unreadable = |source| StoreError::Read { path: cells.to_owned(), source };
    let mut paths = Vec::new();
    for entry in fs::read_dir(cells).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

fn read_record(path: &Path) -> Result<CellRecord, StoreError> {
    let malformed = |reason: &str| StoreError::Malformed { path: path.to_owned(), reason: reason.to_owned() };
    if path.extension().is_none_or(|extension| extension != "toml") {
        return Err(malformed("this is not a cell of a sweep, which end in `.toml`; move it elsewhere"));
    }
    let record: CellRecord = read_toml(path, CellRecord::SCHEMA)?;
    if key_of(&record.cell, &record.determined_by) != record.key {
        return Err(malformed(
            "the key does not match the cell; the file was changed, delete it to run the cell again",
        ));
    }
    if path.file_name().is_none_or(|name| name.to_string_lossy() != record.file_name()) {
        let reason = format!(
            "the name does not match the cell, expected `{}`; rename or delete it",
            record.file_name()
        );
        return Err(malformed(&reason));
    }
    Ok(record)
}
