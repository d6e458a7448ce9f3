//! The contract suite of [`PhotonicBackend`]: every driver passes it.
//!
//! [`check`] connects afresh for each clause, so that one broken clause does not hide another. It uses nothing but the
//! trait: it runs on a mock, on a driver over an emulated wire, and on a bench.
//!
//! What no caller of the trait can see is not checked: that the outputs have really settled, that counts at a
//! converter's limit are all flagged, and that a refused batch reached no modulator.

mod apply;
mod connection;
mod execute;

use std::{
    fmt,
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

use ndarray::Array2;

use crate::{
    ActuatorFrame, BackendError, BackendErrorKind, Code, Descriptor, InputBatch, InputCode, Operation,
    PhotonicBackend,
};

/// A clause of the trait's contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Clause {
    /// The descriptor agrees with itself and is constant.
    Descriptor,
    /// A processor is parked after connecting, and can be executed.
    ParkedAfterConnecting,
    /// `apply` reports, and `read_back` repeats, the codes that were asked for.
    Apply,
    /// A frame of the wrong length is refused whole.
    FrameLength,
    /// A code above its limit refuses the whole frame.
    OverLimit,
    /// An input vector of the wrong width is refused.
    InputWidth,
    /// An input code out of range is refused.
    InputCode,
    /// 0 repeats are refused.
    NoRepeats,
    /// A readout has the shape `[repeats, frames, channels]`, in order, with time and temperature.
    Readout,
    /// Repeats are kept apart, never averaged.
    Repeats,
    /// `execute` leaves the actuators alone.
    ExecuteKeepsCodes,
    /// `wait` lets the time pass that was asked for, and leaves the actuators alone.
    Wait,
    /// `park` zeroes every actuator and is idempotent.
    Park,
    /// A dropped future leaves what the trait says it leaves.
    CancelSafety,
}

impl Clause {
    /// What the trait promises.
    #[must_use]
    pub fn promise(self) -> &'static str {
        match self {
            Self::Descriptor => {
                "the descriptor agrees with itself and is constant for the life of the connection"
            }
            Self::ParkedAfterConnecting => "after connecting every code is 0 and `execute` is allowed",
            Self::Apply => {
                "`apply` returns the codes that the device holds, and `read_back` returns the same"
            }
            Self::FrameLength => "a frame of the wrong length is refused whole and nothing changes",
            Self::OverLimit => {
                "a code above its limit refuses the whole frame; nothing is applied or clipped"
            }
            Self::InputWidth => "an input vector of the wrong width is refused before anything is sent",
            Self::InputCode => "an input code out of range is refused before anything is sent",
            Self::NoRepeats => "0 repeats are refused",
            Self::Readout => "a readout is [repeats, frames, channels] with a time that never goes back",
            Self::Repeats => "each repeat is kept apart, never averaged",
            Self::ExecuteKeepsCodes => "`execute` leaves the actuators as they were",
            Self::Wait => {
                "`wait` lets the time pass that was asked for and leaves the actuators as they were"
            }
            Self::Park => "`park` zeroes every actuator, is idempotent and allowed in every state",
            Self::CancelSafety => {
                "a dropped future leaves the processor usable after the next `apply` or `park`"
            }
        }
    }
}

/// A clause that a backend breaks, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Violation {
    /// What is broken.
    pub clause: Clause,
    /// What was seen instead.
    pub found: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "contract: {}; found: {}", self.clause.promise(), self.found)
    }
}

/// Checks every clause of the contract, on a fresh connection each.
///
/// On a device with actuators this applies frames within the descriptor's limits, up to the limit of each actuator,
/// and parks at the end of each clause.
///
/// # Errors
/// All clauses that are broken, each with what was seen.
pub async fn check(mut connect: impl AsyncFnMut() -> Box<dyn PhotonicBackend>) -> Result<(), Vec<Violation>> {
    let mut violations = Vec::new();
    macro_rules! clause {
        ($clause:ident, $check:path) => {
            let mut backend = connect().await;
            if let Err(found) = $check(&mut *backend).await {
                violations.push(Violation { clause: Clause::$clause, found });
            }
            // A failure to park is reported by the clause of `park`.
            let _ = backend.park().await;
        };
    }
    clause!(Descriptor, connection::descriptor);
    clause!(ParkedAfterConnecting, connection::parked);
    clause!(Park, connection::park);
    clause!(CancelSafety, connection::cancel_safety);
    clause!(Apply, apply::holds);
    clause!(FrameLength, apply::frame_length);
    clause!(OverLimit, apply::over_limit);
    clause!(InputWidth, execute::input_width);
    clause!(InputCode, execute::input_code);
    clause!(NoRepeats, execute::no_repeats);
    clause!(Readout, execute::readout);
    clause!(Repeats, execute::repeats);
    clause!(ExecuteKeepsCodes, execute::keeps_codes);
    clause!(Wait, execute::wait);
    if violations.is_empty() { Ok(()) } else { Err(violations) }
}

/// Outcome of one clause: a sentence on what was seen when it is broken.
type Checked = Result<(), String>;

fn expect(holds: bool, found: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(found()) }
}

/// A frame of different codes from actuator to actuator, all within the limits; `salt` makes another.
fn frame(descriptor: &Descriptor, salt: usize) -> ActuatorFrame {
    let code = |(index, &limit): (usize, &Code)| {
        let spread = (index * 7919 + salt * 104_729 + 1) % (usize::from(limit) + 1);
        spread as Code
    };
    ActuatorFrame(descriptor.limits.iter().enumerate().map(code).collect())
}

/// `frames` input vectors of different codes, all within range.
fn batch(descriptor: &Descriptor, frames: usize) -> InputBatch {
    let (lowest, highest) = descriptor.input_range();
    let levels = i64::from(highest) - i64::from(lowest) + 1;
    let code = |(frame, input): (usize, usize)| {
        let spread = ((frame * 7919 + input * 104_729) as i64) % levels;
        (i64::from(lowest) + spread) as InputCode
    };
    InputBatch(Array2::from_shape_fn((frames, descriptor.input_width()), code))
}

/// The answer of an operation that should have worked.
fn accepted<T>(answer: Result<T, BackendError>, what: &str) -> Result<T, String> {
    answer.map_err(|error| format!("{what} answered `{error}: {}`", error.kind))
}

/// Checks that `answer` is the refusal `kind` of `operation`, by the processor that was asked.
fn refused<T>(
    answer: Result<T, BackendError>,
    descriptor: &Descriptor,
    operation: Operation,
    kind: &BackendErrorKind,
) -> Checked {
    let Err(error) = answer else {
        return Err(format!("{operation} was accepted where it should be refused with `{kind}`"));
    };
    expect(error.kind == *kind, || format!("the refusal was `{}`, not `{kind}`", error.kind))?;
    expect(error.operation == operation, || {
        format!("the refusal names the operation {}, not {operation}", error.operation)
    })?;
    expect(error.processor == descriptor.id, || {
        format!("the refusal names the processor {}, not {}", error.processor, descriptor.id)
    })
}

/// Checks that the device reports `expected`, after `what`.
async fn reports(backend: &mut dyn PhotonicBackend, expected: &ActuatorFrame, what: &str) -> Checked {
    let held = accepted(backend.read_back().await, "read-back")?;
    let differs = held.0.iter().zip(&expected.0).position(|(held, expected)| held != expected);
    expect(held.0.len() == expected.0.len(), || {
        format!("after {what}, read-back has {} codes, not {}", held.0.len(), expected.0.len())
    })?;
    match differs {
        Some(actuator) => Err(format!(
            "after {what}, actuator {actuator} holds code {}, not {}",
            held.0[actuator], expected.0[actuator]
        )),
        None => Ok(()),
    }
}

/// Polls `future` once and drops it; its output when it was ready at once.
fn poll_and_drop<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}
