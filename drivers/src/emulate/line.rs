//! The time that bytes take on a serial line and through a USB adapter.

use std::{collections::VecDeque, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// Bits of a byte on the line: start, 8 data, stop.
const BITS: u32 = 10;
/// Bytes that a USB adapter sends to the host as soon as it has them (FTDI: 64 less 2 of status).
const PACKET: usize = 62;
/// Bytes of which the arrival is told apart.
const PIECE: usize = 32;

/// A serial line and its adapter. The default takes no time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Line {
    /// Bits a second; 0: bytes take no time.
    pub baud: u32,
    /// Latency timer of the USB adapter towards the host, in milliseconds; 0: bytes go on at once. FTDI's default is 16.
    pub latency_ms: u64,
}

impl Line {
    fn time_of(self, bytes: usize) -> Duration {
        if self.baud == 0 {
            return Duration::ZERO;
        }
        Duration::from_nanos(bytes as u64 * u64::from(BITS) * 1_000_000_000 / u64::from(self.baud))
    }
}

/// Bytes under way in one direction.
#[derive(Debug)]
pub(super) struct Flow {
    line: Line,
    latency: Duration,
    /// When the line is free again.
    free: Instant,
    flushed: Instant,
    pieces: VecDeque<Piece>,
    bytes: usize,
}

#[derive(Debug)]
struct Piece {
    due: Instant,
    /// More bytes may still join before `due`.
    open: bool,
    bytes: Vec<u8>,
}

impl Flow {
    /// Towards the device: line time only.
    pub(super) fn to_device(line: Line, now: Instant) -> Self {
        Self { line, latency: Duration::ZERO, free: now, flushed: now, pieces: VecDeque::new(), bytes: 0 }
    }

    /// Towards the host: line time, then the adapter's latency timer.
    pub(super) fn to_host(line: Line, now: Instant) -> Self {
        Self { latency: Duration::from_millis(line.latency_ms), ..Self::to_device(line, now) }
    }

    /// Sends `bytes` at `now` at the earliest.
    pub(super) fn send(&mut self, bytes: &[u8], now: Instant) {
        self.bytes += bytes.len();
        self.free = self.free.max(now);
        let step = if self.latency.is_zero() { PIECE } else { 1 };
        for piece in bytes.chunks(step) {
            self.free += self.line.time_of(piece.len());
            if self.latency.is_zero() {
                self.pieces.push_back(Piece { due: self.free, open: false, bytes: piece.to_vec() });
            } else {
                self.buffer(piece, self.free);
            }
        }
    }

    /// Nothing goes out before `now + by`.
    pub(super) fn hold(&mut self, by: Duration, now: Instant) {
        self.free = self.free.max(now) + by;
    }

    /// The adapter collects a packet until it is full or the latency timer, which runs on from packet to packet, ends.
    fn buffer(&mut self, piece: &[u8], arrives: Instant) {
        match self.pieces.back_mut() {
            Some(packet) if packet.open && arrives <= packet.due => {
                packet.bytes.extend_from_slice(piece);
                if packet.bytes.len() >= PACKET {
                    (packet.open, packet.due) = (false, arrives);
                    self.flushed = arrives;
                }
            }
            last => {
                if let Some(packet) = last
                    && packet.open
                {
                    packet.open = false;
                    self.flushed = packet.due;
                }
                let waited = arrives.saturating_duration_since(self.flushed).as_nanos();
                let periods = waited.div_ceil(self.latency.as_nanos()).max(1) as u32;
                let due = self.flushed + self.latency * periods;
                self.pieces.push_back(Piece { due, open: true, bytes: piece.to_vec() });
            }
        }
    }

    /// Bytes that have arrived by `now`.
    pub(super) fn arrived(&mut self, now: Instant) -> Vec<u8> {
        let mut arrived = Vec::new();
        while let Some(piece) = self.pieces.front()
            && piece.due <= now
        {
            if piece.open {
                self.flushed = piece.due;
            }
            arrived.extend_from_slice(&piece.bytes);
            self.pieces.pop_front();
        }
        self.bytes -= arrived.len();
        arrived
    }

    /// When the next bytes arrive.
    pub(super) fn next(&self) -> Option<Instant> {
        self.pieces.front().map(|piece| piece.due)
    }

    /// Bytes under way.
    pub(super) fn under_way(&self) -> usize {
        self.bytes
    }
}
