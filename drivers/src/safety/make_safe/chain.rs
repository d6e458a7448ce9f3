//! A chain of Qontrol modules: every channel by a line of its own.

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use super::{Made, PATIENCE, listen};
use crate::link::Transport;

/// Channels of a module.
const MODULE: usize = 8;
/// Channels of the longest chain.
const CHANNELS: usize = 256;
/// Wait between two lines, so that no buffer overflows.
const BETWEEN: Duration = Duration::from_millis(1);
/// Volts below which a channel is at zero: some modules read back what they measure.
const ZERO: f64 = 0.02;
/// What a channel that is not there answers.
const NO_CHANNEL: &[u8] = b"E12:";

/// All twice: the host may have died within a binary frame, and then the chain takes the first of these bytes for the rest of it.
/// Then all are read back.
pub(super) async fn zero(wire: &mut Box<dyn Transport>) -> std::io::Result<Made> {
    wire.write_all(b"\n").await?;
    for _ in 0..2 {
        zero_once(wire).await?;
    }
    listen(wire, PATIENCE / 2).await?;
    // Nothing on this wire has a checksum: one reading is not believed.
    let (first, second) = (volts(wire).await?, volts(wire).await?);
    let told = first.iter().flatten().chain(second.iter().flatten());
    if told.clone().any(|volts| volts.abs() >= ZERO) {
        let driven = told.filter(|volts| volts.abs() >= ZERO).count().div_ceil(2);
        return Ok(Made::Sent(format!("a chain: {driven} of {} channels are NOT at 0 V", first.len())));
    }
    let whole =
        |lines: &[Option<f64>]| lines.len().is_multiple_of(MODULE) && lines.iter().all(Option::is_some);
    Ok(match first.len() {
        0 => Made::Sent("zeros were sent to a chain that does not answer".to_owned()),
        channels if channels == second.len() && whole(&first) && whole(&second) => {
            Made::Zero(format!("a chain: {channels} channels read back as 0 V"))
        }
        lines => Made::Sent(format!("a chain: of its channels only {lines} lines came, or garbled ones")),
    })
}

/// What all channels say that they hold; `None` for a line that says nothing of the kind.
async fn volts(wire: &mut Box<dyn Transport>) -> std::io::Result<Vec<Option<f64>>> {
    wire.write_all(b"vall?\n").await?;
    let answer = listen(wire, PATIENCE).await?;
    let text = String::from_utf8_lossy(&answer);
    let volts = |line: &str| line.strip_suffix(" V").and_then(|volts| volts.parse::<f64>().ok());
    Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(volts).collect())
}

/// Until the chain says that there is no such channel.
async fn zero_once(wire: &mut Box<dyn Transport>) -> std::io::Result<()> {
    for channel in 0..CHANNELS {
        wire.write_all(format!("v{channel}=0\n").as_bytes()).await?;
        let answer = listen(wire, BETWEEN).await?;
        if answer.windows(NO_CHANNEL.len()).any(|window| window == NO_CHANNEL) {
            break;
        }
    }
    Ok(())
}
