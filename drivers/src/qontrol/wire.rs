//! Lines on a wire.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, timeout},
};

use super::grammar::Line;
use crate::link::{Connector, LinkError, LinkStatistics, Transport};

/// Longest line that may be one; what is longer is cut and counts as garbage.
const LONGEST: usize = 128;
/// Bytes that one drain throws away before the link counts as never quiet.
const FLOOD: usize = 1 << 16;

/// The wire to a chain, or the place where it was.
pub(super) struct Wire {
    connector: Arc<dyn Connector>,
    transport: Option<Box<dyn Transport>>,
    buffer: Vec<u8>,
    pub(super) statistics: LinkStatistics,
}

impl Wire {
    pub(super) fn new(connector: Arc<dyn Connector>) -> Self {
        Self { connector, transport: None, buffer: Vec::new(), statistics: LinkStatistics::default() }
    }

    pub(super) fn place(&self) -> String {
        self.connector.place()
    }

    /// Opens the wire, again if it was open.
    pub(super) async fn open(&mut self) -> Result<(), LinkError> {
        self.transport = None;
        self.buffer.clear();
        self.transport = Some(self.connector.open().await?);
        Ok(())
    }

    pub(super) fn is_open(&self) -> bool {
        self.transport.is_some()
    }

    fn lost(&mut self) -> LinkError {
        self.transport = None;
        LinkError::Lost { place: self.place() }
    }

    pub(super) async fn send(&mut self, bytes: &[u8], within: Duration) -> Result<(), LinkError> {
        let place = self.place();
        let Some(transport) = self.transport.as_mut() else { return Err(LinkError::Lost { place }) };
        let sending = async {
            transport.write_all(bytes).await?;
            transport.flush().await
        };
        match timeout(within, sending).await {
            Ok(Ok(())) => {
                self.statistics.bytes_sent += bytes.len() as u64;
                Ok(())
            }
            Ok(Err(_)) => Err(self.lost()),
            Err(_) => Err(LinkError::Timeout { place, waited: within }),
        }
    }

    /// The next line; `None` when none is complete within that time. Cancel-safe: no byte is lost.
    pub(super) async fn line(&mut self, within: Duration) -> Result<Option<Line>, LinkError> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(line) = self.complete() {
                return Ok(Some(line));
            }
            if !self.more(deadline.saturating_duration_since(Instant::now())).await? {
                return Ok(None);
            }
        }
    }

    /// Throws away what comes until nothing came for so long, and returns what it was.
    pub(super) async fn quiet(&mut self, quiet: Duration) -> Result<Vec<Line>, LinkError> {
        let before = self.statistics.bytes_received;
        while self.more(quiet).await? {
            if self.statistics.bytes_received - before > FLOOD as u64 {
                break;
            }
            if self.buffer.len() > FLOOD {
                self.buffer.clear();
            }
        }
        let mut lines = Vec::new();
        while let Some(line) = self.complete() {
            lines.push(line);
        }
        if !self.buffer.is_empty() {
            lines.push(Line::parse(b"\xff"));
            self.statistics.bytes_invalid += self.buffer.len() as u64;
            self.buffer.clear();
        }
        Ok(lines)
    }

    /// What has come already: lines that nobody asked for, and whether a piece of one lies behind them.
    pub(super) async fn arrived(&mut self) -> Result<Vec<Line>, LinkError> {
        while self.more(Duration::ZERO).await? && self.buffer.len() < FLOOD {}
        let mut lines = Vec::new();
        while let Some(line) = self.complete() {
            lines.push(line);
        }
        Ok(lines)
    }

    /// True when a line has begun and not ended.
    pub(super) fn is_in_line(&self) -> bool {
        !self.buffer.is_empty()
    }

    fn complete(&mut self) -> Option<Line> {
        let end = self.buffer.iter().position(|&byte| byte == b'\n');
        let (line, rest) = match end {
            Some(end) => (end, end + 1),
            None if self.buffer.len() > LONGEST => (self.buffer.len(), self.buffer.len()),
            None => return None,
        };
        let bytes: Vec<u8> = self.buffer.drain(..rest).collect();
        let line = if line > LONGEST { Line::parse(&bytes[..LONGEST]) } else { Line::parse(&bytes[..line]) };
        if matches!(line, Line::Garbage(_)) {
            self.statistics.bytes_invalid += rest as u64;
        }
        Some(line)
    }

    /// Reads once; `false` when nothing came within that time.
    async fn more(&mut self, within: Duration) -> Result<bool, LinkError> {
        let place = self.place();
        let Some(transport) = self.transport.as_mut() else { return Err(LinkError::Lost { place }) };
        let mut piece = [0_u8; 512];
        match timeout(within, transport.read(&mut piece)).await {
            Err(_) => Ok(false),
            Ok(Ok(0) | Err(_)) => Err(self.lost()),
            Ok(Ok(count)) => {
                self.statistics.bytes_received += count as u64;
                self.buffer.extend_from_slice(&piece[..count]);
                Ok(true)
            }
        }
    }
}
