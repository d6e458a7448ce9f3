//! `make_safe::zero` against emulated devices: off is what the device is, not what it was told.

#![expect(clippy::unwrap_used, reason = "tests")]

use alora_drivers::{
    emulate::{
        Device, Emulator, FaultPlan, Line,
        qontrol::QontrolChain,
        scpi::{EmulatedKeithley2450, EmulatedRedPitaya, EmulatedTsl570, ScpiDevice, ScpiInstrument},
    },
    link::{Connector, Port},
    qontrol::ModuleKind,
    safety::make_safe::{Made, Protocol, zero},
    scpi::CommandSet,
};
use tokio::{io::AsyncWriteExt, net::TcpListener, task::JoinHandle};

/// A device on TCP that was switched on by `lines`, the last of them left half sent.
async fn driven<D: Device + 'static>(device: D, lines: &[u8]) -> (Emulator<D>, Port, JoinHandle<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port: Port = format!("tcp:{}", listener.local_addr().unwrap()).parse().unwrap();
    let emulator = Emulator::new(device, Line::default(), FaultPlan::default());
    let served = emulator.clone();
    let server = tokio::spawn(async move { served.serve_tcp(listener).await.unwrap() });
    let mut wire = port.open().await.unwrap();
    wire.write_all(lines).await.unwrap();
    let heard =
        lines.split(|&byte| matches!(byte, b'\r' | b'\n')).filter(|line| !line.is_empty()).count() as u64;
    while emulator.device().requests() + 1 < heard {
        tokio::task::yield_now().await;
    }
    (emulator, port, server)
}

const KEITHLEY: &[u8] = b":SOUR:VOLT:LEV 1.5\nOUTPUT ON\n:SOUR:VOLT:LE";
const SANTEC: &[u8] = b":POW:STAT 1\r:POW:SHUT 0\r:WAV 15";
const RED_PITAYA: &[u8] = b"SOUR2:VOLT:OFFS 0.5\r\nOUTPUT1:STATE ON\r\nOUTPUT2:STATE ON\r\nSOUR2:VO";

fn off(made: &Made, words: &str) {
    assert_eq!(made, &Made::Zero(words.to_owned()));
}

#[tokio::test]
async fn a_source_meter_is_switched_off_and_says_so() {
    let (device, port, _server) = driven(ScpiDevice::new(EmulatedKeithley2450::new(1)), KEITHLEY).await;
    assert!(device.device().instrument().source().output);
    off(
        &zero(&port, Protocol::of("keithley_2450")).await.unwrap(),
        "a source meter: its output off, it says",
    );
    assert!(!device.device().instrument().source().output);
}

#[tokio::test]
async fn a_laser_is_switched_off_and_says_so() {
    let laser = ScpiDevice::new(EmulatedTsl570::new(CommandSet::Scpi, 1));
    let (device, port, _server) = driven(laser, SANTEC).await;
    assert!(device.device().instrument().state().emits);
    let made = zero(&port, Protocol::of("santec_tsl570")).await.unwrap();
    off(&made, "a laser: its shutter is closed and its diode off, it says");
    assert!(!device.device().instrument().state().emits);
}

#[tokio::test]
async fn both_outputs_of_a_red_pitaya_are_switched_off_and_say_so() {
    let (device, port, _server) = driven(ScpiDevice::new(EmulatedRedPitaya::new(1)), RED_PITAYA).await;
    assert_eq!(driven_outputs(&device), [true, true]);
    let made = zero(&port, Protocol::of("red_pitaya")).await.unwrap();
    off(&made, "a Red Pitaya: both outputs off, it says");
    assert_eq!(driven_outputs(&device), [false, false]);
}

fn driven_outputs(device: &Emulator<ScpiDevice<EmulatedRedPitaya>>) -> [bool; 2] {
    [0, 1].map(|output| device.device().instrument().output(output).unwrap().on)
}

#[tokio::test]
async fn a_long_chain_that_was_left_within_a_binary_frame_is_zeroed_to_its_last_channel() {
    let mut lines: Vec<u8> = (0..160).flat_map(|channel| format!("v{channel}=4.5\n").into_bytes()).collect();
    // A vector of 8 words for channel 0, of which none has come.
    lines.extend([0x82, 0, 0, 0, 0, 0, 8]);
    let chain = QontrolChain::new(&[ModuleKind::Q8iv; 20]);
    let (device, port, _server) = driven(chain, &lines).await;
    assert!(device.device().volts().iter().all(|volts| volts.0 > 4.4));
    off(&zero(&port, Protocol::Qontrol).await.unwrap(), "a chain: 160 channels read back as 0 V");
    assert!(device.device().volts().iter().all(|volts| volts.0 == 0.0));
}

#[tokio::test]
async fn a_channel_that_stays_driven_is_not_said_to_be_zero() {
    let (device, port, _server) = driven(QontrolChain::new(&[ModuleKind::Q8iv]), b"v3=4.5\nv4=1").await;
    device.device().stick(3, true);
    let made = zero(&port, Protocol::Qontrol).await.unwrap();
    assert_eq!(made, Made::Sent("a chain: 1 of 8 channels are NOT at 0 V".to_owned()));
}

#[tokio::test]
async fn an_output_that_stays_on_is_not_said_to_be_off() {
    let (device, port, _server) = driven(ScpiDevice::new(EmulatedKeithley2450::new(1)), KEITHLEY).await;
    device.device().stick(1, true);
    let made = zero(&port, Protocol::Keithley2450).await.unwrap();
    assert_eq!(made, Made::Sent("`OUTPUT?` is answered by `1`".to_owned()));
}

#[tokio::test]
async fn an_instrument_that_is_mute_is_not_said_to_be_off() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port: Port = format!("tcp:{}", listener.local_addr().unwrap()).parse().unwrap();
    let made = zero(&port, Protocol::SantecTsl570).await.unwrap();
    let words = "a laser: its shutter is closed and its diode off was sent, but `:POW:SHUT?` has no answer";
    assert_eq!(made, Made::Sent(words.to_owned()));
}

#[tokio::test]
async fn what_measures_or_holds_a_temperature_is_not_even_opened() {
    let nowhere: Port = "/dev/nowhere".parse().unwrap();
    for (protocol, words) in [
        ("keysight_n774x", "a power meter: it measures only"),
        ("thorlabs_mtd415t", "a temperature controller: it holds its temperature"),
    ] {
        assert_eq!(zero(&nowhere, Protocol::of(protocol)).await.unwrap(), Made::Kept(words.to_owned()));
    }
}

async fn unknown<I: ScpiInstrument + 'static>(instrument: I, lines: &[u8]) -> Made {
    let (_device, port, _server) = driven(ScpiDevice::new(instrument), lines).await;
    zero(&port, Protocol::Unknown).await.unwrap()
}

#[tokio::test]
async fn an_instrument_on_a_port_of_which_nothing_is_known_says_what_it_is() {
    off(&unknown(EmulatedKeithley2450::new(1), KEITHLEY).await, "a source meter: its output off, it says");
    off(&unknown(EmulatedRedPitaya::new(1), RED_PITAYA).await, "a Red Pitaya: both outputs off, it says");
    let laser = EmulatedTsl570::new(CommandSet::Legacy, 1);
    off(&unknown(laser, SANTEC).await, "a laser: its shutter is closed and its diode off, it says");
}
