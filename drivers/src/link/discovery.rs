//! Serial ports of this machine as Linux tells them, under any root: `/`, or that of a test.

mod port;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::LinkError;

pub use port::{Access, LatencyTimer, SerialPort, UsbIdentity};

/// Looks for serial ports.
#[derive(Clone, Debug)]
pub struct Discovery {
    root: PathBuf,
}

impl Discovery {
    /// Of this machine.
    #[must_use]
    pub fn of_system() -> Self {
        Self::under("/")
    }

    /// Of a machine whose `/sys`, `/dev` and `/etc` are in this folder.
    #[must_use]
    pub fn under(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// All serial ports with a device behind them, by name. A port whose files cannot be read is told with what can be.
    #[must_use]
    pub fn ports(&self) -> Vec<SerialPort> {
        let mut names: Vec<_> = list(&self.root.join("sys/class/tty"))
            .into_iter()
            .filter(|class| is_real(class))
            .filter_map(|class| Some(class.file_name()?.to_str()?.to_owned()))
            .collect();
        names.sort_by_key(|name| {
            (name.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned(), name.len(), name.clone())
        });
        names.iter().map(|name| self.port(name)).collect()
    }

    /// The port of the device with this USB serial number.
    ///
    /// # Errors
    /// There is none; the message names those that are there.
    pub fn with_serial(&self, wanted: &str) -> Result<SerialPort, LinkError> {
        let ports = self.ports();
        let serial = |port: &SerialPort| port.usb.as_ref().and_then(|usb| usb.serial.clone());
        let found: Vec<_> = ports.iter().filter_map(serial).collect();
        ports.into_iter().find(|port| serial(port).as_deref() == Some(wanted)).ok_or_else(|| {
            let found = if found.is_empty() { "none".to_owned() } else { found.join(", ") };
            LinkError::NotPluggedIn { wanted: wanted.to_owned(), found }
        })
    }

    /// Sets how long an FTDI chip holds back an answer that does not fill a packet, 1 to 255 ms.
    ///
    /// # Errors
    /// The port has no such timer, or this user may not set it.
    pub fn set_latency_timer(&self, port: &SerialPort, milliseconds: u8) -> io::Result<()> {
        let Some(timer) = &port.latency_timer else {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "this port has no latency timer"));
        };
        if milliseconds == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a latency timer is set to 1 to 255 ms"));
        }
        fs::write(self.inside(&timer.path), milliseconds.to_string())
    }

    /// A path of that machine in the files of this one.
    fn inside(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }
}

fn list(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|file| file.path()).collect()
}

/// A terminal with a device; PC ports that are not fitted say type 0.
fn is_real(class: &Path) -> bool {
    class.join("device").exists() && port::line(&class.join("type")).as_deref() != Some("0")
}
