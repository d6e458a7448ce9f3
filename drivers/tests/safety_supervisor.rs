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
    ActuatorFrame, BackendErrorKind, PhotonicBackend,
    link::{Connector, InMemory, LinkError, Port},
    mock::Spec,
    safety::{
        Done, Guard, Guarded, Outcome, Reason, SafeAction, Timing, all_ended, make_all_safe, make_safe::Made,
        supervise,
    },
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

/// What makes the device of these tests safe.
fn safe_bytes() -> Vec<u8> {
    (0..9).map(|channel| format!("v{channel}=0\n")).collect::<String>().into_bytes()
}

/// Sends them line by line; the device never answers.
struct Lines(Arc<dyn Connector>);

#[async_trait::async_trait]
impl SafeAction for Lines {
    fn place(&self) -> String {
        self.0.place()
    }

    async fn make_safe(&self) -> Result<Made, LinkError> {
        let lost = |_| LinkError::Lost { place: self.place() };
        let mut wire = self.0.open().await?;
        for line in safe_bytes().split_inclusive(|&byte| byte == b'\n') {
            wire.write_all(line).await.map_err(lost)?;
            // Reading also keeps the wire open until the bytes have left it.
            let _ = timeout(Duration::from_millis(20), wire.read_u8()).await;
        }
        Ok(zeroed())
    }
}

fn zeroed() -> Made {
    Made::Zero("all taken".to_owned())
}

fn action(connector: Arc<dyn Connector>) -> Arc<dyn SafeAction> {
    Arc::new(Lines(connector))
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
    let done = vec![Done { place: "memory".to_owned(), tries: 1, made: Ok(zeroed()) }];
    Outcome::MadeSafe { reason, done }
}

#[tokio::test(start_paused = true)]
async fn a_host_that_hangs_up_while_it_drives_has_its_outputs_zeroed() {
    for lines in [
        &b"driving\n"[..],
        b"driving\nalive\n",
        b"driving\nalive\ngoodby",
        b"driving\ngoodbye",
        b"driving\nparked\ndriving\n",
        b"driving\nparke",
    ] {
        let (outcome, mut wires) = outcome(lines, true).await;
        assert_eq!(outcome, made_safe(Reason::HostDied));
        assert_eq!(taken(&mut wires).await, safe_bytes());
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_that_falls_silent_has_its_outputs_zeroed_when_its_time_is_up() {
    let start = Instant::now();
    let (outcome, mut wires) = outcome(b"driving\nalive\nwhatever\n", false).await;
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
async fn a_host_that_has_parked_is_left_alone() {
    let goodbye = &b"driving\nalive\ngoodbye\n"[..];
    let parked = &b"driving\nparked\n"[..];
    for (lines, hangs_up) in
        [(goodbye, false), (goodbye, true), (parked, true), (b"alive\n", true), (b"", true)]
    {
        let (outcome, mut wires) = outcome(lines, hangs_up).await;
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
        async fn make_safe(&self) -> Result<Made, LinkError> {
            if self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < 3 {
                return Err(LinkError::Lost { place: self.place() });
            }
            action(self.0.clone()).make_safe().await
        }
    }
    let gone: Arc<dyn Connector> = Arc::new(InMemory::new("gone", |_| false));
    let (mut host, pipe) = duplex(64);
    host.write_all(b"driving\n").await.unwrap();
    drop(host);
    let actions = vec![action(gone), Arc::new(Late(refuse, opens)) as Arc<dyn SafeAction>];
    let Outcome::MadeSafe { mut done, .. } = supervise(pipe, sink(), actions, timing()).await else {
        panic!("the host died")
    };
    done.sort_by(|a, b| a.place.cmp(&b.place));
    assert!(done[0].made.as_ref().unwrap_err().contains("nothing is plugged in"), "{done:?}");
    assert!(done[0].tries > 100, "tried for 10 s: {done:?}");
    assert!(!done[0].is_safe() && done[0].to_string().starts_with("gone cannot be zeroed: "), "{}", done[0]);
    assert!(done[0].to_string().ends_with("; switch the supply off by hand"), "{}", done[0]);
    assert_eq!((done[1].tries, &done[1].made), (4, &Ok(zeroed())));
    assert_eq!(done[1].to_string(), "late: zeroed; all taken");
    assert_eq!(taken(&mut wires).await, safe_bytes());
}

#[tokio::test(start_paused = true)]
async fn a_device_that_does_not_say_that_it_is_zero_is_zeroed_again_and_then_named() {
    struct Doubtful;
    #[async_trait::async_trait]
    impl SafeAction for Doubtful {
        fn place(&self) -> String {
            "heaters".to_owned()
        }
        async fn make_safe(&self) -> Result<Made, LinkError> {
            Ok(Made::Sent("1 of 8 channels are NOT at 0 V".to_owned()))
        }
    }
    let (mut host, pipe) = duplex(64);
    host.write_all(b"safe\n").await.unwrap();
    let outcome = supervise(pipe, sink(), vec![Arc::new(Doubtful)], timing()).await;
    let Outcome::MadeSafe { done, .. } = outcome else { panic!("the host asked") };
    assert!(done[0].tries > 100, "{done:?}");
    assert_eq!(
        done[0].to_string(),
        "heaters cannot be zeroed: 1 of 8 channels are NOT at 0 V; switch the supply off by hand"
    );
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
    let ending = env::var(ENDING).unwrap();
    let guard = Guard::start(again("role_supervisor", &place), BOUND).await.unwrap();
    if ending == "signalled" {
        let pid = guard.pid().to_string();
        for signal in ["-INT", "-TERM", "-HUP"] {
            assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        }
    }
    if ending == "panic" {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            make_all_safe();
            usual(panic);
        }));
    }
    let port: Port = place.parse().unwrap();
    let mut wire = port.open().await.unwrap();
    guard.driving().unwrap();
    wire.write_all(b"v0=4.5\n").await.unwrap();
    match ending.as_str() {
        "parked" => {
            wire.write_all(b"parked\n").await.unwrap();
            drop(wire);
            guard.parked();
            drop(guard);
            assert!(all_ended(BOUND).await);
            std::process::exit(0);
        }
        "panic" => {
            let hot = std::mem::replace(&mut wire, Box::new(duplex(1).0));
            let _kept = (hot, guard);
            panic!("as a bug would");
        }
        // This thread is also the one that says that the host works.
        "silent" => loop {
            std::thread::park();
        },
        _ => {}
    }
    std::future::pending().await
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
    let mut host = host(&place, "parked");
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
    let missing = Guard::start(Command::new("/nowhere/supervisor"), BOUND).await.err().unwrap();
    assert!(missing.to_string().contains("does not start; no output is enabled"), "{missing}");
    let mute = Guard::start(Command::new("true"), BOUND).await.err().unwrap();
    assert!(mute.to_string().contains("does not start"), "{mute}");
    let mut cat = Command::new("cat");
    cat.stderr(Stdio::null());
    let patience = Duration::from_millis(50);
    let late = Guard::start(cat, patience).await.err().unwrap();
    assert_eq!(late.to_string(), "the supervisor was not ready within 50ms; no output is enabled");
}

/// A simulated chip with a supervisor of the device at `place`.
async fn guarded(place: &str) -> (Guarded, u32) {
    let guard = Guard::start(again("role_supervisor", place), BOUND).await.unwrap();
    let pid = guard.pid();
    let chip = Spec::preset("incoherent-16x16").unwrap().connect(1, Default::default());
    (Guarded::new(chip, guard), pid)
}

#[tokio::test]
async fn a_guarded_processor_keeps_the_contract() {
    let connect = async || Box::new(guarded("tcp:127.0.0.1:9").await.0) as Box<dyn PhotonicBackend>;
    assert_eq!(alora_drivers::contract::check(connect).await.map_err(|broken| format!("{broken:?}")), Ok(()));
}

#[tokio::test]
async fn a_guarded_processor_that_is_let_go_while_it_is_driven_is_zeroed_and_one_that_is_parked_is_not() {
    for parks in [false, true] {
        let (listener, place) = listener().await;
        let (mut chip, _) = guarded(&place).await;
        let actuators = chip.descriptor().limits.len();
        let _ = chip.apply(&ActuatorFrame(vec![1; actuators])).await.unwrap();
        if parks {
            chip.park().await.unwrap();
        }
        drop(chip);
        if parks {
            let left_alone = timeout(Duration::from_millis(100), listener.accept()).await;
            assert!(left_alone.is_err(), "parked");
        } else {
            let (mut wire, _) = timeout(BOUND, listener.accept()).await.unwrap().unwrap();
            assert_eq!(until_safe(&mut wire).await, safe_bytes());
        }
    }
}

#[tokio::test]
async fn nothing_is_driven_once_the_supervisor_is_gone_but_parking_works() {
    let (mut chip, pid) = guarded("tcp:127.0.0.1:9").await;
    let frame = ActuatorFrame(vec![1; chip.descriptor().limits.len()]);
    let _ = chip.apply(&frame).await.unwrap();
    assert!(Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success());
    let refused = timeout(BOUND, async {
        loop {
            match chip.apply(&frame).await {
                Err(error) => break error,
                Ok(_) => tokio::task::yield_now().await,
            }
        }
    });
    let refused = refused.await.unwrap();
    assert_eq!(refused.kind, BackendErrorKind::Unwatched);
    assert!(refused.kind.to_string().contains("is gone; nothing was sent"), "{}", refused.kind);
    assert_eq!(chip.read_back().await.unwrap(), frame, "nothing was sent");
    chip.park().await.unwrap();
}
