//! Sources of a bench in memory: ramps, rest, resets.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    sync::{Arc, Mutex as Shared},
    time::Duration,
};

use alora_drivers::{
    Amperes, BackendErrorKind, Volts,
    bench::{ChainSources, Sources},
    emulate::{
        Device as _, Emulator, EventKind, FaultPlan, Line,
        qontrol::{ChainIo, QontrolChain},
    },
    qontrol::{Chain, ChainOptions, ChannelLimits, ModuleKind},
    safety::{LimitsSpec, ParkSpec},
};
use tokio::sync::Mutex;

/// Every set of voltages that stood at the outputs.
#[derive(Clone, Default)]
struct Seen(Arc<Shared<Vec<Vec<Volts>>>>);

impl ChainIo for Seen {
    fn driven(&mut self, volts: &[Volts], _now: Duration) {
        self.0.lock().unwrap().push(volts.to_vec());
    }
}

async fn sources(limits: &str, park: &str) -> (ChainSources, Emulator<QontrolChain>, Seen) {
    let seen = Seen::default();
    let chain = QontrolChain::new(&[ModuleKind::Q8iv]).with_io(seen.clone());
    let emulator = Emulator::new(chain, Line::default(), FaultPlan::default());
    let options = ChainOptions::new(ChannelLimits { volts: Volts(6.0), amperes: Amperes(0.02) });
    let chain = Chain::connect(Arc::new(emulator.connector("weights")), options).await.unwrap();
    let limits: LimitsSpec = toml::from_str(limits).unwrap();
    let park: ParkSpec = toml::from_str(park).unwrap();
    let limits = limits.for_channels(8).unwrap();
    let sources = ChainSources::new("weights", Arc::new(Mutex::new(chain)), Some(limits), park).await;
    seen.0.lock().unwrap().clear();
    (sources, emulator, seen)
}

const LIMITS: &str = r#"
    v_max = "5 V"
    i_max = "6 mA"
    p_max = "30 mW"
    resistance = "1 kOhm"
    step = "4 mW"
    settle = "10 ms"
"#;

fn milliwatts(volts: Volts) -> f64 {
    volts.0 * volts.0
}

#[tokio::test(start_paused = true)]
async fn voltages_change_along_a_ramp_in_power_up_and_down() {
    let (mut sources, _emulator, seen) = sources(LIMITS, "").await;
    let begun = tokio::time::Instant::now();
    sources.write(&[(0, Volts(5.0)), (1, Volts(2.0))]).await.unwrap();
    sources.write(&[(0, Volts(0.0))]).await.unwrap();
    let seen = seen.0.lock().unwrap().clone();
    // 25 mW in steps of at most 4 mW: 7 writes up, 7 down; a step of the converter is 2 µW at 5 V.
    assert_eq!(seen.len(), 14);
    let mut before = vec![Volts(0.0); 8];
    for volts in &seen {
        for (from, to) in before.iter().zip(volts) {
            assert!((milliwatts(*to) - milliwatts(*from)).abs() <= 4.0 + 0.002, "{from} to {to}");
        }
        before.clone_from(volts);
    }
    assert!((seen[6][0].0 - 5.0).abs() < 1e-4 && (seen[13][1].0 - 2.0).abs() < 1e-4);
    assert!(begun.elapsed() >= Duration::from_millis(140), "each write settles for 10 ms");
}

#[tokio::test(start_paused = true)]
async fn channels_that_stay_are_not_written_again() {
    let (mut sources, emulator, seen) = sources(LIMITS, "").await;
    sources.write(&[(0, Volts(1.0)), (1, Volts(1.5))]).await.unwrap();
    let (writes, requests) = (seen.0.lock().unwrap().len(), emulator.device().requests());
    sources.write(&[(0, Volts(1.0)), (1, Volts(1.5))]).await.unwrap();
    assert_eq!((seen.0.lock().unwrap().len(), emulator.device().requests()), (writes, requests));
}

#[tokio::test(start_paused = true)]
async fn each_channel_rests_where_its_policy_says() {
    let park = r#"
        channel = [{ index = 1, policy = "hold" }, { index = 2, policy = "park:1.5 V" }]
    "#;
    let (mut sources, emulator, _) = sources(LIMITS, park).await;
    sources.write(&[(0, Volts(2.0)), (1, Volts(2.5)), (3, Volts(1.0))]).await.unwrap();
    sources.park().await.unwrap();
    let held = emulator.device().volts();
    for (channel, volts) in [(0, 0.0), (1, 2.5), (2, 1.5), (3, 0.0)] {
        assert!((held[channel].0 - volts).abs() < 1e-4, "channel {channel}: {}", held[channel]);
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_reset_nothing_is_written_before_parking() {
    let (mut sources, emulator, _) = sources(LIMITS, "").await;
    sources.write(&[(0, Volts(2.0))]).await.unwrap();
    let next = emulator.device().requests() + 1;
    emulator.plan(FaultPlan::event(EventKind::Reset, next, 0));
    // Whoever looks or writes first is told.
    let error = match sources.write(&[(0, Volts(3.0))]).await {
        Err(error) => error,
        Ok(()) => sources.read().await.unwrap_err(),
    };
    assert!(matches!(error, BackendErrorKind::Rebooted { .. }), "{error}");
    assert!(sources.write(&[(0, Volts(1.0))]).await.is_err());
    assert!(emulator.device().volts().iter().all(|volts| volts.0 == 0.0));
    sources.park().await.unwrap();
    sources.write(&[(0, Volts(1.0))]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_voltage_beyond_a_limit_sends_nothing() {
    let (mut sources, emulator, _) = sources(LIMITS, "").await;
    let requests = emulator.device().requests();
    for volts in [5.001, -0.1, f64::NAN] {
        let error = sources.write(&[(4, Volts(volts))]).await.unwrap_err();
        assert!(
            error.to_string().contains("channel 4") && error.to_string().contains("nothing was sent"),
            "{error}"
        );
    }
    assert_eq!(emulator.device().requests(), requests);
}
