//! What is refused whole, before anything reaches the chip.

use crate::{ActuatorFrame, BackendErrorKind, Descriptor, InputBatch};

/// A frame of the wrong length, or a code above its limit.
pub(crate) fn of_frame(descriptor: &Descriptor, frame: &ActuatorFrame) -> Result<(), BackendErrorKind> {
    let limits = &descriptor.limits;
    if frame.0.len() != limits.len() {
        return Err(BackendErrorKind::FrameLength { expected: limits.len(), found: frame.0.len() });
    }
    match frame.0.iter().zip(limits).enumerate().find(|(_, (code, limit))| code > limit) {
        Some((actuator, (&code, &limit))) => Err(BackendErrorKind::OverLimit { actuator, code, limit }),
        None => Ok(()),
    }
}

/// Vectors of the wrong width, a code out of range, or 0 repeats.
pub(crate) fn of_inputs(
    descriptor: &Descriptor,
    inputs: &InputBatch,
    repeats: usize,
) -> Result<(), BackendErrorKind> {
    let expected = descriptor.input_width();
    let found = inputs.0.ncols();
    if found != expected {
        return Err(BackendErrorKind::InputWidth { expected, found });
    }
    let (lowest, highest) = descriptor.input_range();
    let outside = |code: i32| code < lowest || code > highest;
    if let Some(((frame, input), &code)) = inputs.0.indexed_iter().find(|&(_, &code)| outside(code)) {
        return Err(BackendErrorKind::InputCode { frame, input, code, lowest, highest });
    }
    if repeats == 0 { Err(BackendErrorKind::NoRepeats) } else { Ok(()) }
}
