//! What a bench asks of its instruments.

use async_trait::async_trait;

use crate::{BackendErrorKind, Celsius, Volts};

/// Voltage sources, by channel from 0.
#[async_trait]
pub trait Sources: Send {
    /// Channels that there are.
    fn channels(&self) -> usize;

    /// Whether these voltages, by channel, may stand beside what the other channels hold. Nothing is sent.
    ///
    /// # Errors
    /// The limit that they break.
    fn check(&self, values: &[(usize, Volts)]) -> Result<(), BackendErrorKind>;

    /// Writes voltages by channel, along a ramp where the station asks for one, and returns once they were read back within
    /// half a step of the source.
    ///
    /// # Errors
    /// As [`Self::check`], before anything is sent; after any other error the channels are unknown.
    async fn write(&mut self, values: &[(usize, Volts)]) -> Result<(), BackendErrorKind>;

    /// What the source holds at each of its channels, read back; 0 V at those that are no outputs.
    ///
    /// # Errors
    /// Link errors.
    async fn read(&mut self) -> Result<Vec<Volts>, BackendErrorKind>;

    /// Brings every channel to where it rests (0 V, where the station says nothing else), in every state, connecting again
    /// when that is needed.
    ///
    /// # Errors
    /// Link errors: the channels are unknown then.
    async fn park(&mut self) -> Result<(), BackendErrorKind>;
}

/// One reading of a detector, in its own unit; `None` where it is out of range or no number.
pub type Reading = Option<f64>;

/// Detectors, by channel from 0.
#[async_trait]
pub trait Detectors: Send {
    /// Channels that there are.
    fn channels(&self) -> usize;

    /// Writes the settings that readings need, in every state.
    ///
    /// # Errors
    /// An instrument that refuses or does not answer.
    async fn prepare(&mut self) -> Result<(), BackendErrorKind>;

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

    /// Light on, where it was off.
    ///
    /// # Errors
    /// Link errors, or a laser that refuses.
    async fn light(&mut self) -> Result<(), BackendErrorKind>;

    /// Light off, temperature held: the safe state.
    ///
    /// # Errors
    /// Link errors.
    async fn make_safe(&mut self) -> Result<(), BackendErrorKind>;
}
