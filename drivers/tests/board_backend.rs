//! A processor behind an emulated board is the processor itself.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{sync::Arc, time::Duration};

use alora_drivers::{
    BackendErrorKind, PhotonicBackend,
    board::BoardBackend,
    contract,
    emulate::{BoardDevice, ByteFaultKind, Device, Event, EventKind, FaultPlan, Line},
    mock::{Script, Spec, incoherent},
};
use tokio::time::{Instant, sleep};

#[path = "common/board.rs"]
mod common;

use common::{SEED, board, codes, connected, options, vectors};

#[tokio::test(start_paused = true)]
async fn an_emulated_board_keeps_the_contract() {
    for preset in
        ["incoherent-8x8", "incoherent-ring-16x16", "incoherent-64x64", "coherent-4x4", "coherent-8x8"]
    {
        let connect = async || {
            let emulator = board(preset, Line::default(), FaultPlan::default());
            let backend: Box<dyn PhotonicBackend> = Box::new(connected(&emulator, preset, 2000).await);
            backend
        };
        assert_eq!(contract::check(connect).await, Ok(()), "{preset}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_count_is_that_of_the_chip_in_process() {
    for preset in
        ["incoherent-16x16", "factory-fresh-incoherent-16x16", "coherent-8x8", "factory-fresh-coherent-8x8"]
    {
        let spec = Spec::preset(preset).unwrap();
        let mut chip = spec.connect(SEED, Script::default());
        let emulator = board(preset, Line::default(), FaultPlan::default());
        let mut wired = connected(&emulator, preset, 2000).await;
        assert_eq!(wired.descriptor(), chip.descriptor());
        // As a calibration begins: parking takes the chip's time even when there is nothing to zero.
        chip.park().await.unwrap();
        wired.park().await.unwrap();
        for (salt, (frames, repeats)) in
            [(1, 1), (16, 4), (128, 1), (130, 3), (255, 2), (256, 1), (300, 1), (2000, 1)]
                .into_iter()
                .enumerate()
        {
            if salt != 3 {
                let frame = codes(&*chip, salt);
                let _ = (chip.apply(&frame).await.unwrap(), wired.apply(&frame).await.unwrap());
            }
            let inputs = vectors(&*chip, frames);
            let expected = chip.execute(&inputs, repeats).await.unwrap();
            let found = wired.execute(&inputs, repeats).await.unwrap();
            assert!(found.counts == expected.counts, "{preset}: counts of {repeats} × {frames} vectors");
            assert!(
                found.saturated == expected.saturated,
                "{preset}: limits of {repeats} × {frames} vectors"
            );
            assert!((found.temperature.0 - expected.temperature.0).abs() < 0.001);
            if salt % 3 == 2 {
                chip.park().await.unwrap();
                wired.park().await.unwrap();
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn lost_and_damaged_frames_are_sent_again_and_change_nothing() {
    for kind in [ByteFaultKind::Drop, ByteFaultKind::Flip, ByteFaultKind::Duplicate, ByteFaultKind::Insert] {
        let emulator = board("incoherent-8x8", Line::default(), FaultPlan::bytes(kind, 0.0005, 11));
        let mut wired = connected(&emulator, "incoherent-8x8", 0).await;
        for salt in 0..50 {
            let frame = codes(&wired, salt);
            assert!(wired.apply(&frame).await.unwrap().verified);
            assert_eq!(emulator.device().applied(), frame.0);
            assert_eq!(wired.read_back().await.unwrap(), frame);
        }
        assert!(wired.statistics().retries > 0, "{kind:?}: {:?}", wired.statistics());
    }
}

#[tokio::test(start_paused = true)]
async fn the_outputs_go_to_zero_when_the_host_dies() {
    let emulator = board("incoherent-8x8", Line::default(), FaultPlan::default());
    let mut wired = connected(&emulator, "incoherent-8x8", 300).await;
    let frame = codes(&wired, 1);
    let _ = wired.apply(&frame).await.unwrap();
    // Quiet, but alive: the link keeps the watchdog fed.
    sleep(Duration::from_secs(20)).await;
    assert_eq!(emulator.device().applied(), frame.0);
    drop(wired);
    sleep(Duration::from_millis(301)).await;
    assert!(emulator.device().applied().iter().all(|&code| code == 0));
    assert!(emulator.device().is_tripped());
    let mut again = connected(&emulator, "incoherent-8x8", 300).await;
    assert!(again.apply(&frame).await.unwrap().verified);
}

#[tokio::test(start_paused = true)]
async fn a_reset_is_seen_and_no_frame_goes_on_before_a_park_has_written_the_limits_again() {
    for after in 1..30 {
        let emulator = board("incoherent-8x8", Line::default(), FaultPlan::default());
        let mut wired = connected(&emulator, "incoherent-8x8", 2000).await;
        let frame = codes(&wired, 1);
        let _ = wired.apply(&frame).await.unwrap();
        let at_request = emulator.device().requests() + after;
        emulator.plan(FaultPlan::event(EventKind::Reset, at_request, 0));
        let mut seen = false;
        for salt in 2..12 {
            let next = codes(&wired, salt);
            match wired.apply(&next).await {
                Ok(applied) => {
                    assert!(applied.verified);
                    assert_eq!(emulator.device().applied(), next.0, "request {after}");
                }
                Err(error) => {
                    seen = true;
                    assert!(
                        matches!(error.kind, BackendErrorKind::Rebooted { .. }),
                        "request {after}: {error:?}"
                    );
                    let refused = wired.execute(&vectors(&wired, 1), 1).await.unwrap_err();
                    assert_eq!(refused.kind, BackendErrorKind::OutputsUnknown, "after {error}");
                    let again = wired.apply(&next).await.unwrap_err();
                    assert_eq!(again.kind, error.kind);
                    assert!(emulator.device().applied().iter().all(|&code| code == 0));
                    wired.park().await.unwrap();
                }
            }
        }
        assert!(seen, "a reset at request {after} passed unseen");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stuck_actuator_is_named() {
    let emulator = board("incoherent-8x8", Line::default(), FaultPlan::default());
    let mut wired = connected(&emulator, "incoherent-8x8", 2000).await;
    emulator.plan(FaultPlan {
        events: vec![Event { at_request: 0, every: 0, chance: 1.0, kind: EventKind::Stuck { channel: 5 } }],
        ..FaultPlan::default()
    });
    let frame = codes(&wired, 1);
    let error = wired.apply(&frame).await.unwrap_err();
    assert_eq!(error.kind, BackendErrorKind::NotHeld { actuator: 5, sent: frame.0[5], held: 0 });
}

#[tokio::test(start_paused = true)]
async fn a_pulled_plug_is_said_at_once_and_parking_finds_the_board_again() {
    let emulator = board("incoherent-8x8", Line::default(), FaultPlan::default());
    let mut wired = connected(&emulator, "incoherent-8x8", 300).await;
    let _ = wired.apply(&codes(&wired, 1)).await.unwrap();
    emulator.plan(FaultPlan {
        events: vec![Event { at_request: 0, every: 0, chance: 1.0, kind: EventKind::Unplug { for_ms: 500 } }],
        ..FaultPlan::default()
    });
    let started = Instant::now();
    let error = wired.apply(&codes(&wired, 2)).await.unwrap_err();
    assert!(started.elapsed() < Duration::from_millis(10), "{:?}", started.elapsed());
    assert!(matches!(error.kind, BackendErrorKind::Link(_)), "{error:?}");
    emulator.plan(FaultPlan::default());
    assert!(wired.park().await.is_err());
    sleep(Duration::from_millis(600)).await;
    wired.park().await.unwrap();
    assert!(wired.apply(&codes(&wired, 3)).await.unwrap().verified);
}

#[tokio::test(start_paused = true)]
async fn a_mute_board_is_given_up_within_seconds() {
    let emulator = board("incoherent-8x8", Line::default(), FaultPlan::default());
    let mut wired = connected(&emulator, "incoherent-8x8", 0).await;
    emulator.plan(FaultPlan {
        events: vec![Event {
            at_request: 0,
            every: 0,
            chance: 1.0,
            kind: EventKind::Mute { for_ms: 1_000_000 },
        }],
        ..FaultPlan::default()
    });
    let started = Instant::now();
    let error = wired.apply(&codes(&wired, 2)).await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert!(matches!(error.kind, BackendErrorKind::Link(_)), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn another_board_is_refused_before_anything_is_written() {
    let emulator = board("incoherent-8x8", Line::default(), FaultPlan::default());
    let connector = Arc::new(emulator.connector("memory"));
    let error = BoardBackend::connect(connector, options("incoherent-16x16", 100)).await.err().unwrap();
    assert_eq!(error.to_string(), "memory: connect failed");
    assert_eq!(
        error.kind.to_string(),
        "actuators: the device says 128, the station file 512; correct the station file or connect the right device"
    );
    assert_eq!(emulator.device().applied(), vec![0; 128]);
}

#[test]
fn a_chip_whose_counts_do_not_fit_is_refused() {
    let mut spec = incoherent::preset("incoherent-16x16").unwrap();
    spec.bits.output = 14;
    let error = BoardDevice::new(Spec::Incoherent(spec), 1, Script::default()).err().unwrap();
    assert_eq!(
        error.to_string(),
        "counts of this chip reach 131072, a board reports 16 bits (32767 at most); take fewer bits or gains"
    );
}

#[tokio::test(start_paused = true)]
async fn a_board_that_was_found_again_by_a_read_back_is_not_taken_for_the_one_that_was_programmed() {
    let emulator = board("incoherent-8x8", Line::default(), FaultPlan::default());
    let mut wired = connected(&emulator, "incoherent-8x8", 0).await;
    let _ = wired.apply(&codes(&wired, 1)).await.unwrap();
    emulator.plan(FaultPlan {
        events: vec![Event { at_request: 0, every: 0, chance: 1.0, kind: EventKind::Unplug { for_ms: 10 } }],
        ..FaultPlan::default()
    });
    assert!(wired.read_back().await.is_err());
    emulator.plan(FaultPlan::default());
    sleep(Duration::from_millis(20)).await;
    assert_eq!(wired.read_back().await.unwrap(), codes(&wired, 1));
    let refused = wired.execute(&vectors(&wired, 1), 1).await.unwrap_err();
    assert_eq!(refused.kind, BackendErrorKind::OutputsUnknown);
}
