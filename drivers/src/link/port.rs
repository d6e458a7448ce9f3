//! Ports as operators write them.

use std::{fmt, str::FromStr, time::Duration};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio_serial::{SerialPortBuilderExt, SerialPortType};

use super::{Connector, LinkError, Transport};

/// Wait for a TCP connection.
const CONNECT: Duration = Duration::from_secs(3);
/// Baud rate where none is written.
pub(crate) const USUAL_BAUD: u32 = 115_200;

/// A wire: a serial port by path or by USB serial number, or a TCP address. 8 data bits, no parity, 1 stop bit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Port {
    /// `/dev/ttyUSB0`, `/dev/pts/4`, optionally with `@921600` behind.
    Serial {
        /// Device file.
        path: String,
        /// Bits a second.
        baud: u32,
    },
    /// `usb:SERIAL`, optionally with `@921600` behind: whatever port that device has today.
    Usb {
        /// USB serial number.
        serial: String,
        /// Bits a second.
        baud: u32,
    },
    /// `tcp:HOST:PORT`.
    Tcp {
        /// Host and port.
        address: String,
    },
}

/// Text that names no port.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{found}` is no port; expected a path such as /dev/ttyUSB0, `usb:SERIAL` or `tcp:HOST:PORT`, the first two optionally with `@BAUD`"
)]
pub struct PortError {
    /// What was written.
    pub found: String,
}

impl FromStr for Port {
    type Err = PortError;

    fn from_str(text: &str) -> Result<Self, PortError> {
        let refused = || PortError { found: text.to_owned() };
        if let Some(address) = text.strip_prefix("tcp:") {
            let (host, port) = address.rsplit_once(':').ok_or_else(refused)?;
            let _: u16 = port.parse().map_err(|_| refused())?;
            if host.is_empty() {
                return Err(refused());
            }
            return Ok(Self::Tcp { address: address.to_owned() });
        }
        let (place, baud) = match text.rsplit_once('@') {
            Some((place, baud)) => (place, baud.parse().ok().filter(|&baud| baud > 0).ok_or_else(refused)?),
            None => (text, USUAL_BAUD),
        };
        match place.strip_prefix("usb:") {
            Some("") => Err(refused()),
            Some(serial) => Ok(Self::Usb { serial: serial.to_owned(), baud }),
            None if place.starts_with('/') || place.to_ascii_uppercase().starts_with("COM") => {
                Ok(Self::Serial { path: place.to_owned(), baud })
            }
            None => Err(refused()),
        }
    }
}

impl TryFrom<String> for Port {
    type Error = PortError;

    fn try_from(text: String) -> Result<Self, PortError> {
        text.parse()
    }
}

impl From<Port> for String {
    fn from(port: Port) -> Self {
        port.to_string()
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (place, baud) = match self {
            Self::Tcp { address } => return write!(f, "tcp:{address}"),
            Self::Serial { path, baud } => (path.clone(), *baud),
            Self::Usb { serial, baud } => (format!("usb:{serial}"), *baud),
        };
        if baud == USUAL_BAUD { f.write_str(&place) } else { write!(f, "{place}@{baud}") }
    }
}

#[async_trait]
impl Connector for Port {
    async fn open(&self) -> Result<Box<dyn Transport>, LinkError> {
        match self {
            Self::Serial { path, baud } => open_serial(self, path, *baud),
            Self::Usb { serial, baud } => open_serial(self, &path_of(serial)?, *baud),
            Self::Tcp { address } => {
                let stream = tokio::time::timeout(CONNECT, TcpStream::connect(address))
                    .await
                    .map_err(|_| LinkError::Timeout { place: self.place(), waited: CONNECT })?
                    .map_err(|error| refused(self, &error.to_string()))?;
                stream.set_nodelay(true).map_err(|error| refused(self, &error.to_string()))?;
                Ok(Box::new(stream))
            }
        }
    }

    fn place(&self) -> String {
        self.to_string()
    }

    fn baud(&self) -> Option<u32> {
        match self {
            Self::Serial { baud, .. } | Self::Usb { baud, .. } => Some(*baud),
            Self::Tcp { .. } => None,
        }
    }
}

fn refused(port: &Port, reason: &str) -> LinkError {
    LinkError::Open { place: port.to_string(), reason: reason.to_owned() }
}

fn open_serial(port: &Port, path: &str, baud: u32) -> Result<Box<dyn Transport>, LinkError> {
    let stream = tokio_serial::new(path, baud)
        .open_native_async()
        .map_err(|error| refused(port, &error.to_string()))?;
    Ok(Box::new(stream))
}

/// The port at which the device of that USB serial number is now.
fn path_of(serial: &str) -> Result<String, LinkError> {
    let ports = tokio_serial::available_ports().unwrap_or_default();
    let mut found = Vec::new();
    for port in ports {
        if let SerialPortType::UsbPort(usb) = port.port_type
            && let Some(number) = usb.serial_number
        {
            if number == serial {
                return Ok(port.port_name);
            }
            found.push(number);
        }
    }
    let found = if found.is_empty() { "none".to_owned() } else { found.join(", ") };
    Err(LinkError::NotPluggedIn { wanted: serial.to_owned(), found })
}
