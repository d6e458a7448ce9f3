//! Errors as sentences to the person at the bench: the outer says where, the inner says why.

use std::{fmt, time::Duration};

use crate::{
    descriptor::ProcessorId,
    frame::{Code, InputCode},
};

/// What the driver was asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Opening the connection.
    Connect,
    /// Writing actuator codes.
    Apply,
    /// Reading actuator codes.
    ReadBack,
    /// Sending input vectors and reading detectors.
    Execute,
    /// Waiting with the codes held.
    Wait,
    /// Going to the safe state.
    Park,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connect",
            Self::Apply => "apply",
            Self::ReadBack => "read-back",
            Self::Execute => "execute",
            Self::Wait => "wait",
            Self::Park => "park",
        })
    }
}

/// A driver call that failed: which processor, which operation, and why.
#[derive(Debug, thiserror::Error)]
#[error("{processor}: {operation} failed")]
pub struct BackendError {
    /// The processor asked.
    pub processor: ProcessorId,
    /// What it was asked to do.
    pub operation: Operation,
    /// Why it did not.
    #[source]
    pub kind: BackendErrorKind,
}

/// Why a driver call failed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum BackendErrorKind {
    /// A frame of the wrong length.
    #[error("the frame has {found} codes, the processor has {expected} actuators; nothing was applied")]
    FrameLength {
        /// Actuators of the processor.
        expected: usize,
        /// Codes in the frame.
        found: usize,
    },
    /// A code above its actuator's limit.
    #[error(
        "actuator {actuator}: code {code} is above its limit of {limit}; nothing was applied and nothing was clipped"
    )]
    OverLimit {
        /// Index in the frame.
        actuator: usize,
        /// Code asked for.
        code: Code,
        /// Highest code allowed.
        limit: Code,
    },
    /// An input vector of the wrong length.
    #[error("each input vector has {found} codes, the processor takes {expected}; nothing was sent")]
    InputWidth {
        /// Codes the processor takes.
        expected: usize,
        /// Codes given.
        found: usize,
    },
    /// An input code outside the converter's range.
    #[error(
        "input vector {frame}, input {input}: code {code} is outside {lowest}..={highest}; nothing was sent"
    )]
    InputCode {
        /// Row of the batch.
        frame: usize,
        /// Column of the batch.
        input: usize,
        /// Code given.
        code: InputCode,
        /// Lowest code allowed.
        lowest: InputCode,
        /// Highest code allowed.
        highest: InputCode,
    },
    /// Zero repeats were asked for.
    #[error("0 repeats were asked for; ask for at least 1")]
    NoRepeats,
    /// The outputs are not known, as after an interrupted `apply`.
    #[error("the actuators are in an unknown state since an interrupted write; apply a frame or park first")]
    OutputsUnknown,
    /// No answer in time.
    #[error("no answer within {0:?}; check power and cable")]
    Timeout(Duration),
    /// The link is gone.
    #[error(
        "the link is gone; check power and cable, then connect again. The outputs cannot be zeroed from here"
    )]
    Disconnected,
}
