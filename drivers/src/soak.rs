//! The operator's cable test: random values in range, set and read back, again and again.

mod board;
mod chain;
mod recorded;

use std::time::Duration;

use async_trait::async_trait;
use rand::{RngExt, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::link::LinkStatistics;

pub use board::BoardSubject;
pub use chain::ChainSubject;
pub use recorded::RecordedSubject;

/// What became of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SoakOutcome {
    /// The device holds it; so was read back.
    Confirmed,
    /// The device does not hold it, and that is known.
    Refused,
    /// Nobody knows what the device holds.
    Unknown,
}

/// One value, set and read back.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pair {
    /// Number, from 1.
    pub pair: u64,
    /// Channel of the device.
    pub channel: usize,
    /// Value asked for, in the device's unit.
    pub set: f64,
    /// Value that the device holds; absent when nobody knows.
    pub reported: Option<f64>,
    /// What became of it.
    pub outcome: SoakOutcome,
    /// Why, where it was not confirmed.
    #[serde(skip)]
    pub why: String,
}

/// A device that values are set on.
#[async_trait]
pub trait Subject: Send {
    /// What the device speaks.
    fn protocol(&self) -> &'static str;
    /// Unit of its values.
    fn unit(&self) -> &'static str;
    /// Channels that can be set.
    fn channels(&self) -> Vec<usize>;
    /// Highest value of a channel, and the step in which values are drawn.
    fn range(&self, channel: usize) -> (f64, f64);
    /// Sets a value: what became of it, what the device holds, and why.
    async fn set(&mut self, channel: usize, value: f64) -> (SoakOutcome, Option<f64>, String);
    /// After a reset or a lost wire: makes the device ready again.
    ///
    /// # Errors
    /// A sentence: it is not ready.
    async fn recover(&mut self) -> Result<(), String>;
    /// Everything to zero.
    ///
    /// # Errors
    /// A sentence: it is not known to be zero.
    async fn zero(&mut self) -> Result<(), String>;
    /// What the link has seen.
    fn statistics(&self) -> LinkStatistics;
}

/// Pause between two tries of making a device ready, and the number of tries.
const PAUSE: Duration = Duration::from_millis(500);
const TRIES: u32 = 20;

/// Values to come.
pub struct Soak {
    rng: ChaCha8Rng,
    channels: Vec<usize>,
    done: u64,
}

impl Soak {
    /// The values that follow from `seed`.
    #[must_use]
    pub fn new(subject: &dyn Subject, seed: u64) -> Self {
        Self { rng: ChaCha8Rng::seed_from_u64(seed), channels: subject.channels(), done: 0 }
    }

    /// Sets the next value on `subject` and reads it back; a device that was lost is made ready again first.
    ///
    /// # Errors
    /// A sentence: the device does not come back, or has no channel to set.
    pub async fn next(&mut self, subject: &mut dyn Subject) -> Result<Pair, String> {
        let channel = *self.channels.choose(&mut self.rng).ok_or("the device has no output to set")?;
        let (highest, step) = subject.range(channel);
        let steps = (highest / step).floor().max(1.0) as u64;
        // Divided, so that 7.1587 is the number that is written so.
        let set = self.rng.random_range(0..=steps) as f64 / (1.0 / step).round();
        self.done += 1;
        let (outcome, reported, why) = subject.set(channel, set).await;
        if outcome == SoakOutcome::Unknown {
            recover(subject).await?;
        }
        Ok(Pair { pair: self.done, channel, set, reported, outcome, why })
    }
}

async fn recover(subject: &mut dyn Subject) -> Result<(), String> {
    let mut last = String::new();
    for _ in 0..TRIES {
        match subject.recover().await {
            Ok(()) => return Ok(()),
            Err(why) => last = why,
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(last)
}
