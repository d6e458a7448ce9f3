//! `alora devices` and `alora doctor`.

use alora_drivers::{
    link::{Discovery, LinkError, Locks, Port, PortAccess, SerialPort},
    record::Clock,
    safety::probe::{self, Answer},
    station::Station,
};
use serde::Serialize;

use super::{super::args::Devices, TOOL};
use crate::{
    cli::table::{Sheet, line},
    config,
    error::{Error, ExitCode},
};

/// What is there.
#[derive(Serialize)]
struct Inventory {
    ports: Vec<SerialPort>,
    devices: Vec<Named>,
}

/// A device of the station.
#[derive(Serialize)]
struct Named {
    name: String,
    protocol: &'static str,
    port: Port,
    /// Who has the port now.
    #[serde(skip_serializing_if = "Option::is_none")]
    held_by: Option<String>,
}

pub(super) fn devices(arguments: &Devices) -> Result<(), Error> {
    let station = station(arguments)?;
    let inventory = Inventory { ports: Discovery::of_system().ports(), devices: named(station.as_ref()) };
    if arguments.json {
        return line(&serde_json::to_string_pretty(&inventory).unwrap_or_default());
    }
    let mut sheet = Sheet::new(format!("{} serial ports", inventory.ports.len()));
    for port in &inventory.ports {
        sheet.row(&port.path.display().to_string(), identity(port));
    }
    sheet.print()?;
    if !inventory.devices.is_empty() {
        let mut sheet = Sheet::new("devices of the station");
        for device in &inventory.devices {
            let held = device.held_by.as_ref().map_or_else(String::new, |holder| format!("held by {holder}"));
            sheet.columns(&device.name, &[device.protocol.to_owned(), device.port.to_string(), held]);
        }
        sheet.print()?;
    }
    Ok(())
}

fn identity(port: &SerialPort) -> String {
    let Some(usb) = &port.usb else { return "no USB device".to_owned() };
    let words = [&usb.manufacturer, &usb.name].into_iter().flatten().cloned().collect::<Vec<_>>().join(" ");
    let serial =
        usb.serial.as_ref().map_or_else(|| "no serial number".to_owned(), |serial| format!("usb:{serial}"));
    format!("{serial}  {}:{}  {words}", usb.vendor, usb.product)
}

fn station(arguments: &Devices) -> Result<Option<Station>, Error> {
    let load = |path| config::load_station(path, &arguments.overrides.set);
    Ok(arguments.station.as_deref().map(load).transpose()?)
}

fn named(station: Option<&Station>) -> Vec<Named> {
    let locks = Locks::of_user(Clock::system());
    let devices = station.into_iter().flat_map(|station| &station.device);
    devices
        .map(|(name, entry)| Named {
            name: name.clone(),
            protocol: entry.protocol(),
            port: entry.port().clone(),
            held_by: locks.holder(entry.port()).ok().flatten().map(|holder| holder.to_string()),
        })
        .collect()
}

/// One finding of the doctor.
#[derive(Serialize)]
struct Finding {
    about: String,
    good: bool,
    finding: String,
}

pub(super) async fn doctor(arguments: &Devices) -> Result<(), Error> {
    let station = station(arguments)?;
    let mut findings: Vec<Finding> = Discovery::of_system().ports().iter().flat_map(of_port).collect();
    findings.push(of_clock());
    for device in named(station.as_ref()) {
        findings.push(of_device(&device).await);
    }
    show(&findings, arguments.json)?;
    match findings.iter().filter(|finding| !finding.good).count() {
        0 => Ok(()),
        bad => Err(Error::Device {
            device: "doctor".to_owned(),
            reason: format!("{bad} findings need attention, see above"),
            class: ExitCode::Link,
        }),
    }
}

fn of_port(port: &SerialPort) -> Vec<Finding> {
    let about = port.path.display().to_string();
    let advice = port.advice();
    if advice.is_empty() {
        return vec![Finding { about, good: true, finding: "may be used, nothing to do".to_owned() }];
    }
    advice.into_iter().map(|finding| Finding { about: about.clone(), good: false, finding }).collect()
}

/// Records carry UTC: a clock that was never set would date them wrongly.
fn of_clock() -> Finding {
    let now = Clock::system().now().rfc3339();
    let good = now.as_str() >= "2025";
    let finding =
        if good { format!("UTC {now}") } else { format!("UTC {now}: set it, records are dated by it") };
    Finding { about: "clock".to_owned(), good, finding }
}

async fn of_device(device: &Named) -> Finding {
    let (good, finding) = match PortAccess::of(TOOL).looking().claim(&device.name, &device.port) {
        Err(error @ LinkError::Held { .. }) => (false, error.to_string()),
        Err(error) => (false, error.to_string()),
        Ok(connector) => match probe::ask(&*connector, device.protocol).await {
            Ok(Answer::Heard(text)) => (true, format!("{} answers: {text}", device.port)),
            Ok(Answer::Mute) => (
                false,
                format!("{} is open, but nothing answers; check power, baud rate and protocol", device.port),
            ),
            Err(error) => (false, error.to_string()),
        },
    };
    Finding { about: device.name.clone(), good, finding }
}

fn show(findings: &[Finding], json: bool) -> Result<(), Error> {
    if json {
        return line(&serde_json::to_string_pretty(findings).unwrap_or_default());
    }
    let mut sheet = Sheet::new("doctor");
    for finding in findings {
        let mark = if finding.good { "ok" } else { "ATTENTION" };
        sheet.columns(&finding.about, &[mark.to_owned(), finding.finding.clone()]);
    }
    sheet.print()
}
