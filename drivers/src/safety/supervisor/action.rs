//! Making one device safe.

use std::path::PathBuf;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    link::{LinkError, Port},
    record::{AuditEvent, AuditLog, Clock, Journal, SyncPolicy},
    safety::make_safe::{self, Before, Made, Protocol},
    station::DeviceEntry,
};

/// What makes one device safe, whatever state it and its wire are in.
#[async_trait]
pub trait SafeAction: Send + Sync {
    /// Which device, and where it is.
    fn place(&self) -> String;

    /// Makes it safe. Repeatable: it is tried again after an error, and when the device does not say that it is safe.
    ///
    /// # Errors
    /// The wire does not open or take the bytes.
    async fn make_safe(&self) -> Result<Made, LinkError>;
}

/// A device that is watched over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WatchedDevice {
    /// Name in the station file.
    pub name: String,
    /// What it speaks, as the station file calls it.
    pub protocol: String,
    /// Where it is.
    pub port: Port,
    /// Its journal: what the device says before it is zeroed is put there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal: Option<PathBuf>,
    /// The audit log in which is said that it was zeroed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<PathBuf>,
}

impl WatchedDevice {
    /// The device of that name in a station file.
    #[must_use]
    pub fn of(name: &str, entry: &DeviceEntry) -> Self {
        Self {
            name: name.to_owned(),
            protocol: entry.protocol().to_owned(),
            port: entry.port().clone(),
            journal: None,
            audit: None,
        }
    }

    /// With the records of its station; `journal`: that of what is written to it.
    #[must_use]
    pub fn recorded(self, audit: PathBuf, journal: Option<PathBuf>) -> Self {
        Self { journal, audit: Some(audit), ..self }
    }

    /// Says in the audit log what was done: zeroing does not wait for it, nor fail by it.
    fn note(&self, found: &str) {
        let Some(path) = &self.audit else { return };
        let event = AuditEvent {
            who: "supervisor".to_owned(),
            what: "made safe".to_owned(),
            device: self.name.clone(),
            why: "the program that drove it ended without parking".to_owned(),
            found: found.to_owned(),
            ..AuditEvent::default()
        };
        let log = AuditLog::open(path, Clock::system(), SyncPolicy::EveryLine);
        if let Err(error) = log.and_then(|mut log| log.append(event)) {
            tracing::error!(%error, "what the supervisor did is not in the audit log");
        }
    }
}

#[async_trait]
impl SafeAction for WatchedDevice {
    fn place(&self) -> String {
        format!("{} ({})", self.name, self.port)
    }

    async fn make_safe(&self) -> Result<Made, LinkError> {
        let (made, before) = make_safe::zero_and_tell(&self.port, Protocol::of(&self.protocol)).await?;
        if let (Some(journal), Some(Before { generation, driven })) = (&self.journal, before)
            && let Err(error) = Journal::seen(journal, generation, driven)
        {
            tracing::error!(%error, "what the device said before it was zeroed is not in its journal");
        }
        if let Made::Zero(found) = &made {
            self.note(found);
        }
        Ok(made)
    }
}
