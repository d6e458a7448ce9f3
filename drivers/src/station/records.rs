//! What is recorded of a station, and a processor all of whose changes are.

use std::{
    env,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{BoardEntry, Station, StationError, connect, device::within};
use crate::{
    ActuatorFrame, BackendError, BackendErrorKind, Operation, PhotonicBackend, ProcessorId,
    link::{Connector, PortAccess},
    record::{Journal, JournalError},
    recorded::{Recorded, Records, RecordsError, at_rest, found, look},
};

/// What is recorded, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recording {
    /// Folder; empty: one for the station in `XDG_STATE_HOME`, or else in `~/.local/state`.
    pub folder: PathBuf,
    /// Most that the raw log of each device takes, in MiB, to 65 536; 0: none is kept.
    pub frame_log_mib: u64,
    /// Each programming is on the disk before it is sent.
    pub journal: bool,
}

impl Default for Recording {
    fn default() -> Self {
        Self { folder: PathBuf::new(), frame_log_mib: 64, journal: true }
    }
}

impl Recording {
    pub(super) fn check(&self) -> Result<(), StationError> {
        within("records.frame_log_mib", self.frame_log_mib as f64, 0.0, 65_536.0)
    }

    /// Where the records of the station of that name are.
    #[must_use]
    pub fn folder_of(&self, station: &str) -> PathBuf {
        if !self.folder.as_os_str().is_empty() {
            return self.folder.clone();
        }
        let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let state = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")));
        state.unwrap_or_else(env::temp_dir).join("alora").join(safe_name(station))
    }
}

/// A name that may be one of a file: other characters than letters, digits, dots and hyphens become hyphens.
#[must_use]
pub fn safe_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' || c == '_' { c } else { '-' };
    let safe: String = name.chars().map(plain).collect();
    let safe = safe.trim_matches(['-', '.']);
    if safe.is_empty() { "station".to_owned() } else { safe.to_owned() }
}

/// Connects to the processor of a checked station, and records what is done to it. What a program before left unsaid is found out
/// first, as connecting parks the processor.
///
/// # Errors
/// As [`connect`]; or nothing can be recorded.
pub async fn connect_recorded(
    station: &Station,
    owner: &str,
) -> Result<Box<dyn PhotonicBackend>, BackendError> {
    let records = Records::open(station).map_err(unrecorded(station))?;
    let access = PortAccess::of(owner).recorded(records.clone());
    let (name, claimed) = claim(station, &access)?;
    let journal = settle(&records, &name, claimed.as_ref()).await.map_err(unrecorded(station))?;
    let connected = connect(station, &access).await;
    drop(claimed);
    let mut event = records.event("connect", &name);
    let connected = match connected {
        Ok(mut backend) => backend.read_back().await.map(|rest| (backend, rest)),
        Err(error) => Err(error),
    };
    let (backend, rest) = match connected {
        Ok(parked) => parked,
        Err(error) => {
            event.found = format!("{error}: {}", error.kind);
            records.note(event).map_err(unrecorded(station))?;
            return Err(error);
        }
    };
    let journal = parked(journal, &rest).map_err(unrecorded(station))?;
    let descriptor = backend.descriptor();
    event.simulated = descriptor.simulated;
    event.found = format!("{}, {} actuators, parked", descriptor.id, descriptor.limits.len());
    records.note(event).map_err(unrecorded(station))?;
    Ok(Box::new(Recorded::new(backend, records, name, journal, rest)))
}

/// The device that carries the processor, claimed before it is looked at; a processor of several devices is not looked at.
fn claim(
    station: &Station,
    access: &PortAccess,
) -> Result<(String, Option<Arc<dyn Connector>>), BackendError> {
    let board = station.board().ok().filter(|_| station.bench_in_use().is_none());
    let Some((name, BoardEntry { port, .. })) = board else { return Ok(("processor".to_owned(), None)) };
    let connector = access.claim(name, port).map_err(|error| BackendError {
        processor: ProcessorId(name.to_owned()),
        operation: Operation::Connect,
        kind: error.into(),
    })?;
    Ok((name.to_owned(), Some(connector)))
}

/// Finds out what the last program left, records it, and marks that the device is about to be zeroed.
async fn settle(
    records: &Records,
    name: &str,
    connector: Option<&Arc<dyn Connector>>,
) -> Result<Option<Journal>, RecordsError> {
    let Some(path) = records.journal(name) else { return Ok(None) };
    let recovery = match Journal::open(&path) {
        Err(JournalError::Damaged { .. }) => {
            set_aside(records, name, &path)?;
            return Ok(None);
        }
        other => other?,
    };
    let Some(recovery) = recovery else { return Ok(None) };
    let Some(mut journal) = Journal::reopen(&path)? else { return Ok(None) };
    let finding = found(&recovery, None);
    if finding.cut_off {
        let sight = match connector {
            Some(connector) => look(connector, "board").await.ok(),
            None => None,
        };
        let finding = found(&recovery, sight.as_ref());
        tracing::error!(%finding, "the program before was cut off");
        let mut event = records.event("recovered", name);
        event.found = finding.to_string();
        records.note(event)?;
        let actuators = recovery.programming.new.0.len();
        if let Some(held) = sight.as_ref().and_then(|sight| sight.frame_of(actuators)) {
            journal.resolve(held)?;
        }
    }
    journal.zeroing()?;
    Ok(Some(journal))
}

/// A journal that was damaged tells nothing; the device is parked by connecting. It is kept, for who wants to know.
fn set_aside(records: &Records, name: &str, path: &Path) -> Result<(), RecordsError> {
    let aside = path.with_extension("damaged");
    std::fs::rename(path, &aside).map_err(|source| RecordsError::Folder { path: aside.clone(), source })?;
    let mut event = records.event("recovered", name);
    event.found =
        format!("the journal was damaged, every channel was unknown; it is kept as {}", aside.display());
    tracing::error!(found = event.found, "the journal of the program before");
    records.note(event)
}

fn parked(journal: Option<Journal>, rest: &ActuatorFrame) -> Result<Option<Journal>, RecordsError> {
    let Some(mut journal) = journal else { return Ok(None) };
    at_rest(rest, "parked by the next connection")(&mut journal)?;
    Ok(Some(journal))
}

fn unrecorded(station: &Station) -> impl Fn(RecordsError) -> BackendError {
    move |error| BackendError {
        processor: ProcessorId(station.name.clone()),
        operation: Operation::Connect,
        kind: BackendErrorKind::Unrecorded { reason: error.in_words().into() },
    }
}
