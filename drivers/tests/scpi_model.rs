//! Random requests under random faults: what a driver reports as set is what the instrument holds, or is reported as unknown;
//! what it reads is what is there, or an error. 12 500 sequences in virtual time.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{sync::Arc, time::Duration};

use alora_drivers::{
    Amperes, Celsius, Nanometres, Volts, Watts,
    emulate::{
        ByteFaultKind, Device, Emulator, Event, EventKind, FaultPlan, Line,
        scpi::{
            EmulatedKeithley2450, EmulatedMtd415t, EmulatedPowerMeter, EmulatedRedPitaya, EmulatedTsl570,
            ScpiDevice, ScpiInstrument,
        },
    },
    scpi::{
        Acquisition, AveragingTime, CommandSet, Instrument, Keithley2450, KeysightPowerMeter, LaserLimits,
        Mtd415t, PowerRange, RedPitaya, SantecTsl570, ScpiError, SourceLimits, TemperatureLimits,
    },
};
use proptest::{prelude::*, test_runner::RngSeed};
use tokio::time::timeout;

/// Sequences of each instrument; ALORA_SEQUENCES in place of the usual number.
fn cases() -> u32 {
    std::env::var("ALORA_SEQUENCES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(2500)
}

/// One step: which request, and with which value.
type Step = (u8, u8);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec((0..5_u8, 0..8_u8), 1..7)
}

/// Faults around requests, none of which changes a byte of an answer: TCP brings bytes right or not at all.
fn plan() -> impl Strategy<Value = FaultPlan> {
    let kind = prop_oneof![
        Just(EventKind::DuplicateAnswer),
        (0..4000_u64).prop_map(|by_ms| EventKind::Late { by_ms }),
        Just(EventKind::Reset),
        (0..4000_u64).prop_map(|for_ms| EventKind::Mute { for_ms }),
        (0..1500_u64).prop_map(|for_ms| EventKind::Unplug { for_ms }),
        (0..3_usize).prop_map(|channel| EventKind::Stuck { channel }),
        (0..3_usize).prop_map(|channel| EventKind::Unstuck { channel }),
        // Half an answer: its end is missing.
        Just(EventKind::DropAnswerByte { byte: usize::MAX }),
    ];
    let event =
        (kind, 0.0..0.06_f64).prop_map(|(kind, chance)| Event { at_request: 0, every: 0, chance, kind });
    (any::<u64>(), prop::collection::vec(event, 0..4)).prop_map(|(seed, events)| FaultPlan {
        seed,
        bytes: Vec::new(),
        events,
    })
}

/// As `plan`, with bytes dropped, flipped, doubled and inserted both ways: a serial line.
fn serial_plan() -> impl Strategy<Value = FaultPlan> {
    let kind = prop_oneof![
        Just(ByteFaultKind::Drop),
        Just(ByteFaultKind::Flip),
        Just(ByteFaultKind::Duplicate),
        Just(ByteFaultKind::Insert),
    ];
    (plan(), kind, 0.0..0.004_f64)
        .prop_map(|(plan, kind, rate)| FaultPlan { bytes: FaultPlan::bytes(kind, rate, 0).bytes, ..plan })
}

fn in_virtual_time(test: impl Future<Output = ()>) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(test);
}

/// A healthy start; the plan comes afterwards.
fn played<D: Device + 'static>(device: D) -> (Emulator<D>, Arc<dyn alora_drivers::link::Connector>) {
    let emulator = Emulator::new(device, Line::default(), FaultPlan::default());
    let connector = Arc::new(emulator.connector("bench"));
    (emulator, connector)
}

/// All that the driver claims to be set, asked of the device itself.
fn check_claims<I: ScpiInstrument + 'static>(
    emulator: &Emulator<ScpiDevice<I>>,
    instrument: &Instrument,
    step: Step,
) {
    for setting in instrument.settings() {
        let mut answer = Vec::new();
        let asked = format!("{}\n", setting.query);
        emulator.device().receive(asked.as_bytes(), Duration::from_secs(1 << 30), &mut answer);
        let answer = String::from_utf8(answer).unwrap();
        let answer = answer.trim_end();
        assert_eq!(setting.held.is_said_by(answer), Some(true), "{step:?}: {setting:?} but {answer}");
    }
}

/// An error that says that nothing is known is always allowed.
fn is_honest<T>(outcome: &Result<T, ScpiError>) -> bool {
    !matches!(outcome, Err(ScpiError::WrongInstrument { .. } | ScpiError::Closed { .. }))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_power_meter(steps in steps(), plan in plan()) {
        in_virtual_time(async {
            let lit = EmulatedPowerMeter::new(4, 1).lit_by(|port, _| Watts(f64::from(port) * 1e-6));
            let (emulator, connector) = played(ScpiDevice::new(lit.listing(vec![2, 4, 1, 3])));
            let mut meter = KeysightPowerMeter::connect(connector).await.unwrap();
            for port in 1..=4 {
                let averaging = AveragingTime(Duration::from_millis(1));
                meter.configure(port, Nanometres(1550.0), averaging, PowerRange::Auto).await.unwrap();
            }
            emulator.plan(plan);
            let right = |port: u16, power: Option<Watts>| {
                power.is_none_or(|power| (power.0 / (f64::from(port) * 1e-6) - 1.0).abs() < 1e-6)
            };
            for step in steps {
                let port = u16::from(step.1 % 4) + 1;
                match step.0 {
                    0 | 1 => {
                        let averaging = AveragingTime(Duration::from_millis(1 + u64::from(step.1)));
                        let wavelength = Nanometres(1540.0 + f64::from(step.1));
                        let range = if step.0 == 0 { PowerRange::Auto } else { PowerRange::Fixed { dbm: 0 } };
                        assert!(is_honest(&meter.configure(port, wavelength, averaging, range).await));
                    }
                    2 => {
                        let read = meter.read(port).await;
                        assert!(is_honest(&read));
                        assert!(read.as_ref().map_or(true, |&power| right(port, power)), "{step:?}: {read:?}");
                    }
                    _ => {
                        let read = meter.read_all().await;
                        assert!(is_honest(&read));
                        if let Ok(all) = read {
                            assert!(all.iter().all(|one| right(one.port, one.power)), "{step:?}: {all:?}");
                        }
                    }
                }
                check_claims(&emulator, meter.instrument(), step);
            }
        });
    }

    #[test]
    fn the_source_meter(steps in steps(), plan in plan()) {
        in_virtual_time(async {
            let load = |volts: Volts, _| Amperes(volts.0 / 1000.0);
            let (emulator, connector) = played(ScpiDevice::new(EmulatedKeithley2450::new(1).loaded_with(load)));
            let limits = SourceLimits { lowest: Volts(0.0), highest: Volts(5.0), compliance: Amperes(0.02) };
            let mut source = Keithley2450::connect(connector, limits).await.unwrap();
            source.configure(Amperes(0.01)).await.unwrap();
            emulator.plan(plan);
            for step in steps {
                let volts = Volts(f64::from(step.1) * 0.5);
                let request = async { match step.0 {
                    0 => source.configure(Amperes(1e-3 * f64::from(step.1 + 1))).await,
                    1 => source.set_volts(volts).await,
                    2 | 3 => source.output(step.0 == 2).await,
                    _ => {
                        let read = source.measure().await;
                        let held = emulator.device().instrument().source().clone();
                        if let Ok(reading) = &read && let Some(current) = reading.current {
                            let expected = (held.volts / 1000.0).min(held.current_limit);
                            assert!(held.output && (current.0 - expected).abs() < 1e-8, "{step:?}: {reading:?} {held:?}");
                        }
                        read.map(drop)
                    }
                } };
                // Some callers do not wait.
                let patience = Duration::from_millis(if step.1 >= 5 { 150 } else { 3_600_000 });
                let done = timeout(patience, request).await.unwrap_or(Ok(()));
                assert!(is_honest(&done), "{done:?}");
                // An output that is on has the current limit that was last asked for, within the station's.
                let held = emulator.device().instrument().source().clone();
                assert!(!held.output || held.current_limit <= 0.02);
                check_claims(&emulator, source.instrument(), step);
            }
        });
    }

    #[test]
    fn the_laser(steps in steps(), plan in plan(), legacy in any::<bool>()) {
        in_virtual_time(async {
            let command_set = if legacy { CommandSet::Legacy } else { CommandSet::Scpi };
            let (emulator, connector) = played(ScpiDevice::new(EmulatedTsl570::new(command_set, 1)));
            let limits = LaserLimits { power: Watts(5e-3), shortest: Nanometres(1500.0), longest: Nanometres(1600.0) };
            let mut laser = SantecTsl570::connect(connector, limits).await.unwrap();
            emulator.plan(plan);
            for step in steps {
                let request = async { match step.0 {
                    0 => laser.set_power(Watts(5e-4 * f64::from(step.1 + 1))).await,
                    1 => laser.set_wavelength(Nanometres(1540.0 + 0.1234 * f64::from(step.1))).await,
                    2 | 3 => laser.emit(step.0 == 2).await,
                    _ => {
                        let read = laser.wavelength().await;
                        let held = emulator.device().instrument().state().wavelength;
                        assert!(read.as_ref().map_or(true, |read| (read.0 - held.0).abs() < 1e-6), "{step:?}: {read:?} {held:?}");
                        read.map(drop)
                    }
                } };
                // Some callers do not wait.
                let patience = Duration::from_millis(if step.1 >= 5 { 150 } else { 3_600_000 });
                let done = timeout(patience, request).await.unwrap_or(Ok(()));
                assert!(is_honest(&done), "{done:?}");
                assert!(emulator.device().instrument().state().power.0 <= 5e-3 * (1.0 + 1e-9));
                check_claims(&emulator, laser.instrument(), step);
            }
        });
    }

    #[test]
    fn the_red_pitaya(steps in steps(), plan in plan()) {
        in_virtual_time(async {
            let wired = EmulatedRedPitaya::new(1).fed_by(|at, input, _| at[input]);
            let (emulator, connector) = played(ScpiDevice::new(wired));
            let mut board = RedPitaya::connect(connector).await.unwrap();
            emulator.plan(plan);
            for step in steps {
                let output = step.1 % 2 + 1;
                let done = match step.0 {
                    0 | 1 => board.set_volts(output, Volts(f64::from(step.1) * 0.25 - 1.0)).await,
                    2 | 3 => board.output(output, step.0 == 2).await,
                    _ => {
                        let wanted = Acquisition { input: output, decimation: 8, samples: 16 };
                        let read = board.acquire(wanted).await;
                        let device = emulator.device();
                        let held = device.instrument().output(usize::from(output) - 1).unwrap().volts();
                        let right = |one: &Option<Volts>| one.is_none_or(|one| (one.0 - held.0).abs() < 1e-6);
                        assert!(read.as_ref().map_or(true, |all| all.iter().all(right)), "{step:?}: {read:?} {held:?}");
                        read.map(drop)
                    }
                };
                assert!(is_honest(&done), "{done:?}");
                check_claims(&emulator, board.instrument(), step);
            }
        });
    }

    #[test]
    fn the_temperature_controller(steps in steps(), plan in serial_plan(), answers in any::<bool>()) {
        in_virtual_time(async {
            let device = EmulatedMtd415t::new(1).cooling(|state, _| state.setpoint);
            let device = if answers { device.answering_settings() } else { device };
            let (emulator, connector) = played(device);
            let limits = TemperatureLimits { lowest: Celsius(15.0), highest: Celsius(40.0), current: Amperes(1.5) };
            let mut controller = Mtd415t::connect(connector, limits).await.unwrap();
            controller.set_current_limit(Amperes(1.0)).await.unwrap();
            emulator.plan(plan);
            for step in steps {
                let request = async { match step.0 {
                    0 => controller.set_current_limit(Amperes(0.5 + 0.1 * f64::from(step.1))).await,
                    1 | 2 => controller.set_temperature(Celsius(20.0 + f64::from(step.1))).await,
                    3 => controller.faults().await.map(drop),
                    _ => {
                        let read = controller.temperature().await;
                        let held = emulator.device().settings().setpoint as f64 * 1e-3;
                        // A flip within the 0.05 °C by which two readings agree goes through.
                        assert!(read.as_ref().map_or(true, |read| (read.0 - held).abs() < 0.0505), "{step:?}: {read:?} {held:?}");
                        read.map(drop)
                    }
                } };
                // Some callers do not wait.
                let patience = Duration::from_millis(if step.1 >= 5 { 150 } else { 3_600_000 });
                let done = timeout(patience, request).await.unwrap_or(Ok(()));
                assert!(is_honest(&done) || matches!(done, Err(ScpiError::Closed { .. })), "{done:?}");
                let settings = emulator.device().settings();
                let thousandths = |value: f64| (value * 1e3).round() as i64;
                let setpoint = controller.held_setpoint().map(|held| thousandths(held.0));
                let limit = controller.held_current_limit().map(|held| thousandths(held.0));
                assert!(setpoint.is_none_or(|held| held == settings.setpoint), "{step:?}: {setpoint:?} {settings:?}");
                assert!(limit.is_none_or(|held| held == settings.current_limit), "{step:?}: {limit:?} {settings:?}");
            }
        });
    }
}
