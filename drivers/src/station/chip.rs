//! The chip behind the wires: what the wires themselves do not tell.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::StationError;
use crate::{
    ActuatorLayout, ConverterBits, DataSheet, Descriptor, Detection, InputAlphabet, ProcessorId,
    ProcessorKind,
    mock::{Script, Spec},
};

/// The chip of a station: like a preset, or described in full; one of the two.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Chip {
    /// The nominal values of a simulated chip hold, e.g. `incoherent-16x16`.
    pub preset: Option<String>,
    /// All nominal values.
    pub described: Option<Box<DescribedChip>>,
}

/// A chip with all its nominal values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DescribedChip {
    /// Serial number; a board's own takes its place.
    #[serde(default)]
    pub id: String,
    /// Family.
    pub kind: ProcessorKind,
    /// Actuators and where they sit.
    pub layout: ActuatorLayout,
    /// Converter resolutions.
    pub bits: ConverterBits,
    /// Values an input can take.
    pub alphabet: InputAlphabet,
    /// What a detector channel reports.
    pub detection: Detection,
    /// Time from a new frame to settled outputs, in seconds, 0 to 60.
    pub settle_s: f64,
    /// Counts at the limit of amplifier or converter, from the lowest to the highest; counts beyond the outer ones are too.
    pub counts_at_limit: Vec<i32>,
    /// The maker's nominal laws, from which a first calibration starts.
    pub data_sheet: DataSheet,
}

/// What a station says of its chip.
#[derive(Clone, Debug, PartialEq)]
pub struct Nominal {
    /// The processor as it should answer; limits at the converter's highest code.
    pub descriptor: Descriptor,
    /// The maker's nominal laws.
    pub data_sheet: DataSheet,
    /// Counts at the limit of amplifier or converter, ascending.
    pub counts_at_limit: Vec<i32>,
}

impl Chip {
    /// Nominal values, checked.
    ///
    /// # Errors
    /// An unknown preset, a value outside its range, or not just one of the two.
    pub fn nominal(&self) -> Result<Nominal, StationError> {
        match (&self.preset, &self.described) {
            (Some(_), None) => Ok(of_preset(&self.spec()?)),
            (None, Some(chip)) => chip.nominal(),
            _ => {
                Err(StationError::missing("chip", "it takes `preset`, or a table `described`, and not both"))
            }
        }
    }

    /// What a simulation of it is made of.
    ///
    /// # Errors
    /// No preset, or an unknown one.
    pub fn spec(&self) -> Result<Spec, StationError> {
        let missing =
            || StationError::missing("chip.preset", "an emulated chip is one of the simulated ones");
        let name = self.preset.as_deref().ok_or_else(missing)?;
        Spec::preset(name).ok_or_else(|| {
            StationError::value("chip.preset", format!("\"{name}\""), Spec::presets().join(", "))
        })
    }
}

/// Nothing of a particular chip; whether it is simulated, its board says.
fn of_preset(spec: &Spec) -> Nominal {
    let mut descriptor = spec.clone().connect(0, Script::default()).descriptor().clone();
    (descriptor.id, descriptor.simulated) = (ProcessorId(String::new()), false);
    let mut counts_at_limit = spec.counts_at_limit();
    counts_at_limit.sort_unstable();
    Nominal { descriptor, data_sheet: spec.data_sheet(), counts_at_limit }
}

impl DescribedChip {
    fn nominal(&self) -> Result<Nominal, StationError> {
        let range = |key: &str, value: String, allowed: &str| {
            Err(StationError::value(key, value, allowed.to_owned()))
        };
        if !(0.0..=60.0).contains(&self.settle_s) {
            return range("settle_s", self.settle_s.to_string(), "0 to 60");
        }
        for (key, bits) in [
            ("bits.actuator", self.bits.actuator),
            ("bits.input", self.bits.input),
            ("bits.output", self.bits.output),
        ] {
            if !(2..=16).contains(&bits) {
                return range(key, bits.to_string(), "2 to 16");
            }
        }
        if self.counts_at_limit.len() < 2 || !self.counts_at_limit.is_sorted() {
            return range("counts_at_limit", format!("{:?}", self.counts_at_limit), "two or more, ascending");
        }
        let (outputs, inputs) = match self.layout {
            ActuatorLayout::WeightBank { rows, cols, .. } => (rows, cols),
            ActuatorLayout::ClementsSvd { modes } => (modes, modes),
        };
        if outputs == 0 || inputs == 0 {
            return range("layout", format!("{outputs} × {inputs}"), "at least 1 × 1");
        }
        let top = (u32::from(u16::MAX) >> (16 - self.bits.actuator)) as u16;
        let descriptor = Descriptor {
            id: ProcessorId(self.id.clone()),
            kind: self.kind,
            inputs,
            outputs,
            layout: self.layout,
            bits: self.bits,
            alphabet: self.alphabet,
            detection: self.detection,
            limits: vec![top; self.layout.actuators()],
            settle: Duration::from_secs_f64(self.settle_s),
            simulated: false,
        };
        Ok(Nominal {
            descriptor,
            data_sheet: self.data_sheet.clone(),
            counts_at_limit: self.counts_at_limit.clone(),
        })
    }
}
