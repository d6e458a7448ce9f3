//! The station file: which devices stand on the bench, on which wires, with which limits, and the chip behind them.
//!
//! Plain data; [`Station::check`] establishes that it fits together, before anything is opened.

mod bench;
mod chip;
mod compose;
mod device;
mod emulated;
mod instruments;
mod open;
mod records;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::link::Port;

pub use bench::{BenchEntry, DetectorBank, SourceBank};
pub use chip::{Chip, DescribedChip, Nominal};
pub use device::{BoardChannel, BoardEntry, DeviceEntry, QontrolEntry};
pub use emulated::{Emulated, EmulatedDevice, Outlet};
pub use instruments::{FastEntry, LaserEntry, MeterEntry, SourceEntry, ThermostatEntry};
pub use open::connect;
pub use records::{Recording, connect_recorded, safe_name};

/// A laboratory bench. Unknown keys are refused.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Station {
    /// What the operators call it.
    pub name: String,
    /// The chip; absent where devices are used for themselves.
    pub chip: Option<Chip>,
    /// What makes the processor.
    pub processor: ProcessorEntry,
    /// Devices by name.
    pub device: BTreeMap<String, DeviceEntry>,
    /// A processor made of instruments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bench: Option<BenchEntry>,
    /// What is recorded of what is done to them.
    pub records: Recording,
    /// How `alora emulate` plays the devices.
    pub emulate: Emulated,
}

/// What makes the processor of a station.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProcessorEntry {
    /// The board that carries it, by name; empty: the bench, or the only board that there is.
    pub device: String,
}

/// A station file whose values do not fit.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum StationError {
    /// A value outside its range.
    #[error("{key} = {value} is out of range; allowed: {allowed}")]
    Value {
        /// Dotted key.
        key: String,
        /// What was found.
        value: String,
        /// What is allowed.
        allowed: String,
    },
    /// A table that something else needs is missing.
    #[error("{what} is missing: {why}")]
    Missing {
        /// Dotted key.
        what: String,
        /// What needs it.
        why: String,
    },
}

impl StationError {
    pub(crate) fn value(key: impl Into<String>, value: String, allowed: impl Into<String>) -> Self {
        Self::Value { key: key.into(), value, allowed: allowed.into() }
    }

    pub(crate) fn missing(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Missing { what: what.into(), why: why.into() }
    }
}

impl Station {
    /// Checks every value against its range, and that what is named exists.
    ///
    /// # Errors
    /// The first value that does not fit.
    pub fn check(&self) -> Result<(), StationError> {
        if let Some(chip) = &self.chip {
            chip.nominal()?;
        }
        for (name, entry) in &self.device {
            entry.check(&format!("device.{name}"))?;
        }
        if !self.processor.device.is_empty() {
            self.board()?;
        }
        if let Some(bench) = &self.bench {
            bench.check(self)?;
        }
        self.records.check()?;
        self.emulate.check(self)
    }

    /// The bench that makes the processor; `None`: a board carries it.
    #[must_use]
    pub fn bench_in_use(&self) -> Option<&BenchEntry> {
        self.bench.as_ref().filter(|_| self.processor.device.is_empty())
    }

    /// The nominal chip.
    ///
    /// # Errors
    /// None is described.
    pub fn nominal(&self) -> Result<Nominal, StationError> {
        let missing =
            || StationError::missing("chip", "a processor needs to know what chip stands behind the wires");
        self.chip.as_ref().ok_or_else(missing)?.nominal()
    }

    /// Puts the device of that name onto another port.
    ///
    /// # Errors
    /// There is no such device.
    pub fn set_port(&mut self, name: &str, port: Port) -> Result<(), StationError> {
        self.device(name)?;
        if let Some(entry) = self.device.get_mut(name) {
            *entry.port_mut() = port;
        }
        Ok(())
    }

    /// The device of that name.
    ///
    /// # Errors
    /// There is none; the message names those that are there.
    pub fn device(&self, name: &str) -> Result<&DeviceEntry, StationError> {
        self.device.get(name).ok_or_else(|| {
            let known: Vec<_> = self.device.keys().map(String::as_str).collect();
            StationError::value("device", format!("\"{name}\""), known.join(", "))
        })
    }
}
