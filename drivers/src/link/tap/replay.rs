//! A device made of a record: it answers what was answered, as long as it is asked what was asked.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use crate::{
    link::{Connector, LinkError, Transport, pipe},
    record::{FrameEntry, Traffic},
};

/// Where a conversation departs from its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Departure {
    /// Which connection, from 1.
    pub connection: usize,
    /// Byte of those that the host sent in it, from 0.
    pub byte: usize,
    /// What was sent then; empty: nothing more.
    pub recorded: Vec<u8>,
    /// What is sent now.
    pub sent: Vec<u8>,
}

impl fmt::Display for Departure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connection, byte, recorded, sent } = self;
        let (recorded, sent) = (recorded.escape_ascii(), sent.escape_ascii());
        write!(
            f,
            "connection {connection} departs from the record at byte {byte}: recorded `{recorded}`, sent `{sent}`"
        )
    }
}

/// A connector to a record. Each `open` plays the next connection that was recorded.
///
/// Answers come as soon as all that was sent before them in the record is sent again. Where the driver sends something else, the
/// wire ends, and [`Self::departure`] says where.
#[derive(Clone)]
pub struct Replay(Arc<Mutex<State>>);

struct State {
    device: String,
    waiting: VecDeque<Vec<Traffic>>,
    opened: usize,
    departure: Option<Departure>,
}

impl Replay {
    /// The part of a record that is of one device.
    #[must_use]
    pub fn new(device: impl Into<String>, entries: impl IntoIterator<Item = FrameEntry>) -> Self {
        let device = device.into();
        let mut waiting: VecDeque<Vec<Traffic>> = VecDeque::new();
        for entry in entries.into_iter().filter(|entry| entry.device == device) {
            if entry.traffic == Traffic::Opened || waiting.is_empty() {
                waiting.push_back(Vec::new());
            }
            if let Some(connection) = waiting.back_mut() {
                connection.push(entry.traffic);
            }
        }
        Self(Arc::new(Mutex::new(State { device, waiting, opened: 0, departure: None })))
    }

    /// Where the conversation departed from the record first, if it did.
    #[must_use]
    pub fn departure(&self) -> Option<Departure> {
        self.state(|state| state.departure.clone())
    }

    fn state<R>(&self, look: impl FnOnce(&mut State) -> R) -> R {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn play(self, connection: usize, traffic: Vec<Traffic>, mut wire: DuplexStream) {
        let mut sent = 0;
        for traffic in traffic {
            let went_on = match traffic {
                Traffic::Sent { bytes } => {
                    let matched = self.hear(connection, sent, &bytes, &mut wire).await;
                    sent += bytes.len();
                    matched
                }
                Traffic::Received { bytes } => wire.write_all(&bytes).await.is_ok(),
                Traffic::Closed => return,
                Traffic::Opened | Traffic::LeftOut { .. } => true,
            };
            if !went_on {
                return;
            }
        }
        // A record that was cut off: silence, until more is asked than was recorded.
        self.hear(connection, sent, &[], &mut wire).await;
    }

    /// Takes the bytes that were recorded; true when they came.
    async fn hear(&self, connection: usize, from: usize, recorded: &[u8], wire: &mut DuplexStream) -> bool {
        let mut heard = vec![0; recorded.len().max(1)];
        let mut length = 0;
        while length < heard.len() {
            let Ok(more @ 1..) = wire.read(heard.get_mut(length..).unwrap_or_default()).await else {
                return false;
            };
            length += more;
            let found = heard.get(..length).unwrap_or_default();
            let same = found.iter().zip(recorded).take_while(|(now, then)| now == then).count();
            if same < length {
                let recorded = recorded.get(same..).unwrap_or_default().to_vec();
                let sent = found.get(same..).unwrap_or_default().to_vec();
                let departure = Departure { connection, byte: from + same, recorded, sent };
                self.state(|state| state.departure.get_or_insert(departure).connection);
                return false;
            }
        }
        true
    }
}

#[async_trait]
impl Connector for Replay {
    async fn open(&self) -> Result<Box<dyn Transport>, LinkError> {
        let next = self.state(|state| {
            let traffic = state.waiting.pop_front()?;
            state.opened += 1;
            Some((state.opened, traffic))
        });
        let Some((connection, traffic)) = next else {
            let opened = self.state(|state| state.opened);
            let reason = format!("it holds {opened} connections, and all were played");
            return Err(LinkError::NotRecorded { place: self.place(), reason });
        };
        let (host, device) = pipe();
        tokio::spawn(self.clone().play(connection, traffic, device));
        Ok(Box::new(host))
    }

    fn place(&self) -> String {
        self.state(|state| format!("record of {}", state.device))
    }

    fn baud(&self) -> Option<u32> {
        None
    }
}
