//! `alora log`: the records of a station.

mod replay;

use std::path::Path;

use alora_drivers::{
    record::{
        AuditError, AuditLine, FrameEntry, FrameError, FrameReader, Journal, Traffic, audit_lines, verify,
    },
    recorded::{Decoder, audit_path, frames_folder, journal_path},
    station::Station,
};
use serde::Serialize;
use time::{UtcDateTime, format_description::well_known::Rfc3339};

use super::super::args::{Log, LogCommand, LogOf};
use crate::{
    cli::table::{Sheet, line},
    config,
    error::{Error, ExitCode},
};

pub(super) fn log(arguments: &Log) -> Result<(), Error> {
    match &arguments.command {
        LogCommand::Verify(of) => check(of),
        LogCommand::Show(of) => show(of),
        LogCommand::Raw(of) => raw(of),
        LogCommand::Replay(of) => replay::replay(of),
    }
}

fn station(of: &LogOf) -> Result<Station, Error> {
    Ok(config::load_station(&of.station, &of.overrides.set)?)
}

pub(super) fn unreadable(error: &AuditError) -> Error {
    let cause = std::error::Error::source(error).map_or_else(String::new, |cause| format!(": {cause}"));
    damaged(&format!("{error}{cause}"))
}

fn damaged(reason: &str) -> Error {
    Error::Device { device: "records".to_owned(), reason: reason.to_owned(), class: ExitCode::OutOfSpec }
}

/// What the records were found to be.
#[derive(Serialize)]
struct Checked {
    /// Lines of the audit log before the first bad one.
    lines: u64,
    /// Digest of the last of them.
    head: String,
    /// Bytes of a line that a crash cut off.
    torn: usize,
    /// What is bad, the first of each record.
    bad: Vec<String>,
}

fn check(of: &LogOf) -> Result<(), Error> {
    let station = station(of)?;
    let folder = station.records.folder_of(&station.name);
    let audit = verify(&audit_path(&folder)).map_err(|error| unreadable(&error))?;
    let mut bad: Vec<String> = audit.flaw.iter().map(|flaw| format!("audit log: {flaw}")).collect();
    for name in station.device.keys() {
        bad.extend(Journal::open(&journal_path(&folder, name)).err().map(|error| error.to_string()));
        let Ok(mut frames) = FrameReader::open(&frames_folder(&folder, name)) else { continue };
        bad.extend(frames.find_map(Result::err).map(|error| error.to_string()));
    }
    let checked = Checked { lines: audit.lines, head: audit.head, torn: audit.torn, bad };
    if of.json {
        line(&serde_json::to_string_pretty(&checked).unwrap_or_default())?;
    } else {
        let mut sheet = Sheet::new(format!("records in {}", folder.display()));
        sheet.row("lines of the audit log that are as written", checked.lines.to_string());
        sheet.row("digest of the last one", checked.head.as_str());
        sheet.row("bytes of a line cut off by a crash", checked.torn.to_string());
        for bad in &checked.bad {
            sheet.row("BAD", bad.as_str());
        }
        sheet.print()?;
    }
    checked.bad.first().map_or(Ok(()), |bad| Err(damaged(bad)))
}

fn show(of: &LogOf) -> Result<(), Error> {
    let station = station(of)?;
    let folder = station.records.folder_of(&station.name);
    let mut entries = audit_lines(&audit_path(&folder)).map_err(|error| unreadable(&error))?;
    entries.retain(|entry| of.device.as_ref().is_none_or(|device| *device == entry.event.device));
    entries.drain(..entries.len().saturating_sub(of.last.unwrap_or(usize::MAX)));
    if of.json {
        return line(&serde_json::to_string_pretty(&entries).unwrap_or_default());
    }
    let mut sheet = Sheet::new(format!("audit log in {}", folder.display()));
    entries.iter().for_each(|entry| audit_row(&mut sheet, entry));
    sheet.print()
}

/// One change, as an operator reads it.
pub(super) fn audit_row(sheet: &mut Sheet, entry: &AuditLine) {
    let event = &entry.event;
    let mut told = event.found.clone();
    if let Some(frames) = &event.frames {
        let short = |digest: &str| digest.chars().take(8).collect::<String>();
        told = format!(
            "{} of {} actuators, {} -> {}",
            frames.changed,
            frames.actuators,
            short(&frames.old),
            short(&frames.new)
        );
    } else if let Some(channel) = event.channel {
        let value = |value: Option<f64>| value.map_or_else(|| "?".to_owned(), |value| value.to_string());
        let unit = event.unit.as_deref().unwrap_or_default();
        told = format!("channel {channel}: {} -> {} {unit}  {told}", value(event.old), value(event.new));
    }
    let simulated = if event.simulated { " (simulated)" } else { "" };
    sheet.columns(
        &entry.utc,
        &[event.who.clone(), format!("{} {}{simulated}", event.what, event.device), told],
    );
}

/// Entries of a device's raw log with their time of day, oldest first.
fn entries(folder: &Path, device: &str) -> Result<Vec<(UtcDateTime, FrameEntry)>, Error> {
    let unreadable = |error: FrameError| damaged(&error.to_string());
    let mut frames = FrameReader::open(&frames_folder(folder, device)).map_err(|_| {
        damaged(&format!(
            "there is no raw log of {device} in {}; `records.frame_log_mib` may be 0",
            folder.display()
        ))
    })?;
    let mut entries = Vec::new();
    while let Some(entry) = frames.next() {
        let entry = entry.map_err(unreadable)?;
        entries.push((frames.began().unwrap_or(UtcDateTime::UNIX_EPOCH) + entry.at(), entry));
    }
    Ok(entries)
}

fn raw(of: &LogOf) -> Result<(), Error> {
    let station = station(of)?;
    let folder = station.records.folder_of(&station.name);
    for (name, device) in &station.device {
        if of.device.as_ref().is_some_and(|wanted| wanted != name) || !frames_folder(&folder, name).exists() {
            continue;
        }
        let entries = entries(&folder, name)?;
        let skipped = entries.len().saturating_sub(of.last.unwrap_or(usize::MAX));
        let mut wires = [Decoder::of(device.protocol()), Decoder::of(device.protocol())];
        for (at, (utc, entry)) in entries.iter().enumerate() {
            // Also those that are not shown: a message may have begun there.
            let messages = decoded(&mut wires, device.protocol(), entry);
            if at >= skipped {
                raw_line(*utc, entry, &messages, of.json)?;
            }
        }
    }
    Ok(())
}

fn decoded(
    wires: &mut [Decoder; 2],
    protocol: &str,
    entry: &FrameEntry,
) -> Vec<alora_drivers::recorded::Message> {
    match &entry.traffic {
        Traffic::Sent { bytes } => wires[0].feed(bytes),
        Traffic::Received { bytes } => wires[1].feed(bytes),
        Traffic::Opened => {
            *wires = [Decoder::of(protocol), Decoder::of(protocol)];
            Vec::new()
        }
        Traffic::Closed | Traffic::LeftOut { .. } => Vec::new(),
    }
}

fn raw_line(
    utc: UtcDateTime,
    entry: &FrameEntry,
    messages: &[alora_drivers::recorded::Message],
    json: bool,
) -> Result<(), Error> {
    let time = utc.format(&Rfc3339).unwrap_or_default();
    if json {
        let mut object = serde_json::to_value(entry).unwrap_or_default();
        object["utc"] = time.into();
        object["messages"] = serde_json::to_value(messages).unwrap_or_default();
        return line(&object.to_string());
    }
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
    let (way, bytes) = match &entry.traffic {
        Traffic::Opened => ("opened", String::new()),
        Traffic::Closed => ("closed", String::new()),
        Traffic::Sent { bytes } => ("->", hex(bytes)),
        Traffic::Received { bytes } => ("<-", hex(bytes)),
        Traffic::LeftOut { entries } => ("left out", format!("{entries} entries: the disk was too slow")),
    };
    line(&format!("{time}  {}  {way}  {bytes}", entry.device))?;
    messages.iter().try_for_each(|message| {
        let seq = message.seq.map_or_else(String::new, |seq| format!(" #{seq}"));
        line(&format!("    {}{seq}: {}", message.kind, message.says))
    })
}
