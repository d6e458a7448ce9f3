//! Each instrument against its emulator, in memory and in virtual time.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use alora_drivers::{
    Amperes, Celsius, Nanometres, Volts, Watts,
    emulate::{
        Device, Emulator, Event, EventKind, FaultPlan, Line,
        scpi::{
            EmulatedKeithley2450, EmulatedMtd415t, EmulatedPowerMeter, EmulatedRedPitaya, EmulatedTsl570,
            ScpiDevice,
        },
    },
    link::Connector,
    scpi::{
        Acquisition, AveragingTime, CommandSet, Keithley2450, KeysightPowerMeter, LaserLimits, Mtd415t,
        PowerRange, RedPitaya, SantecTsl570, ScpiError, SourceLimits, TemperatureLimits,
    },
};

fn played<D: Device + 'static>(device: D) -> (Emulator<D>, Arc<dyn Connector>) {
    let emulator = Emulator::new(device, Line::default(), FaultPlan::default());
    let connector = Arc::new(emulator.connector("bench"));
    (emulator, connector)
}

fn source_limits() -> SourceLimits {
    SourceLimits { lowest: Volts(-1.0), highest: Volts(5.0), compliance: Amperes(0.02) }
}

fn laser_limits() -> LaserLimits {
    LaserLimits { power: Watts(5e-3), shortest: Nanometres(1500.0), longest: Nanometres(1600.0) }
}

fn temperature_limits() -> TemperatureLimits {
    TemperatureLimits { lowest: Celsius(15.0), highest: Celsius(40.0), current: Amperes(1.5) }
}

const MILLISECOND: AveragingTime = AveragingTime(Duration::from_millis(1));

async fn configured(meter: &mut KeysightPowerMeter, range: PowerRange) {
    for port in 1..=meter.ports() {
        meter.configure(port, Nanometres(1550.0), MILLISECOND, range).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn the_power_meter_reads_each_port_as_the_instrument_lists_it() {
    let meter = EmulatedPowerMeter::new(8, 1)
        .lit_by(|port, _| Watts(f64::from(port) * 1e-6))
        .listing(vec![3, 1, 2, 8, 7, 6, 5, 4]);
    let (emulator, connector) = played(ScpiDevice::new(meter));
    let mut meter = KeysightPowerMeter::connect(connector).await.unwrap();
    configured(&mut meter, PowerRange::Auto).await;
    let all = meter.read_all().await.unwrap();
    assert_eq!(all.iter().map(|one| one.port).collect::<Vec<_>>(), [3, 1, 2, 8, 7, 6, 5, 4]);
    for one in all {
        // A single's rounding.
        assert!((one.power.unwrap().0 / (f64::from(one.port) * 1e-6) - 1.0).abs() < 1e-7);
    }
    assert!((meter.read(5).await.unwrap().unwrap().0 - 5e-6).abs() < 1e-12);
    let device = emulator.device();
    let port = device.instrument().port(4).unwrap();
    assert!(port.watts && (port.wavelength - 1.55e-6).abs() < 1e-15 && (port.averaging - 1e-3).abs() < 1e-9);
}

#[tokio::test(start_paused = true)]
async fn a_port_in_dbm_is_never_read_as_watts() {
    let (emulator, connector) = played(ScpiDevice::new(EmulatedPowerMeter::new(4, 1)));
    let mut meter = KeysightPowerMeter::connect(connector).await.unwrap();
    let before = emulator.device().requests();
    assert!(matches!(meter.read(1).await, Err(ScpiError::NotReady { .. })));
    assert_eq!(emulator.device().requests(), before, "nothing was sent");
    assert!(matches!(meter.read_all().await, Err(ScpiError::NotReady { .. })));
}

#[tokio::test(start_paused = true)]
async fn light_over_the_range_is_no_reading() {
    let bright = EmulatedPowerMeter::new(4, 1).lit_by(|port, _| Watts(if port == 2 { 5e-6 } else { 1e-6 }));
    let (_emulator, connector) = played(ScpiDevice::new(bright));
    let mut meter = KeysightPowerMeter::connect(connector).await.unwrap();
    configured(&mut meter, PowerRange::Fixed { dbm: -30 }).await;
    assert_eq!(meter.read(2).await.unwrap(), None);
    let read: Vec<bool> = meter.read_all().await.unwrap().iter().map(|one| one.power.is_some()).collect();
    assert_eq!(read, [true, false, true, true]);
}

#[tokio::test(start_paused = true)]
async fn values_outside_the_limits_are_refused_before_anything_is_sent() {
    let (emulator, connector) = played(ScpiDevice::new(EmulatedPowerMeter::new(4, 1)));
    let mut meter = KeysightPowerMeter::connect(connector).await.unwrap();
    let before = emulator.device().requests();
    let range = PowerRange::Auto;
    let asked = [
        meter.configure(5, Nanometres(1550.0), MILLISECOND, range).await,
        meter.configure(1, Nanometres(1.55), MILLISECOND, range).await,
        meter.configure(1, Nanometres(f64::NAN), MILLISECOND, range).await,
        meter.configure(1, Nanometres(1550.0), AveragingTime(Duration::from_secs(11)), range).await,
        meter.configure(1, Nanometres(1550.0), MILLISECOND, PowerRange::Fixed { dbm: 3 }).await,
    ];
    assert!(asked.iter().all(|one| matches!(one, Err(ScpiError::Limit { .. }))), "{asked:?}");
    assert_eq!(emulator.device().requests(), before);
}

#[tokio::test(start_paused = true)]
async fn the_wrong_instrument_is_refused_and_both_are_named() {
    let (_emulator, connector) = played(ScpiDevice::new(EmulatedKeithley2450::new(1)));
    let error = KeysightPowerMeter::connect(connector).await.err().unwrap();
    assert_eq!(
        error.to_string(),
        "bench: the instrument there is KEITHLEY INSTRUMENTS MODEL 2450 (serial number EMULATED01), expected a Keysight N7744/N7745 \
         multiport power meter; nothing was set. Correct the station file or connect the right instrument"
    );
    let (_emulator, connector) = played(ScpiDevice::new(EmulatedPowerMeter::new(8, 1)));
    assert!(matches!(
        Keithley2450::connect(connector, source_limits()).await,
        Err(ScpiError::WrongInstrument { .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn the_source_meter_limits_the_current_before_it_gives_volts() {
    let (emulator, connector) = played(ScpiDevice::new(EmulatedKeithley2450::new(1)));
    let mut source = Keithley2450::connect(connector, source_limits()).await.unwrap();
    assert!(matches!(source.output(true).await, Err(ScpiError::NotReady { .. })));
    assert!(matches!(source.set_volts(Volts(1.0)).await, Err(ScpiError::NotReady { .. })));
    assert!(matches!(source.configure(Amperes(0.03)).await, Err(ScpiError::Limit { .. })));
    source.configure(Amperes(2e-3)).await.unwrap();
    assert!(matches!(source.set_volts(Volts(5.1)).await, Err(ScpiError::Limit { .. })));
    source.set_volts(Volts(1.0)).await.unwrap();
    source.output(true).await.unwrap();
    let reading = source.measure().await.unwrap();
    assert!(!reading.limited && (reading.current.unwrap().0 - 1e-3).abs() < 1e-8);
    // 4 V over 1 kΩ is more than the 2 mA allowed.
    source.set_volts(Volts(4.0)).await.unwrap();
    let reading = source.measure().await.unwrap();
    assert!(reading.limited && (reading.current.unwrap().0 - 2e-3).abs() < 1e-8);
    source.output(false).await.unwrap();
    assert!(!emulator.device().instrument().source().output);
}

#[tokio::test(start_paused = true)]
async fn an_output_switched_off_at_the_panel_gives_no_reading() {
    let (emulator, connector) = played(ScpiDevice::new(EmulatedKeithley2450::new(1)));
    let mut source = Keithley2450::connect(connector, source_limits()).await.unwrap();
    source.configure(Amperes(2e-3)).await.unwrap();
    source.output(true).await.unwrap();
    let mut answers = Vec::new();
    emulator.device().receive(b"OUTP OFF\n", Duration::from_secs(1), &mut answers);
    assert_eq!(source.measure().await.unwrap().current, None);
}

#[tokio::test(start_paused = true)]
async fn another_command_set_is_refused() {
    let other = EmulatedKeithley2450::new(1).speaking("TSP");
    let (_emulator, connector) = played(ScpiDevice::new(other));
    let error = Keithley2450::connect(connector, source_limits()).await.err().unwrap();
    assert!(error.to_string().contains("with command set TSP, expected command set SCPI"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn the_laser_is_tuned_alike_in_both_command_sets() {
    for command_set in [CommandSet::Legacy, CommandSet::Scpi] {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&heard);
        let laser =
            EmulatedTsl570::new(command_set, 1).heard_by(move |state| told.lock().unwrap().push(state));
        let (emulator, connector) = played(ScpiDevice::new(laser));
        let mut laser = SantecTsl570::connect(connector, laser_limits()).await.unwrap();
        assert_eq!(laser.command_set(), command_set);
        assert!(matches!(laser.emit(true).await, Err(ScpiError::NotReady { .. })));
        laser.set_power(Watts(2.5e-3)).await.unwrap();
        laser.set_wavelength(Nanometres(1545.1234)).await.unwrap();
        laser.emit(true).await.unwrap();
        assert!((laser.wavelength().await.unwrap().0 - 1545.1234).abs() < 1e-6);
        // 5 standard deviations of the emulated monitor, and its last digit.
        let monitor = laser.monitor().await.unwrap().unwrap().0;
        assert!((monitor - 2.5e-3).abs() < 5.0 * 2.5e-6 + 5e-6, "{monitor}");
        let state = emulator.device().instrument().state();
        assert!(state.emits && (state.power.0 - 2.5e-3).abs() < 1e-9);
        assert!((state.wavelength.0 - 1545.1234).abs() < 1e-9);
        assert_eq!(heard.lock().unwrap().last(), Some(&state));
        laser.emit(false).await.unwrap();
        assert!(!emulator.device().instrument().state().emits);
        assert!(matches!(laser.set_power(Watts(6e-3)).await, Err(ScpiError::Limit { .. })));
        assert!(matches!(laser.set_wavelength(Nanometres(1.5e-6)).await, Err(ScpiError::Limit { .. })));
    }
}

#[tokio::test(start_paused = true)]
async fn a_laser_that_changed_its_command_set_behind_our_back_is_not_tuned_by_a_factor_of_a_billion() {
    let (emulator, connector) = played(ScpiDevice::new(EmulatedTsl570::new(CommandSet::Scpi, 1)));
    let mut laser = SantecTsl570::connect(connector, laser_limits()).await.unwrap();
    laser.set_wavelength(Nanometres(1550.0)).await.unwrap();
    let mut answers = Vec::new();
    emulator.device().receive(b":SYST:COMM:COD 0\r", Duration::from_secs(20), &mut answers);
    let error = laser.wavelength().await.err().unwrap();
    assert!(matches!(error, ScpiError::SettingsLost { .. }), "{error}");
    assert!(matches!(laser.set_wavelength(Nanometres(1551.0)).await, Err(ScpiError::NotReady { .. })));
}

#[tokio::test(start_paused = true)]
async fn the_controller_holds_a_temperature_and_never_writes_its_flash() {
    for device in [EmulatedMtd415t::new(1), EmulatedMtd415t::new(1).answering_settings()] {
        let (emulator, connector) = played(device);
        let mut controller = Mtd415t::connect(connector, temperature_limits()).await.unwrap();
        assert_eq!(controller.firmware(), "MTD415T FW1.2.6");
        assert!(matches!(controller.set_temperature(Celsius(30.0)).await, Err(ScpiError::NotReady { .. })));
        controller.set_current_limit(Amperes(1.2)).await.unwrap();
        controller.set_temperature(Celsius(31.5)).await.unwrap();
        assert!(matches!(controller.set_temperature(Celsius(41.0)).await, Err(ScpiError::Limit { .. })));
        assert!(matches!(controller.set_current_limit(Amperes(1.6)).await, Err(ScpiError::Limit { .. })));
        tokio::time::sleep(Duration::from_secs(60)).await;
        // 5 standard deviations of the emulated sensor.
        assert!((controller.temperature().await.unwrap().0 - 31.5).abs() < 0.01);
        assert!(controller.current().await.unwrap().0.abs() < 0.02);
        assert!(controller.faults().await.unwrap().is_none());
        emulator.device().fail(1 << 4 | 1 << 2 | 1 << 9);
        assert_eq!(
            controller.faults().await.unwrap().to_string(),
            "thermal latch-up: at its current limit without effect; no temperature sensor; unknown bits 0x0200"
        );
        controller.clear_faults().await.unwrap();
        assert!(controller.faults().await.unwrap().is_none());
        let settings = emulator.device().settings();
        assert_eq!((settings.setpoint, settings.current_limit), (31_500, 1200));
        assert_eq!(controller.held_setpoint(), Some(Celsius(31.5)));
        assert_eq!(emulator.device().saves(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn limits_beyond_the_controllers_own_are_refused() {
    let (_emulator, connector) = played(EmulatedMtd415t::new(1));
    let limits = TemperatureLimits { highest: Celsius(46.0), ..temperature_limits() };
    assert!(matches!(Mtd415t::connect(connector, limits).await, Err(ScpiError::Limit { .. })));
}

#[tokio::test(start_paused = true)]
async fn the_red_pitaya_gives_volts_and_reads_them_back_by_its_inputs() {
    let (emulator, connector) = played(ScpiDevice::new(EmulatedRedPitaya::new(1)));
    let mut board = RedPitaya::connect(connector).await.unwrap();
    assert_eq!(board.version(), Some("2.07-651"));
    assert!(board.commands().unwrap().iter().any(|command| command == "SYSTem:Help?"));
    for (output, volts) in [(1, -0.25), (2, 0.75)] {
        assert!(matches!(board.output(output, true).await, Err(ScpiError::NotReady { .. })));
        board.set_volts(output, Volts(volts)).await.unwrap();
        board.output(output, true).await.unwrap();
        let held = *emulator.device().instrument().output(usize::from(output) - 1).unwrap();
        assert!((held.volts().0 - volts).abs() < 1e-9);
        let wanted = Acquisition { input: output, decimation: 64, samples: 4096 };
        let samples = board.acquire(wanted).await.unwrap();
        let mean = samples.iter().map(|one| one.unwrap().0).sum::<f64>() / 4096.0;
        // 5 standard errors of the emulated noise of 0.2 mV.
        assert!((mean - volts).abs() < 5.0 * 2e-4 / 64.0, "{mean}");
    }
    assert!(matches!(board.set_volts(1, Volts(1.01)).await, Err(ScpiError::Limit { .. })));
    assert!(matches!(board.set_volts(3, Volts(0.0)).await, Err(ScpiError::Limit { .. })));
    let too_many = Acquisition { input: 1, decimation: 1, samples: 16_385 };
    assert!(matches!(board.acquire(too_many).await, Err(ScpiError::Limit { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_write_without_effect_is_found() {
    let (emulator, connector) = played(ScpiDevice::new(EmulatedKeithley2450::new(1)));
    let mut source = Keithley2450::connect(connector, source_limits()).await.unwrap();
    source.configure(Amperes(2e-3)).await.unwrap();
    emulator.device().stick(0, true);
    let error = source.set_volts(Volts(1.5)).await.err().unwrap();
    assert_eq!(
        error.to_string(),
        "bench: `:SOUR:VOLT:LEV 1.500000000E0` was sent without complaint, but `:SOUR:VOLT:LEV?` reads 0.000000E+00, expected \
         1.5E0; the setting is unknown"
    );
    assert_eq!(source.instrument().held(":SOUR:VOLT:LEV?"), None);
    emulator.device().stick(0, false);
    source.set_volts(Volts(1.5)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_instrument_switched_off_and_on_has_lost_its_settings_and_says_so_once() {
    let (emulator, connector) = played(ScpiDevice::new(EmulatedPowerMeter::new(4, 1)));
    let mut meter = KeysightPowerMeter::connect(connector).await.unwrap();
    configured(&mut meter, PowerRange::Auto).await;
    let next = emulator.device().requests() + 1;
    emulator.plan(FaultPlan::event(EventKind::Reset, next, 0));
    let error = meter.read(1).await.err().unwrap();
    assert!(matches!(error, ScpiError::Rebooted { .. }), "{error}");
    assert!(matches!(meter.read(1).await, Err(ScpiError::NotReady { .. })));
    configured(&mut meter, PowerRange::Auto).await;
    assert!(meter.read(1).await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn no_fault_of_the_wire_makes_the_red_pitaya_forget_without_a_word() {
    let (emulator, connector) = played(ScpiDevice::new(EmulatedRedPitaya::new(1)));
    let mut board = RedPitaya::connect(connector).await.unwrap();
    board.set_volts(1, Volts(0.5)).await.unwrap();
    let next = emulator.device().requests() + 1;
    emulator.plan(FaultPlan {
        events: vec![Event { at_request: next, every: 0, chance: 0.0, kind: EventKind::Reset }],
        ..FaultPlan::default()
    });
    // The reset meets the command; everything after it is answered, by a board that holds nothing.
    let error = board.set_volts(2, Volts(0.0)).await.err().unwrap();
    assert!(matches!(error, ScpiError::Rebooted { .. }), "{error}");
    assert_eq!(board.instrument().held("SOUR1:VOLT:OFFS?"), None);
    board.set_volts(2, Volts(0.0)).await.unwrap();
}
