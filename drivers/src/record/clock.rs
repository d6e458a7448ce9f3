//! Two clocks: UTC for records, a monotonic one for differences. Either can be set in tests.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use time::{OffsetDateTime, UtcDateTime, format_description::well_known::Rfc3339};
use tokio::time::Instant;

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
pub struct Clock(Kind);

#[derive(Clone, Debug)]
enum Kind {
    System { origin: Instant },
    Set(Arc<Mutex<Stamp>>),
}

impl Clock {
    /// The system's clocks; the monotonic one starts now, and stands still with a paused tokio clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Kind::System { origin: Instant::now() })
    }

    /// Clocks that stand at `seconds` after the Unix epoch until [`Self::pass`] or [`Self::jump`].
    #[must_use]
    pub fn set(seconds: u32) -> Self {
        let utc = UtcDateTime::UNIX_EPOCH + Duration::from_secs(seconds.into());
        Self(Kind::Set(Arc::new(Mutex::new(Stamp { utc, monotonic: Duration::ZERO }))))
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Stamp {
        match &self.0 {
            Kind::System { origin } => Stamp { utc: UtcDateTime::now(), monotonic: origin.elapsed() },
            Kind::Set(stamp) => *stamp.lock().unwrap_or_else(PoisonError::into_inner),
        }
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
        if let Kind::Set(stamp) = &self.0 {
            change(&mut stamp.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}
