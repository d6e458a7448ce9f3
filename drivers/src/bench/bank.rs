//! Channels of a voltage source, in codes.

use std::sync::Arc;

use tokio::sync::Mutex;

use super::Sources;
use crate::{BackendErrorKind, Code, Volts};

/// Channels driven by codes of `0 ..= top`.
#[derive(Clone)]
pub struct Bank {
    sources: Arc<Mutex<dyn Sources>>,
    channels: Vec<usize>,
    full: Volts,
    top: Code,
}

impl Bank {
    /// One channel of the source for each code, in order; code `top` is `full` volts.
    #[must_use]
    pub fn new(sources: Arc<Mutex<dyn Sources>>, channels: Vec<usize>, full: Volts, top: Code) -> Self {
        Self { sources, channels, full, top }
    }

    /// Channels.
    #[must_use]
    pub fn count(&self) -> usize {
        self.channels.len()
    }

    /// Whether these codes may be written.
    ///
    /// # Errors
    /// As for [`Sources::check`].
    pub async fn check(&self, codes: &[Code]) -> Result<(), BackendErrorKind> {
        self.sources.lock().await.check(&self.values(codes))
    }

    /// Writes a code to each channel.
    ///
    /// # Errors
    /// As for [`Sources::write`].
    pub async fn write(&self, codes: &[Code]) -> Result<(), BackendErrorKind> {
        self.sources.lock().await.write(&self.values(codes)).await
    }

    /// The code nearest to what each channel holds.
    ///
    /// # Errors
    /// Link errors.
    pub async fn read(&self) -> Result<Vec<Code>, BackendErrorKind> {
        let held = self.sources.lock().await.read().await?;
        let code = |&channel: &usize| self.code(held.get(channel).copied().unwrap_or_default());
        Ok(self.channels.iter().map(code).collect())
    }

    /// Brings every channel of the source to where it rests, also those of others.
    ///
    /// # Errors
    /// Link errors.
    pub async fn park(&self) -> Result<(), BackendErrorKind> {
        self.sources.lock().await.park().await
    }

    fn values(&self, codes: &[Code]) -> Vec<(usize, Volts)> {
        self.channels.iter().zip(codes).map(|(&channel, &code)| (channel, self.volts(code))).collect()
    }

    /// What a code is in volts.
    #[must_use]
    pub fn volts(&self, code: Code) -> Volts {
        Volts(self.full.0 * f64::from(code) / f64::from(self.top))
    }

    fn code(&self, volts: Volts) -> Code {
        (volts.0 / self.full.0 * f64::from(self.top)).round().clamp(0.0, f64::from(Code::MAX)) as Code
    }
}
