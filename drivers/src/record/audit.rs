//! The audit log: who changed what and why, one JSON object a line, each with the SHA-256 of the line before.
//!
//! What the chain cannot show is that whole lines at the end are missing, as nothing follows them: keep [`Verified::head`]
//! elsewhere where that matters. A last line cut within is taken for a crash.

mod verify;

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::seal::{digest, hex, open, seal};
use crate::{ActuatorFrame, clock::Clock};

pub use verify::{Flaw, Verified, lines, verify};

/// What the first line carries for the line before.
const NOTHING: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// One change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AuditEvent {
    /// User at the keyboard.
    pub who: String,
    /// What was done, as `apply`, `park` or `interlock`.
    pub what: String,
    /// To which device.
    pub device: String,
    /// To which channel; `None`: all, or none in particular.
    pub channel: Option<usize>,
    /// What it was; `None`: not known.
    pub old: Option<f64>,
    /// What it is.
    pub new: Option<f64>,
    /// Unit of both.
    pub unit: Option<String>,
    /// For what reason.
    pub why: String,
    /// What was found, in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub found: String,
    /// Frames before and after, where all channels were written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frames: Option<FrameChange>,
    /// True when no physical device stands behind it.
    pub simulated: bool,
}

/// A frame that took the place of another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameChange {
    /// SHA-256 of the codes before, little-endian.
    pub old: String,
    /// The same of those after.
    pub new: String,
    /// Actuators whose code changed.
    pub changed: usize,
    /// All actuators.
    pub actuators: usize,
}

impl FrameChange {
    pub(crate) fn between(
        old: &ActuatorFrame,
        new: &ActuatorFrame,
        digest: impl Fn(&ActuatorFrame) -> String,
    ) -> Self {
        let changed = old.0.iter().zip(&new.0).filter(|(old, new)| old != new).count();
        Self { old: digest(old), new: digest(new), changed, actuators: new.0.len() }
    }
}

/// When a line is forced to the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SyncPolicy {
    /// After each: what was told as done survives a power loss. The default.
    #[default]
    EveryLine,
    /// When the system likes: survives the end of the program, not that of the power. For simulations.
    System,
}

/// Why an entry was not written, or a log not read.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The file cannot be read or written.
    #[error("audit log {path}: {doing} failed; nothing is changed on a device that cannot be recorded")]
    File {
        /// The log.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The last line is not as it was written.
    #[error(
        "audit log {path}: its last line is not as it was written; look with `alora log verify`, then move the file away and \
         start a new one"
    )]
    LastLine {
        /// The log.
        path: PathBuf,
    },
}

/// One line of a log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditLine {
    /// Number, from 1.
    pub line: u64,
    /// SHA-256 of the line before.
    pub prev: String,
    /// Time of day, RFC 3339.
    pub utc: String,
    /// Microseconds of the writer's monotonic clock.
    pub monotonic_us: u64,
    /// Process that wrote it.
    pub pid: u32,
    /// What was done.
    #[serde(flatten)]
    pub event: AuditEvent,
}

/// End of the log: bytes, number of the next line, digest of the last.
#[derive(Clone, Debug)]
struct End {
    length: u64,
    next: u64,
    prev: String,
}

/// An audit log that is written to. Several programs may write to one file: each line is written under a lock.
#[derive(Debug)]
pub struct AuditLog {
    path: PathBuf,
    file: File,
    clock: Clock,
    sync: SyncPolicy,
    end: Option<End>,
}

impl AuditLog {
    /// Opens a log, or starts it. A last line torn by a crash is cut off, and a line says so.
    ///
    /// # Errors
    /// The file cannot be written, or its last line was altered.
    pub fn open(path: &Path, clock: Clock, sync: SyncPolicy) -> Result<Self, AuditError> {
        let file = OpenOptions::new().read(true).append(true).create(true).open(path);
        let file = file.map_err(|source| failed(path, "opening", source))?;
        let mut log = Self { path: path.to_owned(), file, clock, sync, end: None };
        log.locked(Self::repair)?;
        Ok(log)
    }

    /// Appends one change, and returns once it is written, and on the disk if the policy says so.
    ///
    /// # Errors
    /// It could not be written. Do not do what is not recorded.
    pub fn append(&mut self, event: AuditEvent) -> Result<(), AuditError> {
        self.locked(|log| {
            log.repair()?;
            log.write(event)?;
            if log.sync == SyncPolicy::EveryLine { log.sync() } else { Ok(()) }
        })
    }

    /// Appends one change that is on the disk when the next one is: for what another file holds already.
    ///
    /// # Errors
    /// It could not be written.
    pub fn append_later(&mut self, event: AuditEvent) -> Result<(), AuditError> {
        self.locked(|log| {
            log.repair()?;
            log.write(event)
        })
    }

    fn sync(&self) -> Result<(), AuditError> {
        self.file.sync_data().map_err(|source| failed(&self.path, "syncing", source))
    }

    /// While another program writes its line, this one waits.
    fn locked(&mut self, work: impl FnOnce(&mut Self) -> Result<(), AuditError>) -> Result<(), AuditError> {
        self.file.lock().map_err(|source| failed(&self.path, "locking", source))?;
        let done = work(self);
        let unlocked = self.file.unlock().map_err(|source| failed(&self.path, "unlocking", source));
        done.and(unlocked)
    }

    /// Finds the end, again if another program wrote since, and cuts off a torn line.
    fn repair(&mut self) -> Result<(), AuditError> {
        let length = self.file.metadata().map_err(|source| failed(&self.path, "reading", source))?.len();
        if self.end.as_ref().is_some_and(|end| end.length == length) {
            return Ok(());
        }
        let (tail, start) =
            tail(&mut self.file, length).map_err(|source| failed(&self.path, "reading", source))?;
        let whole = tail.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let torn = tail.get(whole..).unwrap_or_default().to_vec();
        self.end = Some(self.end_of(tail.get(..whole).unwrap_or_default(), start)?);
        if torn.is_empty() { Ok(()) } else { self.cut(&torn) }
    }

    fn end_of(&self, tail: &[u8], start: u64) -> Result<End, AuditError> {
        let length = start + tail.len() as u64;
        let Some(lines) = tail.strip_suffix(b"\n") else {
            return Ok(End { length, next: 1, prev: NOTHING.to_owned() });
        };
        let last = lines.rsplit(|&byte| byte == b'\n').next().unwrap_or_default();
        let altered = || AuditError::LastLine { path: self.path.clone() };
        let object = open(last).ok_or_else(altered)?;
        let line: AuditLine = serde_json::from_slice(&object).map_err(|_| altered())?;
        Ok(End { length, next: line.line + 1, prev: digest(last) })
    }

    fn cut(&mut self, torn: &[u8]) -> Result<(), AuditError> {
        let length = self.end.as_ref().map_or(0, |end| end.length);
        self.file.set_len(length).map_err(|source| failed(&self.path, "cutting a torn line off", source))?;
        let why = format!("a crash left {} bytes of a line: {}", torn.len(), hex(torn));
        self.write(AuditEvent { what: "recovered".to_owned(), why, ..AuditEvent::default() })
    }

    fn write(&mut self, event: AuditEvent) -> Result<(), AuditError> {
        let Some(end) = self.end.take() else { return Ok(()) };
        let now = self.clock.now();
        let line = AuditLine {
            line: end.next,
            prev: end.prev,
            utc: now.rfc3339(),
            monotonic_us: u64::try_from(now.monotonic.as_micros()).unwrap_or(u64::MAX),
            pid: std::process::id(),
            event,
        };
        let sealed = seal(&line).map_err(|source| failed(&self.path, "writing", source.into()))?;
        // One write, so that a crash tears at most this line. Until it is done the end is not known.
        self.file
            .write_all(format!("{sealed}\n").as_bytes())
            .map_err(|source| failed(&self.path, "writing", source))?;
        let length = end.length + sealed.len() as u64 + 1;
        self.end = Some(End { length, next: end.next + 1, prev: digest(sealed.as_bytes()) });
        Ok(())
    }
}

/// Enough of the end of a file to hold its last whole line and what is torn behind it, and where it starts.
fn tail(file: &mut File, length: u64) -> io::Result<(Vec<u8>, u64)> {
    let mut span = 1 << 14;
    loop {
        let start = length.saturating_sub(span);
        file.seek(SeekFrom::Start(start))?;
        let mut tail = Vec::new();
        file.take(length - start).read_to_end(&mut tail)?;
        let ends = tail.iter().filter(|&&byte| byte == b'\n').count();
        if start == 0 || ends >= 2 {
            return Ok((tail, start));
        }
        span *= 4;
    }
}

fn failed(path: &Path, doing: &'static str, source: io::Error) -> AuditError {
    AuditError::File { path: path.to_owned(), doing, source }
}
