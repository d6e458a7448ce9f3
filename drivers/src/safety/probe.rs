//! Is anybody there: one harmless question on a port.

use std::time::Duration;

use alora_board_protocol::{FrameReader, Hello, Kind, REPLY, Request, max_encoded};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, timeout_at},
};

use crate::link::{Connector, LinkError};

/// Wait for an answer.
const PATIENCE: Duration = Duration::from_millis(700);

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A device that says who it is.
    Heard(String),
    /// Nothing that makes sense.
    Mute,
}

/// Asks the device of that protocol who it is; changes nothing on it.
///
/// # Errors
/// The port cannot be opened, or is gone.
pub async fn ask(connector: &dyn Connector, protocol: &str) -> Result<Answer, LinkError> {
    let mut wire = connector.open().await?;
    let lost = |_| LinkError::Lost { place: connector.place() };
    let question = match protocol {
        "board" => hello(),
        "qontrol" => b"\nnupall?\n".to_vec(),
        "thorlabs_mtd415t" => b"\nm?\n".to_vec(),
        "santec_tsl570" => b"*IDN?\r".to_vec(),
        "red_pitaya" => b"*IDN?\r\n".to_vec(),
        _ => b"*IDN?\n".to_vec(),
    };
    wire.write_all(&question).await.map_err(lost)?;
    let mut heard = Vec::new();
    let mut buffer = [0; 1024];
    let end = Instant::now() + PATIENCE;
    while let Ok(read) = timeout_at(end, wire.read(&mut buffer)).await {
        match read.map_err(lost)? {
            0 => return Err(LinkError::Lost { place: connector.place() }),
            count => heard.extend_from_slice(&buffer[..count]),
        }
        if protocol == "board"
            && let Some(told) = told(&heard)
        {
            return Ok(Answer::Heard(told));
        }
    }
    let text = String::from_utf8_lossy(&heard);
    let says = |line: &&str| if protocol == "qontrol" { line.contains(": ") } else { !line.is_empty() };
    let modules: Vec<_> = text.split(['\n', '\r']).map(str::trim).filter(says).collect();
    Ok(if modules.is_empty() { Answer::Mute } else { Answer::Heard(modules.join(", ")) })
}

fn hello() -> Vec<u8> {
    let mut frame = vec![0; max_encoded(0)];
    let length = Request::Hello.encode(0xEFFF, &mut frame).unwrap_or_default();
    [&[0], &frame[..length]].concat()
}

fn told(mut bytes: &[u8]) -> Option<String> {
    let mut reader = FrameReader::new(vec![0; max_encoded(300)]);
    while let Some(frame) = reader.feed(&mut bytes) {
        let Ok(frame) = frame else { continue };
        if frame.kind == Kind::Hello as u8 | REPLY
            && let Some(hello) = Hello::parse(frame.payload)
        {
            let (major, minor) = hello.firmware;
            return Some(format!(
                "{}, firmware {major}.{minor}, protocol 1.{}, {} actuators",
                String::from_utf8_lossy(hello.serial),
                hello.minor,
                hello.actuators
            ));
        }
    }
    None
}
