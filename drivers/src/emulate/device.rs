//! What stands behind an emulated wire.

use std::time::Duration;

/// A device behind a wire: bytes in, bytes out. It reads no clock: `now` is the time since it was first powered.
///
/// `now` never goes back from call to call.
pub trait Device: Send {
    /// Bytes have arrived; what the device answers is appended to `answers`.
    ///
    /// Bytes may arrive in any pieces: a request cut in two, or several together.
    fn receive(&mut self, bytes: &[u8], now: Duration, answers: &mut Vec<u8>);

    /// Time has come to `now`: watchdogs and unasked messages.
    fn tick(&mut self, _now: Duration, _answers: &mut Vec<u8>) {}

    /// When [`Self::tick`] next has something to do.
    fn next_tick(&self) -> Option<Duration> {
        None
    }

    /// Requests that were complete so far, valid or not: what a fault plan counts by.
    fn requests(&self) -> u64;

    /// Power goes and comes back: state is lost as on the real device, and what it says on waking is appended.
    fn reset(&mut self, now: Duration, answers: &mut Vec<u8>);

    /// From now on a write to `channel` is acknowledged but has no effect (`true`), or has again (`false`).
    fn stick(&mut self, channel: usize, stuck: bool);
}

impl Device for Box<dyn Device> {
    fn receive(&mut self, bytes: &[u8], now: Duration, answers: &mut Vec<u8>) {
        (**self).receive(bytes, now, answers);
    }

    fn tick(&mut self, now: Duration, answers: &mut Vec<u8>) {
        (**self).tick(now, answers);
    }

    fn next_tick(&self) -> Option<Duration> {
        (**self).next_tick()
    }

    fn requests(&self) -> u64 {
        (**self).requests()
    }

    fn reset(&mut self, now: Duration, answers: &mut Vec<u8>) {
        (**self).reset(now, answers);
    }

    fn stick(&mut self, channel: usize, stuck: bool) {
        (**self).stick(channel, stuck);
    }
}
