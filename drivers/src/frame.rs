//! What crosses the driver boundary: codes in, counts out.

use std::time::Duration;

use ndarray::{Array2, Array3};
use serde::{Deserialize, Serialize};

use crate::units::Celsius;

/// Code of a weight actuator's DAC.
pub type Code = u16;

/// Code of an input DAC; its range follows from the input alphabet.
pub type InputCode = i32;

/// One code for every actuator, in the order of the layout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ActuatorFrame(pub Vec<Code>);

impl ActuatorFrame {
    /// A frame of `actuators` zeros: the safe state.
    #[must_use]
    pub fn zeros(actuators: usize) -> Self {
        Self(vec![0; actuators])
    }
}

/// What the device accepted: the codes it holds, and whether each was read back equal to what was sent.
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Codes that the device reports after the write.
    pub codes: ActuatorFrame,
    /// True when every code was read back equal.
    pub verified: bool,
}

/// Input vectors, `[frames, input_width]`, in input DAC codes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputBatch(pub Array2<InputCode>);

/// Time since the Unix epoch. A mock stamps simulated time.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub Duration);

/// Detector counts of one execution.
#[derive(Clone, Debug, PartialEq)]
pub struct Readout {
    /// `[repeats, frames, channels]`; repeats are kept apart, never averaged.
    pub counts: Array3<i32>,
    /// Same shape: true where the amplifier or the ADC was at its limit.
    pub saturated: Array3<bool>,
    /// When the first count was taken.
    pub taken_at: Timestamp,
    /// Chip temperature during the execution.
    pub temperature: Celsius,
}

impl Readout {
    /// True when any count is at its limit.
    #[must_use]
    pub fn any_saturated(&self) -> bool {
        self.saturated.iter().any(|&flag| flag)
    }
}
