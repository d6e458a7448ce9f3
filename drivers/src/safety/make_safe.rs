//! Everything to zero, by the plainest means, on ports of which little is known.

use std::time::Duration;

use alora_board_protocol::{Frame, FrameReader, Kind, REPLY, Request, max_encoded};
use serde::Serialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, timeout_at},
};

use super::supervisor::zero_by_line;
use crate::link::{Connector, LinkError, Port, Transport};

/// Wait for an answer.
const PATIENCE: Duration = Duration::from_millis(700);
/// Channels of the longest chain that is zeroed without being known.
const CHANNELS: usize = 128;

/// What a port may speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// alora's board protocol.
    Board,
    /// A chain of Qontrol modules.
    Qontrol,
    /// Nobody knows: all are tried.
    Unknown,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Made {
    /// The device says that it is zero.
    Zero(String),
    /// The bytes are out, but nothing came back that says so.
    Sent(String),
}

impl Protocol {
    /// The protocol of that name.
    #[must_use]
    pub fn of(name: &str) -> Self {
        match name {
            "board" => Self::Board,
            "qontrol" => Self::Qontrol,
            _ => Self::Unknown,
        }
    }
}

/// Ports in a text that was to be a station file, each with the protocol of its own table.
#[must_use]
pub fn ports_in(text: &str) -> Vec<(Port, Protocol)> {
    let mut found: Vec<(Port, Protocol)> = Vec::new();
    let (mut protocol, mut first) = (Protocol::Unknown, 0);
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.starts_with('[') {
            (protocol, first) = (Protocol::Unknown, found.len());
        }
        for word in line.split(['"', '\'']) {
            let named = Protocol::of(word);
            if line.contains("protocol") && named != Protocol::Unknown {
                protocol = named;
                found[first..].iter_mut().for_each(|(_, earlier)| *earlier = named);
            } else if let Ok(port) = word.trim().parse::<Port>() {
                found.push((port, protocol));
            }
        }
    }
    found.dedup();
    found
}

/// Zeroes whatever is at `port`. Nobody's lock is respected: safety comes first.
///
/// # Errors
/// The port cannot be opened, or is gone.
pub async fn zero(port: &Port, protocol: Protocol) -> Result<Made, LinkError> {
    let mut wire = port.open().await?;
    let lost = |_| LinkError::Lost { place: port.place() };
    match protocol {
        Protocol::Board => zero_board(&mut wire).await.map_err(lost),
        Protocol::Qontrol => zero_chain(&mut wire).await.map_err(lost),
        Protocol::Unknown => match zero_board(&mut wire).await.map_err(lost)? {
            Made::Sent(_) => zero_chain(&mut wire).await.map_err(lost),
            made => Ok(made),
        },
    }
}

/// Parks, with numbers that no host uses, then reads that nothing is driven.
async fn zero_board(wire: &mut Box<dyn Transport>) -> std::io::Result<Made> {
    let mut frame = vec![0; max_encoded(8)];
    // A delimiter first, for what a host left half sent.
    let mut bytes = vec![0];
    for (seq, request) in [(0xEFF0, Request::Sense), (0xEFF1, Request::Park), (0xEFF2, Request::Hello)] {
        if let Some(length) = request.encode(seq, &mut frame) {
            bytes.extend_from_slice(&frame[..length]);
        }
    }
    wire.write_all(&bytes).await?;
    let mut reader = FrameReader::new(vec![0; max_encoded(300)]);
    let mut parked = false;
    let end = Instant::now() + PATIENCE;
    let mut buffer = [0; 512];
    while let Ok(read) = timeout_at(end, wire.read(&mut buffer)).await {
        let mut heard = match read? {
            0 => break,
            count => &buffer[..count],
        };
        while let Some(frame) = reader.feed(&mut heard) {
            parked |= frame.is_ok_and(|frame| is_parked(&frame));
            if parked {
                return Ok(Made::Zero("a board: parked, it says".to_owned()));
            }
        }
    }
    Ok(Made::Sent("PARK was sent to a board that does not answer".to_owned()))
}

fn is_parked(frame: &Frame<'_>) -> bool {
    frame.kind == Kind::Park as u8 | REPLY && frame.seq == 0xEFF1
}

/// Every channel by a line of its own, twice, then all are read back.
async fn zero_chain(wire: &mut Box<dyn Transport>) -> std::io::Result<Made> {
    for line in zero_by_line(CHANNELS) {
        wire.write_all(&line).await?;
        listen(wire, Duration::from_millis(1)).await?;
    }
    listen(wire, PATIENCE / 2).await?;
    wire.write_all(b"vall?\n").await?;
    let answer = listen(wire, PATIENCE).await?;
    let text = String::from_utf8_lossy(&answer);
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| line.ends_with(" V")).collect();
    let driven = lines.iter().filter(|line| line.trim_start_matches(['+', '-']) != "0.0000 V").count();
    Ok(match (lines.len(), driven) {
        (0, _) => Made::Sent("zeros were sent to a chain that does not answer".to_owned()),
        (channels, 0) => Made::Zero(format!("a chain: {channels} channels read back as 0 V")),
        (channels, driven) => Made::Sent(format!("a chain: {driven} of {channels} channels are NOT at 0 V")),
    })
}

/// What comes until the wire is quiet for `quiet`.
async fn listen(wire: &mut Box<dyn Transport>, quiet: Duration) -> std::io::Result<Vec<u8>> {
    let mut heard = Vec::new();
    let mut buffer = [0; 1024];
    while let Ok(read) = timeout_at(Instant::now() + quiet, wire.read(&mut buffer)).await {
        match read? {
            0 => break,
            count => heard.extend_from_slice(&buffer[..count]),
        }
    }
    Ok(heard)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn ports_are_found_in_a_broken_station_file() {
        let text = r#"
            name = "lab
            [device.weights   # forgot the bracket
            port = "/dev/ttyUSB0"
            protocol = "qontrol"
            [device.board]
            protocol = 'board'
            port = 'tcp:10.0.0.7:5500' # was "/dev/ttyACM9"
            [device.mystery]
            port = "usb:A7@921600"
        "#;
        let port = |text: &str| text.parse::<Port>().unwrap();
        assert_eq!(
            ports_in(text),
            [
                (port("/dev/ttyUSB0"), Protocol::Qontrol),
                (port("tcp:10.0.0.7:5500"), Protocol::Board),
                (port("usb:A7@921600"), Protocol::Unknown),
            ]
        );
    }
}
