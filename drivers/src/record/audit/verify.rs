//! Reading an audit log against its chain of digests.

use std::path::Path;

use super::{AuditError, AuditLine, NOTHING, failed};
use crate::record::seal::{digest, open};

/// The first place where a log is not as it was written. Lines count from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// A line does not fit its own digest.
    #[error("line {line} was altered after it was written")]
    Altered {
        /// Which.
        line: u64,
    },
    /// A line fits its own digest, but not what the next says of it.
    #[error("line {line} is not the one that line {next} was written after: it was replaced", next = line + 1)]
    Replaced {
        /// Which.
        line: u64,
    },
    /// The numbers leave lines out.
    #[error("line {line} is missing: line {found} stands in its place")]
    Removed {
        /// First that is missing.
        line: u64,
        /// What stands there.
        found: u64,
    },
    /// A number comes again.
    #[error("a line numbered {found} was inserted as line {line}")]
    Inserted {
        /// Where.
        line: u64,
        /// Its number.
        found: u64,
    },
}

/// What a log was found to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Lines up to the first flaw.
    pub lines: u64,
    /// Digest of the last of them: kept elsewhere, it shows later that nothing was cut off at the end.
    pub head: String,
    /// The first flaw, if there is one.
    pub flaw: Option<Flaw>,
    /// Bytes of a last line that has no end: a crash, not a flaw.
    pub torn: usize,
}

/// Reads a whole log.
///
/// # Errors
/// The file cannot be read; that it was altered is no error but a finding.
pub fn verify(path: &Path) -> Result<Verified, AuditError> {
    let bytes = std::fs::read(path).map_err(|source| failed(path, "reading", source))?;
    let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let torn = bytes.len() - whole;
    let mut verified = Verified { lines: 0, head: NOTHING.to_owned(), flaw: None, torn };
    for line in bytes.get(..whole).unwrap_or_default().split_inclusive(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        verified.flaw = flaw(line, verified.lines + 1, &verified.head);
        if verified.flaw.is_some() {
            break;
        }
        verified.lines += 1;
        verified.head = digest(line);
    }
    Ok(verified)
}

/// The lines of a log that can be read, whether or not they are as they were written; none where there is no log yet.
///
/// # Errors
/// The file cannot be read.
pub fn lines(path: &Path) -> Result<Vec<AuditLine>, AuditError> {
    let bytes = match std::fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.map_err(|source| failed(path, "reading", source))?,
    };
    Ok(bytes.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect())
}

fn flaw(bytes: &[u8], line: u64, head: &str) -> Option<Flaw> {
    let parsed = open(bytes).and_then(|object| serde_json::from_slice::<AuditLine>(&object).ok());
    let Some(parsed) = parsed else { return Some(Flaw::Altered { line }) };
    let found = parsed.line;
    match found.cmp(&line) {
        std::cmp::Ordering::Less => Some(Flaw::Inserted { line, found }),
        std::cmp::Ordering::Greater => Some(Flaw::Removed { line, found }),
        std::cmp::Ordering::Equal if parsed.prev == head => None,
        // The first line has no line before that could have been replaced.
        std::cmp::Ordering::Equal if line == 1 => Some(Flaw::Altered { line }),
        std::cmp::Ordering::Equal => Some(Flaw::Replaced { line: line - 1 }),
    }
}
