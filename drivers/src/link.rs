//! Byte streams to devices: serial ports, TCP connections, pipes in memory.
//!
//! A driver speaks in commands, its codec in frames or lines, and this room in bytes.

mod error;
mod memory;
mod port;
mod statistics;
mod transport;

pub use error::LinkError;
pub use memory::{InMemory, pipe};
pub use port::{Port, PortError};
pub use statistics::{LinkStatistics, RoundTrip};
pub use transport::{Connector, Transport};
