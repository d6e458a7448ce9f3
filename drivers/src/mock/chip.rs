//! A mock as the converters of a board see it.

use ndarray::Array3;

use crate::{ActuatorFrame, Celsius, Descriptor, InputBatch};

/// Writes, and readings that go on from batch to batch: a reading that a wire cuts in pieces gives the counts of one that is
/// not cut.
pub(crate) trait Chip: Send {
    /// What the chip is.
    fn descriptor(&self) -> &Descriptor;

    /// Applies codes, one an actuator, none above its limit.
    fn write(&mut self, frame: &ActuatorFrame);

    /// Zeroes every actuator.
    fn park(&mut self);

    /// Begins a reading: drift is brought up to the present and holds still from here on. Tells the temperature.
    ///
    /// A reading that nothing was read of, and since which no time has passed, is begun already.
    fn begin(&mut self) -> Celsius;

    /// Goes on with the present reading, or begins one. The batch fits the chip; counts and limit flags are
    /// `[repeats, frames, channels]`.
    fn go_on(&mut self, inputs: &InputBatch, repeats: usize) -> (Array3<i32>, Array3<bool>);
}
