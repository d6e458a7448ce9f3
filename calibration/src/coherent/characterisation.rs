//! What a characterisation learned of one coherent processor.

use alora_drivers::{Code, InputBatch, InputCode, Readout, datasheet::CoherentDataSheet};
use ndarray::{Array2, Array3, ArrayView2};
use num_complex::Complex64;
use serde::{Deserialize, Serialize};

use super::{
    program::Programmer,
    twin::{Layout, Twin},
};
use crate::{
    encoding::{EncodeError, Encoded, EncodedInputs, Encoding},
    weights::{Cell, WeightMatrix},
};

/// Values with their standard uncertainties.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Learnt {
    /// Values.
    pub value: Vec<f64>,
    /// Standard uncertainty of each; 0 where a value is held.
    pub sd: Vec<f64>,
}

/// Heat that reaches one shifter from another, path by path.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeatPaths {
    /// The shifter that is warmed.
    pub victim: Vec<usize>,
    /// The shifter that is driven.
    pub aggressor: Vec<usize>,
    /// Phase at the one per phase of the other.
    pub coefficient: Learnt,
}

/// What is wrong with a phase shifter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShifterFault {
    /// It does not respond.
    Stuck,
    /// It responds with less than 65 % of the nominal phase.
    Weak,
}

/// A phase shifter that does not work as the others.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShifterDefect {
    /// Index in the frame.
    pub actuator: usize,
    /// What is wrong.
    pub kind: ShifterFault,
    /// Its phase over the nominal one.
    pub share: f64,
}

/// How the sweeps of single shifters went, silent ones aside. A shifter is accepted when its sweep leaves less than 50 mrad open of
/// its phase at 0 V and less than 1 % of its slope (standard uncertainties); otherwise its column is swept again with twice
/// the points, in place of as many random settings. The global refinement uses all readings in any case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SweepTally {
    /// Shifters accepted at once.
    pub accepted: usize,
    /// Shifters that were swept again.
    pub retried: usize,
    /// Names of those not accepted at the end: poorly seen, which is not a defect.
    pub failed: Vec<String>,
}

impl ShifterDefect {
    pub(super) fn sentence(&self) -> String {
        match self.kind {
            ShifterFault::Stuck => {
                format!("phase shifter {} does not respond; it is left as it is", self.actuator)
            }
            ShifterFault::Weak => format!(
                "phase shifter {} is weak: {:.0} % of the nominal phase",
                self.actuator,
                100.0 * self.share
            ),
        }
    }
}

/// What a characterisation learned of one coherent processor: the twin, with uncertainties.
///
/// Phases are in a canonical gauge, since outputs alone cannot tell a phase common to an attenuator from one in the U mesh, nor
/// the common phase of all outputs from that of the local oscillator: attenuator φ0 are 0, and the uncertainties of output φ0 are about their
/// mean. Of an
/// attenuator's splitters only α + β is seen. Losses of single interferometers are mostly what the data sheet says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoherentCharacterisation {
    /// Number of modes.
    pub modes: usize,
    /// Bits of the actuator DAC.
    pub actuator_bits: u8,
    /// Highest input code.
    pub input_top: i32,
    /// Bits of the output ADC.
    pub output_bits: u8,
    /// Highest code of each actuator.
    pub limits: Vec<Code>,
    /// Data sheet that the laws are relative to.
    pub sheet: CoherentDataSheet,
    /// Dark count of each channel.
    pub dark: Vec<f64>,
    /// Shifters that do not work as the others.
    pub defects: Vec<ShifterDefect>,
    /// Shifters that no light passed, whatever was set: whether they work cannot be told. Their laws are the data sheet's,
    /// or no law where that explains their neighbours better.
    #[serde(default)]
    pub unseen: Vec<usize>,
    /// How the sweeps of single shifters went.
    #[serde(default)]
    pub sweeps: SweepTally,
    /// rms residual of a quadrature in the global refinement, fraction of full scale.
    pub residual: f64,
    /// What read-out noise and converter alone would leave.
    pub expected_residual: f64,
    /// `φ0` of each shifter, radians.
    pub phase_at_zero: Learnt,
    /// Departure `ρ` of each shifter's `π / Vπ²` from the data sheet.
    pub slope: Learnt,
    /// Relative V⁴ term of each shifter at a phase of π.
    pub quartic: Learnt,
    /// Angle of the first splitter of each interferometer from π/4, radians: V mesh, attenuators, U mesh.
    pub alpha: Learnt,
    /// Angle of the second.
    pub beta: Learnt,
    /// Logarithm of the field transmission of each interferometer.
    pub log_transmission: Learnt,
    /// Logarithm of each input's amplitude relative to nominal.
    pub log_input: Learnt,
    /// Logarithm of each output's gain: fraction of full scale a unit field.
    pub log_output: Learnt,
    /// Relative excess of the Q gain of each hybrid.
    pub imbalance: Learnt,
    /// Share of I in Q of each hybrid.
    pub skew: Learnt,
    /// Offset of I of each output beyond the dark count, fraction of full scale.
    pub offset_i: Learnt,
    /// Offset of Q.
    pub offset_q: Learnt,
    /// Crosstalk.
    pub crosstalk: HeatPaths,
}

/// Cells of a chip with dead shifters that miss their weight by more than this (full scale = 1), before codes are whole and after, are
/// called unreachable. Rounding is an error of the programming, not of the chip, and so is all that a chip misses whose shifters all
/// move: it holds any matrix.
const REACH: f64 = 3e-3;

impl CoherentCharacterisation {
    /// Values and uncertainties of the twin, put where they belong.
    pub(super) fn fill(&mut self, layout: &Layout, twin: &Twin, sd: &[f64]) {
        let blocks = &twin.blocks;
        let learnt = |range: &std::ops::Range<usize>| Learnt {
            value: twin.values[range.clone()].to_vec(),
            sd: sd[range.clone()].to_vec(),
        };
        self.phase_at_zero = learnt(&blocks.phase);
        self.slope = learnt(&blocks.slope);
        self.quartic = learnt(&blocks.quartic);
        self.alpha = learnt(&blocks.alpha);
        self.beta = learnt(&blocks.beta);
        self.log_transmission = learnt(&blocks.loss);
        self.log_input = learnt(&blocks.input);
        self.log_output = learnt(&blocks.output);
        self.imbalance = learnt(&blocks.imbalance);
        self.skew = learnt(&blocks.skew);
        self.offset_i = learnt(&blocks.offset_i);
        self.offset_q = learnt(&blocks.offset_q);
        self.crosstalk = HeatPaths {
            victim: layout.pairs.iter().map(|pair| pair.victim).collect(),
            aggressor: layout.pairs.iter().map(|pair| pair.aggressor).collect(),
            coefficient: learnt(&blocks.crosstalk),
        };
    }

    fn twin(&self, layout: &Layout) -> Twin {
        let mut twin = Twin::zeros(layout);
        let blocks = twin.blocks.clone();
        for (range, learnt) in [
            (&blocks.phase, &self.phase_at_zero),
            (&blocks.slope, &self.slope),
            (&blocks.quartic, &self.quartic),
            (&blocks.alpha, &self.alpha),
            (&blocks.beta, &self.beta),
            (&blocks.loss, &self.log_transmission),
            (&blocks.input, &self.log_input),
            (&blocks.output, &self.log_output),
            (&blocks.imbalance, &self.imbalance),
            (&blocks.skew, &self.skew),
            (&blocks.offset_i, &self.offset_i),
            (&blocks.offset_q, &self.offset_q),
            (&blocks.crosstalk, &self.crosstalk.coefficient),
        ] {
            // A file of another size was refused when it was read.
            twin.values[range.clone()].iter_mut().zip(&learnt.value).for_each(|(to, from)| *to = *from);
        }
        twin
    }

    /// The encoding that this characterisation makes possible.
    pub(crate) fn encoding(&self) -> MeshEncoding {
        let layout = Layout::new(self.modes);
        let twin = self.twin(&layout);
        let step = self.sheet.v_max.0 / f64::from((1u32 << self.actuator_bits) - 1);
        let unit_phase = std::f64::consts::PI * (step / self.sheet.v_pi.0).powi(2);
        let count = 1.0 / f64::from(1u32 << (self.output_bits - 1));
        MeshEncoding {
            input_top: f64::from(self.input_top),
            count,
            dark: self.dark.clone(),
            gains: twin.of(|b| &b.output).iter().map(|gain| gain.exp()).collect(),
            programmer: Programmer::new(layout, twin, unit_phase, self.limits.clone()),
        }
    }
}

/// Encoding of a characterised mesh.
pub(crate) struct MeshEncoding {
    programmer: Programmer,
    input_top: f64,
    count: f64,
    dark: Vec<f64>,
    gains: Vec<f64>,
}

impl MeshEncoding {
    fn encoded(&self, codes: &[Code], scale: f64, unreachable: Vec<Cell>) -> Encoded {
        Encoded {
            frame: alora_drivers::ActuatorFrame(codes.to_vec()),
            expected: self.programmer.expected(codes) / scale,
            output_scale: 1.0 / scale,
            unreachable,
        }
    }

    /// Field of output `mode` in one shot, in lab frame: dark, offset and imbalance of the hybrid taken out.
    fn field(&self, counts: &[i32], mode: usize) -> Complex64 {
        let twin = &self.programmer.twin;
        let modes = self.gains.len();
        let at = |channel: usize| (f64::from(counts[channel]) - self.dark[channel]) * self.count;
        let i = at(mode) - twin.of(|b| &b.offset_i)[mode];
        let q = at(modes + mode) - twin.of(|b| &b.offset_q)[mode];
        Complex64::new(i, (q - twin.of(|b| &b.skew)[mode] * i) / (1.0 + twin.of(|b| &b.imbalance)[mode]))
    }
}

impl Encoding for MeshEncoding {
    fn encode(&self, weights: &WeightMatrix) -> Result<Encoded, EncodeError> {
        let modes = self.gains.len();
        let (found_rows, found_cols) = weights.dim();
        if (found_rows, found_cols) != (modes, modes) {
            return Err(EncodeError::Shape { rows: modes, cols: modes, found_rows, found_cols });
        }
        let program = self.programmer.program(weights.view())?;
        let missed = |target: &f64, held: f64| (target - held / program.scale).abs() > REACH;
        let unreachable = weights
            .view()
            .indexed_iter()
            .filter(|(cell, target)| {
                missed(target, program.reach[*cell]) && missed(target, program.expected[*cell])
            })
            .filter(|_| self.programmer.has_dead())
            .map(|((row, col), _)| Cell { row, col })
            .collect();
        Ok(self.encoded(&program.codes, program.scale, unreachable))
    }

    fn encode_inputs(&self, inputs: ArrayView2<'_, f64>) -> EncodedInputs {
        let top = self.input_top;
        let mut codes = Array2::zeros(inputs.dim());
        let mut scales = Vec::with_capacity(inputs.nrows());
        for (vector, mut row) in inputs.rows().into_iter().zip(codes.rows_mut()) {
            let largest = vector.iter().fold(0.0, |max: f64, value| max.max(value.abs()));
            scales.push(largest);
            if largest > 0.0 {
                let stretch = top / largest;
                row.iter_mut().zip(vector).for_each(|(code, value)| {
                    *code = (value * stretch).round().clamp(-top, top) as InputCode;
                });
            }
        }
        EncodedInputs { batch: InputBatch(codes), passes: 1, scales }
    }

    fn decode(&self, readout: &Readout, inputs: &EncodedInputs, output_scale: f64) -> Array3<f64> {
        let (repeats, vectors, channels) = readout.counts.dim();
        let modes = self.gains.len();
        let counts = readout.counts.as_standard_layout();
        let mut values = vec![0.0; repeats * vectors * modes];
        let shots = values.chunks_mut(modes).zip(counts.as_slice().unwrap_or_default().chunks(channels));
        for (shot, (values, counts)) in shots.enumerate() {
            let scale = inputs.scales[shot % vectors] * output_scale;
            let at = |channel: usize| f64::from(counts[channel]) - self.dark[channel];
            let phase = Complex64::new(at(2 * modes), at(2 * modes + 1)).arg();
            let turn = Complex64::cis(-phase);
            for (mode, value) in values.iter_mut().enumerate() {
                *value = (self.field(counts, mode) * turn).re * scale / self.gains[mode];
            }
        }
        Array3::from_shape_vec((repeats, vectors, modes), values)
            .unwrap_or_else(|_| Array3::zeros((repeats, vectors, modes)))
    }

    fn largest_output(&self, output_scale: f64) -> Option<Vec<f64>> {
        // Both quadratures are held when the modulus is.
        Some(self.gains.iter().map(|gain| output_scale / gain).collect())
    }

    fn refine(&self, encoded: &Encoded, correction: ArrayView2<'_, f64>) -> Option<Encoded> {
        let scale = 1.0 / encoded.output_scale;
        let codes = self.programmer.moved(&encoded.frame.0, (&correction * scale).view());
        Some(self.encoded(&codes, scale, encoded.unreachable.clone()))
    }
}
