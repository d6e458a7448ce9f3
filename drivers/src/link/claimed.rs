//! A port that is claimed before it is opened, and listened to on request.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use async_trait::async_trait;
use tokio::runtime::Handle;

use super::{Connector, Lease, LinkError, Locks, Port, TapConnector, Transport};
use crate::{
    record::Clock,
    recorded::{Records, RecordsError},
};

/// How long the holder of a port may not be heard of before it may be taken to hang. A holder that died frees the port at once.
const LEASE: Duration = Duration::from_secs(60);
/// The same where there is no runtime to renew it.
const UNRENEWED: Duration = Duration::from_secs(24 * 3600);

/// How ports are opened.
#[derive(Clone)]
pub struct PortAccess {
    owner: String,
    looks: bool,
    records: Option<Records>,
    claimed: Arc<Mutex<BTreeMap<String, Weak<dyn Connector>>>>,
}

/// A port that nobody else has as long as this lives.
struct Claimed {
    port: Port,
    _lease: Lease,
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
        Self { owner: owner.into(), looks: false, records: None, claimed: Arc::default() }
    }

    /// For who only looks: that a program died holding a port is still said to the next one.
    #[must_use]
    pub fn looking(self) -> Self {
        Self { looks: true, ..self }
    }

    /// The same, with all bytes recorded.
    #[must_use]
    pub fn recorded(mut self, records: Records) -> Self {
        self.records = Some(records);
        self
    }

    /// Claims the port of `device`, or gives it once more to who has it here already; it is free again when the last of the
    /// connectors is dropped.
    ///
    /// # Errors
    /// Somebody else has it: the message says who, and since when. Or its bytes cannot be recorded.
    pub fn claim(&self, device: &str, port: &Port) -> Result<Arc<dyn Connector>, LinkError> {
        let mut claimed = self.claimed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connector) = claimed.get(device).and_then(Weak::upgrade) {
            return Ok(connector);
        }
        let connector = self.claim_anew(device, port)?;
        claimed.insert(device.to_owned(), Arc::downgrade(&connector));
        Ok(connector)
    }

    fn claim_anew(&self, device: &str, port: &Port) -> Result<Arc<dyn Connector>, LinkError> {
        let lease = if Handle::try_current().is_ok() { LEASE } else { UNRENEWED };
        let mut lock = Locks::of_user(Clock::system()).take(port, &self.owner, lease)?;
        if self.looks {
            lock.visit();
        }
        let left_by = lock.left_by().cloned();
        let claimed: Arc<dyn Connector> = Arc::new(Claimed { port: port.clone(), _lease: lock.renewed() });
        let Some(records) = &self.records else { return Ok(claimed) };
        let unrecorded = |error: RecordsError| LinkError::Unrecorded {
            place: port.to_string(),
            reason: error.in_words().into(),
        };
        if let Some(holder) = left_by {
            let mut event = records.event("found", device);
            event.found = format!("the port was left by {holder}, which died");
            records.note(event).map_err(unrecorded)?;
        }
        Ok(match records.frame_log(device).map_err(unrecorded)? {
            Some(log) => Arc::new(TapConnector::new(claimed, device, log)),
            None => claimed,
        })
    }
}
