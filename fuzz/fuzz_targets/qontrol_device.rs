#![no_main]

#[path = "../checks/qontrol.rs"]
mod qontrol;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| qontrol::device(bytes));
