//! Wires that are listened to, and conversations that are played again from what was heard.

mod replay;

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Connector, LinkError, Transport};
use crate::record::{FrameLog, Traffic};

pub use replay::{Departure, Replay};

/// A wire all of whose bytes are recorded; it waits for nothing that the wire itself does not wait for.
pub struct Tapped<T> {
    wire: T,
    device: String,
    log: FrameLog,
    ended: bool,
}

impl<T> Tapped<T> {
    /// Listens to a wire that was just opened.
    #[must_use]
    pub fn new(wire: T, device: impl Into<String>, log: FrameLog) -> Self {
        let device = device.into();
        log.record(&device, &Traffic::Opened);
        Self { wire, device, log, ended: false }
    }

    fn end(&mut self) {
        if !std::mem::replace(&mut self.ended, true) {
            self.log.record(&self.device, &Traffic::Closed);
        }
    }
}

impl<T> Drop for Tapped<T> {
    fn drop(&mut self) {
        self.end();
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Tapped<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (before, room) = (into.filled().len(), into.remaining());
        let read = ready!(Pin::new(&mut self.wire).poll_read(cx, into));
        let bytes = into.filled().get(before..).unwrap_or_default().to_vec();
        if !bytes.is_empty() {
            self.log.record(&self.device, &Traffic::Received { bytes });
        } else if read.is_err() || room > 0 {
            self.end();
        }
        Poll::Ready(read)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Tapped<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.wire).poll_write(cx, bytes));
        if let Ok(taken) = &written {
            let bytes = bytes.get(..*taken).unwrap_or_default().to_vec();
            self.log.record(&self.device, &Traffic::Sent { bytes });
        }
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_shutdown(cx)
    }
}

/// A connector all of whose wires are recorded, under the name of a device.
#[derive(Clone)]
pub struct TapConnector {
    wires: Arc<dyn Connector>,
    device: String,
    log: FrameLog,
}

impl TapConnector {
    /// Listens to every wire that `wires` opens.
    #[must_use]
    pub fn new(wires: Arc<dyn Connector>, device: impl Into<String>, log: FrameLog) -> Self {
        Self { wires, device: device.into(), log }
    }
}

#[async_trait]
impl Connector for TapConnector {
    async fn open(&self) -> Result<Box<dyn Transport>, LinkError> {
        let wire = self.wires.open().await?;
        Ok(Box::new(Tapped::new(wire, self.device.clone(), self.log.clone())))
    }

    fn place(&self) -> String {
        self.wires.place()
    }

    fn baud(&self) -> Option<u32> {
        self.wires.baud()
    }
}
