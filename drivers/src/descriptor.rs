//! What a processor is: identity, shape, converters, limits.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::frame::{Code, InputCode};

/// Serial number of one physical (or simulated) processor.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProcessorId(pub String);

impl fmt::Display for ProcessorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The two families of processor that alora drives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProcessorKind {
    /// Weights act on optical intensity.
    Incoherent,
    /// Weights act on optical field amplitude by interference.
    Coherent,
}

impl fmt::Display for ProcessorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Incoherent => "incoherent",
            Self::Coherent => "coherent",
        })
    }
}

/// How a signed weight is carried by intensities, which are never negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rails {
    /// One element a weight; its two complementary outputs meet on a balanced detector pair.
    Differential,
    /// Two elements a weight, one for each sign; the detector pair subtracts their sums.
    Dual,
}

/// Where each actuator of a frame sits. The position in the frame is the actuator's index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "layout", rename_all = "snake_case")]
pub enum ActuatorLayout {
    /// A crossbar or ring bank of weight elements.
    ///
    /// Index of element `(row, col, rail)`: `(row · cols + col) · rails + rail`, rail 0 positive.
    WeightBank {
        /// Detector rows.
        rows: usize,
        /// Input columns.
        cols: usize,
        /// One or two elements a weight.
        rails: Rails,
    },
    /// Two Clements meshes around a column of attenuators (`W = U Σ Vᴴ`), then output phase shifters.
    ///
    /// In propagation order: the V mesh, column by column, upper MZI first, (θ, φ) of each; the attenuators,
    /// (θ, φ) of each mode; the U mesh like the V mesh; one phase a mode at the outputs. `2N² + N` actuators.
    /// Column `c` of a mesh couples the modes `(m, m+1)` with `m ≡ c (mod 2)`.
    ClementsSvd {
        /// Number of modes, `N`.
        modes: usize,
    },
}

impl ActuatorLayout {
    /// Number of actuators, the length of an [`crate::ActuatorFrame`].
    #[must_use]
    pub fn actuators(&self) -> usize {
        match *self {
            Self::WeightBank { rows, cols, rails } => {
                rows * cols
                    * match rails {
                        Rails::Differential => 1,
                        Rails::Dual => 2,
                    }
            }
            Self::ClementsSvd { modes } => 2 * modes * modes + modes,
        }
    }
}

/// Resolution of the converters, in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConverterBits {
    /// Weight actuator DAC.
    pub actuator: u8,
    /// Input DAC.
    pub input: u8,
    /// Output ADC.
    pub output: u8,
}

/// Values an input modulator can send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputAlphabet {
    /// Intensity: codes `0 ..= 2^b − 1`. Signed inputs take two passes.
    Unipolar,
    /// Signed amplitude: codes `−(2^(b−1) − 1) ..= 2^(b−1) − 1`.
    Bipolar,
    /// Amplitude and phase. Codes as for bipolar, real parts of all inputs first, then imaginary parts.
    Complex,
}

impl InputAlphabet {
    /// Lowest and highest code of a `bits`-bit input DAC.
    #[must_use]
    pub fn code_range(self, bits: u8) -> (InputCode, InputCode) {
        match self {
            Self::Unipolar => (0, (1 << bits) - 1),
            Self::Bipolar | Self::Complex => {
                let top = (1 << (bits - 1)) - 1;
                (-top, top)
            }
        }
    }
}

/// What a detector channel reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Detection {
    /// Optical power, never negative before offset and noise. One channel an output.
    Intensity,
    /// Difference of two powers. One channel an output.
    Balanced,
    /// One quadrature of the field against a local oscillator. One channel an output.
    Homodyne,
    /// Both quadratures by a 90° hybrid: channels are I of all outputs, then Q of all outputs, then I and Q of a
    /// reference: laser light that passes by the chip and shares the local oscillator, whose phase it carries.
    Iq,
}

impl Detection {
    /// Detector channels of a processor with `outputs` outputs.
    #[must_use]
    pub fn channels(self, outputs: usize) -> usize {
        match self {
            Self::Intensity | Self::Balanced | Self::Homodyne => outputs,
            Self::Iq => 2 * outputs + 2,
        }
    }
}

/// What a processor says of itself. Constant for the life of a connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Descriptor {
    /// Serial number; a calibration belongs to one id.
    pub id: ProcessorId,
    /// Family.
    pub kind: ProcessorKind,
    /// Inputs, the columns of the matrix.
    pub inputs: usize,
    /// Outputs, the rows of the matrix.
    pub outputs: usize,
    /// Actuators and where they sit.
    pub layout: ActuatorLayout,
    /// Converter resolutions.
    pub bits: ConverterBits,
    /// Values an input can take.
    pub alphabet: InputAlphabet,
    /// What a detector channel reports.
    pub detection: Detection,
    /// Highest code of each actuator, in frame order.
    pub limits: Vec<Code>,
    /// Time from a new frame to settled outputs.
    pub settle: Duration,
    /// True when no physical device stands behind the driver. Simulated data must never pass as measured.
    pub simulated: bool,
}

impl Descriptor {
    /// Detector channels in a readout.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.detection.channels(self.outputs)
    }

    /// Input codes in one input vector.
    #[must_use]
    pub fn input_width(&self) -> usize {
        match self.alphabet {
            InputAlphabet::Unipolar | InputAlphabet::Bipolar => self.inputs,
            InputAlphabet::Complex => 2 * self.inputs,
        }
    }

    /// Lowest and highest input code.
    #[must_use]
    pub fn input_range(&self) -> (InputCode, InputCode) {
        self.alphabet.code_range(self.bits.input)
    }
}
