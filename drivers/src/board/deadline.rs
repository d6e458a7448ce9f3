//! How long an answer may take.

use std::time::Duration;

use tokio::time::Instant;

use super::{link::LinkOptions, wire::Job};
use crate::link::RoundTrip;

/// Time-outs that follow the round trips seen, plus the time of the bytes on the line.
pub(super) struct Deadlines {
    byte: Duration,
    round_trip: RoundTrip,
    /// When the line has sent, and has brought, what is under way.
    out_free: Instant,
    in_free: Instant,
}

impl Deadlines {
    pub(super) fn new(baud: Option<u32>, options: LinkOptions) -> Self {
        let byte =
            baud.map_or(Duration::ZERO, |baud| Duration::from_nanos(10_000_000_000 / u64::from(baud.max(1))));
        let now = Instant::now();
        let round_trip = RoundTrip::new(options.least_timeout, options.most_timeout);
        Self { byte, round_trip, out_free: now, in_free: now }
    }

    /// When the answer to `job`, sent now, is overdue.
    pub(super) fn of(&mut self, job: &Job, now: Instant) -> Instant {
        self.out_free = self.out_free.max(now) + self.byte * job.frame.len() as u32;
        self.in_free = self.in_free.max(self.out_free) + self.byte * job.expected as u32;
        self.in_free + self.round_trip.timeout()
    }

    /// A round trip, of which the bytes' own time is taken off.
    pub(super) fn measured(&mut self, job: &Job, took: Duration) {
        let bytes = self.byte * (job.frame.len() + job.expected) as u32;
        self.round_trip.measured(took.saturating_sub(bytes));
    }

    pub(super) fn back_off(&mut self) {
        self.round_trip.back_off();
    }

    pub(super) fn round_trip_us(&self) -> u64 {
        self.round_trip.smoothed().map_or(0, |time| time.as_micros() as u64)
    }
}
