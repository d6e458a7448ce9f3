//! What a bench asks of its instruments.

use async_trait::async_trait;

use crate::{BackendErrorKind, Celsius, Volts};

/// Voltage sources, by channel from 0.
#[async_trait]
pub trait Sources: Send {
    /// Channels that there are.
    fn channels(&self) -> usize;

    /// Writes `volts` to the channels from `first` on, and returns once they were read back within half a step of the source.
    ///
    /// # Errors
    /// A voltage above its limit refuses all before anything is sent; after any other error the channels are unknown.
    async fn write(&mut self, first: usize, volts: &[Volts]) -> Result<(), BackendErrorKind>;

    /// What the source holds at the `count` channels from `first` on.
    ///
    /// # Errors
    /// Link errors.
    async fn read(&mut self, first: usize, count: usize) -> Result<Vec<Volts>, BackendErrorKind>;

    /// Zeroes every channel, in every state, connecting again when that is needed.
    ///
    /// # Errors
    /// Link errors: the channels are unknown then.
    async fn zero(&mut self) -> Result<(), BackendErrorKind>;
}

/// One reading of a detector, in its own unit; `None` where it is out of range or no number.
pub type Reading = Option<f64>;

/// Detectors, by channel from 0.
#[async_trait]
pub trait Detectors: Send {
    /// Channels that there are.
    fn channels(&self) -> usize;

    /// Reads all channels once.
    ///
    /// # Errors
    /// Link errors.
    async fn read(&mut self) -> Result<Vec<Reading>, BackendErrorKind>;
}

/// Laser, thermostat and whatever else has to be right before light is believed.
#[async_trait]
pub trait Surroundings: Send {
    /// Fails with [`BackendErrorKind::Interlock`] unless all conditions are met; the chip's temperature otherwise.
    ///
    /// # Errors
    /// A condition that is not met, or a link error.
    async fn check(&mut self) -> Result<Celsius, BackendErrorKind>;

    /// Light off, temperature held: the safe state.
    ///
    /// # Errors
    /// Link errors.
    async fn make_safe(&mut self) -> Result<(), BackendErrorKind>;
}
