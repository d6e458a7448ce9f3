//! Byte streams to devices: serial ports, TCP connections, pipes in memory.
//!
//! A driver speaks in commands, its codec in frames or lines, and this room in bytes.

mod claimed;
mod discovery;
mod error;
mod lock;
mod memory;
mod port;
mod statistics;
mod tap;
mod transport;

pub use claimed::PortAccess;
pub use discovery::{Access, Discovery, LatencyTimer, SerialPort, UsbIdentity};
pub use error::LinkError;
pub(crate) use lock::user;
pub use lock::{Holder, Lease, Locks, PortLock};
pub use memory::{InMemory, pipe};
pub use port::{Port, PortError};
pub use statistics::{LinkStatistics, RoundTrip};
pub use tap::{Departure, Replay, TapConnector, Tapped};
pub use transport::{Connector, Transport};
