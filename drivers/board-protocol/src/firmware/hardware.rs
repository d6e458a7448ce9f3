//! What the firmware of a board asks of its hardware.

use crate::{reply::Sense, request::Codes};

/// What a board is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity<'a> {
    /// Version of the firmware, major and minor.
    pub firmware: (u8, u8),
    /// 0 generic, 1 incoherent, 2 coherent.
    pub kind: u8,
    /// Input codes of a vector.
    pub inputs: u16,
    /// Counts of a vector.
    pub outputs: u16,
    /// Bits of actuators, inputs and outputs.
    pub bits: [u8; 3],
    /// Serial number, ASCII, at most 255 bytes.
    pub serial: &'a [u8],
}

/// Converters and registers of a board.
pub trait Hardware {
    /// What it is; constant.
    fn identity(&self) -> Identity<'_>;

    /// Applies one code an actuator.
    fn write(&mut self, codes: &[u16]);

    /// The code that is applied now.
    fn read(&self, actuator: usize) -> u16;

    /// Sends the vectors `repeats` times and gives `put` the counts, `[repeats, frames, outputs]`; true when one of them is
    /// at the limit of its amplifier or converter. Input codes are within the range of their converter or refused by `None`.
    fn execute(
        &mut self,
        repeats: u8,
        frames: u8,
        codes: Codes<'_>,
        put: &mut dyn FnMut(i16),
    ) -> Option<bool>;

    /// Temperature and laser. `uptime_us` is the firmware's to fill in.
    fn sense(&mut self) -> Sense;

    /// All outputs to zero, now.
    fn zero(&mut self);
}
