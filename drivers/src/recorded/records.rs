//! The folder in which a station's records are kept.

use std::{
    collections::BTreeMap,
    env, fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use sha2::{Digest, Sha256};

use crate::{
    ActuatorFrame,
    link::user,
    record::{AuditError, AuditEvent, AuditLog, Clock, FrameError, FrameLog, JournalError, SyncPolicy},
    station::{Recording, Station},
};

/// Where the records of one station are, and what is written there. Clones write to the same.
#[derive(Clone)]
pub struct Records(Arc<Inner>);

struct Inner {
    folder: PathBuf,
    recording: Recording,
    clock: Clock,
    who: String,
    why: String,
    audit: Mutex<AuditLog>,
    frames: Mutex<BTreeMap<String, FrameLog>>,
}

/// Why nothing can be recorded.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant is the error of the part it names")]
pub enum RecordsError {
    /// The folder cannot be made.
    #[error(
        "the folder of the records {} cannot be made; nothing is changed on a device that cannot be recorded: \
         set `records.folder` in the station file", path.display()
    )]
    Folder {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Audit(#[from] AuditError),
    #[error(transparent)]
    Frames(#[from] FrameError),
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl RecordsError {
    /// The error with its cause, in one sentence.
    #[must_use]
    pub fn in_words(&self) -> String {
        match std::error::Error::source(self) {
            Some(cause) => format!("{self}: {cause}"),
            None => self.to_string(),
        }
    }
}

impl Records {
    /// Opens the records of a station, for the user and the command of this process.
    ///
    /// # Errors
    /// The folder or the audit log cannot be written.
    pub fn open(station: &Station) -> Result<Self, RecordsError> {
        let folder = station.records.folder_of(&station.name);
        fs::create_dir_all(&folder)
            .map_err(|source| RecordsError::Folder { path: folder.clone(), source })?;
        let clock = Clock::system();
        let audit = AuditLog::open(&audit_path(&folder), clock.clone(), SyncPolicy::EveryLine)?;
        Ok(Self(Arc::new(Inner {
            folder,
            recording: station.records.clone(),
            clock,
            who: user(),
            why: env::args().collect::<Vec<_>>().join(" "),
            audit: Mutex::new(audit),
            frames: Mutex::default(),
        })))
    }

    /// Where the records are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.0.folder
    }

    /// Where the journal of a device is; `None` when none is kept.
    #[must_use]
    pub fn journal(&self, device: &str) -> Option<PathBuf> {
        self.0.recording.journal.then(|| journal_path(&self.0.folder, device))
    }

    /// The raw log of a device; `None` when none is kept.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn frame_log(&self, device: &str) -> Result<Option<FrameLog>, RecordsError> {
        let most = self.0.recording.frame_log_mib << 20;
        if most == 0 {
            return Ok(None);
        }
        let mut logs = self.0.frames.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(log) = logs.get(device) {
            return Ok(Some(log.clone()));
        }
        let log = FrameLog::open(&frames_folder(&self.0.folder, device), most, self.0.clock.clone())?;
        logs.insert(device.to_owned(), log.clone());
        Ok(Some(log))
    }

    /// An event of this process, to be filled in.
    #[must_use]
    pub fn event(&self, what: &str, device: &str) -> AuditEvent {
        AuditEvent {
            who: self.0.who.clone(),
            what: what.to_owned(),
            device: device.to_owned(),
            why: self.0.why.clone(),
            ..AuditEvent::default()
        }
    }

    /// Writes an event into the audit log, and returns once it is on the disk.
    ///
    /// # Errors
    /// It cannot be written. Do not do what is not recorded.
    pub fn note(&self, event: AuditEvent) -> Result<(), RecordsError> {
        Ok(self.0.audit.lock().unwrap_or_else(PoisonError::into_inner).append(event)?)
    }

    /// The same, but it is on the disk only when the next one is.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn note_later(&self, event: AuditEvent) -> Result<(), RecordsError> {
        Ok(self.0.audit.lock().unwrap_or_else(PoisonError::into_inner).append_later(event)?)
    }

    /// Who, when and why, in words.
    pub(super) fn signature(&self) -> String {
        format!("{} by {}: {}", self.0.clock.now().rfc3339(), self.0.who, self.0.why)
    }

    /// A name for a programming that no other one has.
    pub(super) fn id(&self, number: u64) -> String {
        let digits = |c: &char| c.is_ascii_digit() || *c == 'T';
        let time: String = self.0.clock.now().rfc3339().chars().take(19).filter(digits).collect();
        format!("{time}-{}-{number}", std::process::id())
    }
}

/// The audit log in a folder of records.
#[must_use]
pub fn audit_path(folder: &Path) -> PathBuf {
    folder.join("audit.jsonl")
}

/// The journal of a device that carries a processor in a folder of records.
#[must_use]
pub fn journal_path(folder: &Path, device: &str) -> PathBuf {
    folder.join(format!("{}.journal", crate::station::safe_name(device)))
}

/// The raw log of a device in a folder of records.
#[must_use]
pub fn frames_folder(folder: &Path, device: &str) -> PathBuf {
    folder.join("frames").join(crate::station::safe_name(device))
}

/// SHA-256 of the codes of a frame, little-endian, in hex.
pub(super) fn digest_of(frame: &ActuatorFrame) -> String {
    let mut sha = Sha256::new();
    frame.0.iter().for_each(|code| sha.update(code.to_le_bytes()));
    sha.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
