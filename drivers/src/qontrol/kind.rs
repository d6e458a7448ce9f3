//! Kinds of modules in a chain.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::units::{Amperes, Volts};

/// Channels of every supported module.
pub const CHANNELS: usize = 8;

/// A kind of module, with what its data sheet says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ModuleKind {
    /// 8 voltage outputs, 12 V and 24 mA.
    Q8iv,
    /// 8 voltage outputs, 12 V and 83.3333 mA.
    Q8b,
    /// 8 current inputs.
    S8i,
}

/// A kind that this driver does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no supported Qontrol module; expected Q8iv, Q8b or S8i")]
pub struct ModuleKindError(pub String);

impl ModuleKind {
    /// Highest voltage; `None` for inputs.
    #[must_use]
    pub fn full_volts(self) -> Option<Volts> {
        match self {
            Self::Q8iv | Self::Q8b => Some(Volts(12.0)),
            Self::S8i => None,
        }
    }

    /// Highest current.
    #[must_use]
    pub fn full_amperes(self) -> Amperes {
        match self {
            Self::Q8iv => Amperes(24e-3),
            Self::Q8b => Amperes(83.333_333e-3),
            Self::S8i => Amperes(10e-3),
        }
    }

    /// True when the channels are outputs.
    #[must_use]
    pub fn drives(self) -> bool {
        self.full_volts().is_some()
    }
}

impl FromStr for ModuleKind {
    type Err = ModuleKindError;

    fn from_str(text: &str) -> Result<Self, ModuleKindError> {
        [Self::Q8iv, Self::Q8b, Self::S8i]
            .into_iter()
            .find(|kind| text == kind.to_string())
            .ok_or_else(|| ModuleKindError(text.to_owned()))
    }
}

impl fmt::Display for ModuleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Q8iv => "Q8iv",
            Self::Q8b => "Q8b",
            Self::S8i => "S8i",
        })
    }
}
