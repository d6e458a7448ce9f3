//! What an incoherent mock simulates.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::IncoherentPhysics;
use crate::{
    ActuatorLayout, ConverterBits, Rails,
    datasheet::{DriveLaw, IncoherentDataSheet, NominalElement},
};

/// Transfer of a weight element.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Element {
    /// Add-drop microring, drop and through ports on a balanced pair.
    AddDropRing {
        /// Field self-coupling `r1` of the input bus, above 0 and below 1.
        input_coupling: f64,
        /// Field self-coupling `r2` of the drop bus, above 0 and below 1.
        drop_coupling: f64,
        /// Field transmission `a` of one round trip, above 0, at most 1.
        round_trip: f64,
    },
    /// Mach–Zehnder interferometer, both outputs on a balanced pair.
    BalancedMzi {
        /// Visibility `V` of the interference, 0 to 1.
        visibility: f64,
    },
    /// Liquid-crystal amplitude pixel, two a weight, one for each diode of a balanced pair.
    Lcos {
        /// Transmission of the dark pixel, 0 to 1: `10^(−ER/10)`.
        floor: f64,
    },
}

/// How the drive of one element reaches the phase of another.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum CrosstalkLaw {
    /// The 4 nearest elements take over the fraction `crosstalk` of each other's phase.
    NearestNeighbour,
    /// Heat spreads over the distance `d`: a fraction `crosstalk · γ(d)`, with `γ` the heat-simulation fit of the
    /// SCATTER accelerator (1 is the published law). Fractions below 1e-6 are left out.
    Distance {
        /// Distance of neighbouring elements along a row, in µm, above 0.
        pitch_col_um: f64,
        /// Distance of neighbouring rows, in µm, above 0.
        pitch_row_um: f64,
    },
}

/// What to simulate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IncoherentSpec {
    /// Detector rows, 1 to 1024.
    pub rows: usize,
    /// Inputs, 1 to 1024.
    pub cols: usize,
    /// Converter resolutions, 2 to 16 bits each.
    pub bits: ConverterBits,
    /// Transfer of a weight element; it also decides the rails (two elements a weight for `lcos`).
    pub element: Element,
    /// Nominal phase of an element against its drive.
    pub drive: DriveLaw,
    /// Which elements disturb each other.
    pub crosstalk_law: CrosstalkLaw,
    /// Full scale of the receiver, over the photocurrent of all inputs at full power; above 0, at most 4.
    pub receiver_headroom: f64,
    /// Gains of the auto-ranging receiver, each twice the one before; 1 is a fixed range; 1 to 12.
    ///
    /// A reading is taken at the highest gain that holds it; counts are reported in steps of the highest gain.
    pub receiver_ranges: u8,
    /// Time from a new frame to settled outputs, in seconds, 0 to 60.
    pub settle_s: f64,
    /// Time of one input vector, in seconds, above 0, at most 60.
    pub frame_s: f64,
    /// Size of every noise and error source.
    pub physics: IncoherentPhysics,
}

/// A value of a spec outside its allowed range.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("`{key}` is {value}, outside its allowed range of {allowed}")]
pub struct SpecError {
    /// Key in the spec.
    pub key: &'static str,
    /// What was found.
    pub value: f64,
    /// What is allowed.
    pub allowed: &'static str,
}

impl IncoherentSpec {
    /// The maker's nominal values.
    #[must_use]
    pub fn data_sheet(&self) -> IncoherentDataSheet {
        IncoherentDataSheet {
            element: match self.element {
                Element::AddDropRing { input_coupling, drop_coupling, round_trip } => {
                    NominalElement::AddDropRing { input_coupling, drop_coupling, round_trip }
                }
                Element::BalancedMzi { .. } => NominalElement::BalancedMzi,
                Element::Lcos { .. } => NominalElement::Lcos,
            },
            drive: self.drive,
            drive_tolerance: DriveLaw {
                bias_rad: self.physics.bias_spread_rad,
                span_rad: self.physics.span_spread * self.drive.span_rad,
                exponent: self.physics.exponent_spread,
            },
            counts_per_unit: self.counts_per_unit(),
        }
    }

    /// Counts of a unit photocurrent.
    pub(crate) fn counts_per_unit(&self) -> f64 {
        let half = f64::from(1u32 << (self.bits.output - 1));
        half * f64::from(1u32 << (self.receiver_ranges - 1)) / self.receiver_full_scale()
    }

    /// The highest count of each gain, and the lowest of all.
    pub(crate) fn counts_at_limit(&self) -> Vec<i32> {
        let half = 1_i32 << (self.bits.output - 1);
        let lowest = -half << (self.receiver_ranges - 1);
        (0..self.receiver_ranges).map(|gain| (half - 1) << gain).chain([lowest]).collect()
    }

    /// Photocurrent at the limit of the lowest gain.
    pub(crate) fn receiver_full_scale(&self) -> f64 {
        self.receiver_headroom * self.cols as f64
    }

    /// One or two elements a weight.
    #[must_use]
    pub fn rails(&self) -> Rails {
        match self.element {
            Element::AddDropRing { .. } | Element::BalancedMzi { .. } => Rails::Differential,
            Element::Lcos { .. } => Rails::Dual,
        }
    }

    pub(crate) fn rail_count(&self) -> usize {
        match self.rails() {
            Rails::Differential => 1,
            Rails::Dual => 2,
        }
    }

    pub(crate) fn layout(&self) -> ActuatorLayout {
        ActuatorLayout::WeightBank { rows: self.rows, cols: self.cols, rails: self.rails() }
    }

    pub(crate) fn settle(&self) -> Duration {
        Duration::from_secs_f64(self.settle_s.max(0.0))
    }

    /// Checks every key against its range, as a config file needs it before a processor is made.
    ///
    /// # Errors
    /// The first key that is out of range, with its value and the range.
    pub fn check(&self) -> Result<(), SpecError> {
        let p = &self.physics;
        for (key, value) in [("rows", self.rows), ("cols", self.cols)] {
            within(key, value as f64, 1.0..=1024.0, "1 to 1024")?;
        }
        for (key, bits) in [
            ("bits.actuator", self.bits.actuator),
            ("bits.input", self.bits.input),
            ("bits.output", self.bits.output),
        ] {
            within(key, f64::from(bits), 2.0..=16.0, "2 to 16")?;
        }
        within("drive.bias_rad", self.drive.bias_rad, -10.0..=10.0, "-10 to 10")?;
        within("drive.span_rad", self.drive.span_rad, 1e-3..=100.0, "0.001 to 100")?;
        within("drive.exponent", self.drive.exponent, 0.1..=10.0, "0.1 to 10")?;
        within("receiver_headroom", self.receiver_headroom, 1e-3..=4.0, "0.001 to 4")?;
        within("receiver_ranges", f64::from(self.receiver_ranges), 1.0..=12.0, "1 to 12")?;
        within("settle_s", self.settle_s, 0.0..=60.0, "0 to 60")?;
        within("frame_s", self.frame_s, 1e-9..=60.0, "1e-9 to 60")?;
        within("physics.channel_spacing_rad", p.channel_spacing_rad, 0.0..=3.0, "0 to 3")?;
        within("physics.phase_per_kelvin", p.phase_per_kelvin, -10.0..=10.0, "-10 to 10")?;
        within("physics.temperature.tau_s", p.temperature.tau_s, 1e-9..=1e9, "1e-9 to 1e9")?;
        within("physics.laser.tau_s", p.laser.tau_s, 1e-9..=1e9, "1e-9 to 1e9")?;
        within("physics.temperature.sd", p.temperature.sd, 0.0..=100.0, "0 to 100")?;
        for (key, value) in [
            ("physics.input_leak", p.input_leak),
            ("physics.input_leak_spread", p.input_leak_spread),
            ("physics.input_power_spread", p.input_power_spread),
            ("physics.input_curve_spread", p.input_curve_spread),
            ("physics.bias_spread_rad", p.bias_spread_rad),
            ("physics.span_spread", p.span_spread),
            ("physics.exponent_spread", p.exponent_spread),
            ("physics.heater_quartic", p.heater_quartic),
            ("physics.coupling_spread", p.coupling_spread),
            ("physics.crosstalk", p.crosstalk),
            ("physics.crosstalk_spread", p.crosstalk_spread),
            ("physics.crosstalk_second", p.crosstalk_second),
            ("physics.stuck_fraction", p.stuck_fraction),
            ("physics.weak_fraction", p.weak_fraction),
            ("physics.optical_leakage", p.optical_leakage),
            ("physics.repeatability_rad", p.repeatability_rad),
            ("physics.row_gain_spread", p.row_gain_spread),
            ("physics.diode_imbalance", p.diode_imbalance),
            ("physics.dark_offset", p.dark_offset),
            ("physics.thermal_noise", p.thermal_noise),
            ("physics.shot_noise", p.shot_noise),
            ("physics.rin", p.rin),
            ("physics.laser.sd", p.laser.sd),
        ] {
            within(key, value, 0.0..=1.0, "0 to 1")?;
        }
        self.check_element()
    }

    fn check_element(&self) -> Result<(), SpecError> {
        match self.element {
            Element::AddDropRing { input_coupling, drop_coupling, round_trip } => {
                within("element.input_coupling", input_coupling, 1e-3..=0.9999, "0.001 to 0.9999")?;
                within("element.drop_coupling", drop_coupling, 1e-3..=0.9999, "0.001 to 0.9999")?;
                within("element.round_trip", round_trip, 1e-3..=1.0, "0.001 to 1")
            }
            Element::BalancedMzi { visibility } => {
                within("element.visibility", visibility, 0.0..=1.0, "0 to 1")
            }
            Element::Lcos { floor } => within("element.floor", floor, 0.0..=1.0, "0 to 1"),
        }?;
        match self.crosstalk_law {
            CrosstalkLaw::NearestNeighbour => Ok(()),
            CrosstalkLaw::Distance { pitch_col_um, pitch_row_um } => {
                within("crosstalk_law.pitch_col_um", pitch_col_um, 1.0..=1e4, "1 to 10000")?;
                within("crosstalk_law.pitch_row_um", pitch_row_um, 1.0..=1e4, "1 to 10000")
            }
        }
    }
}

fn within(
    key: &'static str,
    value: f64,
    range: std::ops::RangeInclusive<f64>,
    allowed: &'static str,
) -> Result<(), SpecError> {
    if range.contains(&value) { Ok(()) } else { Err(SpecError { key, value, allowed }) }
}
