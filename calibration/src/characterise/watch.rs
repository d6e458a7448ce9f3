//! Is the chip still the one that was measured? One setting, read after every question and compared with the beginning.

use alora_drivers::{
    ActuatorFrame, Code, Descriptor, Detection, InputAlphabet, InputBatch, ProcessorKind, Readout,
};
use ndarray::Array2;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{bench::Question, error::CharacteriseError};

/// Readings of the setting at the beginning, and after each question.
const FIRST: usize = 16;
pub(super) const AGAIN: usize = 4;
/// Share of full input drive: converters keep their headroom.
const DRIVE: f64 = 0.5;
/// Common change of all outputs beyond which the light is another.
const LIGHT: f64 = 0.1;
/// What is left of an output that went dark.
const DARK: f64 = 0.3;
/// Change of one output, in units of the rms of all, beyond which the chip is another.
const CHANGE: f64 = 0.08;
/// The same of a modulus, beside it, as a fraction of the converter's full scale: while the oscillator's phase walks, offsets and
/// hybrids out of balance change the modulus of a field that stands still.
const WALK: f64 = 0.02;
/// Change of temperature beyond which phases are others, in kelvin.
const KELVIN: f64 = 0.5;
/// Seed of the setting's codes.
const SEED: u64 = 0x0077_6174_6368;

/// The setting and what it showed at first.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    pub(super) frame: ActuatorFrame,
    pub(super) inputs: InputBatch,
    detection: Detection,
    outputs: usize,
    /// Counts that a level may change besides.
    walk: f64,
    first: Option<First>,
}

#[derive(Clone, Debug)]
struct First {
    levels: Vec<f64>,
    rms: f64,
    celsius: f64,
}

impl Watch {
    pub(super) fn new(descriptor: &Descriptor) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(SEED);
        // Where most elements are on a slope: a ring passes its resonance in the upper part of its range.
        let drives = match descriptor.kind {
            ProcessorKind::Coherent => 0.2..0.7,
            ProcessorKind::Incoherent => 0.55..0.75,
        };
        let codes = descriptor
            .limits
            .iter()
            .map(|&limit| (f64::from(limit) * rng.random_range(drives.clone())) as Code)
            .collect();
        let top = f64::from(descriptor.input_range().1);
        let inputs = Array2::from_shape_simple_fn((1, descriptor.input_width()), || {
            let sign = if rng.random::<bool>() || descriptor.alphabet == InputAlphabet::Unipolar {
                1.0
            } else {
                -1.0
            };
            (sign * DRIVE * top).round() as i32
        });
        Self {
            frame: ActuatorFrame(codes),
            inputs: InputBatch(inputs),
            detection: descriptor.detection,
            outputs: descriptor.outputs,
            walk: match descriptor.detection {
                Detection::Iq => WALK * f64::from(1u32 << (descriptor.bits.output - 1)),
                Detection::Intensity | Detection::Balanced | Detection::Homodyne => 0.0,
            },
            first: None,
        }
    }

    /// The question by which the beginning is kept.
    pub(super) fn question(&self) -> Question {
        Question {
            name: "watch".to_owned(),
            frames: vec![self.frame.clone()],
            inputs: vec![self.inputs.clone()],
            repeats: FIRST,
        }
    }

    pub(super) fn begin(&mut self, readout: &Readout) {
        let levels = self.levels(readout);
        let rms = (levels.iter().map(|level| level * level).sum::<f64>() / levels.len() as f64).sqrt();
        self.first = Some(First { levels, rms, celsius: readout.temperature.0 });
    }

    /// Compares a reading taken after `question`.
    pub(super) fn check(&self, question: &str, readout: &Readout) -> Result<(), CharacteriseError> {
        let Some(First { levels: first, rms, celsius }) = &self.first else { return Ok(()) };
        let question = question.to_owned();
        let kelvin = readout.temperature.0 - celsius;
        if kelvin.abs() > KELVIN {
            return Err(CharacteriseError::TemperatureMoved { question, kelvin });
        }
        let levels = self.levels(readout);
        let (along, norm) = first
            .iter()
            .zip(&levels)
            .fold((0.0, 0.0), |sum, (first, now)| (sum.0 + first * now, sum.1 + first * first));
        let factor = if norm > 0.0 { along / norm } else { 1.0 };
        let most = CHANGE * rms + self.walk;
        let changed = |output: &usize| (levels[*output] - first[*output]).abs() > most;
        let dark = |output: &usize| levels[*output].abs() < DARK * first[*output].abs();
        let outputs: Vec<usize> = (0..self.outputs).filter(changed).collect();
        let follow = |output: &&usize| (levels[**output] - factor * first[**output]).abs() <= most;
        let followers = outputs.iter().filter(follow).count();
        match outputs.first() {
            Some(_) if (factor - 1.0).abs() > LIGHT && 2 * followers > outputs.len() && outputs.len() > 1 => {
                Err(CharacteriseError::LightChanged { question, percent: 100.0 * factor })
            }
            Some(&output) if outputs.len() == 1 && dark(&output) => {
                Err(CharacteriseError::OutputDark { question, output })
            }
            Some(_) => {
                Err(CharacteriseError::ChipChanged { question, outputs: outputs.len(), of: self.outputs })
            }
            None => Ok(()),
        }
    }

    /// Mean level of each output: modulus of the field where its phase walks.
    fn levels(&self, readout: &Readout) -> Vec<f64> {
        let (repeats, vectors, _) = readout.counts.dim();
        let n = (repeats * vectors) as f64;
        (0..self.outputs)
            .map(|output| {
                readout
                    .counts
                    .rows()
                    .into_iter()
                    .map(|counts| match self.detection {
                        Detection::Iq => {
                            f64::from(counts[output]).hypot(f64::from(counts[self.outputs + output]))
                        }
                        Detection::Intensity | Detection::Balanced | Detection::Homodyne => {
                            f64::from(counts[output])
                        }
                    })
                    .sum::<f64>()
                    / n
            })
            .collect()
    }
}
