//! Faithful simulations of both processor families, in process and seeded.
//!
//! A mock draws its hidden truth (fabrication errors, gains, offsets, crosstalk) from its seed and keeps it to
//! itself: calibration sees codes and counts only. Each noise or error source is a number in the physics structs
//! and is switched off by zero; [`Script`] brings faults at chosen moments.

mod chip;
pub mod coherent;
mod converter;
mod drift;
pub mod incoherent;
mod script;

use serde::{Deserialize, Serialize};

use crate::{DataSheet, PhotonicBackend};

pub(crate) use chip::Chip;
pub use coherent::{CoherentMock, CoherentSpec};
pub use drift::OrnsteinUhlenbeck;
pub use incoherent::{IncoherentMock, IncoherentSpec};
pub use script::{Fault, Script, ScriptedFault};

/// What to simulate: shape, converters and the size of every error source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "family", rename_all = "snake_case")]
pub enum Spec {
    /// Intensity weights.
    Incoherent(IncoherentSpec),
    /// Interferometer meshes.
    Coherent(CoherentSpec),
}

impl Spec {
    /// Names of all presets.
    #[must_use]
    pub fn presets() -> Vec<&'static str> {
        [incoherent::PRESETS, coherent::PRESETS].concat()
    }

    /// The preset of that name.
    #[must_use]
    pub fn preset(name: &str) -> Option<Self> {
        incoherent::preset(name).map(Self::Incoherent).or_else(|| coherent::preset(name).map(Self::Coherent))
    }

    /// The maker's nominal values for such a processor: all that calibration is told beforehand.
    #[must_use]
    pub fn data_sheet(&self) -> DataSheet {
        match self {
            Self::Incoherent(spec) => DataSheet::Incoherent(spec.data_sheet()),
            Self::Coherent(spec) => DataSheet::Coherent(spec.data_sheet()),
        }
    }

    /// Counts that a channel gives at the limit of its amplifier or of its converter, one a gain and sign where gains switch.
    #[must_use]
    pub fn counts_at_limit(&self) -> Vec<i32> {
        match self {
            Self::Incoherent(spec) => spec.counts_at_limit(),
            Self::Coherent(spec) => spec.counts_at_limit(),
        }
    }

    /// The same chip for the converters of an emulated board.
    pub(crate) fn chip(self, seed: u64, script: Script) -> Box<dyn Chip> {
        match self {
            Self::Incoherent(spec) => Box::new(IncoherentMock::new(spec, seed, script)),
            Self::Coherent(spec) => Box::new(CoherentMock::new(spec, seed, script)),
        }
    }

    /// Makes the chip of that seed and connects to it.
    #[must_use]
    pub fn connect(self, seed: u64, script: Script) -> Box<dyn PhotonicBackend> {
        match self {
            Self::Incoherent(spec) => Box::new(IncoherentMock::new(spec, seed, script)),
            Self::Coherent(spec) => Box::new(CoherentMock::new(spec, seed, script)),
        }
    }
}
