//! What goes wrong on an emulated wire, by plan.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Which bytes a fault meets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From the host to the device.
    ToDevice,
    /// From the device to the host.
    ToHost,
    /// Both ways.
    #[default]
    Both,
}

/// What happens to a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ByteFaultKind {
    /// It is lost.
    Drop,
    /// One of its bits is flipped.
    Flip,
    /// It comes twice.
    Duplicate,
    /// A byte of any value comes before it.
    Insert,
}

/// A fault that meets bytes at random.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ByteFault {
    /// What happens.
    pub kind: ByteFaultKind,
    /// To which bytes.
    #[serde(default)]
    pub direction: Direction,
    /// Share of the bytes that it meets, 0 to 1.
    pub rate: f64,
}

/// What happens around a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EventKind {
    /// One byte of the answer is lost, counted from 0 and from its end when the answer is shorter.
    DropAnswerByte {
        /// Which.
        byte: usize,
    },
    /// The answer comes twice.
    DuplicateAnswer,
    /// The answer comes so much later; what follows it waits behind it.
    Late {
        /// Milliseconds.
        by_ms: u64,
    },
    /// Bytes of any value come before the answer.
    Garbage {
        /// How many.
        bytes: usize,
    },
    /// The device loses power for a moment after the request: its answer is lost.
    Reset,
    /// The device answers nothing for so long, though it does what it is asked.
    Mute {
        /// Milliseconds.
        for_ms: u64,
    },
    /// Writes to a channel have no effect from now on.
    Stuck {
        /// Channel of the device.
        channel: usize,
    },
    /// Writes to a channel have their effect again.
    Unstuck {
        /// Channel of the device.
        channel: usize,
    },
    /// The plug is pulled, and is back after so long.
    Unplug {
        /// Milliseconds.
        for_ms: u64,
    },
}

/// A fault that comes around requests: at a chosen one, and again and again, or at random.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The request at which it comes, counted from 1; 0: at random only.
    #[serde(default)]
    pub at_request: u64,
    /// It comes again after each so many further requests; 0: once.
    #[serde(default)]
    pub every: u64,
    /// Share of the requests at which it comes at random, 0 to 1.
    #[serde(default)]
    pub chance: f64,
    /// What happens.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// The faults of one wire. The same plan and the same traffic bring the same faults.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FaultPlan {
    /// Seed of everything random.
    pub seed: u64,
    /// Faults of bytes.
    pub bytes: Vec<ByteFault>,
    /// Faults around requests.
    pub events: Vec<Event>,
}

/// A value of a plan outside its range.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("faults.{key} is {value}, allowed is 0 to 1")]
pub struct FaultPlanError {
    /// Key in the plan.
    pub key: String,
    /// What was found.
    pub value: f64,
}

impl FaultPlan {
    /// A plan of one byte fault in both directions.
    #[must_use]
    pub fn bytes(kind: ByteFaultKind, rate: f64, seed: u64) -> Self {
        let fault = ByteFault { kind, direction: Direction::Both, rate };
        Self { seed, bytes: vec![fault], events: Vec::new() }
    }

    /// A plan of one event that comes at the given request and after each `every` further ones (0: once).
    #[must_use]
    pub fn event(kind: EventKind, at_request: u64, every: u64) -> Self {
        Self { seed: 0, bytes: Vec::new(), events: vec![Event { at_request, every, chance: 0.0, kind }] }
    }

    /// Checks all rates.
    ///
    /// # Errors
    /// The first rate outside 0 to 1.
    pub fn check(&self) -> Result<(), FaultPlanError> {
        let rates =
            self.bytes.iter().enumerate().map(|(index, fault)| (format!("bytes[{index}].rate"), fault.rate));
        let chances = self
            .events
            .iter()
            .enumerate()
            .map(|(index, event)| (format!("events[{index}].chance"), event.chance));
        match rates.chain(chances).find(|(_, value)| !(0.0..=1.0).contains(value)) {
            Some((key, value)) => Err(FaultPlanError { key, value }),
            None => Ok(()),
        }
    }
}

impl Event {
    /// True when the request of that number brings the event by plan.
    pub(super) fn is_due(&self, request: u64) -> bool {
        self.at_request > 0
            && (request == self.at_request
                || (self.every > 0
                    && request > self.at_request
                    && (request - self.at_request).is_multiple_of(self.every)))
    }
}

impl EventKind {
    /// How long a mute or an unplugged device stays so.
    pub(super) fn lasts(self) -> Duration {
        match self {
            Self::Mute { for_ms } | Self::Unplug { for_ms } => Duration::from_millis(for_ms),
            Self::Late { by_ms } => Duration::from_millis(by_ms),
            _ => Duration::ZERO,
        }
    }
}
