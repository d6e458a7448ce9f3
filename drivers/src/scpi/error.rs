//! What can go wrong with an instrument.

use std::time::Duration;

use crate::link::LinkError;

/// Longest piece of an answer that is shown.
const SHOWN: usize = 80;

/// Why an instrument did not do what it was asked.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ScpiError {
    /// Bytes do not come or go.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// No whole answer in time.
    #[error(
        "{place}: no whole answer to `{query}` within {waited:?}; the connection was closed, so that a late answer is not taken \
         for another's. Check power and cable; the next call connects and identifies again"
    )]
    NoAnswer {
        /// Port as the operator wrote it.
        place: String,
        /// What was asked.
        query: String,
        /// How long was waited.
        waited: Duration,
    },
    /// An answer that is none to the query.
    #[error(
        "{place}: `{answer}` came back for `{query}`, expected {expected}; the connection was closed, and the next call connects and \
         identifies again"
    )]
    Malformed {
        /// Port as the operator wrote it.
        place: String,
        /// What was asked.
        query: String,
        /// What came back, its beginning.
        answer: String,
        /// What was expected.
        expected: String,
    },
    /// The connection was closed and not opened again.
    #[error("{place}: the connection is closed; connect again")]
    Closed {
        /// Port as the operator wrote it.
        place: String,
    },
    /// Another instrument than expected.
    #[error(
        "{place}: the instrument there is {found}, expected {expected}; nothing was set. Correct the station file or connect the right \
         instrument"
    )]
    WrongInstrument {
        /// Port as the operator wrote it.
        place: String,
        /// What it says.
        found: String,
        /// What was expected.
        expected: String,
    },
    /// The instrument put something into its error queue.
    #[error("{place}: the instrument refused `{command}`: {errors}")]
    Refused {
        /// Port as the operator wrote it.
        place: String,
        /// What was sent.
        command: String,
        /// Its error queue.
        errors: String,
    },
    /// A setting that is not held as it was written.
    #[error(
        "{place}: `{command}` was sent without complaint, but `{query}` reads {found}, expected {expected}; the setting is unknown"
    )]
    NotHeld {
        /// Port as the operator wrote it.
        place: String,
        /// What was sent.
        command: String,
        /// What was asked.
        query: String,
        /// What came back.
        found: String,
        /// What was written.
        expected: String,
    },
    /// After a new connection the instrument holds other settings.
    #[error(
        "{place}: after a new connection the instrument holds other settings than were written ({lost}); set them again before going on"
    )]
    SettingsLost {
        /// Port as the operator wrote it.
        place: String,
        /// Which, with what is held.
        lost: String,
    },
    /// The instrument was switched off and on.
    #[error(
        "{place}: the instrument was switched off and on: its settings and outputs are lost. Check what reset it, then set everything \
         again"
    )]
    Rebooted {
        /// Port as the operator wrote it.
        place: String,
    },
    /// Something has to be set first.
    #[error("{place}: {first} before {then}; nothing was sent")]
    NotReady {
        /// Port as the operator wrote it.
        place: String,
        /// What is missing.
        first: String,
        /// For what.
        then: String,
    },
    /// A value outside the limits of the station file or of the instrument.
    #[error("{what} of {asked} is outside {allowed}; nothing was sent and nothing was clipped")]
    Limit {
        /// Quantity.
        what: String,
        /// Value asked for.
        asked: String,
        /// Values allowed.
        allowed: String,
    },
}

impl ScpiError {
    /// True for what a new connection may mend.
    pub(super) fn is_of_the_wire(&self) -> bool {
        matches!(self, Self::Link(_) | Self::NoAnswer { .. } | Self::Malformed { .. } | Self::Closed { .. })
    }
}

/// The beginning of an answer, printable.
pub(super) fn shown(answer: &[u8]) -> String {
    let text = answer[..answer.len().min(SHOWN)].escape_ascii().to_string();
    if answer.len() > SHOWN { format!("{text}…") } else { text }
}

/// Refuses a value outside `lowest..=highest`.
pub(super) fn within(
    what: &str,
    asked: f64,
    allowed: std::ops::RangeInclusive<f64>,
    unit: &str,
) -> Result<(), ScpiError> {
    // Not a number is in no range.
    if allowed.contains(&asked) {
        return Ok(());
    }
    Err(ScpiError::Limit {
        what: what.to_owned(),
        asked: format!("{asked} {unit}"),
        allowed: format!("{} to {} {unit}", allowed.start(), allowed.end()),
    })
}
