//! The devices of a station, played.

use std::{io, path::Path};

use serde::Serialize;
use tokio::net::TcpListener;

use super::{Device, Emulator, Pty, World, powered};
use crate::station::{DeviceEntry, EmulatedDevice, Outlet, Station, StationError};

/// A device ready to be served.
pub struct Played {
    name: String,
    protocol: &'static str,
    emulator: Emulator<Box<dyn Device>>,
    outlet: Outlet,
    tcp_port: u16,
}

/// A device on its port.
pub struct Served {
    announcement: Announcement,
    emulator: Emulator<Box<dyn Device>>,
    open: Open,
}

enum Open {
    Pty(Pty),
    Tcp(TcpListener),
}

/// Where a played device is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Announcement {
    /// Name in the station file.
    pub name: String,
    /// What it speaks.
    pub protocol: &'static str,
    /// Device file, of a pseudo-terminal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Host and port, of TCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// All devices of a checked station, powered; those of its bench in front of one chip.
///
/// # Errors
/// A chip that cannot be simulated or carried by a board, or an unknown kind of module.
pub fn play(station: &Station) -> Result<Vec<Played>, StationError> {
    let usual = EmulatedDevice::default();
    let world = station.bench.as_ref().map(|bench| World::of(station, bench)).transpose()?;
    let played = |(name, entry): (&String, &DeviceEntry)| {
        let settings = station.emulate.device.get(name).unwrap_or(&usual);
        let device = powered::device(station, world.as_ref(), name, settings)?;
        Ok(Played::new(name, entry.protocol(), device, settings))
    };
    station.device.iter().map(played).collect()
}

impl Played {
    fn new(name: &str, protocol: &'static str, device: Box<dyn Device>, settings: &EmulatedDevice) -> Self {
        Self {
            name: name.to_owned(),
            protocol,
            emulator: Emulator::new(device, settings.line, settings.faults.clone()),
            outlet: settings.serve,
            tcp_port: settings.tcp_port,
        }
    }

    /// Name in the station file.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The device before its port.
    #[must_use]
    pub fn emulator(&self) -> &Emulator<Box<dyn Device>> {
        &self.emulator
    }

    /// Opens its port. Needs a runtime.
    ///
    /// # Errors
    /// No pseudo-terminal is free, or the TCP port is taken.
    pub async fn open(self) -> io::Result<Served> {
        let Self { name, protocol, emulator, outlet, tcp_port } = self;
        let mut announcement = Announcement { name, protocol, path: None, address: None };
        let open = match outlet {
            Outlet::Pty => {
                let pty = Pty::open()?;
                announcement.path = Some(pty.path().display().to_string());
                Open::Pty(pty)
            }
            Outlet::Tcp => {
                let listener = TcpListener::bind(("127.0.0.1", tcp_port)).await?;
                announcement.address = Some(listener.local_addr()?.to_string());
                Open::Tcp(listener)
            }
        };
        Ok(Served { announcement, emulator, open })
    }
}

impl Served {
    /// Where it is reached.
    #[must_use]
    pub fn announcement(&self) -> &Announcement {
        &self.announcement
    }

    /// Serves for ever; `replugged` is told where it is after each time that the plug was out.
    ///
    /// # Errors
    /// The port fails.
    pub async fn serve(self, mut replugged: impl FnMut(&Announcement)) -> io::Result<()> {
        let Self { mut announcement, emulator, open } = self;
        match open {
            Open::Tcp(listener) => emulator.serve_tcp(listener).await,
            Open::Pty(pty) => {
                let moved = |path: &Path| {
                    announcement.path = Some(path.display().to_string());
                    replugged(&announcement);
                };
                emulator.serve_pty(pty, moved).await
            }
        }
    }
}
