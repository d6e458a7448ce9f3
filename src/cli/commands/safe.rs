//! `alora safe`.

use std::{fs, path::Path};

use alora_drivers::{
    link::Port,
    record::AuditEvent,
    recorded::Records,
    safety::make_safe::{self, Made, Protocol},
};
use serde::Serialize;

use super::super::args::Safe;
use crate::{
    cli::table::{Sheet, line},
    config,
    error::{Error, ExitCode},
};

const NOT_KNOWN: &str = "NOT KNOWN";

/// What was done to one port.
#[derive(Serialize)]
struct Outcome {
    port: Port,
    protocol: Protocol,
    zero: bool,
    state: &'static str,
    finding: String,
}

pub(super) async fn safe(arguments: &Safe) -> Result<(), Error> {
    let mut targets: Vec<(Port, Protocol)> =
        arguments.port.iter().map(|port| (port.clone(), Protocol::Unknown)).collect();
    if let Some(path) = &arguments.station {
        targets.extend(of_file(path, arguments)?);
    }
    let mut outcomes = Vec::new();
    for (port, protocol) in targets {
        let (state, finding) = match make_safe::zero(&port, protocol).await {
            Ok(Made::Zero(finding)) => ("zero", finding),
            Ok(Made::Kept(finding)) => ("left as it is", finding),
            Ok(Made::Sent(finding)) => (NOT_KNOWN, finding),
            Err(error) => (NOT_KNOWN, error.to_string()),
        };
        outcomes.push(Outcome { port, protocol, zero: state == "zero", state, finding });
    }
    note(arguments, &outcomes);
    show(&outcomes, arguments.json)?;
    let doubtful: Vec<_> = outcomes
        .iter()
        .filter(|outcome| outcome.state == NOT_KNOWN)
        .map(|outcome| outcome.port.to_string())
        .collect();
    if outcomes.is_empty() {
        let reason = "no port was found in it; give ports with --port".to_owned();
        return Err(Error::Input { path: arguments.station.clone().unwrap_or_default(), reason });
    }
    if doubtful.is_empty() {
        return Ok(());
    }
    Err(Error::Device {
        device: doubtful.join(", "),
        reason: "not known to be zero: switch the supply off by hand".to_owned(),
        class: ExitCode::Link,
    })
}

/// Into the audit log, where the station file tells which: what is zeroed does not wait for records, nor fail by them.
fn note(arguments: &Safe, outcomes: &[Outcome]) {
    let Some(path) = &arguments.station else { return };
    let Ok(station) = config::load_station(path, &arguments.overrides.set) else { return };
    let noted = Records::open(&station).and_then(|records| {
        outcomes.iter().try_for_each(|outcome| {
            let device = station.device.iter().find(|(_, entry)| *entry.port() == outcome.port);
            let name = device.map_or_else(|| outcome.port.to_string(), |(name, _)| name.clone());
            let event = records.event("safe", &name);
            records.note(AuditEvent { found: format!("{}: {}", outcome.state, outcome.finding), ..event })
        })
    });
    if let Err(error) = noted {
        tracing::error!(error = error.in_words(), "this is not in the audit log");
    }
}

/// The ports of a station file: as it says, or, when it is broken, whatever looks like one.
fn of_file(path: &Path, arguments: &Safe) -> Result<Vec<(Port, Protocol)>, Error> {
    if let Ok(station) = config::load_station(path, &arguments.overrides.set) {
        let devices = station.device.values();
        return Ok(devices.map(|entry| (entry.port().clone(), Protocol::of(entry.protocol()))).collect());
    }
    let text =
        fs::read(path).map_err(|error| Error::Input { path: path.to_owned(), reason: error.to_string() })?;
    Ok(make_safe::ports_in(&String::from_utf8_lossy(&text)))
}

fn show(outcomes: &[Outcome], json: bool) -> Result<(), Error> {
    if json {
        return line(&serde_json::to_string_pretty(outcomes).unwrap_or_default());
    }
    let mut sheet = Sheet::new("everything to zero");
    for outcome in outcomes {
        sheet.columns(&outcome.port.to_string(), &[outcome.state.to_owned(), outcome.finding.clone()]);
    }
    sheet.print()
}
