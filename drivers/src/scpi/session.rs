//! One query at a time over a wire that is given up as soon as an answer is in doubt.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf},
    time::{Instant, timeout},
};

use super::{
    block::{self, ByteOrder},
    error::{ScpiError, shown},
    identity::Identity,
    line::LineEnding,
};
use crate::link::{Connector, LinkError, LinkStatistics, RoundTrip, Transport};

/// How an instrument writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// End of lines, both ways.
    pub ending: LineEnding,
    /// Order of the bytes of numbers in blocks.
    pub byte_order: ByteOrder,
    /// Wait for an answer where nothing else is said.
    pub patience: Duration,
    /// Longest line.
    pub longest_line: usize,
}

impl Dialect {
    /// Lines that end with `ending`, little-endian blocks, 2 s patience, lines of up to 4096 bytes.
    #[must_use]
    pub fn new(ending: LineEnding) -> Self {
        Self { ending, byte_order: ByteOrder::Little, patience: Duration::from_secs(2), longest_line: 4096 }
    }
}

/// A connection that carries one query at a time.
///
/// An answer that does not come whole, in time and in its own grammar closes the connection: what comes late goes to nobody.
/// So does dropping the future of an exchange: the wire goes with it. After that every call answers [`ScpiError::Closed`]
/// until [`Self::open`].
pub struct Session {
    connector: Arc<dyn Connector>,
    dialect: Dialect,
    /// Taken out for each exchange and put back only when that has ended well.
    wire: Option<Wire>,
    was_open: bool,
    statistics: LinkStatistics,
    round_trip: RoundTrip,
}

struct Wire {
    transport: Box<dyn Transport>,
    /// Bytes that came behind the last answer.
    received: Vec<u8>,
}

/// What ends an exchange badly.
enum Broken {
    Lost,
    Malformed { answer: String, expected: String },
}

impl Session {
    /// A session that is not open yet.
    #[must_use]
    pub fn new(connector: Arc<dyn Connector>, dialect: Dialect) -> Self {
        Self {
            connector,
            dialect,
            wire: None,
            was_open: false,
            statistics: LinkStatistics::default(),
            round_trip: RoundTrip::new(Duration::ZERO, dialect.patience),
        }
    }

    /// Closes the wire, if one is open, and opens it anew.
    ///
    /// # Errors
    /// What the connector says.
    pub async fn open(&mut self) -> Result<(), ScpiError> {
        self.close();
        let transport = self.connector.open().await?;
        self.statistics.reconnects += u64::from(self.was_open);
        self.was_open = true;
        self.wire = Some(Wire { transport, received: Vec::new() });
        Ok(())
    }

    /// Closes the wire.
    pub fn close(&mut self) {
        self.wire = None;
    }

    /// False after anything that left an answer in doubt.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.wire.is_some()
    }

    /// Where the wire leads.
    #[must_use]
    pub fn place(&self) -> String {
        self.connector.place()
    }

    /// How the instrument writes.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// What the link has seen.
    #[must_use]
    pub fn statistics(&self) -> LinkStatistics {
        let round_trip_us = self.round_trip.smoothed().map_or(0, |smoothed| smoothed.as_micros() as u64);
        LinkStatistics { round_trip_us, ..self.statistics }
    }

    pub(super) fn count(&mut self) -> &mut LinkStatistics {
        &mut self.statistics
    }

    /// Sends a command that has no answer.
    ///
    /// # Errors
    /// A wire that is closed, gone, or does not take the bytes in time.
    pub async fn send(&mut self, command: &str) -> Result<(), ScpiError> {
        self.exchange(command, self.dialect.patience, None, |_| Ok(Some(((), 0)))).await
    }

    /// Asks and returns the line that comes back: printable ASCII.
    ///
    /// # Errors
    /// A wire that is closed or gone; no whole line in time; a line of other bytes or too long.
    pub async fn ask(&mut self, query: &str) -> Result<String, ScpiError> {
        self.ask_within(query, self.dialect.patience).await
    }

    /// As [`Self::ask`], for answers that take their time.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub async fn ask_within(&mut self, query: &str, patience: Duration) -> Result<String, ScpiError> {
        let Dialect { ending, longest_line, .. } = self.dialect;
        self.exchange(query, patience, Some(longest_line), |received| {
            let Some((line, taken)) = ending.line(received) else { return Ok(None) };
            let printable = line.iter().all(|&byte| matches!(byte, b'\t' | b'\n' | 0x20..0x7F));
            let text = std::str::from_utf8(line).ok().filter(|_| printable);
            text.map(|text| Some((text.to_owned(), taken))).ok_or_else(|| "printable text".to_owned())
        })
        .await
    }

    /// Asks and returns the bytes of the definite block that comes back, at most `most`.
    ///
    /// # Errors
    /// A wire that is closed or gone; no whole block in time; something else than a block and the end of the line.
    pub async fn ask_block(
        &mut self,
        query: &str,
        most: usize,
        patience: Duration,
    ) -> Result<Vec<u8>, ScpiError> {
        let ending = self.dialect.ending;
        self.exchange(query, patience, Some(most + 2 + 9 + 2), |received| {
            let found = block::block(received, most).map_err(|error| error.to_string())?;
            let Some((bytes, taken)) = found else { return Ok(None) };
            let end = ending.ends(&received[taken..])?;
            Ok(end.map(|end| (bytes.to_vec(), taken + end)))
        })
        .await
    }

    /// Asks who the instrument is. Lines before the answer are a banner, and are counted as invalid.
    ///
    /// # Errors
    /// A wire that is closed or gone; no identity in time.
    pub async fn identify(&mut self) -> Result<Identity, ScpiError> {
        let Dialect { ending, longest_line, patience, .. } = self.dialect;
        let before = self.statistics.bytes_received;
        let identity = self
            .exchange("*IDN?", patience, Some(longest_line), |received| {
                Ok(Identity::find(received, ending).map(|(identity, taken)| ((identity, taken), taken)))
            })
            .await;
        let (identity, _) = identity?;
        let own = identity.maker.len()
            + identity.model.len()
            + identity.serial.len()
            + identity.firmware.len()
            + 3
            + ending.bytes().len();
        let came = self.statistics.bytes_received - before;
        self.statistics.bytes_invalid += came.saturating_sub(own as u64);
        Ok(identity)
    }

    /// Reads and throws away until nothing has come for `quiet`, at most for `most`.
    ///
    /// # Errors
    /// A wire that is closed or gone.
    pub async fn drain(&mut self, quiet: Duration, most: Duration) -> Result<(), ScpiError> {
        let mut wire = self.taken()?;
        let begun = Instant::now();
        let mut thrown = wire.received.len();
        wire.received.clear();
        let mut bytes = [0_u8; 512];
        while begun.elapsed() < most {
            match timeout(quiet, wire.transport.read(&mut bytes)).await {
                Err(_) => break,
                Ok(Ok(count)) if count > 0 => {
                    self.statistics.bytes_received += count as u64;
                    thrown += count;
                }
                Ok(_) => return Err(self.lost()),
            }
        }
        self.statistics.bytes_invalid += thrown as u64;
        self.statistics.strays += u64::from(thrown > 0);
        self.wire = Some(wire);
        Ok(())
    }

    /// Sends a line and reads until `scan` finds the answer and says how many bytes it took. `longest`: none is expected
    /// beyond; `None`: there is no answer.
    pub(super) async fn exchange<T>(
        &mut self,
        line: &str,
        patience: Duration,
        longest: Option<usize>,
        scan: impl Fn(&[u8]) -> Result<Option<(T, usize)>, String>,
    ) -> Result<T, ScpiError> {
        let mut wire = self.taken()?;
        self.refuse_surplus(&mut wire, line)?;
        let mut sent = line.as_bytes().to_vec();
        sent.extend_from_slice(self.dialect.ending.bytes());
        let asked = Instant::now();
        let exchange = wire.exchange(&sent, longest, scan, &mut self.statistics);
        match timeout(patience, exchange).await {
            Ok(Ok(found)) => {
                if longest.is_some() {
                    self.statistics.answered += 1;
                    self.round_trip.measured(asked.elapsed());
                }
                self.wire = Some(wire);
                Ok(found)
            }
            Ok(Err(Broken::Lost)) => Err(self.lost()),
            Ok(Err(Broken::Malformed { answer, expected })) => {
                self.statistics.bytes_invalid += wire.received.len() as u64;
                Err(self.malformed(line, answer, expected))
            }
            Err(_) => {
                self.statistics.timeouts += 1;
                self.statistics.bytes_invalid += wire.received.len() as u64;
                Err(ScpiError::NoAnswer { place: self.place(), query: line.to_owned(), waited: patience })
            }
        }
    }

    pub(super) fn malformed(&self, query: &str, answer: String, expected: impl Into<String>) -> ScpiError {
        ScpiError::Malformed {
            place: self.place(),
            query: query.to_owned(),
            answer,
            expected: expected.into(),
        }
    }

    fn taken(&mut self) -> Result<Wire, ScpiError> {
        self.wire.take().ok_or_else(|| ScpiError::Closed { place: self.place() })
    }

    fn lost(&self) -> ScpiError {
        LinkError::Lost { place: self.place() }.into()
    }

    /// Bytes that wait before anything was asked belong to no query: an answer that came twice, or something unasked.
    fn refuse_surplus(&mut self, wire: &mut Wire, line: &str) -> Result<(), ScpiError> {
        match wire.take_what_waits() {
            Err(()) => return Err(self.lost()),
            Ok(count) => self.statistics.bytes_received += count as u64,
        }
        if wire.received.is_empty() {
            return Ok(());
        }
        self.statistics.strays += 1;
        self.statistics.bytes_invalid += wire.received.len() as u64;
        Err(self.malformed(line, shown(&wire.received), "nothing before it is asked"))
    }
}

impl Wire {
    async fn exchange<T>(
        &mut self,
        sent: &[u8],
        longest: Option<usize>,
        scan: impl Fn(&[u8]) -> Result<Option<(T, usize)>, String>,
        statistics: &mut LinkStatistics,
    ) -> Result<T, Broken> {
        self.transport.write_all(sent).await.map_err(|_| Broken::Lost)?;
        self.transport.flush().await.map_err(|_| Broken::Lost)?;
        statistics.bytes_sent += sent.len() as u64;
        let mut bytes = vec![0_u8; 4096];
        loop {
            match scan(&self.received) {
                Ok(Some((found, taken))) => {
                    self.received.drain(..taken);
                    return Ok(found);
                }
                Ok(None) => {}
                Err(expected) => return Err(Broken::Malformed { answer: shown(&self.received), expected }),
            }
            let longest = longest.unwrap_or(0);
            if self.received.len() > longest {
                let expected = format!("at most {longest} bytes");
                return Err(Broken::Malformed { answer: shown(&self.received), expected });
            }
            match self.transport.read(&mut bytes).await {
                Ok(0) | Err(_) => return Err(Broken::Lost),
                Ok(count) => {
                    statistics.bytes_received += count as u64;
                    self.received.extend_from_slice(&bytes[..count]);
                }
            }
        }
    }

    /// Takes in what has arrived, without waiting. `Err`: the other end is gone.
    fn take_what_waits(&mut self) -> Result<usize, ()> {
        let mut bytes = [0_u8; 512];
        let mut buffer = ReadBuf::new(&mut bytes);
        let mut context = Context::from_waker(Waker::noop());
        match Pin::new(&mut self.transport).poll_read(&mut context, &mut buffer) {
            Poll::Pending => Ok(0),
            Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                self.received.extend_from_slice(buffer.filled());
                Ok(buffer.filled().len())
            }
            Poll::Ready(_) => Err(()),
        }
    }
}
