// What must hold for any bytes on the wire of a Qontrol chain. Run by the fuzz targets and, on a stable toolchain, by a test.
#![allow(dead_code, reason = "each target needs one of them")]

use std::time::Duration;

use alora_drivers::{
    emulate::{Device, qontrol::QontrolChain},
    qontrol::{CHANNELS, ModuleKind, rewritten},
};

/// A line that the host understands says what it says in full: written again, it is the same line.
pub fn line(bytes: &[u8]) {
    let Some(again) = rewritten(bytes) else { return };
    let text = std::str::from_utf8(bytes).expect("what is understood is text");
    assert_eq!(again, without_zeros(text), "{}", bytes.escape_ascii());
    assert_eq!(rewritten(again.as_bytes()).as_deref(), Some(&*again));
}

/// A count, or the place of a module, without zeros in front.
fn without_zeros(text: &str) -> String {
    let head = text.trim_end_matches(|letter: char| letter.is_ascii_digit());
    let digits = &text[head.len()..];
    if digits.is_empty() || !(head.is_empty() || head.ends_with(": ")) {
        return text.to_owned();
    }
    let digits = digits.trim_start_matches('0');
    format!("{head}{}", if digits.is_empty() { "0" } else { digits })
}

/// The emulated chain takes anything, answers in whole lines, and drives nothing above the limits that it holds.
pub fn device(bytes: &[u8]) {
    let mut chain = QontrolChain::new(&[ModuleKind::Q8iv, ModuleKind::S8i, ModuleKind::Q8b]);
    chain.load(0, f64::INFINITY);
    let mut now = Duration::ZERO;
    for piece in bytes.chunks(64) {
        now += Duration::from_millis(u64::from(piece[0]));
        hear(&mut chain, piece, now);
    }
    assert!(chain.requests() <= bytes.len() as u64);
    // Long enough to end whatever was begun; then it is a chain as before.
    hear(&mut chain, &[b'\n'; 7 + 2 * 3 * CHANNELS], now);
    let answer = hear(&mut chain, b"v0?\n", now);
    let answer = answer.strip_suffix(b"\n").expect("a whole line");
    assert!(rewritten(answer).is_some_and(|line| line.ends_with(" V")), "{}", answer.escape_ascii());
}

fn hear(chain: &mut QontrolChain, bytes: &[u8], now: Duration) -> Vec<u8> {
    let mut answers = Vec::new();
    chain.receive(bytes, now, &mut answers);
    chain.tick(now, &mut answers);
    assert!(answers.is_ascii() && (answers.is_empty() || answers.ends_with(b"\n")));
    for (channel, (volts, (limit, _))) in chain.volts().into_iter().zip(chain.limits()).enumerate() {
        assert!(volts.0 <= limit.0, "channel {channel} drives {volts:?} above {limit:?}");
    }
    answers
}
