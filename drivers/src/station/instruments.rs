//! Instruments of a station that speak SCPI, or lines of their own.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{StationError, device::within};
use crate::{
    Amperes, Celsius, Nanometres, Volts, Watts,
    bench::MeterSettings,
    link::Port,
    scpi::{AveragingTime, LaserLimits, PowerRange, SourceLimits, TemperatureLimits},
};

/// A Keysight N7744 or N7745 power meter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeterEntry {
    /// Where it is.
    pub port: Port,
    /// Wavelength that it is set to, in nanometres, 1250 to 1650.
    #[serde(default = "usual_wavelength")]
    pub wavelength_nm: f64,
    /// Time that a reading averages over, in seconds, 1e-6 to 10.
    #[serde(default = "usual_averaging")]
    pub averaging_s: f64,
    /// Range in dBm: -30, -20, -10, 0 or 10; absent: the meter chooses.
    #[serde(default)]
    pub range_dbm: Option<i8>,
}

/// A Keithley 2450 source meter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceEntry {
    /// Where it is.
    pub port: Port,
    /// Lowest voltage, −210 to 0.
    #[serde(default)]
    pub vmin_volt: f64,
    /// Highest voltage, above 0, at most 210.
    pub vmax_volt: f64,
    /// Highest current, in milliamperes, above 0, at most 1050.
    pub imax_milliampere: f64,
}

/// A Santec TSL-570 laser.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LaserEntry {
    /// Where it is.
    pub port: Port,
    /// Power that it is set to, in milliwatts, 0.04 to `pmax_milliwatt`.
    pub power_milliwatt: f64,
    /// Highest power, in milliwatts, at most 20.
    pub pmax_milliwatt: f64,
    /// Wavelength that it is set to, in nanometres, 1000 to 2000.
    #[serde(default = "usual_wavelength")]
    pub wavelength_nm: f64,
    /// Wait after it was switched on, in seconds, 0 to 3600.
    #[serde(default)]
    pub warm_up_s: f64,
    /// It goes dark when the processor is parked.
    #[serde(default = "yes")]
    pub dark_when_parked: bool,
}

/// A Thorlabs MTD415T temperature controller.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThermostatEntry {
    /// Where it is.
    pub port: Port,
    /// Set point, 5 to 45.
    pub setpoint_celsius: f64,
    /// It is locked while the temperature is no further from the set point, in kelvin, above 0, at most 10.
    #[serde(default = "usual_lock")]
    pub lock_kelvin: f64,
    /// Highest current, in amperes, 0.2 to 2.
    pub imax_ampere: f64,
    /// Longest wait until it is locked, in seconds, 0 to 3600.
    #[serde(default = "usual_settle")]
    pub settle_s: f64,
}

/// A Red Pitaya.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FastEntry {
    /// Where it is.
    pub port: Port,
    /// Highest output voltage, above 0, at most 1.
    #[serde(default = "one_volt")]
    pub vmax_volt: f64,
    /// Every how many of 125 MS/s is taken: 1, 2, 4, … 65536.
    #[serde(default = "usual_decimation")]
    pub decimation: u32,
    /// Samples that a reading is the mean of, 1 to 16384.
    #[serde(default = "usual_samples")]
    pub samples: usize,
}

fn usual_wavelength() -> f64 {
    1550.0
}

fn usual_averaging() -> f64 {
    1e-3
}

fn usual_lock() -> f64 {
    0.05
}

fn usual_settle() -> f64 {
    120.0
}

fn one_volt() -> f64 {
    1.0
}

fn usual_decimation() -> u32 {
    64
}

fn usual_samples() -> usize {
    1024
}

fn yes() -> bool {
    true
}

impl MeterEntry {
    pub(super) fn check(&self, key: &str) -> Result<(), StationError> {
        within(&format!("{key}.wavelength_nm"), self.wavelength_nm, 1250.0, 1650.0)?;
        within(&format!("{key}.averaging_s"), self.averaging_s, 1e-6, 10.0)?;
        match self.range_dbm {
            Some(dbm) if ![-30, -20, -10, 0, 10].contains(&dbm) => Err(StationError::value(
                format!("{key}.range_dbm"),
                dbm.to_string(),
                "-30, -20, -10, 0 or 10",
            )),
            _ => Ok(()),
        }
    }

    /// What the meter is set to.
    #[must_use]
    pub fn settings(&self) -> MeterSettings {
        MeterSettings {
            wavelength: Nanometres(self.wavelength_nm),
            averaging: AveragingTime(Duration::from_secs_f64(self.averaging_s)),
            range: self.range_dbm.map_or(PowerRange::Auto, |dbm| PowerRange::Fixed { dbm }),
        }
    }
}

impl SourceEntry {
    pub(super) fn check(&self, key: &str) -> Result<(), StationError> {
        within(&format!("{key}.vmin_volt"), self.vmin_volt, -210.0, 0.0)?;
        within(&format!("{key}.vmax_volt"), self.vmax_volt, 1e-3, 210.0)?;
        within(&format!("{key}.imax_milliampere"), self.imax_milliampere, 1e-6, 1050.0)
    }

    /// What may be asked of it.
    #[must_use]
    pub fn limits(&self) -> SourceLimits {
        SourceLimits {
            lowest: Volts(self.vmin_volt),
            highest: Volts(self.vmax_volt),
            compliance: Amperes(self.imax_milliampere * 1e-3),
        }
    }
}

impl LaserEntry {
    pub(super) fn check(&self, key: &str) -> Result<(), StationError> {
        within(&format!("{key}.pmax_milliwatt"), self.pmax_milliwatt, 0.04, 20.0)?;
        within(&format!("{key}.power_milliwatt"), self.power_milliwatt, 0.04, self.pmax_milliwatt)?;
        within(&format!("{key}.wavelength_nm"), self.wavelength_nm, 1000.0, 2000.0)?;
        within(&format!("{key}.warm_up_s"), self.warm_up_s, 0.0, 3600.0)
    }

    /// What may be asked of it.
    #[must_use]
    pub fn limits(&self) -> LaserLimits {
        LaserLimits {
            power: Watts(self.pmax_milliwatt * 1e-3),
            shortest: Nanometres(self.wavelength_nm),
            longest: Nanometres(self.wavelength_nm),
        }
    }
}

impl ThermostatEntry {
    pub(super) fn check(&self, key: &str) -> Result<(), StationError> {
        within(&format!("{key}.setpoint_celsius"), self.setpoint_celsius, 5.0, 45.0)?;
        within(&format!("{key}.lock_kelvin"), self.lock_kelvin, 1e-3, 10.0)?;
        within(&format!("{key}.imax_ampere"), self.imax_ampere, 0.2, 2.0)?;
        within(&format!("{key}.settle_s"), self.settle_s, 0.0, 3600.0)
    }

    /// What may be asked of it.
    #[must_use]
    pub fn limits(&self) -> TemperatureLimits {
        TemperatureLimits {
            lowest: Celsius(self.setpoint_celsius),
            highest: Celsius(self.setpoint_celsius),
            current: Amperes(self.imax_ampere),
        }
    }
}

impl FastEntry {
    pub(super) fn check(&self, key: &str) -> Result<(), StationError> {
        within(&format!("{key}.vmax_volt"), self.vmax_volt, 1e-3, 1.0)?;
        within(&format!("{key}.samples"), self.samples as f64, 1.0, 16_384.0)?;
        if self.decimation.is_power_of_two() && self.decimation <= 65_536 {
            return Ok(());
        }
        let allowed = "1, 2, 4, … 65536";
        Err(StationError::value(format!("{key}.decimation"), self.decimation.to_string(), allowed))
    }
}
