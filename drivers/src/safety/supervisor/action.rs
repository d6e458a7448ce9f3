//! Making one device safe.

use std::{fmt::Write, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, timeout_at},
};

use crate::link::{Connector, LinkError};

/// What makes one device safe, whatever state it and its wire are in.
#[async_trait]
pub trait SafeAction: Send + Sync {
    /// Where the device is.
    fn place(&self) -> String;

    /// Makes it safe. Repeatable: it is tried again after an error.
    ///
    /// # Errors
    /// The wire does not open or take the bytes.
    async fn make_safe(&self) -> Result<(), LinkError>;
}

/// Bytes that make a device safe, sent over a fresh wire.
pub struct SafeBytes {
    connector: Arc<dyn Connector>,
    pieces: Vec<Vec<u8>>,
    wait: Duration,
}

impl SafeBytes {
    /// Sends `pieces` one after another, and after each waits until the device answers, or for `wait`, whatever it answers.
    #[must_use]
    pub fn new(connector: Arc<dyn Connector>, pieces: Vec<Vec<u8>>, wait: Duration) -> Self {
        Self { connector, pieces, wait }
    }
}

#[async_trait]
impl SafeAction for SafeBytes {
    fn place(&self) -> String {
        self.connector.place()
    }

    async fn make_safe(&self) -> Result<(), LinkError> {
        let lost = |_| LinkError::Lost { place: self.place() };
        let mut wire = self.connector.open().await?;
        let mut answer = [0; 256];
        for piece in &self.pieces {
            wire.write_all(piece).await.map_err(lost)?;
            wire.flush().await.map_err(lost)?;
            // Reading also keeps the wire open until the bytes have left it.
            let end = Instant::now() + self.wait;
            if let Ok(Ok(0)) = timeout_at(end, wire.read(&mut answer)).await {
                return Err(LinkError::Lost { place: self.place() });
            }
        }
        Ok(())
    }
}

/// Zero for `channels` channels of a device that takes lines like `v0=0`, in pieces of one line.
///
/// All twice: the host may have died within a binary frame, and then the device takes the first of these bytes for the rest of it.
#[must_use]
pub fn zero_by_line(channels: usize) -> Vec<Vec<u8>> {
    let once = (0..channels).map(|channel| {
        let mut line = String::new();
        let _ = writeln!(line, "v{channel}=0");
        line.into_bytes()
    });
    std::iter::once(b"\n".to_vec()).chain(once.clone()).chain(once).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_channel_is_zeroed_twice_by_a_line_of_its_own() {
        assert_eq!(zero_by_line(2).concat(), b"\nv0=0\nv1=0\nv0=0\nv1=0\n");
    }
}
