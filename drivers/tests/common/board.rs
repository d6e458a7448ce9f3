//! Boards with a simulated chip, and what is written to and read from them.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use alora_drivers::{
    ActuatorFrame, InputBatch, PhotonicBackend,
    board::{BoardBackend, BoardOptions, LinkOptions},
    emulate::{BoardDevice, Device, Emulator, FaultPlan, Line},
    mock::{Script, Spec},
    station::Chip,
};
use ndarray::Array2;

/// Seed of every chip.
pub(crate) const SEED: u64 = 3;

pub(crate) fn options(preset: &str, watchdog_ms: u16) -> BoardOptions {
    let chip = Chip { preset: Some(preset.to_owned()), described: None };
    BoardOptions { nominal: chip.nominal().unwrap(), watchdog_ms, link: LinkOptions::default() }
}

pub(crate) fn board(preset: &str, line: Line, plan: FaultPlan) -> Emulator<BoardDevice> {
    let device = BoardDevice::new(Spec::preset(preset).unwrap(), SEED, Script::default()).unwrap();
    Emulator::new(device, line, plan)
}

pub(crate) async fn connected(
    emulator: &Emulator<impl Device + 'static>,
    preset: &str,
    watchdog_ms: u16,
) -> BoardBackend {
    let connector = Arc::new(emulator.connector("memory"));
    BoardBackend::connect(connector, options(preset, watchdog_ms)).await.unwrap()
}

pub(crate) fn codes(backend: &dyn PhotonicBackend, salt: usize) -> ActuatorFrame {
    let code =
        |(index, &limit): (usize, &u16)| ((index * 7919 + salt * 31) % (usize::from(limit) + 1)) as u16;
    ActuatorFrame(backend.descriptor().limits.iter().enumerate().map(code).collect())
}

pub(crate) fn vectors(backend: &dyn PhotonicBackend, frames: usize) -> InputBatch {
    let (lowest, highest) = backend.descriptor().input_range();
    let levels = (highest - lowest + 1) as usize;
    let code = |(frame, input): (usize, usize)| lowest + ((frame * 7919 + input * 104_729) % levels) as i32;
    InputBatch(Array2::from_shape_fn((frames, backend.descriptor().input_width()), code))
}
