//! Devices of a station.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{FastEntry, LaserEntry, MeterEntry, SourceEntry, StationError, ThermostatEntry};
use crate::{
    board::HeaterRules,
    link::Port,
    qontrol::{CHANNELS, Mode, ModuleKind},
    safety::{Condition, LimitError, LimitsSpec, ParkSpec},
};

/// A device on a wire, by the protocol that it speaks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "protocol", rename_all = "snake_case")]
pub enum DeviceEntry {
    /// An FPGA or microcontroller board that speaks alora's own protocol.
    Board(BoardEntry),
    /// A chain of Qontrol modules.
    Qontrol(Box<QontrolEntry>),
    /// A Keysight N7744 or N7745 power meter.
    #[serde(rename = "keysight_n774x")]
    KeysightN774x(MeterEntry),
    /// A Keithley 2450 source meter.
    #[serde(rename = "keithley_2450")]
    Keithley2450(SourceEntry),
    /// A Santec TSL-570 laser.
    #[serde(rename = "santec_tsl570")]
    SantecTsl570(LaserEntry),
    /// A Thorlabs MTD415T temperature controller.
    #[serde(rename = "thorlabs_mtd415t")]
    ThorlabsMtd415t(ThermostatEntry),
    /// A Red Pitaya.
    RedPitaya(FastEntry),
}

/// A board.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoardEntry {
    /// Where it is.
    pub port: Port,
    /// Outputs go to zero when the host is silent for so long, in milliseconds, 10 to 60 000.
    #[serde(default = "usual_watchdog")]
    pub watchdog_ms: u16,
    /// Frames under way before an answer has to come, 1 to 64.
    #[serde(default = "usual_window")]
    pub window: usize,
    /// Highest code of every actuator; absent: that of its converter.
    #[serde(default)]
    pub limit: Option<u16>,
    /// Actuators with a highest code of their own.
    #[serde(default)]
    pub channel: Vec<BoardChannel>,
    /// Largest change of a heater's power in one write, as a share of its power at the converter's highest code, above 0 to 1.
    #[serde(default)]
    pub step: Option<f64>,
    /// Wait after each write of a ramp, in seconds, 0 to 60.
    #[serde(default)]
    pub settle_s: f64,
    /// Highest sum of the powers of all heaters, in full powers of one, above 0.
    #[serde(default)]
    pub total_power: Option<f64>,
    /// Conditions without which nothing is written and no reading is taken.
    #[serde(default)]
    pub interlock: Vec<Condition>,
}

/// An actuator with a highest code of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoardChannel {
    /// Which, from 0.
    pub index: usize,
    /// Highest code.
    pub limit: u16,
}

/// A chain of Qontrol modules.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QontrolEntry {
    /// Where it is.
    pub port: Port,
    /// `ascii` or `binary`.
    #[serde(default)]
    pub mode: Mode,
    /// Modules that have to answer, in the order of the chain, by kind; empty: whatever is there.
    #[serde(default)]
    pub modules: Vec<String>,
    /// Highest voltage of every channel, above 0, at most 12.
    pub vmax_volt: f64,
    /// Highest current of every channel, in milliamperes, above 0, at most 24.
    pub imax_milliampere: f64,
    /// Steps of the converter by which a value may be read back beside the one written, 0 to 100: above 0 for modules that
    /// read back what they measure.
    #[serde(default)]
    pub tolerance: u16,
    /// The host's own limits and ramps; absent: only those above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<LimitsSpec>,
    /// Where outputs rest when the processor is parked.
    #[serde(default)]
    pub park: ParkSpec,
}

fn usual_watchdog() -> u16 {
    2000
}

fn usual_window() -> usize {
    8
}

impl DeviceEntry {
    /// Where the device is.
    #[must_use]
    pub fn port(&self) -> &Port {
        match self {
            Self::Board(board) => &board.port,
            Self::Qontrol(chain) => &chain.port,
            Self::KeysightN774x(meter) => &meter.port,
            Self::Keithley2450(source) => &source.port,
            Self::SantecTsl570(laser) => &laser.port,
            Self::ThorlabsMtd415t(thermostat) => &thermostat.port,
            Self::RedPitaya(fast) => &fast.port,
        }
    }

    pub(super) fn port_mut(&mut self) -> &mut Port {
        match self {
            Self::Board(board) => &mut board.port,
            Self::Qontrol(chain) => &mut chain.port,
            Self::KeysightN774x(meter) => &mut meter.port,
            Self::Keithley2450(source) => &mut source.port,
            Self::SantecTsl570(laser) => &mut laser.port,
            Self::ThorlabsMtd415t(thermostat) => &mut thermostat.port,
            Self::RedPitaya(fast) => &mut fast.port,
        }
    }

    /// What the device speaks, as the station file calls it.
    #[must_use]
    pub fn protocol(&self) -> &'static str {
        match self {
            Self::Board(_) => "board",
            Self::Qontrol(_) => "qontrol",
            Self::KeysightN774x(_) => "keysight_n774x",
            Self::Keithley2450(_) => "keithley_2450",
            Self::SantecTsl570(_) => "santec_tsl570",
            Self::ThorlabsMtd415t(_) => "thorlabs_mtd415t",
            Self::RedPitaya(_) => "red_pitaya",
        }
    }

    /// Highest voltage and number of channels of a source; `None` for what is none.
    pub(super) fn drives(&self) -> Option<(f64, usize)> {
        match self {
            Self::Qontrol(chain) => {
                let modules =
                    if chain.modules.is_empty() { usize::MAX / CHANNELS } else { chain.modules.len() };
                Some((chain.vmax_volt, modules * CHANNELS))
            }
            Self::Keithley2450(source) => Some((source.vmax_volt, 1)),
            Self::RedPitaya(fast) => Some((fast.vmax_volt, 2)),
            _ => None,
        }
    }

    /// Detector channels, `Some(None)` where only the device knows how many; `None` for what is no detector.
    pub(super) fn detects(&self) -> Option<Option<usize>> {
        match self {
            Self::KeysightN774x(_) => Some(None),
            Self::Qontrol(chain) if chain.modules.is_empty() => Some(None),
            Self::Qontrol(chain) => {
                let inputs = chain.modules.iter().filter(|kind| kind.as_str() == "S8i").count();
                (inputs > 0).then_some(Some(inputs * CHANNELS))
            }
            Self::RedPitaya(_) => Some(Some(2)),
            _ => None,
        }
    }

    pub(super) fn check(&self, key: &str) -> Result<(), StationError> {
        match self {
            Self::Board(board) => board.check(key),
            Self::Qontrol(chain) => chain.check(key),
            Self::KeysightN774x(meter) => meter.check(key),
            Self::Keithley2450(source) => source.check(key),
            Self::SantecTsl570(laser) => laser.check(key),
            Self::ThorlabsMtd415t(thermostat) => thermostat.check(key),
            Self::RedPitaya(fast) => fast.check(key),
        }
    }
}

pub(super) fn within(key: &str, value: f64, lowest: f64, highest: f64) -> Result<(), StationError> {
    if (lowest..=highest).contains(&value) {
        Ok(())
    } else {
        Err(StationError::value(key, value.to_string(), format!("{lowest} to {highest}")))
    }
}

/// Module kinds as they are written.
pub(super) fn kinds_of(key: &str, names: &[String]) -> Result<Vec<ModuleKind>, StationError> {
    let kind = |name: &String| {
        name.parse()
            .map_err(|_| StationError::value(key, format!("\"{name}\""), "\"Q8iv\", \"Q8b\", \"S8i\""))
    };
    names.iter().map(kind).collect()
}

impl BoardEntry {
    fn check(&self, key: &str) -> Result<(), StationError> {
        within(&format!("{key}.watchdog_ms"), f64::from(self.watchdog_ms), 10.0, 60_000.0)?;
        within(&format!("{key}.window"), self.window as f64, 1.0, 64.0)?;
        within(&format!("{key}.step"), self.step.unwrap_or(1.0), 1e-6, 1.0)?;
        within(&format!("{key}.settle_s"), self.settle_s, 0.0, 60.0)?;
        within(&format!("{key}.total_power"), self.total_power.unwrap_or(1.0), 1e-6, 1e6)?;
        let told = |condition: &&Condition| matches!(condition.name(), "temperature" | "laser_power");
        match self.interlock.iter().find(|condition| !told(condition)) {
            Some(condition) => Err(StationError::value(
                format!("{key}.interlock"),
                condition.name().to_owned(),
                "what a board tells: temperature and laser_power",
            )),
            None => Ok(()),
        }
    }

    /// Rules for its heaters, where there are any.
    #[must_use]
    pub fn rules(&self) -> Option<HeaterRules> {
        let any = self.step.is_some() || self.total_power.is_some() || !self.interlock.is_empty();
        any.then(|| HeaterRules {
            step: self.step,
            settle: Duration::from_secs_f64(self.settle_s),
            total: self.total_power,
        })
    }
}

impl QontrolEntry {
    fn check(&self, key: &str) -> Result<(), StationError> {
        let modules = self.kinds()?.len();
        within(&format!("{key}.vmax_volt"), self.vmax_volt, 1e-3, 12.0)?;
        within(&format!("{key}.imax_milliampere"), self.imax_milliampere, 1e-3, 24.0)?;
        within(&format!("{key}.tolerance"), f64::from(self.tolerance), 0.0, 100.0)?;
        let unfit = |what: &str, error: LimitError| {
            StationError::value(
                format!("{key}.{what}"),
                error.to_string(),
                "channels and voltages of this chain",
            )
        };
        // How many modules are there, only a chain that is named knows.
        if modules == 0 {
            return Ok(());
        }
        let Some(limits) = &self.limits else { return Ok(()) };
        let limits = limits.for_channels(modules * CHANNELS).map_err(|error| unfit("limits", error))?;
        self.park.check(&limits).map_err(|error| unfit("park", error))
    }

    /// Modules that have to answer.
    pub(super) fn kinds(&self) -> Result<Vec<ModuleKind>, StationError> {
        kinds_of("modules", &self.modules)
    }
}
