//! `alora emulate`.

use alora_drivers::{
    emulate::{Announcement, FaultPlan, play},
    station::Station,
};
use serde::Serialize;
use tokio::task::JoinSet;

use super::super::args::Emulate;
use crate::{cli::table::line, config, error::Error};

/// The one line that tells where the devices are.
#[derive(Serialize)]
struct Ready<'a> {
    devices: Vec<&'a Announcement>,
}

pub(super) async fn emulate(arguments: &Emulate) -> Result<(), Error> {
    let input = |reason: String| Error::Input { path: arguments.station.clone(), reason };
    let mut station = config::load_station(&arguments.station, &arguments.overrides.set)?;
    if let Some(modules) = arguments.modules {
        station.emulate_modules(modules);
    }
    if let Some(path) = &arguments.faults {
        let plan: FaultPlan = config::load_plain(path)?;
        replace_faults(&mut station, &plan);
        station.check().map_err(|error| input(error.to_string()))?;
    }
    let mut served = Vec::new();
    for device in play(&station).map_err(|error| input(error.to_string()))? {
        let name = device.name().to_owned();
        served.push(device.open().await.map_err(|error| input(format!("{name} cannot be served: {error}")))?);
    }
    let devices = served.iter().map(|device| device.announcement()).collect();
    announce(&Ready { devices })?;
    let mut tasks = JoinSet::new();
    for device in served {
        tasks.spawn(device.serve(|moved| {
            // A place that cannot be printed any more has no reader.
            let _ = announce(&Ready { devices: vec![moved] });
        }));
    }
    tokio::select! {
        () = crate::cli::asked_to_stop() => Ok(()),
        Some(ended) = tasks.join_next() => match ended {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(input(format!("a device can no longer be served: {error}"))),
            Err(error) => Err(input(format!("a device stopped: {error}"))),
        },
    }
}

fn announce(ready: &Ready<'_>) -> Result<(), Error> {
    line(&serde_json::to_string(ready).unwrap_or_default())
}

fn replace_faults(station: &mut Station, plan: &FaultPlan) {
    let names: Vec<_> = station.device.keys().cloned().collect();
    for name in names {
        station.emulate.device.entry(name).or_default().faults = plan.clone();
    }
}
