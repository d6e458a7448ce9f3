//! Everything to zero, by the plainest means, on ports of which little is known.

mod board;
mod chain;
mod scpi;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::{
    io::AsyncReadExt,
    time::{Instant, timeout_at},
};

use crate::link::{Connector, LinkError, Port, Transport};

pub use board::Before;

/// Wait for an answer.
const PATIENCE: Duration = Duration::from_millis(700);

/// What a port may speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// alora's board protocol.
    Board,
    /// A chain of Qontrol modules.
    Qontrol,
    /// A Keithley 2450 source meter.
    #[serde(rename = "keithley_2450")]
    Keithley2450,
    /// A Santec TSL-570 laser.
    #[serde(rename = "santec_tsl570")]
    SantecTsl570,
    /// A Red Pitaya.
    RedPitaya,
    /// A Keysight power meter, which drives nothing.
    #[serde(rename = "keysight_n774x")]
    KeysightN774x,
    /// A Thorlabs temperature controller: a chip that warms up is not what makes it safe.
    #[serde(rename = "thorlabs_mtd415t")]
    ThorlabsMtd415t,
    /// Nobody knows: all are tried.
    Unknown,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Made {
    /// The device says that it is zero.
    Zero(String),
    /// There is nothing to zero on such a device.
    Kept(String),
    /// The bytes are out, but nothing came back that says so.
    Sent(String),
}

impl Made {
    /// Whether the device is known to be as it should.
    #[must_use]
    pub fn is_safe(&self) -> bool {
        !matches!(self, Self::Sent(_))
    }
}

impl Protocol {
    /// The protocol of that name.
    #[must_use]
    pub fn of(name: &str) -> Self {
        match name {
            "board" => Self::Board,
            "qontrol" => Self::Qontrol,
            "keithley_2450" => Self::Keithley2450,
            "santec_tsl570" => Self::SantecTsl570,
            "red_pitaya" => Self::RedPitaya,
            "keysight_n774x" => Self::KeysightN774x,
            "thorlabs_mtd415t" => Self::ThorlabsMtd415t,
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

/// Zeroes whatever is at `port`. Nobody's lock is respected: safety comes first. A port with nothing to zero is not opened.
///
/// # Errors
/// The port cannot be opened, or is gone.
pub async fn zero(port: &Port, protocol: Protocol) -> Result<Made, LinkError> {
    zero_and_tell(port, protocol).await.map(|(made, _)| made)
}

/// The same, with what a board said before it was parked.
///
/// # Errors
/// As for [`zero`].
pub async fn zero_and_tell(port: &Port, protocol: Protocol) -> Result<(Made, Option<Before>), LinkError> {
    if let Some(kept) = kept(protocol) {
        return Ok((kept, None));
    }
    let mut wire = port.open().await?;
    let made = match protocol {
        Protocol::Board => board::zero(&mut wire).await,
        Protocol::Qontrol => chain::zero(&mut wire).await.map(|made| (made, None)),
        Protocol::Unknown => zero_unknown(&mut wire).await.map(|made| (made, None)),
        known => scpi::zero(&mut wire, known).await.map(|made| (made, None)),
    };
    made.map_err(|_| LinkError::Lost { place: port.place() })
}

/// A device on which there is nothing to zero.
fn kept(protocol: Protocol) -> Option<Made> {
    match protocol {
        Protocol::KeysightN774x => Some(Made::Kept("a power meter: it measures only".to_owned())),
        Protocol::ThorlabsMtd415t => {
            Some(Made::Kept("a temperature controller: it holds its temperature".to_owned()))
        }
        _ => None,
    }
}

async fn zero_unknown(wire: &mut Box<dyn Transport>) -> std::io::Result<Made> {
    match board::zero(wire).await?.0 {
        Made::Sent(_) => {}
        made => return Ok(made),
    }
    match scpi::identify(wire).await? {
        Some(instrument) => scpi::zero(wire, instrument).await,
        None => chain::zero(wire).await,
    }
}

/// What comes until the wire is quiet for `quiet`.
async fn listen(wire: &mut Box<dyn Transport>, quiet: Duration) -> std::io::Result<Vec<u8>> {
    let mut heard = Vec::new();
    let mut buffer = [0; 1024];
    while let Ok(read) = timeout_at(Instant::now() + quiet, wire.read(&mut buffer)).await {
        match read? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
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
            [device.laser]
            port = "tcp:10.0.0.8:5000"
            protocol = "santec_tsl570
            [device.mystery]
            port = "usb:A7@921600"
        "#;
        let port = |text: &str| text.parse::<Port>().unwrap();
        assert_eq!(
            ports_in(text),
            [
                (port("/dev/ttyUSB0"), Protocol::Qontrol),
                (port("tcp:10.0.0.7:5500"), Protocol::Board),
                (port("tcp:10.0.0.8:5000"), Protocol::SantecTsl570),
                (port("usb:A7@921600"), Protocol::Unknown),
            ]
        );
    }
}
