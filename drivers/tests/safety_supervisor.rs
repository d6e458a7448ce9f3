//! A supervisor makes devices safe when its host dies, seen from the device's side of the wire.
//!
//! The tests that need real processes start this test binary again, as the host and as the supervisor.

#![cfg(unix)]
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::{
    env,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use alora_drivers::{
    link::{Connector, InMemory, LinkError, Port},
    safety::{Done, Guard, Outcome, Reason, SafeAction, SafeBytes, Timing, supervise, zero_by_line},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex, sink},
    net::TcpListener,
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    time::{Instant, timeout},
};

/// From the death of the host to the last byte of the safe state, with room for a busy machine.
const BOUND: Duration = Duration::from_secs(5);
const PLACE: &str = "ALORA_TEST_SUPERVISED_PLACE";
const ENDING: &str = "ALORA_TEST_HOST_ENDING";

fn timing() -> Timing {
    Timing { silence: Duration::from_secs(2), give_up: Duration::from_secs(10), end_hanging_host: false }
}

fn safe_bytes() -> Vec<u8> {
    zero_by_line(4).concat()
}

fn action(connector: Arc<dyn Connector>) -> Arc<dyn SafeAction> {
    Arc::new(SafeBytes::new(connector, zero_by_line(4), Duration::from_millis(20)))
}

// In virtual time, within this process.

/// A device that takes every byte and hands on what it took.
fn device() -> (Arc<dyn Connector>, UnboundedReceiver<DuplexStream>) {
    let (plug, wires) = unbounded_channel();
    (Arc::new(InMemory::new("memory", move |wire| plug.send(wire).is_ok())), wires)
}

async fn taken(wires: &mut UnboundedReceiver<DuplexStream>) -> Vec<u8> {
    let mut bytes = Vec::new();
    wires.recv().await.unwrap().read_to_end(&mut bytes).await.unwrap();
    bytes
}

/// The outcome when the host says `lines` and then hangs up, or not.
async fn outcome(lines: &[u8], hangs_up: bool) -> (Outcome, UnboundedReceiver<DuplexStream>) {
    let (mut host, pipe) = duplex(64);
    let (connector, wires) = device();
    host.write_all(lines).await.unwrap();
    let kept = if hangs_up {
        drop(host);
        None
    } else {
        Some(host)
    };
    let outcome = supervise(pipe, sink(), vec![action(connector)], timing()).await;
    drop(kept);
    (outcome, wires)
}

fn made_safe(reason: Reason) -> Outcome {
    let done = vec![Done { place: "memory".to_owned(), tries: 1, failure: None }];
    Outcome::MadeSafe { reason, done }
}

#[tokio::test(start_paused = true)]
async fn a_host_that_hangs_up_without_a_goodbye_has_its_outputs_zeroed() {
    for lines in [&b""[..], b"alive\n", b"alive\ngoodby", b"goodbye"] {
        let (outcome, mut wires) = outcome(lines, true).await;
        assert_eq!(outcome, made_safe(Reason::HostDied));
        assert_eq!(taken(&mut wires).await, safe_bytes());
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_that_falls_silent_has_its_outputs_zeroed_when_its_time_is_up() {
    let start = Instant::now();
    let (outcome, mut wires) = outcome(b"alive\nwhatever\n", false).await;
    assert_eq!(outcome, made_safe(Reason::HostSilent));
    assert_eq!(taken(&mut wires).await, safe_bytes());
    let took = start.elapsed();
    assert!((2.0..2.5).contains(&took.as_secs_f64()), "2 s of silence and 9 waits of 20 ms: {took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_asks_has_its_outputs_zeroed() {
    let (outcome, mut wires) = outcome(b"safe\n", false).await;
    assert_eq!(outcome, made_safe(Reason::HostAsked));
    assert_eq!(taken(&mut wires).await, safe_bytes());
}

#[tokio::test(start_paused = true)]
async fn a_host_that_says_goodbye_is_left_alone() {
    for hangs_up in [false, true] {
        let (outcome, mut wires) = outcome(b"alive\ngoodbye\n", hangs_up).await;
        assert_eq!(outcome, Outcome::Goodbye);
        assert!(wires.try_recv().is_err(), "no wire is opened");
    }
}

#[tokio::test(start_paused = true)]
async fn a_device_that_is_not_there_at_first_is_tried_again_and_does_not_hold_up_the_others() {
    let (connector, mut wires) = device();
    let (opens, refuse) = (Arc::new(std::sync::atomic::AtomicU32::new(0)), connector.clone());
    struct Late(Arc<dyn Connector>, Arc<std::sync::atomic::AtomicU32>);
    #[async_trait::async_trait]
    impl SafeAction for Late {
        fn place(&self) -> String {
            "late".to_owned()
        }
        async fn make_safe(&self) -> Result<(), LinkError> {
            if self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < 3 {
                return Err(LinkError::Lost { place: self.place() });
            }
            action(self.0.clone()).make_safe().await
        }
    }
    let gone: Arc<dyn Connector> = Arc::new(InMemory::new("gone", |_| false));
    let (host, pipe) = duplex(64);
    drop(host);
    let actions = vec![action(gone), Arc::new(Late(refuse, opens)) as Arc<dyn SafeAction>];
    let Outcome::MadeSafe { mut done, .. } = supervise(pipe, sink(), actions, timing()).await else {
        panic!("the host died")
    };
    done.sort_by(|a, b| a.place.cmp(&b.place));
    assert!(done[0].failure.as_ref().unwrap().contains("nothing is plugged in"), "{done:?}");
    assert!(done[0].tries > 100, "tried for 10 s: {done:?}");
    assert_eq!((done[1].tries, &done[1].failure), (4, &None));
    assert_eq!(taken(&mut wires).await, safe_bytes());
}

// With real processes.

fn again(test: &str, place: &str) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored", "--nocapture"]).env(PLACE, place).stderr(Stdio::null());
    command
}

#[tokio::test]
#[ignore = "the supervisor, started by the host"]
async fn role_supervisor() {
    let Ok(place) = env::var(PLACE) else { return };
    let port: Port = place.parse().unwrap();
    let end_hanging_host = place.starts_with('/');
    let timing = Timing { end_hanging_host, ..timing() };
    let outcome =
        supervise(tokio::io::stdin(), tokio::io::stdout(), vec![action(Arc::new(port))], timing).await;
    std::process::exit(if outcome == Outcome::Goodbye { 0 } else { 3 });
}

#[tokio::test]
#[ignore = "the host, started by the tests"]
async fn role_host() {
    let Ok(place) = env::var(PLACE) else { return };
    let mut guard = Guard::start(again("role_supervisor", &place).into(), BOUND).await.unwrap();
    let port: Port = place.parse().unwrap();
    let mut wire = port.open().await.unwrap();
    guard.alive().await.unwrap();
    if env::var(ENDING).as_deref() == Ok("signalled") {
        let pid = guard.pid().unwrap().to_string();
        for signal in ["-INT", "-TERM", "-HUP"] {
            assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        }
    }
    wire.write_all(b"v0=4.5\n").await.unwrap();
    match env::var(ENDING).as_deref() {
        Ok("goodbye") => {
            wire.write_all(b"parked\n").await.unwrap();
            drop(wire);
            assert_eq!(guard.goodbye().await.unwrap().code(), Some(0));
            std::process::exit(0);
        }
        Ok("panic") => {
            let hot = std::mem::replace(&mut wire, Box::new(duplex(1).0));
            let _kept = (hot, guard);
            panic!("as a bug would");
        }
        Ok("silent") => std::future::pending().await,
        _ => loop {
            guard.alive().await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        },
    }
}

fn host(place: &str, ending: &str) -> Child {
    again("role_host", place).env(ENDING, ending).stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap()
}

/// What arrives until the safe state is complete.
async fn until_safe(wire: &mut (impl AsyncReadExt + Unpin)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let arrived = timeout(BOUND, async {
        while !bytes.ends_with(&safe_bytes()) {
            bytes.push(wire.read_u8().await.unwrap());
        }
    });
    arrived.await.unwrap_or_else(|_| panic!("the safe state did not come within {BOUND:?}"));
    bytes
}

async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = format!("tcp:{}", listener.local_addr().unwrap());
    (listener, place)
}

/// Takes the host's wire and waits until the host has made it hot.
async fn hot(listener: &TcpListener) -> tokio::net::TcpStream {
    let (mut wire, _) = timeout(BOUND * 4, listener.accept()).await.unwrap().unwrap();
    let mut set = [0; 7];
    wire.read_exact(&mut set).await.unwrap();
    assert_eq!(&set, b"v0=4.5\n");
    wire
}

/// What arrives on the next wire after the host was killed.
async fn after_sigkill(ending: &str) -> Vec<u8> {
    let (listener, place) = listener().await;
    let mut host = host(&place, ending);
    let _wire = hot(&listener).await;
    host.kill().unwrap();
    host.wait().unwrap();
    let (mut wire, _) = timeout(BOUND, listener.accept()).await.unwrap().unwrap();
    until_safe(&mut wire).await
}

#[tokio::test]
async fn a_host_killed_with_sigkill_has_its_outputs_zeroed_over_tcp() {
    assert_eq!(after_sigkill("killed").await, safe_bytes());
}

#[tokio::test]
async fn a_supervisor_outlives_the_signals_that_end_its_host() {
    assert_eq!(after_sigkill("signalled").await, safe_bytes());
}

#[tokio::test]
async fn a_host_that_panics_has_its_outputs_zeroed() {
    let (listener, place) = listener().await;
    let mut host = host(&place, "panic");
    let _wire = hot(&listener).await;
    let (mut wire, _) = timeout(BOUND, listener.accept()).await.unwrap().unwrap();
    assert_eq!(until_safe(&mut wire).await, safe_bytes());
    assert!(!host.wait().unwrap().success());
}

#[tokio::test]
async fn a_host_that_hangs_has_its_outputs_zeroed_while_it_lives() {
    let (listener, place) = listener().await;
    let mut host = host(&place, "silent");
    let _wire = hot(&listener).await;
    let (mut wire, _) = timeout(BOUND, listener.accept()).await.unwrap().unwrap();
    assert_eq!(until_safe(&mut wire).await, safe_bytes());
    assert!(host.try_wait().unwrap().is_none());
    host.kill().unwrap();
    host.wait().unwrap();
}

#[tokio::test]
async fn a_host_that_parks_is_not_followed_by_anything() {
    let (listener, place) = listener().await;
    let mut host = host(&place, "goodbye");
    let mut wire = hot(&listener).await;
    let mut rest = Vec::new();
    wire.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"parked\n");
    let ended = tokio::task::spawn_blocking(move || host.wait().unwrap()).await.unwrap();
    assert!(ended.success(), "the host has seen its supervisor end with 0");
    assert!(timeout(Duration::from_millis(100), listener.accept()).await.is_err());
}

/// A pseudo-terminal that a host has made hot.
async fn hot_serial(ending: &str) -> (tokio_serial::SerialStream, tokio_serial::SerialStream, Child) {
    let (mut near, far) = tokio_serial::SerialStream::pair().unwrap();
    let host = host(&tokio_serial::SerialPort::name(&far).unwrap(), ending);
    let mut set = [0; 7];
    timeout(BOUND * 4, near.read_exact(&mut set)).await.unwrap().unwrap();
    assert_eq!(&set, b"v0=4.5\n");
    (near, far, host)
}

#[tokio::test]
async fn a_host_killed_with_sigkill_has_its_outputs_zeroed_over_a_serial_port() {
    let (mut near, _far, mut host) = hot_serial("killed").await;
    host.kill().unwrap();
    host.wait().unwrap();
    assert_eq!(until_safe(&mut near).await, safe_bytes());
}

#[tokio::test]
async fn a_host_that_hangs_is_killed_where_its_port_opens_to_nobody_else() {
    let (mut near, _far, mut host) = hot_serial("silent").await;
    assert_eq!(until_safe(&mut near).await, safe_bytes());
    assert!(!host.wait().unwrap().success());
}

#[tokio::test]
async fn a_supervisor_that_does_not_start_or_is_not_ready_is_an_error() {
    let missing = Guard::start(Command::new("/nowhere/supervisor").into(), BOUND).await.err().unwrap();
    assert!(missing.to_string().contains("does not start; no output is enabled"), "{missing}");
    let mute = Guard::start(Command::new("true").into(), BOUND).await.err().unwrap();
    assert!(mute.to_string().contains("does not start"), "{mute}");
    let mut cat = Command::new("cat");
    cat.stderr(Stdio::null());
    let patience = Duration::from_millis(50);
    let late = Guard::start(cat.into(), patience).await.err().unwrap();
    assert_eq!(late.to_string(), "the supervisor was not ready within 50ms; no output is enabled");
}
