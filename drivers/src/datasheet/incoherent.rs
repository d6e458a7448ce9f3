//! Nominal values of the incoherent family.

use serde::{Deserialize, Serialize};

/// Law of a weight element, with the maker's nominal parameters. Tells nothing of a particular chip.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum NominalElement {
    /// Add-drop microring between a through and a drop bus; the weight is drop minus through.
    AddDropRing {
        /// Field self-coupling of the input bus, 0 to 1.
        input_coupling: f64,
        /// Field self-coupling of the drop bus, 0 to 1.
        drop_coupling: f64,
        /// Field transmission of one round trip, 0 to 1.
        round_trip: f64,
    },
    /// Mach–Zehnder interferometer with both outputs detected; the weight is their difference, `−cos φ`.
    BalancedMzi,
    /// Liquid-crystal amplitude pixel, `sin²(φ/2)`; two pixels a weight, one for each sign.
    Lcos,
}

/// Phase of an element against its drive: `φ(u) = bias + span · u^exponent`, with `u = code / limit`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DriveLaw {
    /// Phase at code 0, in radians.
    pub bias_rad: f64,
    /// Phase from code 0 to the highest code, in radians, > 0.
    pub span_rad: f64,
    /// 1 for a driver linear in phase or heater power, 2 for one linear in heater voltage; > 0.
    pub exponent: f64,
}

/// Nominal parameters of an incoherent processor, with the maker's tolerances.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IncoherentDataSheet {
    /// Law of the weight element.
    pub element: NominalElement,
    /// Phase against drive.
    pub drive: DriveLaw,
    /// Tolerance (1 σ) of each part of the drive law, in the unit of that part.
    pub drive_tolerance: DriveLaw,
    /// Counts that one input at full power makes through a weight of 1, on the nominal chip.
    pub counts_per_unit: f64,
}
