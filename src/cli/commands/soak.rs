//! `alora soak`.

use std::{io, path::Path, time::Instant};

use alora_calibration::{Event, Observer};
use alora_drivers::{
    board::{BoardBackend, BoardOptions, LinkOptions},
    link::{LinkStatistics, PortAccess},
    qontrol::Chain,
    recorded::{Records, audit_path},
    safety::{Guard, WatchedDevice},
    soak::{BoardSubject, ChainSubject, Pair, RecordedSubject, Soak as Values, SoakOutcome, Subject},
    station::{DeviceEntry, Station},
};
use serde::Serialize;

use super::{super::args::Soak, TOOL};
use crate::{
    cli::table::{Sheet, line},
    config,
    error::{Error, ExitCode},
    guarded,
};

/// What a soak has come to.
#[derive(Clone, Debug, Serialize)]
struct SoakReport {
    schema: &'static str,
    tool: &'static str,
    device: String,
    protocol: &'static str,
    unit: &'static str,
    seed: u64,
    pairs: u64,
    confirmed: u64,
    refused: u64,
    unknown: u64,
    link: LinkStatistics,
    seconds: f64,
}

pub(super) async fn soak(arguments: &Soak, observer: &mut dyn Observer) -> Result<(), Error> {
    let station = config::load_station(&arguments.station, &arguments.overrides.set)?;
    let mut log = arguments.log.as_deref().map(open_log).transpose()?;
    let audit = audit_path(&station.records.folder_of(&station.name));
    let watched = WatchedDevice::of(&arguments.device, device(arguments, &station)?).recorded(audit, None);
    let guard = guarded::watch_over(&[watched]).await?;
    let mut subject = subject(arguments, &station).await?;
    let started = Instant::now();
    let mut report = SoakReport {
        schema: "alora.soak/1",
        tool: TOOL,
        device: arguments.device.clone(),
        protocol: subject.protocol(),
        unit: subject.unit(),
        seed: arguments.seed,
        pairs: 0,
        confirmed: 0,
        refused: 0,
        unknown: 0,
        link: LinkStatistics::default(),
        seconds: 0.0,
    };
    observer.on(Event::Started { stage: "set and read back", steps: arguments.pairs });
    let outcome = all(arguments, &mut *subject, guard.as_ref(), log.as_mut(), &mut report, observer).await;
    observer.on(Event::Finished);
    // Also after an error: nothing is left driven.
    let zeroed = subject.zero().await;
    if let (Ok(()), Some(guard)) = (&zeroed, &guard) {
        guard.parked();
    }
    report.link = subject.statistics();
    report.seconds = started.elapsed().as_secs_f64();
    show(&report, arguments.json)?;
    outcome?;
    zeroed.map_err(|reason| {
        input(&arguments.station, format!("the outputs are not known to be zero: {reason}"))
    })
}

async fn all(
    arguments: &Soak,
    subject: &mut dyn Subject,
    guard: Option<&Guard>,
    mut log: Option<&mut csv::Writer<std::fs::File>>,
    report: &mut SoakReport,
    observer: &mut dyn Observer,
) -> Result<(), Error> {
    let mut values = Values::new(subject, arguments.seed);
    for _ in 0..arguments.pairs {
        if observer.interrupted() {
            return Err(Error::Interrupted);
        }
        guard.map_or(Ok(()), Guard::driving)?;
        let pair = values.next(subject).await.map_err(|reason| Error::Device {
            device: arguments.device.clone(),
            reason,
            class: crate::error::ExitCode::Link,
        })?;
        count(report, &pair);
        if let (Some(log), Some(path)) = (log.as_deref_mut(), &arguments.log) {
            log.serialize(&pair)
                .and_then(|()| Ok(log.flush()?))
                .map_err(|error| input(path, error.to_string()))?;
        }
        if pair.outcome != SoakOutcome::Confirmed {
            let text =
                format!("pair {}, channel {}: {:?}: {}", pair.pair, pair.channel, pair.outcome, pair.why);
            observer.on(Event::Note(text));
        }
        observer.on(Event::Step);
    }
    Ok(())
}

fn count(report: &mut SoakReport, pair: &Pair) {
    report.pairs += 1;
    match pair.outcome {
        SoakOutcome::Confirmed => report.confirmed += 1,
        SoakOutcome::Refused => report.refused += 1,
        SoakOutcome::Unknown => report.unknown += 1,
    }
}

fn device<'a>(arguments: &Soak, station: &'a Station) -> Result<&'a DeviceEntry, Error> {
    station.device(&arguments.device).map_err(|error| input(&arguments.station, error.to_string()))
}

async fn subject(arguments: &Soak, station: &Station) -> Result<Box<dyn Subject>, Error> {
    let unfit = |error: alora_drivers::station::StationError| input(&arguments.station, error.to_string());
    let entry = device(arguments, station)?;
    let records = Records::open(station)?;
    let connector = PortAccess::of(TOOL).recorded(records.clone()).claim(&arguments.device, entry.port())?;
    let subject: Box<dyn Subject> = match entry {
        DeviceEntry::Qontrol(chain) if chain.limits.is_some() => {
            return Err(unkept(arguments, "[limits]"));
        }
        DeviceEntry::Board(board) if board.rules().is_some() => {
            return Err(unkept(arguments, "`step`, `total_power` or `interlock`"));
        }
        DeviceEntry::Qontrol(chain) => {
            let options = chain.options().map_err(unfit)?;
            let highest = alora_drivers::Volts(chain.vmax_volt);
            Box::new(ChainSubject::new(Chain::connect(connector, options).await?, highest))
        }
        DeviceEntry::Board(board) => {
            let mut nominal = station.nominal().map_err(unfit)?;
            board.limit(&mut nominal.descriptor.limits).map_err(unfit)?;
            let link = LinkOptions { window: board.window, ..LinkOptions::default() };
            let options = BoardOptions { nominal, watchdog_ms: board.watchdog_ms, link };
            Box::new(BoardSubject::new(BoardBackend::connect(connector, options).await?))
        }
        other => {
            let reason = format!(
                "{} speaks {}: the cable test is for devices that speak board or qontrol",
                arguments.device,
                other.protocol()
            );
            return Err(input(&arguments.station, reason));
        }
    };
    Ok(Box::new(RecordedSubject::new(subject, records, &arguments.device)?))
}

/// The cable test sets single values at once, up to the limits that are in the device.
fn unkept(arguments: &Soak, rules: &str) -> Error {
    let reason = format!(
        "{} has {rules} of the host, which the cable test does not keep: it jumps to any value that the device itself allows. \
         Test the cable with a station file whose device limits alone make every jump safe",
        arguments.device
    );
    Error::Device { device: arguments.device.clone(), reason, class: ExitCode::Limit }
}

fn open_log(path: &Path) -> Result<csv::Writer<std::fs::File>, Error> {
    csv::Writer::from_path(path).map_err(|error| input(path, error.to_string()))
}

fn input(path: &Path, reason: String) -> Error {
    Error::Input { path: path.to_owned(), reason }
}

fn show(report: &SoakReport, json: bool) -> Result<(), Error> {
    if json {
        let text = serde_json::to_string_pretty(report).map_err(io::Error::from);
        return line(&text.unwrap_or_default());
    }
    let mut sheet = Sheet::new(format!(
        "{} ({}): {} values set and read back",
        report.device, report.protocol, report.pairs
    ));
    let link = &report.link;
    sheet
        .row("confirmed", report.confirmed.to_string())
        .row("refused by the device", report.refused.to_string())
        .row("unknown, and said so", report.unknown.to_string())
        .row("round trip", format!("{:.1} ms", link.round_trip_us as f64 / 1000.0))
        .row("sent again / no answer", format!("{} / {}", link.retries, link.timeouts))
        .row("bytes sent / received", format!("{} / {}", link.bytes_sent, link.bytes_received))
        .row("bytes that made no sense", link.bytes_invalid.to_string())
        .row("strays / reconnects", format!("{} / {}", link.strays, link.reconnects))
        .row("time", format!("{:.1} s", report.seconds));
    sheet.print()
}
