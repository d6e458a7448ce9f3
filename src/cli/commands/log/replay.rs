//! `alora log replay`: a recorded host against an emulated device.

use alora_drivers::{
    emulate::{Device, play},
    recorded::{Difference, Message, Replayed},
};

use super::{super::super::args::LogOf, damaged, entries, station};
use crate::{
    cli::table::{Sheet, line},
    error::Error,
};

pub(super) fn replay(of: &LogOf) -> Result<(), Error> {
    let input = |reason: String| Error::Input { path: of.station.clone(), reason };
    let station = station(of)?;
    let folder = station.records.folder_of(&station.name);
    let name = match &of.device {
        Some(name) => name.clone(),
        None => station
            .board()
            .map(|(name, _)| name.to_owned())
            .map_err(|error| input(format!("name the device with --device: {error}")))?,
    };
    let entry = station.device(&name).map_err(|error| input(error.to_string()))?;
    let entries = entries(&folder, &name)?;
    let began = entries.first().map(|(utc, _)| *utc);
    let entries = entries.into_iter().filter_map(|(utc, entry)| {
        // A clock that was set back between two programs does not turn the device's back.
        let at = (utc - began?).try_into().unwrap_or_default();
        Some((at, entry))
    });
    let played = play(&station).map_err(|error| input(error.to_string()))?;
    let played = played.into_iter().find(|played| played.name() == name);
    let played = played.ok_or_else(|| input(format!("{name} cannot be emulated")))?;
    let mut device = played.emulator().device();
    let device: &mut dyn Device = &mut *device;
    let replayed = alora_drivers::recorded::replay(entries, entry.protocol(), device);
    show(&name, &replayed, of.json)?;
    match &replayed.first {
        Some(first) => Err(damaged(&format!("{name}: {}", in_words(first)))),
        None => Ok(()),
    }
}

fn show(name: &str, replayed: &Replayed, json: bool) -> Result<(), Error> {
    if json {
        return line(&serde_json::to_string_pretty(replayed).unwrap_or_default());
    }
    let mut sheet = Sheet::new(format!(
        "{name}: {} connections, {} requests, sent to the emulated device again",
        replayed.connections, replayed.requests
    ));
    for (kind, compared) in &replayed.answers {
        let mut told = format!("{} equal, {} differ", compared.equal, compared.differ);
        if compared.of_the_moment > 0 {
            told = format!("{} of the moment, not compared", compared.of_the_moment);
        }
        sheet.row(kind, told);
    }
    if replayed.left_out > 0 {
        sheet.row("left out of the log", replayed.left_out.to_string());
    }
    sheet.print()
}

fn in_words(first: &Difference) -> String {
    let words = |message: &Option<Message>| match message {
        Some(message) => format!("{} ({})", message.kind, message.says),
        None => "nothing".to_owned(),
    };
    format!(
        "answer {} of connection {} is another one: recorded {}, answered now {}",
        first.answer,
        first.connection,
        words(&first.recorded),
        words(&first.answered)
    )
}
