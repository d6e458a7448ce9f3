//! What a session and an instrument make of a peer that misbehaves, in virtual time.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use alora_drivers::{
    Amperes, Celsius, Nanometres, Watts,
    emulate::{
        Device, Emulator, EventKind, FaultPlan, Line,
        scpi::{EmulatedMtd415t, EmulatedPowerMeter, ScpiDevice},
    },
    link::{Connector, InMemory, LinkError},
    scpi::{
        AveragingTime, BootSign, Dialect, Held, Instrument, KeysightPowerMeter, LineEnding, Model, Mtd415t,
        PowerRange, ScpiError, Session, Setting, TemperatureLimits,
    },
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    time::{Instant, sleep, timeout},
};

/// What a scripted peer does with a line.
struct Reply {
    after: Duration,
    bytes: Vec<u8>,
    then_close: bool,
}

fn says(text: &str) -> Reply {
    Reply { after: Duration::ZERO, bytes: text.as_bytes().to_vec(), then_close: false }
}

fn mute() -> Reply {
    says("")
}

/// A peer that answers line by line; `script` is given the connection, from 0, and the line.
fn peer(script: impl Fn(usize, &str) -> Reply + Send + Sync + 'static) -> Arc<dyn Connector> {
    let script = Arc::new(script);
    let connections = AtomicUsize::new(0);
    Arc::new(InMemory::new("peer", move |wire| {
        let connection = connections.fetch_add(1, Ordering::SeqCst);
        let script = Arc::clone(&script);
        tokio::spawn(async move {
            let (reader, mut writer) = tokio::io::split(wire);
            let mut lines = BufReader::new(reader).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let reply = script(connection, &line);
                sleep(reply.after).await;
                if writer.write_all(&reply.bytes).await.is_err() || reply.then_close {
                    break;
                }
            }
        });
        true
    }))
}

async fn session(script: impl Fn(usize, &str) -> Reply + Send + Sync + 'static) -> Session {
    let mut session = Session::new(peer(script), Dialect::new(LineEnding::Lf));
    session.open().await.unwrap();
    session
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_is_not_taken_for_the_next_one() {
    let mut session = session(|_, line| match line {
        "SLOW?" => Reply { after: Duration::from_secs(3), ..says("1\n") },
        _ => says("2\n"),
    })
    .await;
    let error = session.ask("SLOW?").await.err().unwrap();
    assert_eq!(
        error.to_string(),
        "peer: no whole answer to `SLOW?` within 2s; the connection was closed, so that a late answer is not taken for another's. \
         Check power and cable; the next call connects and identifies again"
    );
    assert!(matches!(session.ask("FAST?").await, Err(ScpiError::Closed { .. })), "never simply asked again");
    session.open().await.unwrap();
    assert_eq!(session.ask("FAST?").await.unwrap(), "2");
    let statistics = session.statistics();
    assert_eq!((statistics.timeouts, statistics.reconnects, statistics.answered), (1, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn half_an_answer_is_none() {
    let mut session = session(|_, _| says("+1.2345")).await;
    assert!(matches!(session.ask("READ?").await, Err(ScpiError::NoAnswer { .. })));
    assert!(!session.is_open());
    assert_eq!(session.statistics().bytes_invalid, 7);
}

#[tokio::test(start_paused = true)]
async fn a_connection_closed_in_the_middle_of_an_answer_is_lost_at_once() {
    let mut session = session(|_, _| Reply { then_close: true, ..says("#2") }).await;
    let begun = Instant::now();
    let error = session.ask_block("READ?", 100, Duration::from_secs(2)).await.err().unwrap();
    assert_eq!(error, ScpiError::Link(LinkError::Lost { place: "peer".to_owned() }));
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_twice_is_found_before_the_next_question() {
    let mut session = session(|_, _| says("5\n5\n")).await;
    assert_eq!(session.ask("A?").await.unwrap(), "5");
    assert!(matches!(session.ask("B?").await, Err(ScpiError::Malformed { .. })));
    assert!(!session.is_open());
    assert_eq!(session.statistics().strays, 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_end_is_cut_off() {
    let mut session = session(|_, _| Reply { bytes: vec![b'7'; 5000], ..mute() }).await;
    let error = session.ask("A?").await.err().unwrap();
    assert!(error.to_string().contains("expected at most 4096 bytes"), "{error}");
    let mut session = self::session(|_, _| says("#9999999999")).await;
    assert!(matches!(
        session.ask_block("A?", 100, Duration::from_secs(1)).await,
        Err(ScpiError::Malformed { .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn a_question_that_is_dropped_takes_its_wire_along() {
    let mut session = session(|_, _| Reply { after: Duration::from_millis(500), ..says("1\n") }).await;
    assert!(timeout(Duration::from_millis(100), session.ask("A?")).await.is_err());
    assert!(!session.is_open());
    assert!(matches!(session.ask("B?").await, Err(ScpiError::Closed { .. })));
}

const MODEL: Model = Model { name: "an Acme 1", makers: &["ACME"], models: &["1"] };

/// A small instrument with one setting; `first` has the first word at each line.
fn acme(first: impl Fn(usize, &str) -> Option<Reply> + Send + Sync + 'static) -> Arc<dyn Connector> {
    let level = Mutex::new("0".to_owned());
    peer(move |connection, line| {
        if let Some(reply) = first(connection, line) {
            return reply;
        }
        match line {
            "*IDN?" => says("ACME,1,SN7,1.0\n"),
            "*ESR?" => says("0\n"),
            "SYST:ERR?" => says("0,\"No error\"\n"),
            "LEV?" => says(&format!("{}\n", level.lock().unwrap())),
            "READ?" => says("42\n"),
            _ => {
                if let Some(value) = line.strip_prefix("LEV ") {
                    *level.lock().unwrap() = value.to_owned();
                }
                mute()
            }
        }
    })
}

async fn connected(connector: Arc<dyn Connector>) -> Result<Instrument, ScpiError> {
    let dialect = Dialect::new(LineEnding::Lf);
    Instrument::connect(connector, dialect, MODEL, BootSign::PowerOnEvent).await
}

fn level(value: f64) -> Setting {
    Setting::new("LEV", value, Held::number(value))
}

fn whole(answer: &str) -> Result<i64, String> {
    answer.parse().map_err(|_| "a whole number".to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_banner_before_the_identity_is_passed_over_and_counted() {
    let connector =
        acme(|_, line| (line == "*IDN?").then(|| says("Welcome to port 5025\r\nACME,1,SN7,1.0\n")));
    let instrument = connected(connector).await.unwrap();
    assert_eq!(instrument.identity().serial, "SN7");
    assert_eq!(instrument.statistics().bytes_invalid, 22);
}

#[tokio::test(start_paused = true)]
async fn garbage_glued_to_the_identity_is_answered_by_a_new_connection() {
    let connector = acme(|connection, line| {
        let garbage = Reply { bytes: b"\x83\xfe\x01ACME,1,SN7,1.0\n".to_vec(), ..mute() };
        (connection == 0 && line == "*IDN?").then_some(garbage)
    });
    let instrument = connected(connector).await.unwrap();
    assert_eq!((instrument.statistics().reconnects, instrument.statistics().timeouts), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_reading_is_asked_again_over_a_new_connection_after_settings_were_verified() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let connector = acme(move |connection, line| {
        seen.lock().unwrap().push(format!("{connection} {line}"));
        (connection == 0 && line == "READ?").then(mute)
    });
    let mut instrument = connected(connector).await.unwrap();
    instrument.set(level(3.0)).await.unwrap();
    asked.lock().unwrap().clear();
    assert_eq!(instrument.ask("READ?", None, whole).await.unwrap(), 42);
    let expected = [
        "0 READ?",
        "1 *IDN?",
        "1 *ESR?",
        "1 SYST:ERR?",
        "1 LEV?",
        "1 *ESR?",
        "1 SYST:ERR?",
        "1 READ?",
        "1 *ESR?",
        "1 SYST:ERR?",
    ];
    assert_eq!(*asked.lock().unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn another_instrument_at_the_same_address_is_refused_on_reconnecting() {
    let connector = acme(|connection, line| match (connection, line) {
        (0, "READ?") => Some(mute()),
        (1.., "*IDN?") => Some(says("ACME,1,SN8,1.0\n")),
        _ => None,
    });
    let mut instrument = connected(connector).await.unwrap();
    let error = instrument.ask("READ?", None, whole).await.err().unwrap();
    assert!(
        error.to_string().contains("ACME 1 (serial number SN8), expected ACME 1 (serial number SN7)"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn settings_that_are_not_held_after_a_new_connection_are_named_once() {
    let connector = acme(|connection, line| match (connection, line) {
        (0, "READ?") => Some(mute()),
        (1.., "LEV?") => Some(says("0\n")),
        _ => None,
    });
    let mut instrument = connected(connector).await.unwrap();
    instrument.set(level(3.0)).await.unwrap();
    let error = instrument.ask("READ?", None, whole).await.err().unwrap();
    assert_eq!(
        error.to_string(),
        "peer: after a new connection the instrument holds other settings than were written (LEV? 0); set them again before going on"
    );
    assert_eq!(instrument.held("LEV?"), None);
    assert_eq!(instrument.ask("READ?", None, whole).await.unwrap(), 42);
}

#[tokio::test(start_paused = true)]
async fn the_error_queue_is_read_to_its_end_and_told() {
    let left = AtomicUsize::new(0);
    let connector = acme(move |_, line| match line {
        "LEV 99" => {
            left.store(2, Ordering::SeqCst);
            Some(mute())
        }
        "SYST:ERR?" if left.load(Ordering::SeqCst) > 0 => match left.fetch_sub(1, Ordering::SeqCst) {
            2 => Some(says("-222,\"Data out of range\"\n")),
            _ => Some(says("+305,\"Fan, front\"\n")),
        },
        _ => None,
    });
    let mut instrument = connected(connector).await.unwrap();
    let error = instrument.set(level(99.0)).await.err().unwrap();
    assert_eq!(
        error.to_string(),
        "peer: the instrument refused `LEV 99`: Data out of range (-222); Fan, front (305)"
    );
    assert_eq!((instrument.statistics().refusals, instrument.statistics().retries), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn an_error_queue_without_end_does_not_hold_us() {
    let connector = acme(|_, line| (line == "SYST:ERR?").then(|| says("-113,\"Undefined header\"\n")));
    let error = connected(connector).await.err().unwrap();
    assert!(error.to_string().contains("expected fewer than 32 errors"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_mute_instrument_is_given_up_after_three_tries() {
    let connector = acme(|_, line| (line == "READ?").then(mute));
    let mut instrument = connected(connector).await.unwrap();
    assert!(matches!(instrument.ask("READ?", None, whole).await, Err(ScpiError::NoAnswer { .. })));
    assert_eq!(instrument.statistics().timeouts, 3);
}

#[tokio::test(start_paused = true)]
async fn a_setting_whose_writing_is_dropped_is_unknown() {
    let connector =
        acme(|_, line| (line == "LEV?").then(|| Reply { after: Duration::from_millis(500), ..says("3\n") }));
    let mut instrument = connected(connector).await.unwrap();
    instrument.set(level(3.0)).await.unwrap();
    assert!(instrument.held("LEV?").is_some());
    assert!(timeout(Duration::from_millis(100), instrument.set(level(3.0))).await.is_err());
    assert!(instrument.held("LEV?").is_none());
    instrument.set(level(3.0)).await.unwrap();
}

async fn meter_with(
    kind: EventKind,
    at: u64,
) -> (Emulator<ScpiDevice<EmulatedPowerMeter>>, Vec<Option<Watts>>) {
    let lit = EmulatedPowerMeter::new(4, 1).lit_by(|port, _| Watts(f64::from(port) * 1e-6));
    let emulator = Emulator::new(ScpiDevice::new(lit), Line::default(), FaultPlan::default());
    let connector = Arc::new(emulator.connector("bench"));
    let mut meter = KeysightPowerMeter::connect(connector).await.unwrap();
    for port in 1..=4 {
        let averaging = AveragingTime(Duration::from_millis(1));
        meter.configure(port, Nanometres(1550.0), averaging, PowerRange::Auto).await.unwrap();
    }
    let next = emulator.device().requests() + at;
    emulator.plan(FaultPlan::event(kind, next, 0));
    let all = meter.read_all().await;
    // Whatever the fault, what is read is right or not there.
    let powers = match all {
        Ok(all) => all.into_iter().map(|one| one.power).collect(),
        Err(_) => vec![None; 4],
    };
    (emulator, powers)
}

#[tokio::test(start_paused = true)]
async fn a_block_is_read_right_or_not_at_all_whichever_request_a_fault_meets() {
    let kinds = [
        EventKind::DropAnswerByte { byte: 0 },
        EventKind::DropAnswerByte { byte: 7 },
        EventKind::DropAnswerByte { byte: 99 },
        EventKind::DuplicateAnswer,
        EventKind::Late { by_ms: 2500 },
        EventKind::Garbage { bytes: 5 },
        EventKind::Mute { for_ms: 2500 },
        EventKind::Unplug { for_ms: 300 },
        EventKind::Reset,
    ];
    for kind in kinds {
        for at in 1..=6 {
            let (_emulator, powers) = meter_with(kind, at).await;
            for (port, power) in powers.iter().enumerate() {
                let expected = (port + 1) as f64 * 1e-6;
                assert!(
                    power.is_none_or(|power| (power.0 / expected - 1.0).abs() < 1e-6),
                    "{kind:?} at {at}: {powers:?}"
                );
            }
            let is_lost = kind == EventKind::Reset;
            assert_eq!(powers.iter().all(Option::is_some), !is_lost, "{kind:?} at {at}: {powers:?}");
        }
    }
}

/// The set point, 25.000 °C read as such or an error, with one fault at each of the next requests.
#[tokio::test(start_paused = true)]
async fn the_controller_tells_late_double_and_broken_lines_from_its_temperature() {
    let limits = TemperatureLimits { lowest: Celsius(15.0), highest: Celsius(40.0), current: Amperes(1.5) };
    let kinds = [
        EventKind::DropAnswerByte { byte: 0 },
        EventKind::DropAnswerByte { byte: 2 },
        EventKind::DropAnswerByte { byte: 99 },
        EventKind::DuplicateAnswer,
        EventKind::Late { by_ms: 1200 },
        EventKind::Garbage { bytes: 4 },
        EventKind::Mute { for_ms: 1200 },
        EventKind::Unplug { for_ms: 300 },
    ];
    for kind in kinds {
        for at in 1..=8 {
            let device = EmulatedMtd415t::new(1).cooling(|state, _| Celsius(state.setpoint.0 + 0.001));
            let emulator = Emulator::new(device, Line::default(), FaultPlan::default());
            let connector = Arc::new(emulator.connector("bench"));
            let mut controller = Mtd415t::connect(connector, limits.clone()).await.unwrap();
            controller.set_current_limit(Amperes(1.0)).await.unwrap();
            controller.set_temperature(Celsius(20.0)).await.unwrap();
            let next = emulator.device().requests() + at;
            emulator.plan(FaultPlan::event(kind, next, 0));
            let temperature = controller.temperature().await.unwrap();
            assert!((temperature.0 - 20.001).abs() < 1e-9, "{kind:?} at {at}: {temperature}");
            controller.set_temperature(Celsius(25.0)).await.unwrap();
            assert_eq!(emulator.device().settings().setpoint, 25_000);
            assert_eq!(controller.held_setpoint(), Some(Celsius(25.0)));
        }
    }
}
