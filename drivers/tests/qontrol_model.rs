//! Random commands and random faults: what the driver reports of every channel is what the device holds, or it says unknown.
//!
//! `QONTROL_SEQUENCES` sets how many sequences are made; 10 000 is the full check.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

use std::{sync::Arc, time::Duration};

use alora_drivers::{
    Amperes, Volts,
    emulate::{
        ByteFault, ByteFaultKind, Device, Direction, Emulator, Event, EventKind, FaultPlan, Line,
        qontrol::QontrolChain,
    },
    qontrol::{Chain, ChainError, ChainOptions, ChannelLimits, ChannelState, Mode, ModuleKind},
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const LIMIT: f64 = 5.0;

fn sequences() -> u64 {
    std::env::var("QONTROL_SEQUENCES").ok().and_then(|count| count.parse().ok()).unwrap_or(150)
}

fn plan(rng: &mut ChaCha8Rng, channels: usize) -> FaultPlan {
    let kinds = [ByteFaultKind::Drop, ByteFaultKind::Flip, ByteFaultKind::Duplicate, ByteFaultKind::Insert];
    let directions = [Direction::ToDevice, Direction::ToHost, Direction::Both];
    let mut bytes = Vec::new();
    for kind in kinds {
        if rng.random_bool(0.4) {
            let rate = [0.001, 0.004, 0.01][rng.random_range(0..3)];
            bytes.push(ByteFault { kind, direction: directions[rng.random_range(0..3)], rate });
        }
    }
    let mut events = Vec::new();
    for kind in [
        EventKind::DropAnswerByte { byte: rng.random_range(0..12) },
        EventKind::DuplicateAnswer,
        EventKind::Late { by_ms: rng.random_range(10..1000) },
        EventKind::Garbage { bytes: rng.random_range(1..40) },
        EventKind::Reset,
        EventKind::Mute { for_ms: rng.random_range(10..1000) },
        EventKind::Stuck { channel: rng.random_range(0..channels) },
        EventKind::Unstuck { channel: rng.random_range(0..channels) },
        EventKind::Unplug { for_ms: rng.random_range(10..1000) },
    ] {
        if rng.random_bool(0.3) {
            events.push(Event { at_request: 0, every: 0, chance: rng.random_range(0.0005..0.01), kind });
        }
    }
    FaultPlan { seed: rng.random(), bytes, events }
}

/// One random command; `Ok(true)` when it claims that outputs were set.
async fn command(
    chain: &mut Chain,
    rng: &mut ChaCha8Rng,
    targets: &mut Vec<(usize, Volts)>,
) -> Result<(), ChainError> {
    let outputs = chain.outputs();
    targets.clear();
    match rng.random_range(0..8) {
        0..=2 => {
            targets.push((outputs[rng.random_range(0..outputs.len())], Volts(rng.random_range(0.0..LIMIT))));
            chain.set(targets[0].0, targets[0].1).await
        }
        3 => {
            let first = rng.random_range(0..outputs.len());
            let some = outputs[first..].iter().take(rng.random_range(1..9));
            targets
                .extend(some.map(|&channel| (channel, Volts(f64::from(rng.random_range(0..50_u8)) / 10.0))));
            chain.set_many(targets).await
        }
        4 => chain.zero().await,
        5 => chain.read_volts().await.map(drop),
        6 => chain.read_currents().await.map(drop),
        _ => chain.poll().await,
    }
}

async fn bring_back(chain: &mut Chain) {
    for _ in 0..200 {
        let again = match chain.rearm().await {
            Err(ChainError::Link(_)) => {
                tokio::time::sleep(Duration::from_secs(1)).await;
                chain.reconnect().await
            }
            other => other,
        };
        if again.is_ok() {
            return;
        }
    }
}

fn judge(chain: &Chain, device: &QontrolChain, context: &str) -> usize {
    let mut unknown = 0;
    for (channel, (state, truth)) in chain.states().iter().zip(device.volts()).enumerate() {
        match state {
            ChannelState::Known(volts) => {
                assert!(
                    (volts.0 - truth.0).abs() < 1e-9,
                    "{context}: channel {channel}: {volts}, not {truth}"
                );
            }
            ChannelState::Unknown => unknown += 1,
        }
    }
    unknown
}

/// Returns commands, failures, and channel states that were known.
async fn sequence(seed: u64) -> (usize, usize, usize) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let kinds: Vec<ModuleKind> = [ModuleKind::Q8iv, ModuleKind::Q8b, ModuleKind::S8i]
        .into_iter()
        .enumerate()
        .filter_map(|(index, kind)| (index == 0 || rng.random_bool(0.3)).then_some(kind))
        .collect();
    let mode = if rng.random() { Mode::Ascii } else { Mode::Binary };
    let limits = ChannelLimits { volts: Volts(LIMIT), amperes: Amperes(8e-3) };
    let options = ChainOptions::new(limits).expecting(&kinds).in_mode(mode);
    let emulator = Emulator::new(QontrolChain::new(&kinds), Line::default(), FaultPlan::default());
    let mut chain = Chain::connect(Arc::new(emulator.connector("memory")), options).await.unwrap();
    let faults = plan(&mut rng, kinds.len() * 8);
    let may_reset = faults.events.iter().any(|event| event.kind == EventKind::Reset);
    emulator.plan(faults);
    let (mut commands, mut failures, mut known) = (0, 0, 0);
    for step in 0..rng.random_range(3..12) {
        let context = format!("seed {seed}, step {step}, {mode:?}");
        if rng.random_bool(0.05) {
            let channel = rng.random_range(0..kinds.len() * 8);
            emulator.device().stick(channel, true);
        }
        if rng.random_bool(0.1) {
            let (code, channel) = ([1, 2, 30, 17][rng.random_range(0..4)], rng.random_range(0..8));
            emulator.device().inject_error(code, channel, rng.random_range(0..6));
        }
        let patience = if rng.random_bool(0.1) {
            Duration::from_micros(rng.random_range(0..300_000))
        } else {
            Duration::MAX
        };
        let mut targets = Vec::new();
        let done = tokio::time::timeout(patience, command(&mut chain, &mut rng, &mut targets)).await;
        commands += 1;
        {
            let device = emulator.device();
            let unknown = judge(&chain, &device, &context);
            known += chain.channels() - unknown;
            if matches!(done, Ok(Ok(()))) {
                for &(channel, volts) in &targets {
                    let held = ChannelState::Known(chain.quantised(channel, volts));
                    assert_eq!(chain.state(channel), held, "{context}");
                }
            }
            let highest = device.volts().into_iter().map(|volts| volts.0).fold(0.0, f64::max);
            assert!(may_reset || highest <= LIMIT, "{context}: {highest} V is above the limit");
        }
        if let Ok(Err(error)) = done {
            failures += 1;
            if matches!(error, ChainError::Link(_) | ChainError::Rebooted { .. }) {
                bring_back(&mut chain).await;
                judge(&chain, &emulator.device(), &context);
            }
        }
    }
    (commands, failures, known)
}

#[tokio::test(start_paused = true)]
async fn what_is_reported_is_what_the_device_holds_or_unknown() {
    let (mut commands, mut failures, mut known) = (0, 0, 0);
    for seed in 0..sequences() {
        let (done, failed, states) = sequence(seed).await;
        commands += done;
        failures += failed;
        known += states;
    }
    println!(
        "{} sequences, {commands} commands, {failures} failed; {known} states known and right",
        sequences()
    );
}
