//! Set and read-back pairs under the faults at which the vendor's own client was measured: how many values come back wrong
//! without an error. It must be none. `QONTROL_PAIRS` sets how many pairs of each row are made; 10 000 is the full score.

#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests")]

use std::{sync::Arc, time::Duration};

use alora_drivers::{
    Amperes, Volts,
    emulate::{ByteFaultKind, Emulator, EventKind, FaultPlan, Line, qontrol::QontrolChain},
    qontrol::{Chain, ChainOptions, ChannelLimits, ChannelState, Mode, ModuleKind, Outcome},
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const MODES: [Mode; 2] = [Mode::Ascii, Mode::Binary];
/// What the host asks for again before it gives up on a chain, as an operator would.
const PATIENCE: usize = 20;

#[derive(Debug, Default)]
struct Score {
    confirmed: usize,
    refused: usize,
    unknown: usize,
    /// Confirmed, but the device holds something else.
    wrong: usize,
    /// A channel reported as known, but the device holds something else.
    wrong_states: usize,
    rearmed: usize,
}

fn pairs(usual: usize) -> usize {
    std::env::var("QONTROL_PAIRS").ok().and_then(|count| count.parse().ok()).unwrap_or(usual)
}

fn options(mode: Mode) -> ChainOptions {
    ChainOptions::new(ChannelLimits { volts: Volts(5.0), amperes: Amperes(6e-3) })
        .expecting(&[ModuleKind::Q8iv; 2])
        .in_mode(mode)
}

async fn bring_back(chain: &mut Chain, rearmed: &mut usize) {
    for _ in 0..PATIENCE {
        *rearmed += 1;
        let again = match chain.rearm().await {
            Err(alora_drivers::qontrol::ChainError::Link(_)) => {
                tokio::time::sleep(Duration::from_secs(2)).await;
                chain.reconnect().await
            }
            other => other,
        };
        if again.is_ok() {
            return;
        }
    }
    panic!("the chain does not come back");
}

fn wrong_states(chain: &Chain, device: &QontrolChain) -> usize {
    let truth = device.volts();
    let states = chain.states();
    let differs = |(state, truth): (&ChannelState, &Volts)| match state {
        ChannelState::Known(volts) => (volts.0 - truth.0).abs() > 1e-9,
        ChannelState::Unknown => false,
    };
    states.iter().zip(&truth).filter(|&(state, truth)| differs((state, truth))).count()
}

/// One row: the chain is connected in peace, then the faults begin.
async fn score(mode: Mode, plan: FaultPlan, pairs: usize, seed: u64) -> Score {
    let device = QontrolChain::new(&[ModuleKind::Q8iv; 2]);
    let emulator = Emulator::new(device, Line::default(), FaultPlan::default());
    let mut chain = Chain::connect(Arc::new(emulator.connector("memory")), options(mode)).await.unwrap();
    emulator.plan(plan);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut score = Score::default();
    for _ in 0..pairs {
        let channel = rng.random_range(0..16);
        let wanted = Volts(rng.random_range(0.0..5.0));
        let outcome = chain.confirm(channel, wanted).await;
        let truth = emulator.device().volts()[channel];
        score.wrong_states += wrong_states(&chain, &emulator.device());
        match outcome {
            Outcome::Confirmed(held) => {
                score.confirmed += 1;
                let right = chain.quantised(channel, wanted) == held && (held.0 - truth.0).abs() < 1e-9;
                score.wrong += usize::from(!right);
            }
            Outcome::Refused(_) => score.refused += 1,
            Outcome::Unknown(_) => {
                score.unknown += 1;
                bring_back(&mut chain, &mut score.rearmed).await;
            }
        }
    }
    score
}

fn report(name: &str, mode: Mode, pairs: usize, score: &Score) {
    println!("{name:24} {mode:?}: {pairs} pairs, {score:?}");
    assert_eq!((score.wrong, score.wrong_states), (0, 0), "{name} in {mode:?}");
}

#[tokio::test(start_paused = true)]
async fn no_value_is_wrong_under_random_faults_of_one_byte_in_a_hundred() {
    let pairs = pairs(100);
    for mode in MODES {
        for (seed, kind) in
            [ByteFaultKind::Drop, ByteFaultKind::Flip, ByteFaultKind::Duplicate, ByteFaultKind::Insert]
                .into_iter()
                .enumerate()
        {
            // The rare ones meet a link that counts as clean.
            for rate in [0.01, 0.0002] {
                let plan = FaultPlan::bytes(kind, rate, seed as u64 + 11);
                let score = score(mode, plan, pairs, seed as u64).await;
                report(&format!("{kind:?} {} %", rate * 100.0), mode, pairs, &score);
                assert!(score.confirmed * 100 >= pairs * 97, "{kind:?}: only {} confirmed", score.confirmed);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_value_is_wrong_under_fixed_faults() {
    let pairs = pairs(300);
    // A prime meets all questions of a pair in turn, and comes rarely enough for the link to count as clean between.
    for mode in MODES {
        for kind in [
            EventKind::DropAnswerByte { byte: 1 },
            EventKind::DropAnswerByte { byte: 999 },
            EventKind::DuplicateAnswer,
            EventKind::Late { by_ms: 150 },
            EventKind::Late { by_ms: 900 },
            EventKind::Garbage { bytes: 20 },
            EventKind::Mute { for_ms: 700 },
            EventKind::Reset,
            EventKind::Unplug { for_ms: 1000 },
        ] {
            let every = if matches!(kind, EventKind::Reset | EventKind::Unplug { .. }) { 997 } else { 463 };
            let score = score(mode, FaultPlan::event(kind, 7, every), pairs, 5).await;
            report(&format!("{kind:?} each {every}"), mode, pairs, &score);
        }
    }
}
