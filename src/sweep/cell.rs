//! One cell of a sweep, and its axes.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A standard deviation of the weight error, in per cent of full scale.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Percent(pub f64);

impl Percent {
    /// As a fraction of full scale.
    #[must_use]
    pub fn fraction(self) -> f64 {
        self.0 / 100.0
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// How a network is brought onto the processor (Taniguchi et al., OECC/PSC 2025).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Method {
    /// Post-training quantisation: nothing is trained.
    #[serde(rename = "ptq")]
    Ptq,
    /// Quantisation-aware training of all weights, at σ = 0.
    #[serde(rename = "qat")]
    Qat,
    /// Quantisation-aware training of adapters, at σ = 0.
    #[serde(rename = "qat+lora")]
    QatLora,
    /// Quantisation- and noise-aware training of adapters.
    #[serde(rename = "alora")]
    Alora,
}

impl Method {
    /// Name in figures and tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ptq => "PTQ",
            Self::Qat => "QAT",
            Self::QatLora => "QAT + LoRA",
            Self::Alora => "ALoRA",
        }
    }

    /// Name in configurations and files.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Ptq => "ptq",
            Self::Qat => "qat",
            Self::QatLora => "qat+lora",
            Self::Alora => "alora",
        }
    }

    /// Whether quantisers are in the training forward pass.
    #[must_use]
    pub fn qat(self) -> bool {
        self != Self::Ptq
    }

    /// Whether δW is in the training forward pass.
    #[must_use]
    pub fn nat(self) -> bool {
        self == Self::Alora
    }

    /// Whether adapters train instead of the base.
    #[must_use]
    pub fn lora(self) -> bool {
        matches!(self, Self::QatLora | Self::Alora)
    }
}

/// One combination of everything that is swept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cell {
    /// Name of the network.
    pub model: String,
    /// Name of the task.
    pub task: String,
    /// Bits of weights, inputs and outputs, 2 to 16.
    pub bits: u8,
    /// σ at which the network is evaluated.
    #[serde(rename = "sigma_percent")]
    pub sigma: Percent,
    /// Method.
    pub method: Method,
    /// Seed of everything random in the cell.
    pub seed: u64,
}

impl Cell {
    /// Start of the name of the cell's file: letters, digits, points and hyphens. Different cells may share it.
    pub(super) fn slug(&self) -> String {
        let Self { model, task, bits, sigma, method, seed } = self;
        let (model, task) = (slug(model), slug(task));
        format!("{model}_{task}_{}_{bits}bit_{sigma}pc_seed{seed}", method.id())
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { model, task, bits, sigma, method, seed } = self;
        write!(f, "{model}, {task}, {}, {bits} bits, σ = {sigma} %, seed {seed}", method.name())
    }
}

/// A name that any file system takes: small letters, digits, points and hyphens, at most 40 of them.
pub(super) fn slug(name: &str) -> String {
    let plain = |character: char| {
        if character.is_ascii_alphanumeric() || character == '.' {
            character.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    name.chars().map(plain).take(40).collect()
}
