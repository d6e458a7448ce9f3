//! Data sheet of the coherent family.

use serde::{Deserialize, Serialize};

use crate::units::{Radians, Volts};

/// Nominal parameters: every phase shifter follows `φ = φ0 + π (V / Vπ)²`, `V = V_max · code / (2^b − 1)`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoherentDataSheet {
    /// Nominal voltage for a phase of π.
    pub v_pi: Volts,
    /// Voltage of the highest code of the DAC.
    pub v_max: Volts,
    /// Nominal phase at 0 V, the same for every shifter.
    pub phase_at_zero: Radians,
    /// Nominal insertion loss of one interferometer, in dB.
    pub loss_db: f64,
}
