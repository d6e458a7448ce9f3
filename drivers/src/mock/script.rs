//! Faults that a mock brings at chosen moments.

use serde::{Deserialize, Serialize};

use crate::frame::Code;

/// Something that goes wrong on the chip, and stays wrong.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// The actuator's effect stays at that of `code`, whatever is applied. Read-back still reports what was asked.
    StuckElement {
        /// Index in the frame.
        actuator: usize,
        /// Code whose effect it keeps.
        code: Code,
    },
    /// The detector gives its dark value only.
    DeadDetector {
        /// Output.
        output: usize,
    },
    /// The amplifier of an output has its gain multiplied, so that it saturates.
    Saturation {
        /// Output.
        output: usize,
        /// Factor on the gain, > 0.
        gain: f64,
    },
    /// The chip's temperature changes by so many kelvin.
    TemperatureStep {
        /// Change in kelvin.
        kelvin: f64,
    },
    /// Laser power is multiplied by `fraction`.
    LaserDrop {
        /// Remaining fraction, 0 to 1.
        fraction: f64,
    },
}

/// A fault and when it comes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScriptedFault {
    /// The fault is there from this execution on, counted from 0.
    pub from_execution: u64,
    /// What goes wrong.
    #[serde(flatten)]
    pub fault: Fault,
}

/// The faults of one mock, in any order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Script(pub Vec<ScriptedFault>);

impl Script {
    /// The faults in force at execution number `execution`.
    pub fn active(&self, execution: u64) -> impl Iterator<Item = Fault> + '_ {
        self.0.iter().filter(move |entry| entry.from_execution <= execution).map(|entry| entry.fault)
    }
}
