//! The supervisor of what a command drives: a process of its own that zeroes the devices however this one ends.

use std::{collections::BTreeSet, process::Command, sync::OnceLock, time::Duration};

use alora_drivers::{
    PhotonicBackend,
    recorded::{audit_path, journal_path},
    safety::{Guard, Guarded, WatchedDevice},
    station::{self, DeviceEntry, Station},
};

use crate::error::Error;

/// Wait for a supervisor that starts.
const PATIENCE: Duration = Duration::from_secs(20);

static START: OnceLock<fn() -> Command> = OnceLock::new();

/// From now on devices on wires are driven only under a supervisor, started by that command with the devices as JSON behind. A
/// program that calls the stages as a library and never says this has to keep watch itself.
pub fn supervise_with(start: fn() -> Command) {
    // Said once, by the program.
    let _ = START.set(start);
}

/// Starts a supervisor of `devices`; `None`: this program keeps watch itself.
///
/// # Errors
/// It does not start: nothing may be driven.
pub async fn watch_over(devices: &[WatchedDevice]) -> Result<Option<Guard>, Error> {
    let Some(start) = START.get() else { return Ok(None) };
    let mut command = start();
    command.arg(serde_json::to_string(devices).unwrap_or_default());
    Ok(Some(Guard::start(command, PATIENCE).await?))
}

/// Connects to the processor of a checked station for the program `owner`, recorded, and under a supervisor of all devices that
/// make it.
///
/// # Errors
/// The supervisor does not start (no port is opened then), or a device does not answer as it should.
pub async fn connect(station: &Station, owner: &str) -> Result<Box<dyn PhotonicBackend>, Error> {
    let guard = watch_over(&devices_of_processor(station)).await?;
    let backend = station::connect_recorded(station, owner).await?;
    Ok(match guard {
        Some(guard) => Box::new(Guarded::new(backend, guard)),
        None => backend,
    })
}

/// The devices that [`station::connect`] opens.
fn devices_of_processor(station: &Station) -> Vec<WatchedDevice> {
    let names: BTreeSet<&str> = match station.bench_in_use() {
        Some(bench) => bench.devices().into_iter().collect(),
        None => station.board().map(|(name, _)| name).into_iter().collect(),
    };
    let opened = station.device.iter().filter(|(name, _)| names.contains(name.as_str()));
    let folder = station.records.folder_of(&station.name);
    let journal = |name: &str| {
        let board = station.bench_in_use().is_none() && station.records.journal;
        board.then(|| journal_path(&folder, name))
    };
    let watched = |(name, entry): (&String, &DeviceEntry)| {
        WatchedDevice::of(name, entry).recorded(audit_path(&folder), journal(name))
    };
    opened.map(watched).collect()
}
