//! How the devices of a station are played.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{DeviceEntry, QontrolEntry, Station, StationError, device::kinds_of};
use crate::{
    emulate::{FaultPlan, Line},
    mock::Script,
    qontrol::ModuleKind,
};

/// What stands behind emulated devices.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Emulated {
    /// Seed of the simulated chip: its fabrication errors.
    pub chip_seed: u64,
    /// Faults of the chip.
    pub script: Script,
    /// Devices by name; those not named here are played on a pseudo-terminal, without faults.
    pub device: BTreeMap<String, EmulatedDevice>,
}

/// How one device is played.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmulatedDevice {
    /// On what port.
    pub serve: Outlet,
    /// TCP port; 0: any that is free.
    pub tcp_port: u16,
    /// Modules of a chain, by kind, where the device's own entry names none.
    pub modules: Vec<String>,
    /// Channels of a chain to which nothing is connected.
    pub open_channels: Vec<usize>,
    /// Time that bytes take.
    pub line: Line,
    /// What goes wrong.
    pub faults: FaultPlan,
}

/// What an emulated device is reached by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outlet {
    /// A pseudo-terminal.
    #[default]
    Pty,
    /// A TCP port of this machine only.
    Tcp,
}

impl Station {
    /// Plays each Qontrol chain with so many Q8iv.
    pub fn emulate_modules(&mut self, modules: u8) {
        for (name, entry) in &self.device {
            if matches!(entry, DeviceEntry::Qontrol(_)) {
                let played = self.emulate.device.entry(name.clone()).or_default();
                played.modules = vec!["Q8iv".to_owned(); usize::from(modules)];
            }
        }
    }
}

impl EmulatedDevice {
    /// Modules to play for `chain`: these, or those that it expects, or one Q8iv.
    pub(crate) fn kinds(&self, chain: &QontrolEntry) -> Result<Vec<ModuleKind>, StationError> {
        let named = if self.modules.is_empty() { &chain.modules } else { &self.modules };
        let kinds = kinds_of("modules", named)?;
        Ok(if kinds.is_empty() { vec![ModuleKind::Q8iv] } else { kinds })
    }
}

impl Emulated {
    pub(super) fn check(&self, station: &Station) -> Result<(), StationError> {
        for (name, device) in &self.device {
            station.device(name)?;
            device.faults.check().map_err(|error| {
                StationError::value(
                    format!("emulate.device.{name}.faults.{}", error.key),
                    error.value.to_string(),
                    "0 to 1",
                )
            })?;
        }
        Ok(())
    }
}
