//! Cases at the edges: long frames on slow lines, small boards, dropped executions, other versions, counts in odd pieces.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{sync::Arc, time::Duration};

use alora_board_protocol::{Codes, Firmware, Hardware, Identity, Memory, Request, Sense, crc32, max_encoded};
use alora_drivers::{
    BackendErrorKind, PhotonicBackend,
    board::BoardBackend,
    emulate::{BoardDevice, Device, Emulator, EventKind, FaultPlan, Line},
    link::{Connector, InMemory, LinkError, Transport},
    mock::{Script, Spec},
};
use async_trait::async_trait;
use tokio::time::{Instant, sleep, timeout};

#[path = "common/board.rs"]
mod common;

use common::{SEED, board, codes, connected, options, vectors};

/// A wire in memory whose driver knows the baud rate, as that of a serial port does.
struct Serial(InMemory, u32);

#[async_trait]
impl Connector for Serial {
    async fn open(&self) -> Result<Box<dyn Transport>, LinkError> {
        self.0.open().await
    }

    fn place(&self) -> String {
        self.0.place()
    }

    fn baud(&self) -> Option<u32> {
        Some(self.1)
    }
}

async fn same_counts(preset: &str, frames: usize, repeats: usize) -> bool {
    let mut chip = Spec::preset(preset).unwrap().connect(SEED, Script::default());
    let emulator = board(preset, Line::default(), FaultPlan::default());
    let mut wired = connected(&emulator, preset, 2000).await;
    let frame = codes(&*chip, 1);
    let _ = (chip.apply(&frame).await.unwrap(), wired.apply(&frame).await.unwrap());
    let inputs = vectors(&*chip, frames);
    let (expected, found) =
        (chip.execute(&inputs, repeats).await.unwrap(), wired.execute(&inputs, repeats).await.unwrap());
    found.counts == expected.counts && found.saturated == expected.saturated
}

#[tokio::test(start_paused = true)]
async fn a_repeat_that_ends_at_half_a_noise_block_is_not_taken_for_a_longer_one() {
    for (preset, frames, repeats) in [
        ("coherent-4x4", 384, 2),
        ("coherent-4x4", 384, 1),
        ("coherent-4x4", 512, 2),
        ("coherent-4x4", 128, 4),
    ] {
        assert!(same_counts(preset, frames, repeats).await, "{preset}: {repeats} × {frames}");
    }
}

#[tokio::test(start_paused = true)]
async fn counts_of_a_wide_mesh_are_those_of_the_chip_in_process() {
    for (frames, repeats) in [(1, 1), (100, 1), (128, 1), (128, 2), (300, 1)] {
        assert!(same_counts("coherent-64x64", frames, repeats).await, "{repeats} × {frames}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_execution_on_a_slow_line_does_not_trip_the_watchdog() {
    let emulator = board("incoherent-64x64", Line { baud: 115_200, latency_ms: 0 }, FaultPlan::default());
    let connector = Arc::new(Serial(emulator.connector("serial"), 115_200));
    let mut wired = BoardBackend::connect(connector, options("incoherent-64x64", 1000)).await.unwrap();
    let _ = wired.apply(&codes(&wired, 1)).await.unwrap();
    let read = wired.execute(&vectors(&wired, 256), 1).await;
    assert!(!emulator.device().is_tripped(), "the watchdog has tripped: {:?}", read.err());
    assert!(read.is_ok());
}

#[tokio::test(start_paused = true)]
async fn parking_does_not_wait_for_an_execution_that_was_dropped() {
    let emulator = board("incoherent-64x64", Line { baud: 115_200, latency_ms: 0 }, FaultPlan::default());
    let connector = Arc::new(Serial(emulator.connector("serial"), 115_200));
    let mut wired = BoardBackend::connect(connector, options("incoherent-64x64", 10_000)).await.unwrap();
    let _ = wired.apply(&codes(&wired, 1)).await.unwrap();
    let inputs = vectors(&wired, 2000);
    assert!(timeout(Duration::from_secs(1), wired.execute(&inputs, 1)).await.is_err());
    let started = Instant::now();
    let zeroed = async {
        while emulator.device().applied().iter().any(|&code| code > 0) {
            sleep(Duration::from_millis(10)).await;
        }
        started.elapsed()
    };
    let (parked, zeroed) = tokio::join!(wired.park(), zeroed);
    assert!(parked.is_ok(), "{parked:?}");
    assert!(zeroed < Duration::from_secs(5), "zero only {zeroed:?} after park was called");
}

#[tokio::test(start_paused = true)]
async fn a_trip_or_reset_ends_a_wait_at_once() {
    let emulator = board("incoherent-8x8", Line::default(), FaultPlan::default());
    let mut wired = connected(&emulator, "incoherent-8x8", 300).await;
    let _ = wired.apply(&codes(&wired, 1)).await.unwrap();
    let next = emulator.device().requests() + 5;
    emulator.plan(FaultPlan::event(EventKind::Reset, next, 0));
    let started = Instant::now();
    let error = wired.wait(Duration::from_secs(3600)).await.unwrap_err();
    assert!(matches!(error.kind, BackendErrorKind::Rebooted { .. }), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(10), "said after {:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_reset_in_the_middle_of_a_write_is_called_a_reset() {
    for after in 1..6 {
        let emulator = board("incoherent-8x8", Line::default(), FaultPlan::default());
        let mut wired = connected(&emulator, "incoherent-8x8", 0).await;
        let _ = wired.apply(&codes(&wired, 1)).await.unwrap();
        let at = emulator.device().requests() + after;
        emulator.plan(FaultPlan::event(EventKind::Reset, at, 0));
        let error =
            wired.apply(&codes(&wired, 2)).await.map(|_| ()).and(wired.apply(&codes(&wired, 3)).await);
        let kind = error.err().map(|error| error.kind);
        assert!(matches!(kind, Some(BackendErrorKind::Rebooted { .. })), "request {after}: {kind:?}");
    }
}

/// Registers and no light: a small board.
struct Registers {
    applied: Vec<u16>,
    most: u16,
    executions: usize,
    /// Executions of no vectors.
    empty: usize,
}

impl Hardware for Registers {
    fn identity(&self) -> Identity<'_> {
        Identity { firmware: (1, 0), kind: 1, inputs: 8, outputs: 8, bits: [8; 3], serial: b"small" }
    }

    fn write(&mut self, codes: &[u16]) {
        self.applied.copy_from_slice(codes);
        self.most = self.most.max(codes.iter().copied().max().unwrap_or(0));
    }

    fn read(&self, actuator: usize) -> u16 {
        self.applied[actuator]
    }

    fn execute(&mut self, repeats: u8, frames: u8, _: Codes<'_>, put: &mut dyn FnMut(i16)) -> Option<bool> {
        self.executions += 1;
        self.empty += usize::from(frames == 0);
        (0..usize::from(repeats) * usize::from(frames) * 8).for_each(|_| put(7));
        Some(false)
    }

    fn sense(&mut self) -> Sense {
        Sense { millikelvin: 298_150, ..Sense::default() }
    }

    fn zero(&mut self) {
        self.applied.fill(0);
    }
}

type Small = Firmware<Registers, Vec<u16>, Vec<u8>>;

fn small(actuators: usize, payload: usize) -> Small {
    let memory = Memory {
        staged: vec![0; actuators],
        limits: vec![0; actuators],
        incoming: vec![0; max_encoded(payload)],
        outgoing: vec![0; 8 * max_encoded(payload)],
        payload: vec![0; payload],
    };
    let registers = Registers { applied: vec![0; actuators], most: 0, executions: 0, empty: 0 };
    Firmware::new(registers, memory, 1)
}

struct SmallBoard(Small);

impl Device for SmallBoard {
    fn receive(&mut self, bytes: &[u8], now: Duration, answers: &mut Vec<u8>) {
        self.0.receive(bytes, now.as_micros() as u64, &mut |frame| answers.extend_from_slice(frame));
    }

    fn requests(&self) -> u64 {
        self.0.requests()
    }

    fn reset(&mut self, _: Duration, _: &mut Vec<u8>) {}

    fn stick(&mut self, _: usize, _: bool) {}
}

#[tokio::test(start_paused = true)]
async fn a_board_with_little_memory_is_written_in_smaller_pieces() {
    for payload in [1024, 512, 256, 64] {
        let emulator = Emulator::new(SmallBoard(small(128, payload)), Line::default(), FaultPlan::default());
        let mut wired = connected(&emulator, "incoherent-8x8", 0).await;
        let frame = codes(&wired, 1);
        let _ = wired.apply(&frame).await.unwrap();
        let read = wired.execute(&vectors(&wired, 20), 3).await.unwrap();
        assert!(read.counts.iter().all(|&count| count == 7), "{payload} bytes: counts that nobody measured");
    }
}

/// Executions of a small board while 20 vectors go through it 3 times, and the times that something was sent again.
async fn executions(plan: FaultPlan) -> (usize, u64) {
    let emulator = Emulator::new(SmallBoard(small(128, 64)), Line::default(), FaultPlan::default());
    let mut wired = connected(&emulator, "incoherent-8x8", 0).await;
    emulator.plan(plan);
    wired.execute(&vectors(&wired, 20), 3).await.unwrap();
    (emulator.device().0.hardware().executions, wired.statistics().retries)
}

#[tokio::test(start_paused = true)]
async fn an_execution_whose_answer_is_lost_is_not_carried_out_twice() {
    let (once, _) = executions(FaultPlan::default()).await;
    for every in 1..9 {
        let lost = FaultPlan::event(EventKind::DropAnswerByte { byte: 3 }, every, 9);
        let (carried_out, retries) = executions(lost).await;
        assert!(retries > 0);
        assert_eq!(carried_out, once, "after {retries} answers that were lost");
    }
}

#[tokio::test(start_paused = true)]
async fn a_board_that_is_not_simulated_is_not_told_where_a_pass_ends() {
    let emulator = Emulator::new(SmallBoard(small(128, 4096)), Line::default(), FaultPlan::default());
    let mut wired = connected(&emulator, "incoherent-8x8", 0).await;
    assert!(!wired.descriptor().simulated);
    for frames in [128, 384] {
        wired.execute(&vectors(&wired, frames), 5).await.unwrap();
    }
    assert_eq!(emulator.device().0.hardware().empty, 0);
}

fn limits(bytes: &[u8]) -> Request<'_> {
    Request::Limits { first: 0, codes: Codes::new(bytes).unwrap() }
}

fn ask(board: &mut Small, seq: u16, request: Request<'_>) -> Vec<u8> {
    let mut frame = [0; 256];
    let length = request.encode(seq, &mut frame).unwrap();
    let mut answer = Vec::new();
    board.receive(&frame[..length], 0, &mut |bytes| answer.extend_from_slice(bytes));
    answer
}

#[test]
fn a_limit_that_is_lowered_after_staging_holds_for_the_commit() {
    let mut board = small(1, 256);
    let word = |value: u16| value.to_le_bytes();
    ask(&mut board, 1, limits(&word(200)));
    ask(&mut board, 2, Request::Stage { first: 0, codes: Codes::new(&word(150)).unwrap() });
    ask(&mut board, 3, limits(&word(50)));
    ask(&mut board, 4, Request::Commit { crc: crc32(word(150)) });
    assert!(board.hardware().most <= 50, "code {} was driven above its limit of 50", board.hardware().most);
}

#[test]
fn the_first_request_of_another_host_is_not_taken_for_the_last_of_the_one_before() {
    let mut board = small(1, 256);
    let word = |value: u16| value.to_le_bytes();
    ask(&mut board, 7, limits(&word(200)));
    ask(&mut board, 6, Request::Hello);
    ask(&mut board, 7, limits(&word(50)));
    ask(&mut board, 8, Request::Stage { first: 0, codes: Codes::new(&word(150)).unwrap() });
    ask(&mut board, 9, Request::Commit { crc: crc32(word(150)) });
    assert!(board.hardware().most <= 50, "limits of the second host were not written");
}

/// A board of a later version: whatever it is asked, it answers in its own frames.
struct Later;

impl Device for Later {
    fn receive(&mut self, bytes: &[u8], _: Duration, answers: &mut Vec<u8>) {
        if bytes.contains(&0) {
            let mut frame = vec![2, 0xFF, 1, 0, 3];
            frame.extend(crc32(frame.iter().copied()).to_le_bytes());
            for block in frame.split(|&byte| byte == 0) {
                answers.push(block.len() as u8 + 1);
                answers.extend_from_slice(block);
            }
            answers.push(0);
        }
    }

    fn requests(&self) -> u64 {
        0
    }

    fn reset(&mut self, _: Duration, _: &mut Vec<u8>) {}

    fn stick(&mut self, _: usize, _: bool) {}
}

#[tokio::test(start_paused = true)]
async fn a_board_of_another_version_is_refused_with_both_versions_named() {
    let emulator = Emulator::new(Later, Line::default(), FaultPlan::default());
    let connector = Arc::new(emulator.connector("memory"));
    let error = BoardBackend::connect(connector, options("incoherent-8x8", 0)).await.err().unwrap();
    assert!(matches!(error.kind, BackendErrorKind::Version { .. }), "{}", error.kind);
    assert!(error.kind.to_string().contains('2'), "{}", error.kind);
}

#[tokio::test(start_paused = true)]
async fn a_trip_is_not_cleared_by_the_next_frame_but_by_parking() {
    let emulator = board("incoherent-8x8", Line::default(), FaultPlan::default());
    let mut wired = connected(&emulator, "incoherent-8x8", 300).await;
    let frame = codes(&wired, 1);
    let _ = wired.apply(&frame).await.unwrap();
    emulator.plan(FaultPlan::event(EventKind::Mute { for_ms: 1 }, u64::MAX, 0));
    // Its watchdog trips while the wire is stalled: the board is told of a later time.
    let mut unheard = Vec::new();
    emulator.device().tick(Duration::from_secs(3600), &mut unheard);
    assert!(emulator.device().is_tripped());
    assert!(wired.apply(&frame).await.is_err());
    let again = wired.apply(&frame).await;
    assert!(again.is_err(), "the frame after the error has armed a tripped board again");
    wired.park().await.unwrap();
    assert!(wired.apply(&frame).await.unwrap().verified);
}

/// Pulls the plug in the middle of a write, and puts it back; what happens meanwhile, the caller says.
async fn interrupted(
    wired: &mut BoardBackend,
    emulator: &Emulator<BoardDevice>,
    meanwhile: impl AsyncFnOnce(),
) {
    let next = emulator.device().requests() + 2;
    emulator.plan(FaultPlan::event(EventKind::Unplug { for_ms: 100 }, next, 0));
    let error = wired.apply(&codes(wired, 2)).await.unwrap_err();
    assert!(matches!(error.kind, BackendErrorKind::Link(_)), "{error:?}");
    meanwhile().await;
    sleep(Duration::from_millis(200)).await;
}

#[tokio::test(start_paused = true)]
async fn a_board_that_was_reset_while_the_plug_was_out_takes_no_frame_before_a_park() {
    let emulator = board("incoherent-8x8", Line::default(), FaultPlan::default());
    let mut wired = connected(&emulator, "incoherent-8x8", 0).await;
    let reset = async || emulator.device().reset(Duration::from_secs(3600), &mut Vec::new());
    interrupted(&mut wired, &emulator, reset).await;
    for _ in 0..2 {
        let error = wired.apply(&codes(&wired, 3)).await.unwrap_err();
        assert!(matches!(error.kind, BackendErrorKind::Rebooted { .. }), "{error:?}");
    }
    wired.park().await.unwrap();
    assert!(wired.apply(&codes(&wired, 3)).await.unwrap().verified);
}

#[tokio::test(start_paused = true)]
async fn a_board_that_tripped_while_the_plug_was_out_takes_no_frame_before_a_park() {
    let emulator = board("incoherent-8x8", Line::default(), FaultPlan::default());
    let mut wired = connected(&emulator, "incoherent-8x8", 300).await;
    interrupted(&mut wired, &emulator, async || sleep(Duration::from_secs(1)).await).await;
    assert!(emulator.device().is_tripped());
    for _ in 0..2 {
        let error = wired.apply(&codes(&wired, 3)).await.unwrap_err();
        assert!(matches!(error.kind, BackendErrorKind::Tripped { .. }), "{error:?}");
    }
    wired.park().await.unwrap();
    assert!(wired.apply(&codes(&wired, 3)).await.unwrap().verified);
}

#[tokio::test(start_paused = true)]
async fn a_board_that_only_lost_its_wire_takes_the_next_frame() {
    let emulator = board("incoherent-8x8", Line::default(), FaultPlan::default());
    let mut wired = connected(&emulator, "incoherent-8x8", 0).await;
    interrupted(&mut wired, &emulator, async || {}).await;
    assert!(wired.apply(&codes(&wired, 3)).await.unwrap().verified);
}

#[tokio::test(start_paused = true)]
async fn counts_of_a_board_that_another_program_has_zeroed_are_none() {
    let emulator = board("incoherent-8x8", Line::default(), FaultPlan::default());
    let mut wired = connected(&emulator, "incoherent-8x8", 0).await;
    let _ = wired.apply(&codes(&wired, 1)).await.unwrap();
    let mut frame = [0; 32];
    let length = Request::Park.encode(0xEFF1, &mut frame).unwrap();
    emulator.device().receive(&frame[..length], Duration::from_secs(3600), &mut Vec::new());
    let error = wired.execute(&vectors(&wired, 1), 1).await.unwrap_err();
    assert!(matches!(error.kind, BackendErrorKind::Rebooted { .. }), "{error:?}");
    assert!(error.kind.to_string().contains("another program"), "{}", error.kind);
}

#[tokio::test(start_paused = true)]
async fn a_large_image_is_read_back_as_it_was_at_one_moment() {
    let emulator = board("incoherent-64x64", Line { baud: 921_600, latency_ms: 0 }, FaultPlan::default());
    let mut wired = connected(&emulator, "incoherent-64x64", 0).await;
    let frame = codes(&wired, 1);
    let _ = wired.apply(&frame).await.unwrap();
    let parked = async {
        sleep(Duration::from_millis(100)).await;
        let mut request = [0; 32];
        let length = Request::Park.encode(0xEFF1, &mut request).unwrap();
        emulator.device().receive(&request[..length], Duration::from_secs(3600), &mut Vec::new());
    };
    let (held, ()) = tokio::join!(wired.read_back(), parked);
    assert!(held.unwrap().0.iter().all(|&code| code == 0), "some codes from before, some from after");
}
