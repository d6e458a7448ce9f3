//! Errors as sentences to the person at the bench: the outer says where, the inner says why.

use std::{fmt, time::Duration};

use crate::{
    descriptor::ProcessorId,
    frame::{Code, InputCode},
    link::LinkError,
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
    /// Bytes do not come or go.
    #[error(transparent)]
    Link(Box<LinkError>),
    /// The device refuses a request.
    #[error("the device answered `{answer}` to `{request}`; nothing was applied")]
    Refused {
        /// What was sent.
        request: Box<str>,
        /// What came back, in words.
        answer: Box<str>,
    },
    /// A write was acknowledged, but the device holds something else.
    #[error(
        "actuator {actuator}: code {sent} was written, but the device holds {held}; it may be stuck. The outputs are unknown \
         until the next frame or park"
    )]
    NotHeld {
        /// Index in the frame.
        actuator: usize,
        /// Code written.
        sent: Code,
        /// Code read back.
        held: Code,
    },
    /// The device was reset.
    #[error(
        "the device was reset ({evidence}): its limits and outputs are lost; park, check what reset it, then apply again"
    )]
    Rebooted {
        /// How it was seen.
        evidence: String,
    },
    /// The device has stopped itself.
    #[error(
        "the device has tripped ({reason}) and zeroed its outputs; find the cause, then park to arm it again"
    )]
    Tripped {
        /// What it says.
        reason: String,
    },
    /// The device speaks another version of the protocol.
    #[error(
        "the device speaks {device}, this driver {driver}; nothing was written. Update the older of the two"
    )]
    Version {
        /// Version of the device.
        device: Box<str>,
        /// Versions of the driver.
        driver: Box<str>,
    },
    /// The device is not the one that the station file describes.
    #[error(transparent)]
    Mismatch(Box<Mismatch>),
    /// The supervisor of this process is gone.
    #[error(
        "the supervisor, which zeroes the outputs when this program dies, is gone; nothing was sent. Park, and start again"
    )]
    Unwatched,
    /// An instrument of a bench.
    #[error(transparent)]
    Instrument(Box<InstrumentFault>),
    /// A condition of the station file is not met.
    #[error("interlock: {condition}; nothing was sent. Outputs stay as they are until the condition is met")]
    Interlock {
        /// Which condition, with what was found.
        condition: String,
    },
    /// What is to be done cannot be recorded.
    #[error("{reason}; nothing was sent")]
    Unrecorded {
        /// Why not.
        reason: Box<str>,
    },
}

impl From<LinkError> for BackendErrorKind {
    fn from(error: LinkError) -> Self {
        Self::Link(Box::new(error))
    }
}

/// What class of trouble an instrument of a bench is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultClass {
    /// A limit of the station file: nothing was sent.
    Limit,
    /// The wire brings nothing to be trusted.
    Link,
    /// The instrument itself.
    Device,
}

/// An instrument of a bench that did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{device}: {reason}")]
pub struct InstrumentFault {
    /// Its name in the station file.
    pub device: String,
    /// What happened, in a sentence.
    pub reason: String,
    /// What class of trouble that is.
    pub class: FaultClass,
}

/// A device that is not the one of the station file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what}: the device says {found}, the station file {expected}; correct the station file or connect the right device"
)]
pub struct Mismatch {
    /// What differs.
    pub what: String,
    /// What the device says.
    pub found: String,
    /// What the station file says.
    pub expected: String,
}

impl BackendErrorKind {
    /// A device that is not the one of the station file.
    pub(crate) fn mismatch(what: impl Into<String>, found: impl ToString, expected: impl ToString) -> Self {
        let (found, expected) = (found.to_string(), expected.to_string());
        Self::Mismatch(Box::new(Mismatch { what: what.into(), found, expected }))
    }

    /// An instrument of a bench.
    pub(crate) fn instrument(device: &str, reason: impl ToString, class: FaultClass) -> Self {
        Self::Instrument(Box::new(InstrumentFault {
            device: device.to_owned(),
            reason: reason.to_string(),
            class,
        }))
    }

    /// True for what was refused before anything was sent.
    pub(crate) fn sent_nothing(&self) -> bool {
        match self {
            Self::Interlock { .. } => true,
            Self::Instrument(fault) => fault.class == FaultClass::Limit,
            _ => false,
        }
    }

    /// A request that the device refuses.
    pub(crate) fn refused(request: impl Into<Box<str>>, answer: impl Into<Box<str>>) -> Self {
        Self::Refused { request: request.into(), answer: answer.into() }
    }
}
