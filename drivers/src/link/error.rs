//! What can go wrong below the protocol.

use std::time::Duration;

use super::Holder;

/// Why bytes do not come or go.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The port cannot be opened.
    #[error(
        "{place} cannot be opened: {reason}; check the cable and that no other program holds it, then run `alora doctor`"
    )]
    Open {
        /// Port as the operator wrote it.
        place: String,
        /// What the system says.
        reason: String,
    },
    /// No device with that USB serial number.
    #[error(
        "no serial port with USB serial number {wanted} is plugged in; found: {found}; `alora devices` lists all"
    )]
    NotPluggedIn {
        /// Serial number that was asked for.
        wanted: String,
        /// Serial numbers that are there.
        found: String,
    },
    /// The other end is gone.
    #[error("{place} is gone; check power and cable, then connect again")]
    Lost {
        /// Port as the operator wrote it.
        place: String,
    },
    /// No answer in time.
    #[error("{place}: no answer within {waited:?}; check power and cable, then run `alora doctor`")]
    Timeout {
        /// Port as the operator wrote it.
        place: String,
        /// How long was waited, all tries together.
        waited: Duration,
    },
    /// Another program has the port.
    #[error("{place} is held by {by}{lease}; end that program, or use another port")]
    Held {
        /// Port as the operator wrote it.
        place: String,
        /// Who holds it.
        by: Box<Holder>,
        /// Empty, or that its lease has run out.
        lease: String,
    },
    /// The lock of a port cannot be taken for another reason.
    #[error(
        "{place} cannot be locked: {reason}; check that {folder} is a folder of yours that you can write"
    )]
    Lock {
        /// Port as the operator wrote it.
        place: String,
        /// Folder of the locks.
        folder: Box<str>,
        /// What the system says.
        reason: Box<str>,
    },
    /// What crosses the wire cannot be recorded.
    #[error("{place} is not opened: {reason}")]
    Unrecorded {
        /// Port as the operator wrote it.
        place: String,
        /// Why not.
        reason: Box<str>,
    },
    /// The device sends other bytes than were recorded, or the driver other requests.
    #[error("{place}: the record ends here: {reason}")]
    NotRecorded {
        /// Wire of the record.
        place: String,
        /// Why it ends.
        reason: String,
    },
}
