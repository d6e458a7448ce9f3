//! A wire inside the process: for tests, and for emulators that need no port.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::io::{DuplexStream, duplex};

use super::{Connector, LinkError, Transport};

/// Bytes that a pipe holds before the writer has to wait.
const CAPACITY: usize = 1 << 16;

/// Both ends of a wire in memory.
#[must_use]
pub fn pipe() -> (DuplexStream, DuplexStream) {
    duplex(CAPACITY)
}

/// A connector that makes a pipe and hands its far end to whoever plays the device.
#[derive(Clone)]
pub struct InMemory {
    place: String,
    plug: Arc<dyn Fn(DuplexStream) -> bool + Send + Sync>,
}

impl InMemory {
    /// `plug` is given the device's end of each new wire; it answers `false` when the device is unplugged.
    #[must_use]
    pub fn new(
        place: impl Into<String>,
        plug: impl Fn(DuplexStream) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self { place: place.into(), plug: Arc::new(plug) }
    }
}

#[async_trait]
impl Connector for InMemory {
    async fn open(&self) -> Result<Box<dyn Transport>, LinkError> {
        let (host, device) = pipe();
        if (self.plug)(device) {
            Ok(Box::new(host))
        } else {
            Err(LinkError::Open { place: self.place.clone(), reason: "nothing is plugged in".to_owned() })
        }
    }

    fn place(&self) -> String {
        self.place.clone()
    }

    fn baud(&self) -> Option<u32> {
        None
    }
}
