//! The raw log of the wires: a ring of files of bounded size, one JSON object a line.
//!
//! A line without its end is one that a crash tore: readers leave it out. A program never appends to a file that another one
//! began, so such a line is always the last of its file.

mod reader;
mod ring;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use ring::Ring;

pub use reader::FrameReader;

/// Entries that wait for the disk before entries are left out, rather than the wire held up.
const WAITING: usize = 1 << 14;
/// Smallest ring, in bytes.
const SMALLEST: u64 = 1 << 14;
/// Most bytes of the wire in one entry; more at once make several.
const PIECE: usize = 1 << 10;

/// What happened on a wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Traffic {
    /// It was opened.
    Opened,
    /// The host sent bytes.
    Sent {
        /// Which.
        #[serde(with = "as_hex")]
        bytes: Vec<u8>,
    },
    /// The device sent bytes.
    Received {
        /// Which.
        #[serde(with = "as_hex")]
        bytes: Vec<u8>,
    },
    /// It ended: the device went, or the host closed it.
    Closed,
    /// Entries were left out, of any wire, because the disk was too slow.
    LeftOut {
        /// How many.
        entries: u64,
    },
}

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameEntry {
    /// Microseconds of the monotonic clock since the log was opened; the head of each file tells its time of day.
    pub at_us: u64,
    /// Device, or place of the wire.
    pub device: String,
    /// What happened.
    #[serde(flatten)]
    pub traffic: Traffic,
}

/// First line of each file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// Version of the format.
    alora_frames: u32,
    /// When `at_us` was 0.
    utc: String,
    pid: u32,
}

/// Why there is no raw log.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// A file cannot be read or written.
    #[error("raw log {path}: {doing} failed")]
    File {
        /// File or folder.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A line that is no entry, though it has an end.
    #[error("raw log {path}: line {line} is no entry; it was damaged after it was written")]
    Damaged {
        /// File.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
    },
}

/// A raw log that is written to. Clones write to the same; the last one waits until all is with the system.
#[derive(Clone, Debug)]
pub struct FrameLog(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Clock,
    left_out: AtomicU64,
    entries: Option<SyncSender<FrameEntry>>,
    writer: Option<JoinHandle<()>>,
}

impl FrameLog {
    /// Opens a ring of files in `folder` that together never hold more than `most` bytes (at least 16 KiB).
    ///
    /// A folder belongs to one program at a time; another one that writes there has a ring of its own beside it.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn open(folder: &Path, most: u64, clock: Clock) -> Result<Self, FrameError> {
        let now = clock.now();
        let origin = now.utc - now.monotonic;
        let head = Head {
            alora_frames: 1,
            utc: super::Stamp { utc: origin, ..now }.rfc3339(),
            pid: std::process::id(),
        };
        let ring = Ring::open(folder, most.max(SMALLEST), head)?;
        let (entries, waiting) = sync_channel(WAITING);
        let writer =
            std::thread::Builder::new().name("raw log".to_owned()).spawn(move || write(ring, &waiting));
        let writer = writer.map_err(|source| FrameError::File {
            path: folder.to_owned(),
            doing: "starting",
            source,
        })?;
        let inner =
            Inner { clock, left_out: AtomicU64::new(0), entries: Some(entries), writer: Some(writer) };
        Ok(Self(Arc::new(inner)))
    }

    /// Records what happened now. Never waits for the disk: if it lags too far, the entry is left out and counted.
    pub fn record(&self, device: &str, traffic: &Traffic) {
        match traffic {
            Traffic::Sent { bytes } => {
                bytes
                    .chunks(PIECE)
                    .for_each(|bytes| self.put(device, Traffic::Sent { bytes: bytes.to_vec() }));
            }
            Traffic::Received { bytes } => {
                bytes
                    .chunks(PIECE)
                    .for_each(|bytes| self.put(device, Traffic::Received { bytes: bytes.to_vec() }));
            }
            other => self.put(device, other.clone()),
        }
    }

    fn put(&self, device: &str, traffic: Traffic) {
        let owed = self.0.left_out.swap(0, Ordering::Relaxed);
        if owed > 0 && !self.send(device, Traffic::LeftOut { entries: owed }) {
            self.0.left_out.fetch_add(owed, Ordering::Relaxed);
        }
        if !self.send(device, traffic) {
            self.0.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn send(&self, device: &str, traffic: Traffic) -> bool {
        let at_us = u64::try_from(self.0.clock.now().monotonic.as_micros()).unwrap_or(u64::MAX);
        let entry = FrameEntry { at_us, device: device.to_owned(), traffic };
        self.0.entries.as_ref().is_some_and(|entries| entries.try_send(entry).is_ok())
    }
}

impl FrameEntry {
    /// Time since the log was opened.
    #[must_use]
    pub fn at(&self) -> Duration {
        Duration::from_micros(self.at_us)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.entries = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

/// Writes until nobody can record any more. What waits no longer goes to the system at once: it survives the program.
fn write(mut ring: Ring, waiting: &Receiver<FrameEntry>) {
    while let Ok(entry) = waiting.recv() {
        let written = std::iter::once(entry).chain(waiting.try_iter()).try_for_each(|entry| ring.put(&entry));
        if let Err(error) = written.and_then(|()| ring.flush()) {
            tracing::error!(%error, source = ?std::error::Error::source(&error), "the raw log ends here");
            return;
        }
    }
}

mod as_hex {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use crate::record::seal::{hex, unhex};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&hex(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        unhex(&String::deserialize(from)?).ok_or_else(|| de::Error::custom("bytes are not in hex"))
    }
}
