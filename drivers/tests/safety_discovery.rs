//! Serial ports are told from the system's files, here those of a folder.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
};

use alora_drivers::link::Discovery;
use tempfile::TempDir;

fn put(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn link(root: &Path, path: &str, to: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    symlink(to, path).unwrap();
}

/// A machine with an FTDI converter, a board on ACM, a fitted and an unfitted PC port, and a console.
fn machine() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let usb = "sys/devices/pci0/usb1/1-2";
    for (file, text) in [
        ("idVendor", "0403\n"),
        ("idProduct", "6015\n"),
        ("serial", "FT4XYZ12\n"),
        ("manufacturer", "FTDI\n"),
        ("product", "FT231X USB UART\n"),
    ] {
        put(root, &format!("{usb}/{file}"), text);
    }
    put(root, &format!("{usb}/1-2:1.0/ttyUSB0/latency_timer"), "16\n");
    link(root, &format!("{usb}/1-2:1.0/ttyUSB0/tty/ttyUSB0/device"), "../../../ttyUSB0");
    link(root, "sys/class/tty/ttyUSB0", "../../devices/pci0/usb1/1-2/1-2:1.0/ttyUSB0/tty/ttyUSB0");
    link(root, "sys/bus/usb-serial/devices/ttyUSB0", "../../../devices/pci0/usb1/1-2/1-2:1.0/ttyUSB0");
    put(root, "dev/ttyUSB0", "");
    link(root, "dev/serial/by-id/usb-FTDI_FT231X_FT4XYZ12-if00-port0", "../../ttyUSB0");
    let board = "sys/devices/pci0/usb1/1-3";
    put(root, &format!("{board}/idVendor"), "1209\n");
    put(root, &format!("{board}/idProduct"), "a10a\n");
    put(root, &format!("{board}/serial"), "\n");
    put(root, &format!("{board}/1-3:1.0/tty/ttyACM10/dev"), "166:10\n");
    link(root, &format!("{board}/1-3:1.0/tty/ttyACM10/device"), "../../../1-3:1.0");
    link(root, "sys/class/tty/ttyACM10", "../../devices/pci0/usb1/1-3/1-3:1.0/tty/ttyACM10");
    for (name, kind) in [("ttyS0", "4\n"), ("ttyS1", "0\n")] {
        put(root, &format!("sys/class/tty/{name}/type"), kind);
        put(root, &format!("sys/class/tty/{name}/device/uevent"), "");
        put(root, &format!("dev/{name}"), "");
    }
    put(root, "sys/class/tty/tty0/dev", "4:0\n");
    let group = fs::metadata(root.join("dev/ttyUSB0")).unwrap().gid();
    put(root, "etc/group", &format!("nobody:x:65533:\ndialout:x:{group}:ada\n"));
    folder
}

#[test]
fn ports_with_a_device_behind_them_are_listed_with_all_that_is_known() {
    let machine = machine();
    let ports = Discovery::under(machine.path()).ports();
    let paths: Vec<_> = ports.iter().map(|port| port.path.to_str().unwrap()).collect();
    assert_eq!(paths, ["/dev/ttyACM10", "/dev/ttyS0", "/dev/ttyUSB0"]);
    let usb = ports[2].usb.as_ref().unwrap();
    assert_eq!((usb.vendor.as_str(), usb.product.as_str()), ("0403", "6015"));
    assert_eq!(usb.serial.as_deref(), Some("FT4XYZ12"));
    assert_eq!((usb.manufacturer.as_deref(), usb.name.as_deref()), (Some("FTDI"), Some("FT231X USB UART")));
    assert_eq!(
        ports[2].by_id.as_ref().unwrap(),
        Path::new("/dev/serial/by-id/usb-FTDI_FT231X_FT4XYZ12-if00-port0")
    );
    let access = ports[2].access.as_ref().unwrap();
    assert_eq!((access.readable, access.writable, access.group.as_str()), (true, true, "dialout"));
    assert_eq!(ports[2].latency_timer.as_ref().unwrap().milliseconds, 16);
    assert_eq!((&ports[1].usb, &ports[1].latency_timer), (&None, &None));
    assert_eq!(ports[0].usb.as_ref().unwrap().serial, None);
}

#[test]
fn the_latency_timer_is_advised_and_set() {
    let machine = machine();
    let discovery = Discovery::under(machine.path());
    let port = discovery.with_serial("FT4XYZ12").unwrap();
    assert_eq!(
        port.advice(),
        ["/dev/ttyUSB0 holds back each answer for up to 16 ms; `echo 1 | sudo tee \
          /sys/bus/usb-serial/devices/ttyUSB0/latency_timer` makes it 1 ms until it is plugged in again"]
    );
    assert!(discovery.set_latency_timer(&port, 0).is_err());
    discovery.set_latency_timer(&port, 1).unwrap();
    let port = discovery.with_serial("FT4XYZ12").unwrap();
    assert_eq!((port.latency_timer.as_ref().unwrap().milliseconds, port.advice().len()), (1, 0));
}

#[test]
fn a_port_that_may_not_be_used_and_one_without_a_file_are_advised() {
    let machine = machine();
    let mut port = Discovery::under(machine.path()).with_serial("FT4XYZ12").unwrap();
    port.latency_timer = None;
    port.access.as_mut().unwrap().writable = false;
    assert_eq!(
        port.advice(),
        [
            "/dev/ttyUSB0 may not be used by you: it belongs to the group dialout; `sudo usermod -aG dialout $USER`, then log \
          in again"
        ]
    );
    let ports = Discovery::under(machine.path()).ports();
    assert_eq!(
        ports[0].advice(),
        ["/dev/ttyACM10 is not there though the system knows the device; plug it in again"]
    );
}

#[test]
fn rights_are_those_of_this_user() {
    let machine = machine();
    fs::set_permissions(machine.path().join("dev/ttyUSB0"), fs::Permissions::from_mode(0o440)).unwrap();
    let port = Discovery::under(machine.path()).with_serial("FT4XYZ12").unwrap();
    let access = port.access.unwrap();
    assert_eq!(access.mode, 0o440);
    let root = fs::OpenOptions::new().write(true).open(machine.path().join("dev/ttyUSB0")).is_ok();
    assert_eq!(access.writable, root, "as the system would decide");
}

#[test]
fn a_serial_number_that_is_not_there_is_told_with_those_that_are() {
    let machine = machine();
    let text = Discovery::under(machine.path()).with_serial("A1").unwrap_err().to_string();
    assert!(
        text.starts_with("no serial port with USB serial number A1 is plugged in; found: FT4XYZ12"),
        "{text}"
    );
    assert_eq!(Discovery::under(machine.path().join("empty")).ports(), []);
}
