//! What a link has seen, for the operator.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Counters of one link since it was opened first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LinkStatistics {
    /// Requests that were answered.
    pub answered: u64,
    /// Requests sent again.
    pub retries: u64,
    /// Waits that ended without an answer.
    pub timeouts: u64,
    /// Bytes sent.
    pub bytes_sent: u64,
    /// Bytes received.
    pub bytes_received: u64,
    /// Bytes received that belong to no valid answer.
    pub bytes_invalid: u64,
    /// Answers that came twice, late or unasked and were thrown away.
    pub strays: u64,
    /// Refusals by the device.
    pub refusals: u64,
    /// Times the wire was opened again.
    pub reconnects: u64,
    /// Round trip, smoothed, in microseconds; 0 before the first answer.
    pub round_trip_us: u64,
}

/// Smoothed round-trip time and its deviation (Jacobson and Karels, as TCP: RFC 6298), from which time-outs follow.
#[derive(Clone, Copy, Debug)]
pub struct RoundTrip {
    smoothed: Option<Duration>,
    deviation: Duration,
    least: Duration,
    most: Duration,
}

impl RoundTrip {
    /// Time-outs stay within `least..=most`; the first is `most`.
    #[must_use]
    pub fn new(least: Duration, most: Duration) -> Self {
        Self { smoothed: None, deviation: Duration::ZERO, least, most }
    }

    /// Takes in one measured round trip. Round trips of requests that were sent again tell nothing (Karn): leave them out.
    pub fn measured(&mut self, sample: Duration) {
        match self.smoothed {
            None => {
                self.smoothed = Some(sample);
                self.deviation = sample / 2;
            }
            Some(smoothed) => {
                self.deviation = (self.deviation * 3 + smoothed.abs_diff(sample)) / 4;
                self.smoothed = Some((smoothed * 7 + sample) / 8);
            }
        }
    }

    /// After a time-out: be more patient.
    pub fn back_off(&mut self) {
        self.deviation = (self.deviation * 2).min(self.most);
    }

    /// How long to wait for an answer, beyond the time that its bytes take on the wire.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        match self.smoothed {
            None => self.most,
            Some(smoothed) => (smoothed + self.deviation * 4).clamp(self.least, self.most),
        }
    }

    /// Smoothed round trip.
    #[must_use]
    pub fn smoothed(&self) -> Option<Duration> {
        self.smoothed
    }
}
