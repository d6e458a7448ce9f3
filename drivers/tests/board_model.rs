//! Random commands, random faults: what the driver says of the board is what the board holds, or the driver says that it does not
//! know.
//!
//! `ALORA_SEQUENCES` sets the number of sequences, `ALORA_PAIRS` that of writes and read-backs of each fault.

#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests")]

use std::{sync::Arc, time::Duration};

use alora_drivers::{
    ActuatorFrame, BackendError, BackendErrorKind, InputBatch, Operation, PhotonicBackend,
    board::{BoardBackend, BoardOptions, LinkOptions},
    emulate::{
        BoardDevice, ByteFault, ByteFaultKind, Direction, Emulator, Event, EventKind, FaultPlan, Line,
    },
    mock::{Script, Spec, incoherent},
    station::Nominal,
};
use ndarray::Array2;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::time::timeout;

const SEED: u64 = 3;
const KINDS: [ByteFaultKind; 4] =
    [ByteFaultKind::Drop, ByteFaultKind::Flip, ByteFaultKind::Duplicate, ByteFaultKind::Insert];

fn asked(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}

/// A chip small enough for thousands of boards.
fn spec(rows: usize) -> Spec {
    let mut spec = incoherent::preset("incoherent-8x8").unwrap();
    (spec.rows, spec.cols) = (rows, rows);
    Spec::Incoherent(spec)
}

fn options(rows: usize, watchdog_ms: u16) -> BoardOptions {
    let spec = spec(rows);
    let descriptor = spec.clone().connect(SEED, Script::default()).descriptor().clone();
    let (data_sheet, counts_at_limit) = (spec.data_sheet(), spec.counts_at_limit());
    let nominal = Nominal { descriptor, data_sheet, counts_at_limit };
    BoardOptions { nominal, watchdog_ms, link: LinkOptions::default() }
}

fn board(rows: usize) -> Emulator<BoardDevice> {
    let device = BoardDevice::new(spec(rows), SEED, Script::default()).unwrap();
    Emulator::new(device, Line::default(), FaultPlan::default())
}

async fn connected(board: &Emulator<BoardDevice>, rows: usize, watchdog_ms: u16) -> BoardBackend {
    BoardBackend::connect(Arc::new(board.connector("memory")), options(rows, watchdog_ms)).await.unwrap()
}

fn faults(rng: &mut ChaCha8Rng, actuators: usize) -> FaultPlan {
    let bytes = (0..rng.random_range(0..3)).map(|_| ByteFault {
        kind: KINDS[rng.random_range(0..4)],
        direction: [Direction::ToDevice, Direction::ToHost, Direction::Both][rng.random_range(0..3)],
        rate: rng.random_range(0.0..0.01),
    });
    let bytes = bytes.collect();
    let events = (0..rng.random_range(0..3)).map(|_| Event {
        at_request: 0,
        every: 0,
        chance: rng.random_range(0.0..0.1),
        kind: event(rng, actuators),
    });
    FaultPlan { events: events.collect(), bytes, seed: rng.random() }
}

fn event(rng: &mut ChaCha8Rng, actuators: usize) -> EventKind {
    match rng.random_range(0..9) {
        0 => EventKind::Reset,
        1 => EventKind::Mute { for_ms: rng.random_range(1..3000) },
        2 => EventKind::Late { by_ms: rng.random_range(1..1500) },
        3 => EventKind::Garbage { bytes: rng.random_range(1..80) },
        4 => EventKind::Unplug { for_ms: rng.random_range(1..1000) },
        5 => EventKind::Stuck { channel: rng.random_range(0..actuators) },
        6 => EventKind::Unstuck { channel: rng.random_range(0..actuators) },
        7 => EventKind::DropAnswerByte { byte: rng.random_range(0..40) },
        _ => EventKind::DuplicateAnswer,
    }
}

fn frame(rng: &mut ChaCha8Rng, driver: &BoardBackend) -> ActuatorFrame {
    ActuatorFrame(driver.descriptor().limits.iter().map(|&limit| rng.random_range(0..=limit)).collect())
}

/// What the calls of a sequence came to.
#[derive(Debug, Default)]
struct Outcomes {
    held: u64,
    errors: u64,
    dropped: u64,
    executions: u64,
}

struct Sequence {
    rng: ChaCha8Rng,
    board: Emulator<BoardDevice>,
    driver: BoardBackend,
    /// What the driver last promised; `None` when it promises nothing.
    promised: Option<Vec<u16>>,
    /// The driver has said that the board was reset or has stopped itself: it takes no frame before it is parked.
    stopped: bool,
    outcomes: Outcomes,
}

impl Sequence {
    fn truth(&self) -> Vec<u16> {
        self.board.device().applied().to_vec()
    }

    async fn step(&mut self) {
        match self.rng.random_range(0..10) {
            0..4 => self.apply().await,
            4 => self.park().await,
            5 | 6 => self.execute().await,
            7 | 8 => self.read_back().await,
            _ => self.wait().await,
        }
    }

    /// The time after which a future is dropped: rarely short.
    fn patience(&mut self) -> Duration {
        if self.rng.random_bool(0.1) {
            Duration::from_micros(self.rng.random_range(0..200_000))
        } else {
            Duration::from_secs(100_000)
        }
    }

    async fn apply(&mut self) {
        let (frame, patience) = (frame(&mut self.rng, &self.driver), self.patience());
        self.promised = None;
        match timeout(patience, self.driver.apply(&frame)).await {
            Ok(Ok(applied)) => {
                assert!(applied.verified && applied.codes == frame);
                assert!(!self.stopped, "a frame on a board that was not parked");
                assert_eq!(self.truth(), frame.0, "an apply that was confirmed");
                self.promised = Some(frame.0);
                self.outcomes.held += 1;
            }
            Ok(Err(error)) => self.failed(&error).await,
            Err(_) => self.given_up().await,
        }
    }

    async fn park(&mut self) {
        let patience = self.patience();
        self.promised = None;
        match timeout(patience, self.driver.park()).await {
            Ok(Ok(())) => {
                assert!(self.truth().iter().all(|&code| code == 0), "a parking that was confirmed");
                self.promised = Some(vec![0; self.truth().len()]);
                self.stopped = false;
                self.outcomes.held += 1;
            }
            Ok(Err(error)) => self.failed(&error).await,
            Err(_) => self.given_up().await,
        }
    }

    async fn read_back(&mut self) {
        let patience = self.patience();
        match timeout(patience, self.driver.read_back()).await {
            Ok(Ok(held)) => {
                assert_eq!(self.truth(), held.0, "a read-back");
                self.outcomes.held += 1;
            }
            Ok(Err(error)) => self.failed(&error).await,
            Err(_) => self.outcomes.dropped += 1,
        }
    }

    async fn wait(&mut self) {
        let duration = Duration::from_millis(self.rng.random_range(0..1000));
        if let Err(error) = self.driver.wait(duration).await {
            self.failed(&error).await;
        }
    }

    async fn execute(&mut self) {
        let (lowest, highest) = self.driver.descriptor().input_range();
        let width = self.driver.descriptor().input_width();
        let inputs = Array2::from_shape_fn((2, width), |_| self.rng.random_range(lowest..=highest));
        let inputs = InputBatch(inputs);
        let patience = self.patience();
        match timeout(patience, self.driver.execute(&inputs, 2)).await {
            Ok(Ok(_)) => {
                let promised = self.promised.clone().unwrap_or_else(|| panic!("counts of unknown outputs"));
                assert_eq!(self.truth(), promised, "counts of other codes than those that were promised");
                self.outcomes.executions += 1;
            }
            Ok(Err(error)) => self.failed(&error).await,
            Err(_) => self.outcomes.dropped += 1,
        }
    }

    async fn failed(&mut self, error: &BackendError) {
        let stops =
            matches!(error.kind, BackendErrorKind::Rebooted { .. } | BackendErrorKind::Tripped { .. });
        self.stopped |= stops;
        self.outcomes.errors += 1;
        self.no_counts().await;
    }

    async fn given_up(&mut self) {
        self.outcomes.dropped += 1;
        self.no_counts().await;
    }

    /// After an error, and after a write that was given up, there are none.
    async fn no_counts(&mut self) {
        self.promised = None;
        let inputs = InputBatch(Array2::zeros((1, self.driver.descriptor().input_width())));
        let refused = self.driver.execute(&inputs, 1).await.unwrap_err();
        assert_eq!(refused.kind, BackendErrorKind::OutputsUnknown);
    }
}

async fn sequence(seed: u64, outcomes: Outcomes) -> Outcomes {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let rows = rng.random_range(2..4);
    let board = board(rows);
    let driver = connected(&board, rows, 0).await;
    let plan = faults(&mut rng, driver.descriptor().limits.len());
    let promised = Some(vec![0; driver.descriptor().limits.len()]);
    let mut sequence = Sequence { rng, board, driver, promised, stopped: false, outcomes };
    sequence.board.plan(plan.clone());
    for step in 0..12 {
        // Shown with a failure, so that it can be played again.
        println!("sequence {seed}, step {step}, {plan:?}");
        sequence.step().await;
    }
    sequence.outcomes
}

#[tokio::test(start_paused = true)]
async fn what_the_driver_says_holds_or_it_says_that_it_does_not_know() {
    let sequences = asked("ALORA_SEQUENCES", 300);
    let mut outcomes = Outcomes::default();
    for seed in 0..sequences {
        outcomes = sequence(seed, outcomes).await;
    }
    println!("{sequences} sequences: {outcomes:?}");
    assert!(outcomes.held > sequences, "{outcomes:?}");
    assert!(outcomes.errors > 0 && outcomes.executions > 0, "{outcomes:?}");
}

/// Writes and reads back, and parks after an error; (confirmed and right, ended in an error). A wrong value fails the test.
async fn score(name: &str, plan: FaultPlan, pairs: u64) -> (u64, u64) {
    let board = board(2);
    let mut driver = connected(&board, 2, 0).await;
    let mut rng = ChaCha8Rng::seed_from_u64(17);
    board.plan(plan);
    let (mut confirmed, mut errors) = (0, 0);
    for pair in 0..pairs {
        let frame = frame(&mut rng, &driver);
        if let Err(error) = driver.apply(&frame).await {
            assert_eq!(error.operation, Operation::Apply);
            println!("{name}, pair {pair}: {}", error.kind);
            errors += 1;
            // Another reset may come in the middle of it.
            let _ = driver.park().await;
            continue;
        }
        assert_eq!(board.device().applied(), frame.0, "{name}, pair {pair}: applied");
        match driver.read_back().await {
            Ok(held) => {
                assert_eq!(board.device().applied(), held.0, "{name}, pair {pair}: read back");
                confirmed += u64::from(held == frame);
                errors += u64::from(held != frame);
            }
            Err(_) => errors += 1,
        }
    }
    println!(
        "{name}: {pairs} pairs, {confirmed} confirmed, {errors} with an error or a reset that was seen, 0 wrong"
    );
    (confirmed, errors)
}

#[tokio::test(start_paused = true)]
async fn no_fault_makes_a_wrong_value_of_a_write_or_a_read_back() {
    let pairs = asked("ALORA_PAIRS", 100);
    for (name, kind, every) in [
        ("dropped byte of an answer", EventKind::DropAnswerByte { byte: 5 }, 5),
        ("late answer", EventKind::Late { by_ms: 200 }, 7),
    ] {
        let (confirmed, errors) = score(name, FaultPlan::event(kind, 1, every), pairs).await;
        assert_eq!((confirmed, errors), (pairs, 0), "{name}");
    }
    let (confirmed, _) = score("reset", FaultPlan::event(EventKind::Reset, 1, 23), pairs).await;
    assert!(confirmed > pairs / 4, "{confirmed}");
    for kind in KINDS {
        let (confirmed, _) = score(&format!("1 % {kind:?}"), FaultPlan::bytes(kind, 0.01, 11), pairs).await;
        assert!(confirmed >= pairs * 9 / 10, "{kind:?}: {confirmed} of {pairs}");
    }
}
