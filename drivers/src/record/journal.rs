//! The journal of a programming: what a crash leaves on the chip, channel by channel.
//!
//! The whole old and new frame is on the disk before the first byte goes to the device; a mark is on the disk before the
//! channels that it names are written. So what a cut-off file does not name was not sent.

mod read;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    ops::Range,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::seal::seal;
use crate::frame::ActuatorFrame;

pub use read::{ChannelState, Phase, Recovery, Resolved, ResolvedChannel};

/// A programming that begins: what the device holds, as read back, and what it shall hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Programming {
    /// Name of this programming, as `rollback` takes it.
    pub id: String,
    /// Device.
    pub device: String,
    /// Who, when and why, in words.
    pub note: String,
    /// What the device holds, read back.
    pub old: ActuatorFrame,
    /// What it shall hold.
    pub new: ActuatorFrame,
}

/// Marks of a journal, in the order in which they may come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mark", rename_all = "snake_case")]
enum Mark {
    Begin(Programming),
    /// These channels are about to be written: from `first`, before `end`.
    Sending {
        first: usize,
        end: usize,
    },
    /// All were read back as new.
    Committed,
    /// What was read back after a crash, or after a rollback.
    Resolved {
        held: ActuatorFrame,
    },
}

/// Why a journal cannot be kept or understood.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file cannot be read or written.
    #[error("journal {path}: {doing} failed; nothing may be written to the device without it")]
    File {
        /// The journal.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A line that has its end, but not its content.
    #[error(
        "journal {path}: it was damaged after it was written; every channel is unknown. Read the device back or zero it \
         (`alora safe`), then move the file away"
    )]
    Damaged {
        /// The journal.
        path: PathBuf,
    },
    /// The last programming was cut off and nobody has looked yet.
    #[error(
        "journal {path}: programming {id} was cut off and {unknown} of {channels} channels are unknown; look with `alora status`, \
         then go on or roll back"
    )]
    Unresolved {
        /// The journal.
        path: PathBuf,
        /// The programming.
        id: String,
        /// Channels that are unknown.
        unknown: usize,
        /// All channels.
        channels: usize,
    },
    /// Frames of different lengths.
    #[error("journal {path}: the old frame has {old} channels, the new {new}; nothing was sent")]
    Length {
        /// The journal.
        path: PathBuf,
        /// Channels read back.
        old: usize,
        /// Channels to write.
        new: usize,
    },
}

/// The journal of a programming that is under way.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    /// Puts the old and the new frame onto the disk. Nothing may be sent before this returns.
    ///
    /// The file of a programming before is replaced as a whole, once the new one is on the disk.
    ///
    /// # Errors
    /// The last programming is not resolved, or the file cannot be written.
    pub fn begin(path: &Path, programming: &Programming) -> Result<Self, JournalError> {
        refuse_unresolved(path)?;
        let (old, new) = (programming.old.0.len(), programming.new.0.len());
        if old != new {
            return Err(JournalError::Length { path: path.to_owned(), old, new });
        }
        let fresh = path.with_extension("new");
        let file = File::create(&fresh).map_err(|source| failed(path, "making the file", source))?;
        let mut journal = Self { path: path.to_owned(), file };
        journal.mark(&Mark::Begin(programming.clone()))?;
        fs::rename(&fresh, path).map_err(|source| failed(path, "putting the file in place", source))?;
        sync_folder(path).map_err(|source| failed(path, "syncing the folder", source))?;
        Ok(journal)
    }

    /// Marks that these channels are about to be written, and returns once the mark is on the disk.
    ///
    /// # Errors
    /// The mark could not be written: do not send.
    pub fn sending(&mut self, channels: Range<usize>) -> Result<(), JournalError> {
        self.mark(&Mark::Sending { first: channels.start, end: channels.end })
    }

    /// Marks that every channel was read back as new.
    ///
    /// # Errors
    /// The mark could not be written: the next start takes what was sent for unknown.
    pub fn commit(mut self) -> Result<(), JournalError> {
        self.mark(&Mark::Committed)
    }

    /// Ends a programming that failed with what was read back after it.
    ///
    /// # Errors
    /// The mark could not be written.
    pub fn resolve(mut self, held: &ActuatorFrame) -> Result<(), JournalError> {
        self.mark(&Mark::Resolved { held: held.clone() })
    }

    /// What the journal says of the last programming; `None` where there never was one.
    ///
    /// # Errors
    /// The file cannot be read, or was damaged: then nothing is known.
    pub fn open(path: &Path) -> Result<Option<Recovery>, JournalError> {
        match fs::read(path) {
            Ok(bytes) => read::recover(&bytes).ok_or_else(|| JournalError::Damaged { path: path.to_owned() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(failed(path, "reading", source)),
        }
    }

    /// Records what was read back after a crash, and says of each channel what it holds.
    ///
    /// # Errors
    /// There is nothing to resolve, or the file cannot be written.
    pub fn recover(path: &Path, held: &ActuatorFrame) -> Result<Option<Resolved>, JournalError> {
        let Some(recovery) = Self::open(path)? else { return Ok(None) };
        let resolved = recovery.resolve(held);
        let file = OpenOptions::new().append(true).open(path);
        let mut journal =
            Self { path: path.to_owned(), file: file.map_err(|source| failed(path, "opening", source))? };
        // What a crash left of a mark is cut off: the next one stands on a line of its own.
        journal.file.set_len(recovery.whole()).map_err(|source| failed(path, "cutting", source))?;
        journal.mark(&Mark::Resolved { held: held.clone() })?;
        Ok(Some(resolved))
    }

    fn mark(&mut self, mark: &Mark) -> Result<(), JournalError> {
        let line = seal(mark).map_err(|source| failed(&self.path, "writing", source.into()))?;
        self.file
            .write_all(format!("{line}\n").as_bytes())
            .and_then(|()| self.file.sync_all())
            .map_err(|source| failed(&self.path, "writing", source))
    }
}

fn refuse_unresolved(path: &Path) -> Result<(), JournalError> {
    let Some(recovery) = Journal::open(path)? else { return Ok(()) };
    let channels = recovery.channels();
    let unknown = channels.iter().filter(|state| matches!(state, ChannelState::Unknown { .. })).count();
    if unknown == 0 {
        return Ok(());
    }
    let id = recovery.programming.id;
    Err(JournalError::Unresolved { path: path.to_owned(), id, unknown, channels: channels.len() })
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

fn failed(path: &Path, doing: &'static str, source: io::Error) -> JournalError {
    JournalError::File { path: path.to_owned(), doing, source }
}
