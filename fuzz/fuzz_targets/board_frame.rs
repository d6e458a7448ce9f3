#![no_main]

#[path = "../checks/board.rs"]
mod board;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| board::frame(bytes));
