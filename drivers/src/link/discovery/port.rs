//! What is known of one serial port.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{Discovery, list};

/// A serial port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SerialPort {
    /// Device file.
    pub path: PathBuf,
    /// Name that stays with the device, below `/dev/serial/by-id`.
    pub by_id: Option<PathBuf>,
    /// The USB device, where it is one.
    pub usb: Option<UsbIdentity>,
    /// Timer of an FTDI chip.
    pub latency_timer: Option<LatencyTimer>,
    /// Who may use it; `None`: there is no device file.
    pub access: Option<Access>,
}

/// What a USB device says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UsbIdentity {
    /// Vendor, four hex digits.
    pub vendor: String,
    /// Product, four hex digits.
    pub product: String,
    /// Serial number.
    pub serial: Option<String>,
    /// Maker in words.
    pub manufacturer: Option<String>,
    /// Product in words.
    pub name: Option<String>,
}

/// How long an FTDI chip holds back an answer that does not fill a packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LatencyTimer {
    /// Now.
    pub milliseconds: u8,
    /// Where it is set.
    pub path: PathBuf,
    /// True when this user may set it.
    pub writable: bool,
}

/// Who may use a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Access {
    /// This user may read.
    pub readable: bool,
    /// This user may write.
    pub writable: bool,
    /// Group of the device file.
    pub group: String,
    /// Rights of owner, group and others.
    pub mode: u32,
}

impl SerialPort {
    /// What the operator should do about this port, in sentences; empty: nothing.
    #[must_use]
    pub fn advice(&self) -> Vec<String> {
        let path = self.path.display();
        let mut advice = Vec::new();
        match &self.access {
            None => advice.push(format!("{path} is not there though the system knows the device; plug it in again")),
            Some(access) if !(access.readable && access.writable) => advice.push(format!(
                "{path} may not be used by you: it belongs to the group {group}; `sudo usermod -aG {group} $USER`, then log in again",
                group = access.group
            )),
            Some(_) => {}
        }
        if let Some(timer) = self.latency_timer.as_ref().filter(|timer| timer.milliseconds > 1) {
            advice.push(format!(
                "{path} holds back each answer for up to {} ms; `echo 1 | sudo tee {}` makes it 1 ms until it is plugged in again",
                timer.milliseconds,
                timer.path.display()
            ));
        }
        advice
    }
}

impl Discovery {
    pub(super) fn port(&self, name: &str) -> SerialPort {
        let path = Path::new("/dev").join(name);
        let device = fs::canonicalize(self.root.join("sys/class/tty").join(name).join("device")).ok();
        SerialPort {
            by_id: self.by_id(name),
            usb: device.as_deref().and_then(usb),
            latency_timer: self.latency_timer(name),
            access: self.access(&path),
            path,
        }
    }

    fn by_id(&self, name: &str) -> Option<PathBuf> {
        let leads_here = |link: &PathBuf| {
            fs::read_link(link).is_ok_and(|to| to.file_name().is_some_and(|file| file == name))
        };
        let link = list(&self.root.join("dev/serial/by-id")).into_iter().find(leads_here)?;
        Some(Path::new("/dev/serial/by-id").join(link.file_name()?))
    }

    fn latency_timer(&self, name: &str) -> Option<LatencyTimer> {
        let path = Path::new("/sys/bus/usb-serial/devices").join(name).join("latency_timer");
        let here = self.inside(&path);
        let milliseconds = line(&here)?.parse().ok()?;
        Some(LatencyTimer { milliseconds, path, writable: rights::may_write(&here) })
    }

    fn access(&self, path: &Path) -> Option<Access> {
        let here = self.inside(path);
        let (group, mode) = rights::group_and_mode(&here)?;
        Some(Access {
            readable: rights::may_read(&here),
            writable: rights::may_write(&here),
            group: self.group(group),
            mode,
        })
    }

    fn group(&self, number: u32) -> String {
        let groups = fs::read_to_string(self.root.join("etc/group")).unwrap_or_default();
        let named = groups.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)? == number.to_string()).then(|| name.to_owned())
        });
        named.unwrap_or_else(|| number.to_string())
    }
}

/// The nearest USB device above a terminal's device.
fn usb(device: &Path) -> Option<UsbIdentity> {
    let usb = device.ancestors().find(|folder| folder.join("idVendor").exists())?;
    let of = |file| line(&usb.join(file)).filter(|text| !text.is_empty());
    Some(UsbIdentity {
        vendor: of("idVendor")?,
        product: of("idProduct")?,
        serial: of("serial"),
        manufacturer: of("manufacturer"),
        name: of("product"),
    })
}

/// The one line of a file of the system.
pub(super) fn line(path: &Path) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

#[cfg(unix)]
mod rights {
    use std::{fs, os::unix::fs::MetadataExt, path::Path};

    use rustix::fs::{Access, access};

    pub(super) fn may_read(path: &Path) -> bool {
        access(path, Access::READ_OK).is_ok()
    }

    pub(super) fn may_write(path: &Path) -> bool {
        access(path, Access::WRITE_OK).is_ok()
    }

    pub(super) fn group_and_mode(path: &Path) -> Option<(u32, u32)> {
        let found = fs::metadata(path).ok()?;
        Some((found.gid(), found.mode() & 0o777))
    }
}

#[cfg(not(unix))]
mod rights {
    use std::path::Path;

    pub(super) fn may_read(_path: &Path) -> bool {
        true
    }

    pub(super) fn may_write(_path: &Path) -> bool {
        true
    }

    pub(super) fn group_and_mode(_path: &Path) -> Option<(u32, u32)> {
        None
    }
}
