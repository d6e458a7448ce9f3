//! Two clocks: UTC for records, and a monotonic one for everything that lasts.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::Timestamp;

/// UTC as it was at the start, and from there on monotonic: a clock that is set meanwhile does not turn records back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordClock {
    utc: Duration,
    started: Instant,
}

impl RecordClock {
    pub(crate) fn start() -> Self {
        let utc = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { utc, started: Instant::now() }
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp(self.utc + self.started.elapsed())
    }
}
