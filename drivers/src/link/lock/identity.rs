//! One name for each device, whatever it is called.

use std::{fs, path::Path};

use crate::link::{Discovery, LinkError, Port};

/// A name that may be one of a file.
pub(super) fn of(port: &Port) -> Result<String, LinkError> {
    match port {
        Port::Tcp { address } => Ok(of_address(address)),
        Port::Serial { path, .. } => Ok(of_path(Path::new(path))),
        Port::Usb { serial, .. } => {
            let found = Discovery::of_system().with_serial(serial)?;
            Ok(of_path(&found.path))
        }
    }
}

fn of_address(address: &str) -> String {
    let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
    let host = match host.to_ascii_lowercase().as_str() {
        "localhost" | "[::1]" => "127.0.0.1".to_owned(),
        host => host.trim_end_matches('.').to_owned(),
    };
    format!("tcp-{}-{port}", plain(&host))
}

/// The device's number where there is one: two device files may lead to one device.
fn of_path(path: &Path) -> String {
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    number(&real).unwrap_or_else(|| format!("path-{}", plain(&real.to_string_lossy())))
}

#[cfg(unix)]
fn number(path: &Path) -> Option<String> {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};

    let found = fs::metadata(path).ok()?;
    found.file_type().is_char_device().then(|| format!("device-{:x}", found.rdev()))
}

#[cfg(not(unix))]
fn number(_path: &Path) -> Option<String> {
    None
}

/// Letters, digits, dots and hyphens as they are; everything else by its number, so that no two names become one.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() || c == '.' || c == '-' {
            plain.push(c);
        } else {
            plain.push_str(&format!("_{:x}_", u32::from(c)));
        }
    }
    plain
}
