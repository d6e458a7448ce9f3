//! What was done and what was on the wires, in files that a crash at any byte leaves readable.

mod audit;
mod frames;
mod journal;
mod seal;

pub use crate::clock::{Clock, Stamp};
pub use audit::{
    AuditError, AuditEvent, AuditLine, AuditLog, Flaw, FrameChange, SyncPolicy, Verified,
    lines as audit_lines, verify,
};
pub use frames::{FrameEntry, FrameError, FrameLog, FrameReader, Traffic};
pub use journal::{
    ChannelState, Journal, JournalError, Phase, Programming, Recovery, Resolved, ResolvedChannel,
};
