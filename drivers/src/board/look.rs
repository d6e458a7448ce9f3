//! A look at a board: what it is and what it drives. Nothing is written, not even its watchdog.

use std::sync::Arc;

use alora_board_protocol::{Hello, Request};

use super::link::{Link, LinkOptions};
use crate::{
    ActuatorFrame, BackendErrorKind, Generation,
    link::Connector,
    recorded::{Outputs, Sight},
};

/// Asks a board of any kind.
///
/// # Errors
/// The port cannot be opened, or nothing that makes sense comes back.
pub(crate) async fn look(connector: &Arc<dyn Connector>) -> Result<Sight, BackendErrorKind> {
    let mut link = Link::open(connector, LinkOptions::default()).await?;
    let payload = link.ask(Request::Hello, 280, false).await?;
    let hello = Hello::parse(&payload).ok_or_else(|| {
        BackendErrorKind::refused("HELLO".to_owned(), "an answer of another shape".to_owned())
    })?;
    link.max_payload = usize::from(hello.max_payload);
    // Between two looks of one program, so that no READ has the number of the one before.
    link.sense().await?;
    let held = link.read(usize::from(hello.actuators)).await?;
    let (major, minor) = hello.firmware;
    Ok(Sight {
        identity: format!(
            "{}, firmware {major}.{minor}, protocol 1.{}, {} actuators",
            String::from_utf8_lossy(hello.serial),
            hello.minor,
            hello.actuators
        ),
        outputs: Outputs::Codes(ActuatorFrame(held)),
        tripped: Some(hello.flags.tripped()),
        generation: Some(Generation { boot: hello.boot_id, commits: hello.commit_epoch }),
    })
}
