//! How the devices of a station are played.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{DeviceEntry, QontrolEntry, Station, StationError, device::kinds_of};
use crate::{
    emulate::{FaultPlan, Line},
    mock::Script,
    qontrol::ModuleKind,
    scpi::CommandSet,
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmulatedDevice {
    /// On what port.
    pub serve: Outlet,
    /// TCP port; 0: any that is free.
    pub tcp_port: u16,
    /// Modules of a chain, by kind, where the device's own entry names none.
    pub modules: Vec<String>,
    /// Ports of a power meter: up to 4 are played as an N7744, more as an N7745 with 8.
    pub ports: u16,
    /// Ports of a power meter in the order in which its blocks list them; empty: 1, 2, 3 and so on.
    pub listing: Vec<u16>,
    /// Light at the ports of a power meter that no bench reads, in watts; empty: about a microwatt.
    pub light_watt: Vec<f64>,
    /// Command set of a laser.
    pub command_set: CommandSet,
    /// A temperature controller answers a setting with its value.
    pub answers_settings: bool,
    /// Channels of a chain to which nothing is connected.
    pub open_channels: Vec<usize>,
    /// Time that bytes take.
    pub line: Line,
    /// What goes wrong.
    pub faults: FaultPlan,
}

impl Default for EmulatedDevice {
    fn default() -> Self {
        Self {
            serve: Outlet::default(),
            tcp_port: 0,
            modules: Vec::new(),
            ports: 8,
            listing: Vec::new(),
            light_watt: Vec::new(),
            command_set: CommandSet::Scpi,
            answers_settings: false,
            open_channels: Vec::new(),
            line: Line::default(),
            faults: FaultPlan::default(),
        }
    }
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
            let ports: u16 = if device.ports <= 4 { 4 } else { 8 };
            let mut listing = device.listing.clone();
            listing.sort_unstable();
            if !listing.is_empty() && !listing.iter().copied().eq(1..=ports) {
                let key = format!("emulate.device.{name}.listing");
                return Err(StationError::value(
                    key,
                    format!("{:?}", device.listing),
                    format!("1 to {ports}, each once"),
                ));
            }
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
