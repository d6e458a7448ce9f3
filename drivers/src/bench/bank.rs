//! A run of channels of a voltage source, in codes.

use std::sync::Arc;

use tokio::sync::Mutex;

use super::Sources;
use crate::{BackendErrorKind, Code, Volts};

/// `count` channels from `first` on, driven by codes of `0 ..= top`.
#[derive(Clone)]
pub struct Bank {
    sources: Arc<Mutex<dyn Sources>>,
    first: usize,
    count: usize,
    full: Volts,
    top: Code,
}

impl Bank {
    /// Code `top` is `full` volts.
    #[must_use]
    pub fn new(sources: Arc<Mutex<dyn Sources>>, first: usize, count: usize, full: Volts, top: Code) -> Self {
        Self { sources, first, count, full, top }
    }

    /// Channels.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Writes a code to each channel.
    ///
    /// # Errors
    /// As for [`Sources::write`].
    pub async fn write(&self, codes: &[Code]) -> Result<(), BackendErrorKind> {
        let volts: Vec<Volts> = codes.iter().map(|&code| self.volts(code)).collect();
        self.sources.lock().await.write(self.first, &volts).await
    }

    /// The code nearest to what each channel holds.
    ///
    /// # Errors
    /// Link errors.
    pub async fn read(&self) -> Result<Vec<Code>, BackendErrorKind> {
        let volts = self.sources.lock().await.read(self.first, self.count).await?;
        Ok(volts.into_iter().map(|volts| self.code(volts)).collect())
    }

    /// Zeroes every channel of the source, also those of others.
    ///
    /// # Errors
    /// Link errors.
    pub async fn zero(&self) -> Result<(), BackendErrorKind> {
        self.sources.lock().await.zero().await
    }

    fn volts(&self, code: Code) -> Volts {
        Volts(self.full.0 * f64::from(code) / f64::from(self.top))
    }

    fn code(&self, volts: Volts) -> Code {
        (volts.0 / self.full.0 * f64::from(self.top)).round().clamp(0.0, f64::from(Code::MAX)) as Code
    }
}
