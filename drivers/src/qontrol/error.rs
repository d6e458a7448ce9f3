//! What a chain may refuse, and what it may go through.

use crate::{link::LinkError, units::Volts};

/// Why a call to a chain failed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ChainError {
    /// Bytes do not come or go.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// Answers come, but none that can be trusted.
    #[error(
        "{place}: {tries} tries of `{request}` brought no answer that can be trusted (last: {last}); the outputs are unknown. \
         Check the cable and its shielding, then run `alora soak`"
    )]
    Unreadable {
        /// Port as the operator wrote it.
        place: String,
        /// What was sent.
        request: String,
        /// How often.
        tries: u32,
        /// What came back last.
        last: String,
    },
    /// The chain is not the one that was expected.
    #[error("{what}: the chain says {found}, expected was {expected}; nothing was written")]
    Mismatch {
        /// What differs.
        what: String,
        /// What the chain says.
        found: String,
        /// What was expected.
        expected: String,
    },
    /// A channel that does not exist or is no output.
    #[error("channel {channel} is no output of this chain of {channels} channels; nothing was sent")]
    NoOutput {
        /// Channel asked for.
        channel: usize,
        /// Channels of the chain.
        channels: usize,
    },
    /// A voltage outside the host's own limits.
    #[error("channel {channel}: {wanted} is outside 0 V to the limit of {limit}; nothing was sent")]
    OverLimit {
        /// Channel.
        channel: usize,
        /// Voltage asked for.
        wanted: Volts,
        /// Highest voltage allowed.
        limit: Volts,
    },
    /// The module refuses a value.
    #[error("channel {channel}: the module answered {error} to {wanted:.4} and holds {held:.4}")]
    Refused {
        /// Channel.
        channel: usize,
        /// Voltage asked for.
        wanted: Volts,
        /// Voltage read back.
        held: Volts,
        /// What it answered, in words.
        error: String,
    },
    /// A write had no effect, or another.
    #[error("channel {channel}: {wanted:.4} was written, but the module holds {held:.4}; it may be stuck")]
    NotHeld {
        /// Channel.
        channel: usize,
        /// Value written.
        wanted: Volts,
        /// Value read back.
        held: Volts,
    },
    /// A limit could not be set.
    #[error("channel {channel}: {limit} cannot be set (the module holds {held}); no output was enabled")]
    Limit {
        /// Channel.
        channel: usize,
        /// Which limit, and how much.
        limit: String,
        /// What was read back.
        held: String,
    },
    /// A channel has tripped.
    #[error(
        "channel {channel} has tripped ({error}) and holds {held:.4}; find the cause before it is set again"
    )]
    Tripped {
        /// Channel.
        channel: usize,
        /// What the module said.
        error: String,
        /// Voltage read back.
        held: Volts,
    },
    /// The chain was reset.
    #[error(
        "the chain was reset ({evidence}): its limits and outputs are lost; check what reset it, then write the limits again"
    )]
    Rebooted {
        /// How it was seen.
        evidence: String,
    },
}

/// Whom an error line may mean. It carries only the channel's number within the module that says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribution {
    /// One channel, counted through the chain: the only one it can be, or the one that was just addressed.
    Channel(usize),
    /// One of these: with several modules, an error that comes by itself does not say from which.
    AnyOf(Vec<usize>),
}

impl Attribution {
    /// True when the channel may be meant.
    #[must_use]
    pub fn may_be(&self, channel: usize) -> bool {
        match self {
            Self::Channel(meant) => *meant == channel,
            Self::AnyOf(candidates) => candidates.contains(&channel),
        }
    }
}

/// What happened by itself.
#[derive(Clone, Debug, PartialEq)]
pub enum ChainEvent {
    /// A module reported an error.
    Error {
        /// Its code.
        code: u8,
        /// Which channel.
        channel: Attribution,
    },
    /// A channel was found changed that nobody had addressed.
    Strayed {
        /// Channel.
        channel: usize,
        /// Voltage it had.
        expected: Volts,
        /// Voltage it was found with.
        found: Volts,
    },
    /// The chain was reset.
    Rebooted {
        /// How it was seen.
        evidence: String,
    },
}

/// What an error code means.
#[must_use]
pub fn meaning(code: u8) -> &'static str {
    match code {
        1 => "over-voltage",
        2 => "over-current",
        3 => "power error",
        4 => "calibration error",
        5 => "output error",
        10 => "unknown command",
        11 => "bad parameter",
        12 => "bad channel",
        13 => "operation forbidden",
        14 => "buffer overflow",
        15 => "serial error",
        16 => "internal error",
        17 => "SPI error",
        18 => "ADC error",
        19 => "I2C error",
        20 => "interlock",
        30 => "too many errors",
        31 => "firmware trap",
        90 => "powered up",
        _ => "unknown error",
    }
}
