//! Two clocks in one: UTC for records, a monotonic one for differences. Either can be set in tests.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use time::{OffsetDateTime, UtcDateTime, format_description::well_known::Rfc3339};
use tokio::time::Instant;

use crate::Timestamp;

/// A moment on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Time of day; jumps when the system's clock is set.
    pub utc: UtcDateTime,
    /// Time since the clock was made; never goes back.
    pub monotonic: Duration,
}

impl Stamp {
    /// Time of day as RFC 3339, to the microsecond.
    #[must_use]
    pub fn rfc3339(&self) -> String {
        let micros = self.utc.replace_nanosecond(self.utc.microsecond() * 1000).unwrap_or(self.utc);
        OffsetDateTime::from(micros).format(&Rfc3339).unwrap_or_else(|_| micros.to_string())
    }
}

/// Reads [`Stamp`]s: of the system, or of a test.
#[derive(Clone, Debug)]
pub struct Clock {
    /// Time of day when the clock was made.
    began: UtcDateTime,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    System { origin: Instant },
    Set(Arc<Mutex<Stamp>>),
}

impl Clock {
    /// The system's clocks; the monotonic one starts now, and stands still with a paused tokio clock.
    #[must_use]
    pub fn system() -> Self {
        Self { began: UtcDateTime::now(), kind: Kind::System { origin: Instant::now() } }
    }

    /// Clocks that stand at `seconds` after the Unix epoch until [`Self::pass`] or [`Self::jump`].
    #[must_use]
    pub fn set(seconds: u32) -> Self {
        let utc = UtcDateTime::UNIX_EPOCH + Duration::from_secs(seconds.into());
        let stamp = Stamp { utc, monotonic: Duration::ZERO };
        Self { began: utc, kind: Kind::Set(Arc::new(Mutex::new(stamp))) }
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Stamp {
        match &self.kind {
            Kind::System { origin } => Stamp { utc: UtcDateTime::now(), monotonic: origin.elapsed() },
            Kind::Set(stamp) => *stamp.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Now, for readings: UTC as it was when the clock was made, and from there on monotonic. A system clock that is set
    /// meanwhile does not turn readings back.
    #[must_use]
    pub fn timestamp(&self) -> Timestamp {
        let began = (self.began - UtcDateTime::UNIX_EPOCH).try_into().unwrap_or(Duration::ZERO);
        Timestamp(began + self.now().monotonic)
    }

    /// Lets time pass on clocks that were set; the system's go by themselves.
    pub fn pass(&self, time: Duration) {
        self.change(|stamp| {
            stamp.utc += time;
            stamp.monotonic += time;
        });
    }

    /// Sets the time of day of clocks that were set by so much on, or back, as a time server may.
    pub fn jump(&self, seconds: i64) {
        self.change(|stamp| stamp.utc += time::Duration::seconds(seconds));
    }

    fn change(&self, change: impl FnOnce(&mut Stamp)) {
        if let Kind::Set(stamp) = &self.kind {
            change(&mut stamp.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_back_turns_records_back_but_no_readings() {
        let clock = Clock::set(1000);
        clock.pass(Duration::from_secs(10));
        clock.jump(-3600);
        assert_eq!(clock.timestamp(), Timestamp(Duration::from_secs(1010)));
        assert_eq!(clock.now().rfc3339(), "1969-12-31T23:16:50Z");
    }
}
