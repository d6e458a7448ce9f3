//! The driver of Qontrol chains over an emulated wire.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::{sync::Arc, time::Duration};

use alora_drivers::{
    Amperes, Volts,
    emulate::{
        Device, Emulator, EventKind, FaultPlan, Line,
        qontrol::{ChainIo, ModuleSpec, QontrolChain},
    },
    link::LinkError,
    qontrol::{
        Attribution, Chain, ChainError, ChainEvent, ChainOptions, ChannelLimits, ChannelState, Mode,
        ModuleKind, Outcome,
    },
};

const MODES: [Mode; 2] = [Mode::Ascii, Mode::Binary];

type Rig = Emulator<QontrolChain>;

fn rig(kinds: &[ModuleKind]) -> Rig {
    Emulator::new(QontrolChain::new(kinds), Line { baud: 115_200, latency_ms: 1 }, FaultPlan::default())
}

fn options() -> ChainOptions {
    ChainOptions::new(ChannelLimits { volts: Volts(5.0), amperes: Amperes(6e-3) })
}

async fn connected(rig: &Rig, options: ChainOptions) -> Chain {
    Chain::connect(Arc::new(rig.connector("memory")), options).await.unwrap()
}

/// Events from here on, counted from the request after the last.
fn at(kind: EventKind, request: u64, rig: &Rig) -> FaultPlan {
    FaultPlan::event(kind, rig.device().requests() + request, 0)
}

#[tokio::test(start_paused = true)]
async fn limits_are_in_the_modules_before_any_output_is_set() {
    for mode in MODES {
        let rig = rig(&[ModuleKind::Q8iv, ModuleKind::Q8b]);
        let chain = connected(&rig, options().in_mode(mode)).await;
        for (volts, amperes) in rig.device().limits() {
            assert!(volts.0 <= 5.0 && volts.0 > 4.999, "{volts}");
            assert!(amperes.0 <= 6e-3 && amperes.0 > 5.99e-3, "{amperes}");
        }
        assert_eq!(chain.states(), [ChannelState::Known(Volts(0.0)); 16]);
        assert_eq!(chain.identity()[1].id, "Q8b-0002");
    }
}

#[tokio::test(start_paused = true)]
async fn values_are_confirmed_as_the_converter_holds_them() {
    for mode in MODES {
        let rig = rig(&[ModuleKind::Q8iv, ModuleKind::Q8iv]);
        let mut chain = connected(&rig, options().in_mode(mode)).await;
        let Outcome::Confirmed(held) = chain.confirm(3, Volts(4.5)).await else { panic!("not confirmed") };
        assert_eq!(held, rig.device().volts()[3]);
        let values: Vec<_> = (0..16).map(|channel| (channel, Volts(0.3 * channel as f64))).collect();
        chain.set_many(&values).await.unwrap();
        let truth: Vec<_> = rig.device().volts().into_iter().map(Some).collect();
        assert_eq!(chain.read_volts().await.unwrap(), truth);
        let currents = chain.read_currents().await.unwrap();
        assert!((currents[10].0 - 3e-3).abs() < 1e-6, "{}", currents[10]);
        chain.zero().await.unwrap();
        assert_eq!(rig.device().words(), [0; 16]);
        assert_eq!(chain.take_events(), []);
    }
}

#[tokio::test(start_paused = true)]
async fn a_voltage_above_the_hosts_limit_is_refused_whole_before_anything_is_sent() {
    let rig = rig(&[ModuleKind::Q8iv]);
    let mut chain = connected(&rig, options()).await;
    let before = rig.device().requests();
    for wanted in [5.01, -0.1, f64::NAN] {
        let error = chain.set_many(&[(0, Volts(1.0)), (1, Volts(wanted))]).await.unwrap_err();
        assert!(matches!(error, ChainError::OverLimit { channel: 1, .. }), "{error}");
    }
    assert!(matches!(chain.set(8, Volts(1.0)).await, Err(ChainError::NoOutput { channel: 8, channels: 8 })));
    assert_eq!(rig.device().requests(), before);
    assert_eq!(rig.device().words(), [0; 8]);
}

#[tokio::test(start_paused = true)]
async fn other_modules_than_expected_are_refused_before_any_output() {
    let rig = rig(&[ModuleKind::Q8iv, ModuleKind::Q8b]);
    let connect = |options| Chain::connect(Arc::new(rig.connector("memory")), options);
    let error = connect(options().expecting(&[ModuleKind::Q8iv; 2])).await.err().unwrap();
    assert_eq!(
        error.to_string(),
        "modules: the chain says Q8iv-0001, Q8b-0002, expected was Q8iv, Q8iv; nothing was written"
    );
    let ids = vec!["Q8iv-0001".to_owned(), "Q8b-0009".to_owned()];
    let error = connect(ChainOptions { ids, ..options() }).await.err().unwrap();
    assert!(matches!(error, ChainError::Mismatch { .. }), "{error}");
    let limits = ChannelLimits { volts: Volts(13.0), amperes: Amperes(1e-3) };
    let error = connect(ChainOptions::new(limits)).await.err().unwrap();
    assert!(matches!(error, ChainError::Limit { channel: 0, .. }), "{error}");
    assert!(rig.device().limits().iter().all(|(volts, _)| *volts == Volts(12.0)));
}

#[tokio::test(start_paused = true)]
async fn a_reset_stops_everything_until_the_caller_arms_again() {
    for mode in MODES {
        for request in 1..=8 {
            let rig = rig(&[ModuleKind::Q8iv, ModuleKind::Q8iv]);
            let mut chain = connected(&rig, options().in_mode(mode)).await;
            chain.set(9, Volts(2.0)).await.unwrap();
            rig.plan(at(EventKind::Reset, request, &rig));
            let mut outcome = chain.confirm(3, Volts(1.0)).await;
            for _ in 0..2 {
                if matches!(outcome, Outcome::Confirmed(_)) {
                    outcome = chain.confirm(3, Volts(1.0)).await;
                }
            }
            assert!(
                matches!(&outcome, Outcome::Unknown(why) if why.contains("reset")),
                "{request}: {outcome:?}"
            );
            assert_eq!(chain.states(), [ChannelState::Unknown; 16]);
            assert!(matches!(chain.set(0, Volts(1.0)).await, Err(ChainError::Rebooted { .. })));
            assert_eq!(rig.device().words(), [0; 16]);
            chain.rearm().await.unwrap();
            assert!(rig.device().limits().iter().all(|(volts, _)| volts.0 <= 5.0));
            chain.set(3, Volts(1.0)).await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_reset_that_is_not_heard_shows_by_its_limits() {
    let rig = rig(&[ModuleKind::Q8iv]);
    let mut chain = connected(&rig, options()).await;
    chain.set(2, Volts(3.0)).await.unwrap();
    rig.device().reset(Duration::from_secs(3600), &mut Vec::new());
    let error = chain.set(1, Volts(1.0)).await.unwrap_err();
    assert!(error.to_string().contains("limits are back at full scale"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_is_not_taken_for_the_next_one() {
    for mode in MODES {
        for request in 1..=8 {
            for by_ms in [50, 110, 350, 2000] {
                let rig = rig(&[ModuleKind::Q8iv]);
                let mut chain = connected(&rig, options().in_mode(mode)).await;
                rig.plan(at(EventKind::Late { by_ms }, request, &rig));
                for (channel, volts) in [(1, 1.0), (2, 2.0), (1, 3.0), (7, 4.0)] {
                    let outcome = chain.confirm(channel, Volts(volts)).await;
                    let truth = rig.device().volts();
                    assert_eq!(outcome, Outcome::Confirmed(truth[channel]), "request {request}, {by_ms} ms");
                    let states: Vec<_> = truth.into_iter().map(ChannelState::Known).collect();
                    assert_eq!(chain.states(), states);
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_lacks_a_byte_or_comes_twice_changes_nothing() {
    for mode in MODES {
        for kind in (0..14).map(|byte| EventKind::DropAnswerByte { byte }).chain([EventKind::DuplicateAnswer])
        {
            for request in 1..=6 {
                let rig = rig(&[ModuleKind::Q8iv]);
                let mut chain = connected(&rig, options().in_mode(mode)).await;
                rig.plan(at(kind, request, &rig));
                for (channel, volts) in [(1, 1.0), (2, 2.0)] {
                    let outcome = chain.confirm(channel, Volts(volts)).await;
                    assert_eq!(outcome, Outcome::Confirmed(rig.device().volts()[channel]));
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stuck_channel_is_found_and_what_it_holds_is_known() {
    let rig = rig(&[ModuleKind::Q8iv]);
    let mut chain = connected(&rig, options()).await;
    chain.set(5, Volts(1.0)).await.unwrap();
    rig.device().stick(5, true);
    let error = chain.set(5, Volts(2.0)).await.unwrap_err();
    assert!(matches!(error, ChainError::NotHeld { channel: 5, .. }), "{error}");
    assert_eq!(chain.state(5), ChannelState::Known(rig.device().volts()[5]));
}

#[tokio::test(start_paused = true)]
async fn a_write_that_reached_another_channel_is_found_reported_and_made_good() {
    let rig = rig(&[ModuleKind::Q8iv, ModuleKind::Q8iv]);
    let mut chain = connected(&rig, options()).await;
    chain.set(9, Volts(2.0)).await.unwrap();
    let before = rig.device().volts()[9];
    // As a flipped bit of an address would.
    rig.device().receive(b"v9=4\n", Duration::from_secs(3600), &mut Vec::new());
    chain.set(1, Volts(1.0)).await.unwrap();
    assert_eq!(rig.device().volts()[9], before);
    let events = chain.take_events();
    assert!(matches!(events[..], [ChainEvent::Strayed { channel: 9, .. }]), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn too_much_current_is_raised_and_the_channel_not_set_again() {
    let rig = rig(&[ModuleKind::Q8iv, ModuleKind::Q8iv]);
    rig.device().load(12, 500.0);
    let mut chain = connected(&rig, options()).await;
    let error = chain.set(12, Volts(4.0)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "channel 12: the module answered E02 over-current to 4.0000 V and holds 0.0000 V"
    );
    let meant = ChainEvent::Error { code: 2, channel: Attribution::Channel(12) };
    assert_eq!(chain.take_events(), [meant]);
    assert_eq!(chain.state(12), ChannelState::Known(Volts(0.0)));
}

#[tokio::test(start_paused = true)]
async fn an_error_by_itself_names_every_channel_that_it_may_mean() {
    for after in 0..4 {
        let rig = rig(&[ModuleKind::Q8iv, ModuleKind::Q8iv]);
        let mut chain = connected(&rig, options()).await;
        rig.device().inject_error(1, 5, after);
        chain.read_currents().await.unwrap();
        chain.read_currents().await.unwrap();
        let channel = Attribution::AnyOf(vec![5, 13]);
        assert_eq!(chain.take_events(), [ChainEvent::Error { code: 1, channel }], "after {after} lines");
        assert_eq!(chain.states(), [ChannelState::Known(Volts(0.0)); 16]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pulled_plug_is_noticed_at_once_and_a_new_connection_arms_again() {
    let rig = rig(&[ModuleKind::Q8iv]);
    let mut chain = connected(&rig, options()).await;
    chain.set(1, Volts(1.0)).await.unwrap();
    rig.plan(at(EventKind::Unplug { for_ms: 500 }, 2, &rig));
    let start = tokio::time::Instant::now();
    let error = chain.set(2, Volts(1.0)).await.unwrap_err();
    assert!(matches!(error, ChainError::Link(LinkError::Lost { .. })), "{error}");
    assert!(start.elapsed() < Duration::from_millis(50));
    assert_eq!(chain.states(), [ChannelState::Unknown; 8]);
    assert!(chain.set(1, Volts(1.0)).await.is_err());
    tokio::time::sleep(Duration::from_millis(600)).await;
    chain.reconnect().await.unwrap();
    assert_eq!(chain.states(), [ChannelState::Known(Volts(0.0)); 8]);
    assert_eq!(rig.device().words(), [0; 8]);
    assert_eq!(chain.statistics().reconnects, 1);
}

#[tokio::test(start_paused = true)]
async fn a_mute_chain_is_given_up_with_a_sentence() {
    let rig = rig(&[ModuleKind::Q8iv]);
    let mut chain = connected(&rig, options()).await;
    rig.plan(at(EventKind::Mute { for_ms: 10_000_000 }, 1, &rig));
    let Outcome::Unknown(why) = chain.confirm(1, Volts(1.0)).await else { panic!("known") };
    assert!(why.contains("memory: 30 tries of `nchan?\\n` brought no answer that can be trusted"), "{why}");
    assert_eq!(chain.state(1), ChannelState::Unknown);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_future_leaves_nothing_known_and_the_next_call_makes_it_good() {
    for mode in MODES {
        for patience in 0..30 {
            let rig = rig(&[ModuleKind::Q8iv]);
            let mut chain = connected(&rig, options().in_mode(mode)).await;
            let patience = Duration::from_micros(500 * patience);
            let done = tokio::time::timeout(patience, chain.set(1, Volts(4.0))).await;
            if done.is_err() {
                let unknown = chain.states() == [ChannelState::Unknown; 8];
                assert!(unknown || rig.device().words() == [0; 8], "{patience:?}");
            }
            chain.set(2, Volts(2.0)).await.unwrap();
            let states: Vec<_> = rig.device().volts().into_iter().map(ChannelState::Known).collect();
            assert_eq!(chain.states(), states, "{patience:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn sixteen_outputs_are_set_and_confirmed_within_a_tenth_of_a_second() {
    for mode in MODES {
        let rig = rig(&[ModuleKind::Q8iv; 2]);
        let mut chain = connected(&rig, options().in_mode(mode)).await;
        let values: Vec<_> = (0..16).map(|channel| (channel, Volts(0.3 * channel as f64))).collect();
        let start = tokio::time::Instant::now();
        chain.set_many(&values).await.unwrap();
        assert!(start.elapsed() < Duration::from_millis(100), "{:?}", start.elapsed());
    }
}

/// Photodiodes that see what the outputs drive.
#[derive(Default)]
struct Bench(f64);

impl ChainIo for Bench {
    fn driven(&mut self, volts: &[Volts], _now: Duration) {
        self.0 = volts[0].0;
    }

    fn sensed(&mut self, channel: usize, _now: Duration) -> Amperes {
        Amperes(-1e-3 * self.0 * (channel - 7) as f64)
    }
}

#[tokio::test(start_paused = true)]
async fn inputs_read_what_stands_behind_them() {
    let modules = vec![ModuleSpec::new(ModuleKind::Q8iv, "00a1"), ModuleSpec::new(ModuleKind::S8i, "****")];
    let device = QontrolChain::of(modules).with_io(Bench::default());
    let rig = Emulator::new(device, Line::default(), FaultPlan::default());
    let mut chain = connected(&rig, options()).await;
    chain.set(0, Volts(1.0)).await.unwrap();
    let currents = chain.read_currents().await.unwrap();
    assert!((currents[8].0 + 1e-3).abs() < 1e-6 && (currents[15].0 + 8e-3).abs() < 1e-6, "{currents:?}");
    assert_eq!(chain.state(8), ChannelState::Unknown);
    assert_eq!((chain.inputs().len(), chain.identity()[1].id.as_str()), (8, "S8i-****"));
}
