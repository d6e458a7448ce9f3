//! `alora status`.

use std::path::{Path, PathBuf};

use alora_drivers::{
    link::{LinkError, Port, PortAccess},
    record::{AuditLine, Journal, audit_lines},
    recorded::{Found, Sight, audit_path, found, journal_path, look},
    station::Station,
};
use serde::Serialize;

use super::{super::args::Status, TOOL, log};
use crate::{
    cli::table::{Sheet, line},
    config,
    error::Error,
};

/// How a station stands.
#[derive(Serialize)]
struct Standing {
    station: String,
    /// Where its records are.
    records: PathBuf,
    devices: Vec<Device>,
    /// The last programming of the processor.
    programming: Option<Found>,
    /// Why that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    journal: Option<String>,
    audit: Vec<AuditLine>,
}

/// One device, looked at.
#[derive(Serialize)]
struct Device {
    name: String,
    protocol: &'static str,
    port: Port,
    reachable: bool,
    /// Who has the port now: then it is not looked at.
    held_by: Option<String>,
    finding: String,
    /// Outputs, and how many of them are not at zero, as read back; absent where the device does not tell.
    outputs: Option<usize>,
    driven: Option<usize>,
    zero: Option<bool>,
    #[serde(skip)]
    sight: Option<Sight>,
}

pub(super) async fn status(arguments: &Status) -> Result<(), Error> {
    let station = config::load_station(&arguments.station, &arguments.overrides.set)?;
    let records = station.records.folder_of(&station.name);
    let mut devices = Vec::new();
    for (name, entry) in &station.device {
        devices.push(device(name, entry.protocol(), entry.port()).await);
    }
    let (programming, journal) = programming(&station, &records, &devices);
    let mut audit = audit_lines(&audit_path(&records)).map_err(|error| log::unreadable(&error))?;
    audit.drain(..audit.len().saturating_sub(arguments.lines));
    let standing = Standing { station: station.name.clone(), records, devices, programming, journal, audit };
    if arguments.json {
        return line(&serde_json::to_string_pretty(&standing).unwrap_or_default());
    }
    show(&standing)
}

async fn device(name: &str, protocol: &'static str, port: &Port) -> Device {
    let mut device = Device {
        name: name.to_owned(),
        protocol,
        port: port.clone(),
        reachable: false,
        held_by: None,
        finding: String::new(),
        outputs: None,
        driven: None,
        zero: None,
        sight: None,
    };
    let sight = match PortAccess::of(TOOL).looking().claim(name, port) {
        Ok(connector) => look(&connector, protocol).await.map_err(|error| error.to_string()),
        Err(error) => {
            if let LinkError::Held { by, .. } = &error {
                device.held_by = Some(by.to_string());
            }
            Err(error.to_string())
        }
    };
    match sight {
        Ok(sight) => seen(&mut device, sight),
        Err(finding) => device.finding = finding,
    }
    device
}

fn seen(device: &mut Device, sight: Sight) {
    (device.reachable, device.finding) = (true, sight.identity.clone());
    if let Some((outputs, driven)) = sight.outputs.driven() {
        (device.outputs, device.driven, device.zero) = (Some(outputs), Some(driven), Some(driven == 0));
    }
    if sight.tripped == Some(true) {
        device.finding += "; it has TRIPPED, a park arms it again";
    }
    device.sight = Some(sight);
}

/// The last programming, by the journal and by what was seen of the device that carries the processor.
fn programming(station: &Station, records: &Path, devices: &[Device]) -> (Option<Found>, Option<String>) {
    let carrier = station.board().map_or("processor", |(name, _)| name);
    let recovery = match Journal::open(&journal_path(records, carrier)) {
        Ok(Some(recovery)) => recovery,
        Ok(None) => return (None, Some("no programming is on record".to_owned())),
        Err(error) => return (None, Some(error.to_string())),
    };
    let carrier = devices.iter().find(|device| device.name == carrier);
    let mut programming = found(&recovery, carrier.and_then(|device| device.sight.as_ref()));
    if let Some(holder) = carrier.and_then(|device| device.held_by.as_ref()) {
        programming.cut_off = false;
        programming.now = format!("not looked at: {holder} is at work");
    }
    (Some(programming), None)
}

fn show(standing: &Standing) -> Result<(), Error> {
    let mut sheet = Sheet::new(format!("{}: devices", standing.station));
    for device in &standing.devices {
        let outputs = match (device.driven, device.outputs) {
            (Some(0), Some(outputs)) => format!("all {outputs} outputs read zero"),
            (Some(driven), Some(outputs)) => format!("{driven} of {outputs} outputs are DRIVEN"),
            _ if device.held_by.is_some() => "held".to_owned(),
            _ if device.reachable => "tells no outputs".to_owned(),
            _ => "NOT REACHED".to_owned(),
        };
        sheet.columns(&device.name, &[device.port.to_string(), outputs, device.finding.clone()]);
    }
    sheet.print()?;
    let mut sheet = Sheet::new("last programming of the processor");
    if let Some(why) = &standing.journal {
        sheet.row("journal", why.as_str());
    }
    if let Some(found) = &standing.programming {
        sheet.row("programming", found.id.as_str()).row("begun", found.note.as_str());
        sheet.row("came to", found.phase.as_str());
        for (name, channels) in [
            ("channels old", &found.old),
            ("channels new", &found.new),
            ("channels read back after", &found.found),
            ("channels zeroed after", &found.zeroed),
            ("channels unknown", &found.unknown),
        ] {
            sheet.row(name, channels.to_string());
        }
        sheet.row("now", found.now.as_str());
    }
    sheet.print()?;
    let mut sheet = Sheet::new(format!("records in {}", standing.records.display()));
    standing.audit.iter().for_each(|entry| log::audit_row(&mut sheet, entry));
    sheet.print()
}
