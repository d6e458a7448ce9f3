// What must hold for any bytes from and to an SCPI instrument. Run by the fuzz targets and, on a stable toolchain, by a test.
#![allow(dead_code, reason = "each target needs one of them")]

use std::time::Duration;

use alora_drivers::{
    emulate::{
        Device,
        scpi::{
            EmulatedKeithley2450, EmulatedMtd415t, EmulatedPowerMeter, EmulatedRedPitaya, EmulatedTsl570,
            ScpiDevice, ScpiInstrument,
        },
    },
    scpi::{ByteOrder, CommandSet, LineEnding, block, integer, number, reading, singles, words},
};

/// Blocks, lines and numbers are read or refused; what is read once is read the same way with more bytes behind, and not
/// before the last of its own.
pub fn received(bytes: &[u8]) {
    let most = bytes.len() / 2;
    let whole = block(bytes, most);
    if let Ok(Some((content, taken))) = whole {
        assert!(content.len() <= most && bytes[..taken].ends_with(content));
        let length = content.len();
        let head = std::str::from_utf8(&bytes[2..taken - length]).expect("digits");
        assert_eq!(head.parse(), Ok(length));
        for short in 0..taken {
            assert_eq!(block(&bytes[..short], most), Ok(None), "complete after {short} of {taken} bytes");
        }
        numbers_of(content);
    }
    if whole.is_ok() {
        let longer = [bytes, b"#1"].concat();
        let again = block(&longer, most);
        assert!(again.is_ok() || whole == Ok(None), "an error behind the end of a block");
    }
    for ending in [LineEnding::Lf, LineEnding::CrLf, LineEnding::Cr] {
        if let Some((line, taken)) = ending.line(bytes) {
            assert!(bytes[..taken].ends_with(ending.bytes()) && bytes.starts_with(line));
            assert_eq!(ending.line(&bytes[..taken - 1]), None);
        }
    }
    numbers_of(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        text.split([',', ';', '\n', ' ']).for_each(written);
    }
}

fn numbers_of(bytes: &[u8]) {
    for order in [ByteOrder::Little, ByteOrder::Big] {
        assert_eq!(singles(bytes, order).map(|numbers| 4 * numbers.len()).ok(), whole(bytes, 4));
        assert_eq!(words(bytes, order).map(|numbers| 2 * numbers.len()).ok(), whole(bytes, 2));
    }
}

fn whole(bytes: &[u8], size: usize) -> Option<usize> {
    bytes.len().is_multiple_of(size).then_some(bytes.len())
}

fn written(text: &str) {
    if let Ok(value) = number(text) {
        assert!(!value.is_nan(), "{text}");
        assert_eq!(text.parse(), Ok(value));
        assert_eq!(number(&format!("{value:E}")).ok(), value.is_finite().then_some(value), "{text}");
    }
    if let Ok(Some(value)) = reading(text) {
        assert!(value.is_finite() && value.abs() < 9.9e37, "{text}");
    }
    if let Ok(value) = integer(text) {
        assert!(value.abs() < 1_000_000_000 && number(text) == Ok(value as f64), "{text}");
    }
}

/// The emulated instruments take anything, answer in whole lines, hold nothing that the real ones cannot, and go on.
pub fn device(bytes: &[u8]) {
    let Some((&which, bytes)) = bytes.split_first() else { return };
    match which % 6 {
        0 => instrument(EmulatedPowerMeter::new(8, 1), bytes, |meter| {
            let port = meter.port(1).expect("the first port");
            assert!(
                (1.25e-6..=1.65e-6).contains(&port.wavelength) && (1e-6..=10.0).contains(&port.averaging)
            );
        }),
        1 => instrument(EmulatedKeithley2450::new(1), bytes, |meter| {
            let source = meter.source();
            assert!(source.volts.abs() <= 210.0 && source.amperes.abs() <= 1.05, "{source:?}");
            assert!((1e-9..=1.05).contains(&source.current_limit), "{source:?}");
        }),
        2 => instrument(EmulatedRedPitaya::new(1), bytes, |board| {
            let volts = [0, 1].map(|output| board.output(output).expect("two outputs").volts().0);
            assert!(volts.iter().all(|volts| volts.abs() <= 1.0), "{volts:?}");
        }),
        3 => instrument(EmulatedTsl570::new(CommandSet::Scpi, 1), bytes, laser),
        4 => instrument(EmulatedTsl570::new(CommandSet::Legacy, 1), bytes, laser),
        _ => controller(bytes),
    }
}

fn laser(laser: &EmulatedTsl570) {
    let state = laser.state();
    assert!((1480.0..=1640.0).contains(&state.wavelength.0), "{state:?}");
    assert!((1e-5..=0.0201).contains(&state.power.0), "{state:?}");
}

fn instrument<I: ScpiInstrument>(instrument: I, bytes: &[u8], holds: impl Fn(&I)) {
    let (identity, ending) = (instrument.identity(), instrument.ending());
    let mut device = ScpiDevice::new(instrument);
    hear(&mut device, bytes, ending.bytes());
    holds(device.instrument());
    hear(&mut device, b"\n", ending.bytes());
    let answer = hear(&mut device, b"*IDN?\n", ending.bytes());
    assert_eq!(answer, [identity.as_bytes(), ending.bytes()].concat());
}

fn controller(bytes: &[u8]) {
    let mut device = EmulatedMtd415t::new(1).answering_settings();
    hear(&mut device, bytes, b"\n");
    let held = device.settings();
    assert!(
        (5000..=45_000).contains(&held.setpoint) && (200..=2000).contains(&held.current_limit),
        "{held:?}"
    );
    hear(&mut device, b"\n", b"\n");
    assert_eq!(hear(&mut device, b"m?\n", b"\n"), b"MTD415T FW1.2.6\n");
}

fn hear(device: &mut dyn Device, bytes: &[u8], ending: &[u8]) -> Vec<u8> {
    let (before, mut all) = (device.requests(), Vec::new());
    for (index, piece) in bytes.chunks(50).enumerate() {
        let mut answers = Vec::new();
        device.receive(piece, Duration::from_millis(index as u64), &mut answers);
        assert!(answers.is_empty() || answers.ends_with(ending), "half a line");
        all.extend(answers);
    }
    let ends = bytes.iter().filter(|&&byte| matches!(byte, b'\n' | b'\r')).count();
    assert!(device.requests() - before <= ends as u64, "a request without an end");
    all
}
