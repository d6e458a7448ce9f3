//! The wire of an emulated device: the time of its bytes, and its faults.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use alora_drivers::{
    emulate::{ByteFaultKind, Device, Emulator, EventKind, FaultPlan, Line, Pty},
    link::{Connector, Port, Transport},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::{Instant, timeout},
};

/// Answers each line with itself; `woken` lines after each reset.
#[derive(Default)]
struct Echo {
    line: Vec<u8>,
    requests: u64,
}

impl Device for Echo {
    fn receive(&mut self, bytes: &[u8], _now: Duration, answers: &mut Vec<u8>) {
        for &byte in bytes {
            self.line.push(byte);
            if byte == b'\n' {
                self.requests += 1;
                answers.append(&mut self.line);
            }
        }
    }

    fn requests(&self) -> u64 {
        self.requests
    }

    fn reset(&mut self, _now: Duration, answers: &mut Vec<u8>) {
        self.line.clear();
        answers.extend(b"woken\n");
    }

    fn stick(&mut self, _channel: usize, _stuck: bool) {}
}

async fn line(wire: &mut Box<dyn Transport>) -> Vec<u8> {
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        line.push(wire.read_u8().await.unwrap());
    }
    line
}

async fn ask(wire: &mut Box<dyn Transport>, text: &[u8]) -> Vec<u8> {
    wire.write_all(text).await.unwrap();
    line(wire).await
}

#[tokio::test(start_paused = true)]
async fn a_byte_takes_ten_bits_each_way() {
    let echo = Emulator::new(Echo::default(), Line { baud: 9600, latency_ms: 0 }, FaultPlan::default());
    let mut wire = echo.connector("memory").open().await.unwrap();
    let start = Instant::now();
    assert_eq!(ask(&mut wire, &[b'x'; 95].iter().copied().chain(*b"\n").collect::<Vec<_>>()).await.len(), 96);
    let took = start.elapsed().as_secs_f64();
    assert!((took - 0.2).abs() < 0.003, "96 bytes there and back took {took} s, not 0.2");
}

#[tokio::test(start_paused = true)]
async fn short_answers_wait_for_the_latency_timer_and_full_packets_do_not() {
    let line = Line { baud: 921_600, latency_ms: 16 };
    let echo = Emulator::new(Echo::default(), line, FaultPlan::default());
    let mut wire = echo.connector("memory").open().await.unwrap();
    let start = Instant::now();
    for _ in 0..10 {
        assert_eq!(ask(&mut wire, b"v0?\n").await, b"v0?\n");
    }
    let took = start.elapsed().as_millis();
    assert!((155..=165).contains(&took), "10 short answers took {took} ms, not 160");
    let start = Instant::now();
    let long: Vec<u8> = [b'x'; 62 * 40 - 1].iter().copied().chain(*b"\n").collect();
    assert_eq!(ask(&mut wire, &long).await, long);
    let took = start.elapsed().as_secs_f64();
    assert!(took < 2.0 * long.len() as f64 / 92_160.0 + 0.004, "full packets took {took} s");
}

#[tokio::test(start_paused = true)]
async fn the_same_plan_and_traffic_bring_the_same_faults() {
    let mut heard = Vec::new();
    for _ in 0..2 {
        let plan = FaultPlan::bytes(ByteFaultKind::Flip, 0.2, 7);
        let echo = Emulator::new(Echo::default(), Line::default(), plan);
        let mut wire = echo.connector("memory").open().await.unwrap();
        wire.write_all(&[b'a'; 200]).await.unwrap();
        wire.write_all(b"\n\n\n\n").await.unwrap();
        let mut bytes = vec![0; 150];
        wire.read_exact(&mut bytes).await.unwrap();
        heard.push(bytes);
    }
    assert_eq!(heard[0], heard[1]);
    let wrong = heard[0].iter().filter(|&&byte| byte != b'a').count();
    assert!((20..=90).contains(&wrong), "{wrong} of 150 bytes flipped at 0.2 each way");
}

#[tokio::test(start_paused = true)]
async fn events_come_at_their_request() {
    let event = |kind| FaultPlan::event(kind, 2, 0);
    for (kind, second) in [
        (EventKind::DropAnswerByte { byte: 0 }, &b"wo\n"[..]),
        (EventKind::Reset, b"woken\n"),
        (EventKind::DuplicateAnswer, b"two\n"),
    ] {
        let echo = Emulator::new(Echo::default(), Line::default(), event(kind));
        let mut wire = echo.connector("memory").open().await.unwrap();
        assert_eq!(ask(&mut wire, b"one\n").await, b"one\n");
        assert_eq!(ask(&mut wire, b"two\n").await, second, "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_comes_and_a_muted_one_does_not() {
    let plan = FaultPlan::event(EventKind::Late { by_ms: 300 }, 1, 0);
    let echo = Emulator::new(Echo::default(), Line::default(), plan);
    let mut wire = echo.connector("memory").open().await.unwrap();
    let start = Instant::now();
    assert_eq!(ask(&mut wire, b"one\n").await, b"one\n");
    assert!(start.elapsed() >= Duration::from_millis(300));

    echo.plan(FaultPlan::event(EventKind::Mute { for_ms: 1000 }, 2, 0));
    wire.write_all(b"two\n").await.unwrap();
    assert!(timeout(Duration::from_secs(5), wire.read_u8()).await.is_err());
    assert_eq!(ask(&mut wire, b"three\n").await, b"three\n");
    assert_eq!(echo.device().requests(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_pulled_plug_ends_the_wire_and_comes_back() {
    let plan = FaultPlan::event(EventKind::Unplug { for_ms: 500 }, 1, 0);
    let echo = Emulator::new(Echo::default(), Line::default(), plan);
    let connector = echo.connector("memory");
    let mut wire = connector.open().await.unwrap();
    wire.write_all(b"one\n").await.unwrap();
    assert_eq!(wire.read(&mut [0; 8]).await.unwrap(), 0);
    assert!(connector.open().await.is_err());
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut wire = connector.open().await.unwrap();
    assert_eq!(ask(&mut wire, b"two\n").await, b"two\n");
}

#[test]
fn a_rate_outside_its_range_is_refused_by_name() {
    let plan = FaultPlan::bytes(ByteFaultKind::Drop, 1.5, 0);
    assert_eq!(plan.check().unwrap_err().to_string(), "faults.bytes[0].rate is 1.5, allowed is 0 to 1");
}

#[test]
fn a_plan_is_written_in_toml() {
    let text = r#"
        seed = 3
        bytes = [{ kind = "drop", direction = "to_host", rate = 0.01 }]
        events = [{ kind = "late", by_ms = 300, chance = 0.1 }, { kind = "reset", at_request = 9, every = 50 }]
    "#;
    let plan: FaultPlan = toml::from_str(text).unwrap();
    assert_eq!(plan.events[1].kind, EventKind::Reset);
    assert_eq!(plan.events[0].chance, 0.1);
}

#[tokio::test]
async fn a_host_comes_and_goes_on_a_pseudo_terminal() {
    let echo = Emulator::new(Echo::default(), Line::default(), FaultPlan::default());
    let pty = Pty::open().unwrap();
    let port: Port = pty.path().display().to_string().parse().unwrap();
    let server = echo.clone();
    tokio::spawn(async move { server.serve_pty(pty, |_| {}).await });
    for _ in 0..2 {
        let mut wire = port.open().await.unwrap();
        assert_eq!(ask(&mut wire, b"over a pty\n").await, b"over a pty\n");
        // Raw: no byte has a meaning of its own.
        let all: Vec<u8> = (0..=255).filter(|&byte| byte != b'\n').chain(*b"\n").collect();
        assert_eq!(ask(&mut wire, &all).await, all);
    }
}

#[tokio::test]
async fn a_pulled_plug_is_seen_at_once_on_a_pseudo_terminal() {
    let plan = FaultPlan::event(EventKind::Unplug { for_ms: 10 }, 1, 0);
    let echo = Emulator::new(Echo::default(), Line::default(), plan);
    let pty = Pty::open().unwrap();
    let port: Port = pty.path().display().to_string().parse().unwrap();
    let (tell, told) = tokio::sync::oneshot::channel();
    let mut tell = Some(tell);
    tokio::spawn(async move {
        echo.serve_pty(pty, move |path| drop(tell.take().map(|tell| tell.send(path.to_owned())))).await
    });
    let mut wire = port.open().await.unwrap();
    wire.write_all(b"one\n").await.unwrap();
    assert!(matches!(wire.read(&mut [0; 8]).await, Ok(0) | Err(_)));
    let port: Port = told.await.unwrap().display().to_string().parse().unwrap();
    let mut wire = port.open().await.unwrap();
    assert_eq!(ask(&mut wire, b"two\n").await, b"two\n");
}

#[tokio::test]
async fn hosts_come_and_go_over_tcp() {
    let echo = Emulator::new(Echo::default(), Line::default(), FaultPlan::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port: Port = format!("tcp:{}", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move { echo.serve_tcp(listener).await });
    for _ in 0..2 {
        let mut wire = port.open().await.unwrap();
        assert_eq!(ask(&mut wire, b"over TCP\n").await, b"over TCP\n");
    }
}

#[test]
fn ports_are_written_as_they_are_read() {
    for text in
        ["/dev/ttyUSB0", "/dev/pts/4@921600", "usb:FT4XYZ12", "usb:A1@12000000", "tcp:board-7.lab:5025"]
    {
        assert_eq!(text.parse::<Port>().unwrap().to_string(), text);
    }
    for text in [
        "",
        "ttyUSB0",
        "tcp:host",
        "tcp::80",
        "tcp:host:99999",
        "usb:",
        "/dev/ttyUSB0@fast",
        "/dev/ttyUSB0@0",
    ] {
        let error = text.parse::<Port>().unwrap_err().to_string();
        assert!(error.starts_with(&format!("`{text}` is no port; expected")), "{error}");
    }
}
