//! What a driver needs of a wire.

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};

use super::LinkError;

/// An open byte stream. A read of 0 bytes means that the other end is gone.
pub trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// How a wire is opened, and opened again after it was lost.
#[async_trait]
pub trait Connector: Send + Sync {
    /// Opens the wire.
    ///
    /// # Errors
    /// A port that is not there, not allowed, or refuses.
    async fn open(&self) -> Result<Box<dyn Transport>, LinkError>;

    /// Where the wire leads, as the operator wrote it: `/dev/ttyUSB0`, `tcp:192.168.1.5:5025`, `usb:FT4XYZ12`.
    fn place(&self) -> String;

    /// Bits a second on the wire, 10 a byte; `None` where the wire is no bottleneck (TCP, memory).
    fn baud(&self) -> Option<u32>;
}
