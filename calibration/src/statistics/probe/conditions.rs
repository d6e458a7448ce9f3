//! What bases are weighed by: inputs, converter, weights.

use serde::{Deserialize, Serialize};

/// What an input can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputAlphabet {
    /// `[0, 1]`: intensities.
    Unipolar,
    /// `[−1, 1]`: fields, or inputs behind a differential modulator.
    Bipolar,
}

/// Range of the output converter. A step is `range / 2^bits`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdcRange {
    /// Steps too fine to matter.
    Ideal,
    /// The range stays. Where the largest reading would exceed it, the inputs are dimmed.
    Fixed {
        /// Largest reading, in units of a weight at full input.
        full_scale: f64,
        /// Bits.
        bits: u32,
    },
    /// The range follows the largest reading of the basis.
    Rescaled {
        /// Bits.
        bits: u32,
    },
    /// The range follows every reading, in powers of two: a step is `|y| r / 2^bits` with `r` between 1 and 2.
    AutoRanged {
        /// Bits.
        bits: u32,
    },
}

/// Mean square of the `r` of [`AdcRange::AutoRanged`], uniform in its logarithm between 1 and 2: `3/(2 ln 2)`.
pub const AUTO_RANGED: f64 = 1.5 / std::f64::consts::LN_2;

/// Size of the weights to be probed, in the unit of a reading at full input.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MatrixScale {
    /// Mean of the weights, with sign.
    pub mean: f64,
    /// Mean of their moduli.
    pub mean_modulus: f64,
    /// Root of their mean square.
    pub rms: f64,
    /// Largest modulus.
    pub peak: f64,
    /// Outputs that are read at once: the largest reading grows with their number.
    pub outputs: usize,
}

impl MatrixScale {
    /// Weights uniform in `[0, 1]`.
    #[must_use]
    pub fn uniform_unipolar(outputs: usize) -> Self {
        Self { mean: 0.5, mean_modulus: 0.5, rms: (1.0_f64 / 3.0).sqrt(), peak: 1.0, outputs }
    }

    /// Weights uniform in `[−1, 1]`.
    #[must_use]
    pub fn uniform_bipolar(outputs: usize) -> Self {
        Self { mean: 0.0, ..Self::uniform_unipolar(outputs) }
    }
}
