//! Bench instruments: off, and asked whether they are.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, timeout_at},
};

use super::{Made, PATIENCE, Protocol, kept, listen};
use crate::{
    link::Transport,
    scpi::{Held, Identity, LineEnding},
};

/// How an instrument is switched off.
struct Off {
    what: &'static str,
    ending: LineEnding,
    /// Each with its query, and whether that then has to say on.
    commands: &'static [(&'static str, &'static str, bool)],
}

const KEITHLEY: Off = Off {
    what: "a source meter: its output",
    ending: LineEnding::Lf,
    commands: &[("OUTPUT OFF", "OUTPUT?", false)],
};
/// The shutter is closed first, and 1 is closed.
const SANTEC: Off = Off {
    what: "a laser: its shutter is closed and its diode",
    ending: LineEnding::Cr,
    commands: &[(":POW:SHUT 1", ":POW:SHUT?", true), (":POW:STAT 0", ":POW:STAT?", false)],
};
const RED_PITAYA: Off = Off {
    what: "a Red Pitaya: both outputs",
    ending: LineEnding::CrLf,
    commands: &[
        ("OUTPUT1:STATE OFF", "OUTPUT1:STATE?", false),
        ("OUTPUT2:STATE OFF", "OUTPUT2:STATE?", false),
    ],
};

impl Off {
    fn of(instrument: Protocol) -> Option<&'static Self> {
        match instrument {
            Protocol::Keithley2450 => Some(&KEITHLEY),
            Protocol::SantecTsl570 => Some(&SANTEC),
            Protocol::RedPitaya => Some(&RED_PITAYA),
            _ => None,
        }
    }
}

/// All commands first, then all questions: an instrument that does not answer is switched off all the same.
pub(super) async fn zero(wire: &mut Box<dyn Transport>, instrument: Protocol) -> std::io::Result<Made> {
    let Some(off) = Off::of(instrument) else {
        let unknown = || Made::Sent("an instrument that is not known here".to_owned());
        return Ok(kept(instrument).unwrap_or_else(unknown));
    };
    // The end of a line first, for what a host left half sent.
    let mut bytes = off.ending.bytes().to_vec();
    for (command, ..) in off.commands {
        bytes.extend_from_slice(command.as_bytes());
        bytes.extend_from_slice(off.ending.bytes());
    }
    wire.write_all(&bytes).await?;
    // Answers to what a host has asked before.
    listen(wire, PATIENCE / 7).await?;
    for (_, query, on) in off.commands {
        match ask(wire, query, off.ending).await? {
            Some(answer) if Held::Switch(*on).is_said_by(&answer) == Some(true) => {}
            Some(answer) => return Ok(Made::Sent(format!("`{query}` is answered by `{answer}`"))),
            None => return Ok(Made::Sent(format!("{} off was sent, but `{query}` has no answer", off.what))),
        }
    }
    Ok(Made::Zero(format!("{} off, it says", off.what)))
}

/// The instrument that answers, whatever ends its lines; `None` when none does.
pub(super) async fn identify(wire: &mut Box<dyn Transport>) -> std::io::Result<Option<Protocol>> {
    wire.write_all(b"\r\n").await?;
    let answer = ask(wire, "*IDN?", LineEnding::CrLf).await?;
    let identity = answer.and_then(|answer| Identity::parse(answer.as_bytes()));
    Ok(identity.map(|identity| match identity.model.to_ascii_uppercase().as_str() {
        model if model.starts_with("MODEL 2450") => Protocol::Keithley2450,
        model if model.starts_with("TSL") => Protocol::SantecTsl570,
        model if model.starts_with("INSTR") => Protocol::RedPitaya,
        model if model.starts_with("N774") => Protocol::KeysightN774x,
        _ => Protocol::Unknown,
    }))
}

/// The first line that comes, wherever it ends.
async fn ask(
    wire: &mut Box<dyn Transport>,
    query: &str,
    ending: LineEnding,
) -> std::io::Result<Option<String>> {
    wire.write_all(&[query.as_bytes(), ending.bytes()].concat()).await?;
    let mut line = Vec::new();
    let end = Instant::now() + PATIENCE;
    while let Ok(read) = timeout_at(end, wire.read_u8()).await {
        match read? {
            b'\r' | b'\n' if line.is_empty() => {}
            b'\r' | b'\n' => return Ok(Some(String::from_utf8_lossy(&line).trim().to_owned())),
            byte => line.push(byte),
        }
    }
    Ok(None)
}
