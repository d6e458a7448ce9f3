//! A port that is claimed before it is opened, and listened to on request.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use super::{Connector, LinkError, Locks, Port, PortLock, TapConnector, Transport};
use crate::record::{Clock, FrameLog};

/// How long the holder of a port may be at work before it may be taken to hang. Long, for it is not renewed on the way; a holder
/// that died frees the port at once.
const LEASE: Duration = Duration::from_secs(24 * 3600);

/// How ports are opened.
#[derive(Clone)]
pub struct PortAccess {
    /// The program that opens them.
    pub owner: String,
    /// Where all bytes are recorded.
    pub log: Option<FrameLog>,
}

/// A port that nobody else has as long as this lives.
struct Claimed {
    port: Port,
    _lock: PortLock,
}

#[async_trait]
impl Connector for Claimed {
    async fn open(&self) -> Result<Box<dyn Transport>, LinkError> {
        self.port.open().await
    }

    fn place(&self) -> String {
        self.port.place()
    }

    fn baud(&self) -> Option<u32> {
        self.port.baud()
    }
}

impl PortAccess {
    /// For the program of that name, unrecorded.
    #[must_use]
    pub fn of(owner: impl Into<String>) -> Self {
        Self { owner: owner.into(), log: None }
    }

    /// Claims the port of `device`; it is free again when the last of the connectors is dropped.
    ///
    /// # Errors
    /// Somebody else has it: the message says who, and since when.
    pub fn claim(&self, device: &str, port: &Port) -> Result<Arc<dyn Connector>, LinkError> {
        let lock = Locks::of_user(Clock::system()).take(port, &self.owner, LEASE)?;
        let claimed: Arc<dyn Connector> = Arc::new(Claimed { port: port.clone(), _lock: lock });
        Ok(match &self.log {
            Some(log) => Arc::new(TapConnector::new(claimed, device, log.clone())),
            None => claimed,
        })
    }
}
