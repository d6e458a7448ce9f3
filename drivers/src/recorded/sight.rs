//! A look at a device: what it holds, without changing anything.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, timeout_at},
};

use crate::{
    ActuatorFrame, BackendErrorKind, Generation, board,
    link::{Connector, LinkError},
    safety::probe::{self, Answer},
};

/// Quiet time after which a chain has said all.
const QUIET: Duration = Duration::from_millis(300);

/// What a device told of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Sight {
    /// Who it is.
    pub identity: String,
    /// What it drives.
    pub outputs: Outputs,
    /// True when it has stopped itself; `None`: it does not say.
    pub tripped: Option<bool>,
    /// Writes that it has carried out, where it counts them.
    pub generation: Option<Generation>,
}

/// Outputs of a device as it tells them.
#[derive(Clone, Debug, PartialEq)]
pub enum Outputs {
    /// Codes of actuators.
    Codes(ActuatorFrame),
    /// Volts of channels.
    Volts(Vec<f64>),
    /// It has none, or does not tell.
    NotTold,
}

impl Outputs {
    /// Channels, and how many of them are not at zero; `None`: not told.
    #[must_use]
    pub fn driven(&self) -> Option<(usize, usize)> {
        match self {
            Self::Codes(frame) => Some((frame.0.len(), frame.0.iter().filter(|&&code| code != 0).count())),
            Self::Volts(volts) => {
                Some((volts.len(), volts.iter().filter(|volts| volts.abs() > 5e-5).count()))
            }
            Self::NotTold => None,
        }
    }
}

impl Sight {
    /// The codes, where they are those of so many actuators.
    #[must_use]
    pub fn frame_of(&self, actuators: usize) -> Option<&ActuatorFrame> {
        match &self.outputs {
            Outputs::Codes(frame) if frame.0.len() == actuators => Some(frame),
            _ => None,
        }
    }

    /// True when every output reads zero; false also when nothing is told.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        matches!(self.outputs.driven(), Some((_, 0)))
    }
}

/// Asks a device of that protocol who it is and what it drives. It only reads.
///
/// # Errors
/// The port cannot be opened, or nothing that makes sense comes back.
pub async fn look(connector: &Arc<dyn Connector>, protocol: &str) -> Result<Sight, BackendErrorKind> {
    match protocol {
        "board" => board::look(connector).await,
        "qontrol" => Ok(chain(&**connector).await?),
        _ => Ok(probed(probe::ask(&**connector, protocol).await?, connector)?),
    }
}

fn probed(answer: Answer, connector: &Arc<dyn Connector>) -> Result<Sight, LinkError> {
    match answer {
        Answer::Heard(identity) => {
            Ok(Sight { identity, outputs: Outputs::NotTold, tripped: None, generation: None })
        }
        Answer::Mute => Err(LinkError::Timeout { place: connector.place(), waited: QUIET }),
    }
}

async fn chain(connector: &dyn Connector) -> Result<Sight, LinkError> {
    let mut wire = connector.open().await?;
    let lost = |_| LinkError::Lost { place: connector.place() };
    wire.write_all(b"\nnupall?\nvall?\n").await.map_err(lost)?;
    let mut heard = Vec::new();
    let mut buffer = [0; 1024];
    while let Ok(read) = timeout_at(Instant::now() + QUIET, wire.read(&mut buffer)).await {
        match read.map_err(lost)? {
            0 => return Err(LinkError::Lost { place: connector.place() }),
            count => heard.extend_from_slice(buffer.get(..count).unwrap_or_default()),
        }
    }
    let text = String::from_utf8_lossy(&heard);
    let modules: Vec<_> = text.lines().filter(|line| line.contains(": ")).map(str::trim).collect();
    let volts = |line: &str| line.trim().strip_suffix(" V")?.parse().ok();
    let volts: Vec<f64> = text.lines().filter_map(volts).collect();
    if modules.is_empty() && volts.is_empty() {
        return Err(LinkError::Timeout { place: connector.place(), waited: QUIET });
    }
    let outputs = if volts.is_empty() { Outputs::NotTold } else { Outputs::Volts(volts) };
    Ok(Sight { identity: modules.join(", "), outputs, tripped: None, generation: None })
}
