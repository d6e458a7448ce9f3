//! What the maker says of a processor: the nominal laws that a first calibration starts from.

mod coherent;
mod incoherent;

use serde::{Deserialize, Serialize};

pub use coherent::CoherentDataSheet;
pub use incoherent::{DriveLaw, IncoherentDataSheet, NominalElement};

/// Nominal parameters of a processor, by family.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "family", rename_all = "snake_case")]
pub enum DataSheet {
    /// Intensity weights.
    Incoherent(IncoherentDataSheet),
    /// Interferometer meshes.
    Coherent(CoherentDataSheet),
}
