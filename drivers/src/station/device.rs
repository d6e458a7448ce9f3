//! Devices of a station.

use serde::{Deserialize, Serialize};

use super::StationError;
use crate::{
    link::Port,
    qontrol::{Mode, ModuleKind},
};

/// A device on a wire, by the protocol that it speaks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "protocol", rename_all = "snake_case")]
pub enum DeviceEntry {
    /// An FPGA or microcontroller board that speaks alora's own protocol.
    Board(BoardEntry),
    /// A chain of Qontrol modules.
    Qontrol(QontrolEntry),
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
        }
    }

    pub(super) fn port_mut(&mut self) -> &mut Port {
        match self {
            Self::Board(board) => &mut board.port,
            Self::Qontrol(chain) => &mut chain.port,
        }
    }

    /// What the device speaks, as the station file calls it.
    #[must_use]
    pub fn protocol(&self) -> &'static str {
        match self {
            Self::Board(_) => "board",
            Self::Qontrol(_) => "qontrol",
        }
    }

    pub(super) fn check(&self, key: &str) -> Result<(), StationError> {
        match self {
            Self::Board(board) => {
                within(&format!("{key}.watchdog_ms"), f64::from(board.watchdog_ms), 10.0, 60_000.0)?;
                within(&format!("{key}.window"), board.window as f64, 1.0, 64.0)
            }
            Self::Qontrol(chain) => {
                chain.kinds()?;
                within(&format!("{key}.vmax_volt"), chain.vmax_volt, 1e-3, 12.0)?;
                within(&format!("{key}.imax_milliampere"), chain.imax_milliampere, 1e-3, 24.0)
            }
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

impl QontrolEntry {
    /// Modules that have to answer.
    pub(super) fn kinds(&self) -> Result<Vec<ModuleKind>, StationError> {
        kinds_of("modules", &self.modules)
    }
}
