//! The journal of a programming: what a crash leaves on the chip, channel by channel.
//!
//! The whole old and new frame is on the disk before the first byte goes to the device; a mark is on the disk before the
//! channels that it names are written. So what a cut-off file does not name was not sent.
//!
//! Programmings follow one another in one file until it is long; then the next one begins a file that replaces it. What is known
//! less of than was true costs a look at the device, so the marks that say that all went well need not be on the disk at once.

mod read;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    ops::Range,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::seal::seal;
use crate::{Generation, frame::ActuatorFrame};

pub use read::{ChannelState, Phase, Recovery, Resolved, ResolvedChannel};

/// Bytes after which the next programming begins a new file.
const LONG: u64 = 4 << 20;

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
    /// Writes that the device had carried out, where it counts them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<Generation>,
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
    /// Everything is about to be zeroed.
    Zeroing,
    /// Everything was read back as zero.
    Zeroed {
        by: String,
    },
    /// Something happened after which the outputs are not known.
    Doubt {
        why: String,
    },
    /// What the device said after its host had died, before it was zeroed.
    Seen {
        generation: Generation,
        driven: bool,
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

/// The journal of a device that is written to, one programming after another.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    length: u64,
    /// True from the first byte sent until it is known what came of it.
    unresolved: bool,
}

impl Journal {
    /// Puts the old and the new frame onto the disk, in a new file. Nothing may be sent before this returns.
    ///
    /// The file of the programmings before is replaced as a whole, once the new one is on the disk.
    ///
    /// # Errors
    /// The last programming is not resolved, or the file cannot be written.
    pub fn begin(path: &Path, programming: &Programming) -> Result<Self, JournalError> {
        refuse_unresolved(path)?;
        refuse_uneven(path, programming)?;
        let fresh = path.with_extension("new");
        let file = File::create(&fresh).map_err(|source| failed(path, "making the file", source))?;
        let mut journal = Self { path: path.to_owned(), file, length: 0, unresolved: false };
        journal.mark(&Mark::Begin(programming.clone()))?;
        journal.sync()?;
        fs::rename(&fresh, path).map_err(|source| failed(path, "putting the file in place", source))?;
        sync_folder(path).map_err(|source| failed(path, "syncing the folder", source))?;
        Ok(journal)
    }

    /// Goes on in the journal that is there; `None` where there is none.
    ///
    /// # Errors
    /// The file cannot be read or written, or was damaged.
    pub fn reopen(path: &Path) -> Result<Option<Self>, JournalError> {
        let Some(recovery) = Self::open(path)? else { return Ok(None) };
        let file = OpenOptions::new().append(true).open(path);
        let file = file.map_err(|source| failed(path, "opening", source))?;
        let length = recovery.whole();
        // What a crash left of a mark is cut off: the next one stands on a line of its own.
        file.set_len(length).map_err(|source| failed(path, "cutting", source))?;
        Ok(Some(Self { path: path.to_owned(), file, length, unresolved: recovery.is_unresolved() }))
    }

    /// The next programming. Nothing may be sent before [`Self::sending`] returns.
    ///
    /// # Errors
    /// The last programming is not resolved, or the file cannot be written.
    pub fn follow(&mut self, programming: &Programming) -> Result<(), JournalError> {
        if self.unresolved || self.length > LONG {
            *self = Self::begin(&self.path, programming)?;
            return Ok(());
        }
        refuse_uneven(&self.path, programming)?;
        self.mark(&Mark::Begin(programming.clone()))
    }

    /// Marks that these channels are about to be written, and returns once the mark is on the disk.
    ///
    /// # Errors
    /// The mark could not be written: do not send.
    pub fn sending(&mut self, channels: Range<usize>) -> Result<(), JournalError> {
        self.unresolved = true;
        self.mark(&Mark::Sending { first: channels.start, end: channels.end })?;
        self.sync()
    }

    /// Marks that every channel was read back as new.
    ///
    /// # Errors
    /// The mark could not be written: the next start takes what was sent for unknown.
    pub fn commit(&mut self) -> Result<(), JournalError> {
        self.settled(&Mark::Committed)
    }

    /// Ends a programming that failed with what was read back after it.
    ///
    /// # Errors
    /// The mark could not be written.
    pub fn resolve(&mut self, held: &ActuatorFrame) -> Result<(), JournalError> {
        self.settled(&Mark::Resolved { held: held.clone() })
    }

    /// Marks that everything is about to be zeroed, and returns once the mark is on the disk.
    ///
    /// # Errors
    /// The mark could not be written; zero all the same.
    pub fn zeroing(&mut self) -> Result<(), JournalError> {
        self.unresolved = true;
        self.mark(&Mark::Zeroing)?;
        self.sync()
    }

    /// Marks that everything was read back as zero: by a park, or by the device itself.
    ///
    /// # Errors
    /// The mark could not be written.
    pub fn zeroed(&mut self, by: impl Into<String>) -> Result<(), JournalError> {
        self.settled(&Mark::Zeroed { by: by.into() })
    }

    /// Marks that the outputs are no longer known, as after a reset of the device.
    ///
    /// # Errors
    /// The mark could not be written.
    pub fn doubt(&mut self, why: impl Into<String>) -> Result<(), JournalError> {
        self.unresolved = true;
        self.mark(&Mark::Doubt { why: why.into() })?;
        self.sync()
    }

    /// True from the first byte sent until it is known what came of it.
    #[must_use]
    pub fn is_unresolved(&self) -> bool {
        self.unresolved
    }

    fn settled(&mut self, mark: &Mark) -> Result<(), JournalError> {
        self.mark(mark)?;
        self.unresolved = false;
        Ok(())
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
        let (Some(recovery), Some(mut journal)) = (Self::open(path)?, Self::reopen(path)?) else {
            return Ok(None);
        };
        journal.resolve(held)?;
        journal.sync()?;
        Ok(Some(recovery.resolve(held)))
    }

    /// Marks, for a host that died, what its device said before it was zeroed: how many writes it had carried out, and whether its
    /// outputs were driven. Says nothing where the journal is settled, or of other writes.
    ///
    /// # Errors
    /// The file cannot be written, or was damaged.
    pub fn seen(path: &Path, generation: Generation, driven: bool) -> Result<(), JournalError> {
        let Some(recovery) = Self::open(path)?.filter(|recovery| recovery.is_told_by(generation)) else {
            return Ok(());
        };
        // What cannot be told apart from a mark stays: it must not be lost.
        if recovery.phase == Phase::Unclear {
            return Ok(());
        }
        let Some(mut journal) = Self::reopen(path)? else { return Ok(()) };
        journal.mark(&Mark::Seen { generation, driven })?;
        journal.sync()
    }

    fn mark(&mut self, mark: &Mark) -> Result<(), JournalError> {
        let line = seal(mark).map_err(|source| failed(&self.path, "writing", source.into()))? + "\n";
        self.file.write_all(line.as_bytes()).map_err(|source| failed(&self.path, "writing", source))?;
        self.length += line.len() as u64;
        Ok(())
    }

    fn sync(&self) -> Result<(), JournalError> {
        self.file.sync_data().map_err(|source| failed(&self.path, "syncing", source))
    }
}

fn refuse_uneven(path: &Path, programming: &Programming) -> Result<(), JournalError> {
    let (old, new) = (programming.old.0.len(), programming.new.0.len());
    if old == new { Ok(()) } else { Err(JournalError::Length { path: path.to_owned(), old, new }) }
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
