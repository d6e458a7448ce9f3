#![no_main]

#[path = "../checks/scpi.rs"]
mod scpi;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| scpi::device(bytes));
