//! However a command leaves, the chip it drove is at zero: asked of the device itself, on its wire, once the command is gone.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::{
    fs::{self, File},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use alora_board_protocol::{Codes, FrameReader, Hello, Kind, REPLY, Request, max_encoded};
use alora_drivers::link::{Connector, Port, Transport};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[path = "common/emulated.rs"]
mod emulated;

use emulated::{Emulated, alora};

/// Wait for anything, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);
/// From the end of a command to the last word of its supervisor: zeroed, and read back. Alone it takes a second.
const ZEROED: Duration = Duration::from_secs(5);
const ACTUATORS: u16 = 256;

fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < end, "{what}: not within {PATIENCE:?}");
        thread::yield_now();
    }
}

fn signal(pid: u32, signal: &str) {
    assert!(Command::new("kill").args([format!("-{signal}"), pid.to_string()]).status().unwrap().success());
}

/// A command that drives a device, and what it and its supervisor say.
struct Host {
    process: Child,
    said: PathBuf,
}

impl Host {
    fn start(folder: &Path, arguments: &[String]) -> Self {
        let said = folder.join("said");
        let stderr = File::create(&said).unwrap();
        Self::start_saying_to(stderr, said, arguments)
    }

    fn start_saying_to(stderr: File, said: PathBuf, arguments: &[String]) -> Self {
        let process = alora().args(arguments).stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
        Self { process, said }
    }

    /// `alora soak` on the chain at `port`, once it has set the first values.
    fn soaks(folder: &Path, port: &str, more: &[&str]) -> Self {
        let said = folder.join("said");
        Self::soaks_saying_to(File::create(&said).unwrap(), folder, port, more)
    }

    fn soaks_saying_to(stderr: File, folder: &Path, port: &str, more: &[&str]) -> Self {
        let log = folder.join("soak.csv");
        let mut arguments: Vec<String> =
            ["soak", "configs/soak-qontrol.toml", "--device", "weights"].map(str::to_owned).to_vec();
        arguments.extend(["--log".to_owned(), log.display().to_string()]);
        arguments.extend(["--set".to_owned(), format!("device.weights.port={port}")]);
        arguments.extend(more.iter().map(|&argument| argument.to_owned()));
        let host = Self::start_saying_to(stderr, folder.join("said"), &arguments);
        until("the first values", || (fs::metadata(&log).ok()?.len() > 100).then_some(()));
        host
    }

    /// `alora calibrate` on a board without a watchdog to speak of, while it measures.
    fn calibrates(folder: &Path, board: &str, port: &str) -> Self {
        let station = folder.join("station.toml");
        let file = fs::read_to_string("configs/emulated-board.toml").unwrap();
        let file = file.replace("watchdog_ms = 2000", "watchdog_ms = 60000");
        let other = "protocol = \"board\"\nport = \"tcp:";
        let file = file.replace(other, &format!("watchdog_ms = 60000\n{other}"));
        fs::write(&station, file.replace("device = \"board\"", &format!("device = \"{board}\""))).unwrap();
        let out = folder.join("run");
        let arguments = [
            "calibrate".to_owned(),
            "configs/demo.toml".to_owned(),
            "--out".to_owned(),
            out.display().to_string(),
            "--set".to_owned(),
            format!("processor.station={}", station.display()),
            "--set".to_owned(),
            format!("processor.ports.{board}={port}"),
            "--set".to_owned(),
            "measurement.programmings=10000".to_owned(),
        ];
        let host = Self::start(folder, &arguments);
        until("the calibration", || out.join("calibration.toml").exists().then_some(()));
        host
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.said).unwrap()
    }

    /// Bytes that it has written to anything.
    fn written(&self) -> u64 {
        let io = fs::read_to_string(format!("/proc/{}/io", self.process.id())).unwrap();
        io.lines().find_map(|line| line.strip_prefix("wchar: ")).unwrap().parse().unwrap()
    }

    fn supervisor(&self) -> u32 {
        until("the supervisor", || supervisors_of(self.process.id()).first().copied())
    }

    fn ended(&mut self) -> ExitStatus {
        until(&format!("the end of the command; it says {}", self.said()), || {
            self.process.try_wait().unwrap()
        })
    }

    /// After the end of the command: how long its supervisor took, and what both said.
    fn left(&self, supervisor: u32) -> String {
        let start = Instant::now();
        until("the end of the supervisor", || is_over(supervisor).then_some(()));
        assert!(start.elapsed() < ZEROED, "{:?}: {}", start.elapsed(), self.said());
        self.said()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Of a process with that id: state and parent.
fn stat(pid: u32) -> Option<(char, u32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

fn is_over(pid: u32) -> bool {
    stat(pid).is_none_or(|(state, _)| matches!(state, 'Z' | 'X'))
}

fn supervisors_of(host: u32) -> Vec<u32> {
    let pids =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let supervises = |pid: &u32| {
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        command.split(|&byte| byte == 0).any(|word| word == b"supervise")
    };
    pids.filter(|pid| stat(*pid).is_some_and(|(_, parent)| parent == host)).filter(supervises).collect()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, future).await.unwrap() })
}

async fn wire(port: &str) -> Box<dyn Transport> {
    port.parse::<Port>().unwrap().open().await.unwrap()
}

/// What so many channels of a chain say that they hold.
fn volts(port: &str, channels: usize) -> Vec<String> {
    block_on(async {
        let mut wire = wire(port).await;
        wire.write_all(b"\nvall?\n").await.unwrap();
        let mut heard = Vec::new();
        while heard.iter().filter(|&&byte| byte == b'\n').count() < channels {
            heard.push(wire.read_u8().await.unwrap());
        }
        String::from_utf8(heard).unwrap().lines().map(str::to_owned).collect()
    })
}

/// One line, asked of an instrument.
fn answer(port: &str, question: &[u8], end: u8) -> String {
    block_on(async {
        let mut wire = wire(port).await;
        wire.write_all(question).await.unwrap();
        let mut heard = Vec::new();
        while heard.last() != Some(&end) {
            heard.push(wire.read_u8().await.unwrap());
        }
        String::from_utf8(heard).unwrap().trim().to_owned()
    })
}

/// The codes that a board says are in effect.
fn codes(port: &str) -> Vec<u16> {
    block_on(async {
        let mut wire = wire(port).await;
        let mut codes = Vec::new();
        for first in (0..ACTUATORS).step_by(64) {
            let payload =
                asked(&mut wire, 0xE000 + first, Request::Read { first, count: 64 }, Kind::Read).await;
            codes.extend(Codes::new(&payload[1..]).unwrap().iter());
        }
        codes
    })
}

/// One answer of a board.
async fn asked(wire: &mut Box<dyn Transport>, seq: u16, request: Request<'_>, kind: Kind) -> Vec<u8> {
    let mut frame = vec![0; max_encoded(300)];
    let length = request.encode(seq, &mut frame).unwrap();
    wire.write_all(&[&[0], &frame[..length]].concat()).await.unwrap();
    let mut reader = FrameReader::new(vec![0; max_encoded(2048)]);
    loop {
        let byte = [wire.read_u8().await.unwrap()];
        let mut heard = &byte[..];
        if let Some(Ok(frame)) = reader.feed(&mut heard)
            && (frame.kind, frame.seq) == (kind as u8 | REPLY, seq)
        {
            return frame.payload.to_vec();
        }
    }
}

fn outputs_enabled(port: &str) -> bool {
    block_on(async {
        let payload = asked(&mut wire(port).await, 0xE100, Request::Hello, Kind::Hello).await;
        Hello::parse(&payload).unwrap().flags.outputs_enabled()
    })
}

fn assert_zero_volts(port: &str, channels: usize, said: &str) {
    let volts = volts(port, channels);
    assert!(volts.iter().all(|volts| volts == "+0.0000 V"), "{volts:?}\n{said}");
}

fn is_zero(codes: &[u16]) -> bool {
    codes.iter().all(|&code| code == 0)
}

#[test]
fn a_soak_that_is_asked_to_stop_parks_the_chain_and_leaves_no_supervisor() {
    let emulated = Emulated::start(&["configs/emulated-qontrol.toml"]);
    let port = emulated.port("weights");
    for stop in ["INT", "TERM", "HUP"] {
        let folder = TempDir::new().unwrap();
        let mut host = Host::soaks(folder.path(), &port, &["--pairs", "1000000"]);
        let supervisor = host.supervisor();
        signal(host.process.id(), stop);
        assert_eq!(host.ended().code(), Some(130), "{stop}: {}", host.said());
        assert!(is_over(supervisor), "{stop}: the command outlives its supervisor");
        let said = host.said();
        assert!(said.contains("the processor is parked") && !said.contains("supervisor:"), "{stop}: {said}");
        assert_zero_volts(&port, 8, &said);
    }
}

#[test]
fn a_terminal_that_takes_no_word_any_more_does_not_keep_a_soak_from_parking() {
    let emulated = Emulated::start(&["configs/emulated-qontrol.toml"]);
    let port = emulated.port("weights");
    let folder = TempDir::new().unwrap();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut host = Host::soaks_saying_to(full, folder.path(), &port, &["--pairs", "1000000"]);
    let supervisor = host.supervisor();
    signal(host.process.id(), "HUP");
    let ended = until("the end of the command", || host.process.try_wait().unwrap());
    assert_eq!(ended.code(), Some(130));
    assert!(is_over(supervisor), "the command outlives its supervisor");
    assert_zero_volts(&port, 8, "");
}

#[test]
fn a_soak_that_is_done_leaves_zero_and_no_supervisor() {
    let emulated = Emulated::start(&["configs/emulated-qontrol.toml"]);
    let port = emulated.port("weights");
    let folder = TempDir::new().unwrap();
    let mut host = Host::soaks(folder.path(), &port, &["--pairs", "300"]);
    let supervisor = host.supervisor();
    assert!(host.ended().success(), "{}", host.said());
    assert!(is_over(supervisor), "the command outlives its supervisor");
    assert!(!host.said().contains("supervisor:"), "{}", host.said());
    assert_zero_volts(&port, 8, &host.said());
}

#[test]
fn a_second_ctrl_c_leaves_at_once_and_the_supervisor_zeroes() {
    // So slow a wire that the present step is still going on.
    let line = "emulate.device.weights.line.latency_ms=60";
    let emulated = Emulated::start(&["configs/emulated-qontrol.toml", "--set", line]);
    let port = emulated.port("weights");
    let folder = TempDir::new().unwrap();
    let mut host = Host::soaks(folder.path(), &port, &["--pairs", "1000000"]);
    let supervisor = host.supervisor();
    signal(host.process.id(), "INT");
    until("the first word", || host.said().contains("press Ctrl-C again to zero").then_some(()));
    signal(host.process.id(), "INT");
    let start = Instant::now();
    assert_eq!(host.ended().code(), Some(130), "{}", host.said());
    assert!(start.elapsed() < Duration::from_secs(1), "at once: {:?}", start.elapsed());
    let said = host.left(supervisor);
    assert!(said.contains("left at once: zeroing now"), "{said}");
    assert!(said.contains("supervisor: the program asked for it: weights ("), "{said}");
    assert!(said.contains("zeroed; a chain: 8 channels read back as 0 V"), "{said}");
    assert_zero_volts(&port, 8, &said);
}

#[test]
fn a_soak_that_is_killed_leaves_a_chain_that_its_supervisor_zeroes() {
    let emulated = Emulated::start(&["configs/emulated-qontrol.toml"]);
    let port = emulated.port("weights");
    let folder = TempDir::new().unwrap();
    let mut host =
        Host::soaks(folder.path(), &port, &["--pairs", "1000000", "--set", "device.weights.mode=binary"]);
    let supervisor = host.supervisor();
    signal(host.process.id(), "KILL");
    assert_eq!(host.ended().signal(), Some(9));
    let said = host.left(supervisor);
    assert!(said.contains("supervisor: the program ended without parking: weights ("), "{said}");
    assert!(said.contains("zeroed; a chain: 8 channels read back as 0 V"), "{said}");
    assert_zero_volts(&port, 8, &said);
}

#[test]
fn a_calibration_on_a_board_leaves_zero_however_it_is_ended() {
    let emulated = Emulated::start(&["configs/emulated-board.toml"]);
    let port = emulated.port("board-tcp");
    for stop in ["INT", "TERM", "HUP", "KILL"] {
        let folder = TempDir::new().unwrap();
        let mut host = Host::calibrates(folder.path(), "board-tcp", &port);
        let supervisor = host.supervisor();
        until("codes", || (!is_zero(&codes(&port))).then_some(()));
        signal(host.process.id(), stop);
        let ended = host.ended();
        let said = host.left(supervisor);
        if stop == "KILL" {
            assert_eq!(ended.signal(), Some(9));
            assert!(
                said.contains("supervisor: the program ended without parking: board-tcp (tcp:"),
                "{said}"
            );
            assert!(said.contains("zeroed; a board: parked, it says"), "{said}");
        } else {
            assert_eq!(ended.code(), Some(130), "{stop}: {said}");
            assert!(!said.contains("supervisor:"), "{stop}: {said}");
        }
        assert!(is_zero(&codes(&port)) && !outputs_enabled(&port), "{stop}: {said}");
    }
}

#[test]
fn a_calibration_that_is_killed_leaves_a_board_on_a_serial_port_that_its_supervisor_zeroes() {
    let emulated = Emulated::start(&["configs/emulated-board.toml"]);
    let port = emulated.port("board");
    let folder = TempDir::new().unwrap();
    let mut host = Host::calibrates(folder.path(), "board", &port);
    let supervisor = host.supervisor();
    // Nobody else can ask on this wire; after some frames of 256 codes the board is driven.
    let before = host.written();
    until("codes", || (host.written() > before + 10_000).then_some(()));
    signal(host.process.id(), "KILL");
    host.ended();
    let said = host.left(supervisor);
    assert!(said.contains("supervisor: the program ended without parking: board (/dev/"), "{said}");
    assert!(is_zero(&codes(&port)), "{said}");
}

#[test]
fn a_bench_whose_command_is_killed_is_zeroed_and_darkened() {
    let folder = tempfile::tempdir().unwrap();
    let station = "configs/emulated-bench.toml";
    let bench = Emulated::start(&[station]);
    let out = folder.path().join("run");
    let mut arguments: Vec<String> =
        ["calibrate", "configs/demo.toml", "--set", "measurement.programmings=10000", "--set"]
            .map(str::to_owned)
            .to_vec();
    arguments.push(format!("processor.station={station}"));
    for name in ["heaters", "modulators", "meter", "laser", "tec"] {
        arguments.extend(["--set".to_owned(), format!("processor.ports.{name}={}", bench.port(name))]);
    }
    arguments.extend(["--out".to_owned(), out.display().to_string()]);
    let mut host = Host::start(folder.path(), &arguments);
    until("the calibration", || out.join("calibration.toml").exists().then_some(()));
    let supervisor = host.supervisor();
    // Random matrices are programmed from here on: after some frames heaters and laser are on.
    let before = host.written();
    until("frames", || (host.written() > before + 20_000).then_some(()));
    host.process.kill().unwrap();
    host.ended();
    let said = host.left(supervisor);
    assert_zero_volts(&bench.port("heaters"), 16, &said);
    assert_zero_volts(&bench.port("modulators"), 8, &said);
    assert_eq!(answer(&bench.port("laser"), b":POW:STAT?\r", b'\r'), "0", "{said}");
    assert!(said.contains("holds its temperature") && said.contains("measures only"), "{said}");
}

#[test]
fn a_command_that_hangs_is_ended_and_its_board_is_zeroed() {
    let emulated = Emulated::start(&["configs/emulated-board.toml"]);
    let port = emulated.port("board-tcp");
    let folder = TempDir::new().unwrap();
    let mut host = Host::calibrates(folder.path(), "board-tcp", &port);
    let supervisor = host.supervisor();
    until("codes", || (!is_zero(&codes(&port))).then_some(()));
    signal(host.process.id(), "STOP");
    assert_eq!(host.ended().signal(), Some(9), "{}", host.said());
    let said = host.left(supervisor);
    assert!(said.contains("supervisor: the program gave no sign of life: board-tcp ("), "{said}");
    assert!(is_zero(&codes(&port)), "{said}");
}

#[test]
fn without_its_supervisor_a_command_drives_nothing_more_and_parks() {
    let emulated = Emulated::start(&["configs/emulated-board.toml"]);
    let port = emulated.port("board-tcp");
    let folder = TempDir::new().unwrap();
    let mut host = Host::calibrates(folder.path(), "board-tcp", &port);
    signal(host.supervisor(), "KILL");
    assert_eq!(host.ended().code(), Some(5), "{}", host.said());
    let said = host.said();
    assert!(
        said.contains("the supervisor, which zeroes the outputs when this program dies, is gone"),
        "{said}"
    );
    assert!(is_zero(&codes(&port)), "{said}");
}

#[test]
fn a_device_that_is_gone_is_said_not_to_be_zeroed() {
    let emulated = Emulated::start(&["configs/emulated-board.toml"]);
    let port = emulated.port("board-tcp");
    let folder = TempDir::new().unwrap();
    let mut host = Host::calibrates(folder.path(), "board-tcp", &port);
    let supervisor = host.supervisor();
    drop(emulated);
    assert_eq!(host.ended().code(), Some(4), "{}", host.said());
    assert!(is_over(supervisor), "the command waits for what its supervisor has to say");
    let said = host.said();
    assert!(said.contains("supervisor: the program ended without parking: board-tcp (tcp:"), "{said}");
    assert!(
        said.contains(") cannot be zeroed: ") && said.contains("; switch the supply off by hand"),
        "{said}"
    );
}

#[test]
fn the_supervisor_is_nothing_for_people() {
    let help = alora().arg("--help").output().unwrap();
    assert!(!String::from_utf8(help.stdout).unwrap().contains("supervise"));
    let by_hand = alora().args(["supervise", "[]"]).output().unwrap();
    assert_eq!(by_hand.status.code(), Some(2));
    assert!(String::from_utf8(by_hand.stderr).unwrap().contains("use `alora safe`"));
}
