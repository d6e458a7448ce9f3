//! From readings of detectors to counts.

use std::sync::Arc;

use tokio::sync::Mutex;

use super::{Detectors, Reading};
use crate::BackendErrorKind;

/// Detector channels of the outputs, in the order of the readout.
#[derive(Clone)]
pub struct Receiver {
    /// Their channels count on from device to device.
    detectors: Vec<Arc<Mutex<dyn Detectors>>>,
    /// Channel whose reading counts as it is, and one whose reading is taken off it.
    pairs: Vec<(usize, Option<usize>)>,
    /// Reading of one count.
    step: f64,
    /// Lowest and highest count.
    limits: (i32, i32),
}

impl Receiver {
    /// One pair a channel of the readout; a count is `(plus − minus) / step`, rounded, within `limits`.
    #[must_use]
    pub fn new(
        detectors: Vec<Arc<Mutex<dyn Detectors>>>,
        pairs: Vec<(usize, Option<usize>)>,
        step: f64,
        limits: (i32, i32),
    ) -> Self {
        Self { detectors, pairs, step, limits }
    }

    /// Channels of the readout.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.pairs.len()
    }

    /// Writes the settings that readings need.
    ///
    /// # Errors
    /// As for [`Detectors::prepare`].
    pub async fn prepare(&self) -> Result<(), BackendErrorKind> {
        for detectors in &self.detectors {
            detectors.lock().await.prepare().await?;
        }
        Ok(())
    }

    /// One count a channel, and whether it is at a limit: of the count, or of the detector, which then gives no number.
    ///
    /// # Errors
    /// Link errors.
    pub async fn read(&self) -> Result<Vec<(i32, bool)>, BackendErrorKind> {
        let mut readings = Vec::new();
        for detectors in &self.detectors {
            readings.extend(detectors.lock().await.read().await?);
        }
        let at = |channel: usize| readings.get(channel).copied().flatten();
        let signal = |&(plus, minus): &(usize, Option<usize>)| match minus {
            None => at(plus),
            Some(minus) => at(plus).zip(at(minus)).map(|(plus, minus)| plus - minus),
        };
        Ok(self.pairs.iter().map(|pair| self.count(signal(pair))).collect())
    }

    fn count(&self, signal: Reading) -> (i32, bool) {
        let (lowest, highest) = self.limits;
        let Some(signal) = signal.filter(|signal| signal.is_finite()) else { return (highest, true) };
        let count = (signal / self.step).round();
        let clamped = count.clamp(f64::from(lowest), f64::from(highest));
        (clamped as i32, count <= f64::from(lowest) || count >= f64::from(highest))
    }
}
