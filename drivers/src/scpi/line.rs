//! Where a line ends.

use serde::{Deserialize, Serialize};

/// What ends a line, sent and received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineEnding {
    /// `\n`; an `\r` before it is taken off what is received.
    #[default]
    Lf,
    /// `\r\n`; a lone `\n` does not end a line.
    CrLf,
    /// `\r`.
    Cr,
}

impl LineEnding {
    /// The bytes.
    #[must_use]
    pub fn bytes(self) -> &'static [u8] {
        match self {
            Self::Lf => b"\n",
            Self::CrLf => b"\r\n",
            Self::Cr => b"\r",
        }
    }

    /// The line at the front of `received`, without its ending, and what it takes there with it.
    #[must_use]
    pub fn line(self, received: &[u8]) -> Option<(&[u8], usize)> {
        let ending = self.bytes();
        let at = received.windows(ending.len()).position(|window| window == ending)?;
        let line = &received[..at];
        let line = if self == Self::Lf { line.strip_suffix(b"\r").unwrap_or(line) } else { line };
        Some((line, at + ending.len()))
    }

    /// What the ending takes at the front of `received`; `None`: more bytes are needed.
    ///
    /// # Errors
    /// Something else stands there.
    pub(super) fn ends(self, received: &[u8]) -> Result<Option<usize>, &'static str> {
        let ending = self.bytes();
        let known = ending.len().min(received.len());
        if received[..known] != ending[..known] {
            return Err("the end of the line behind the block");
        }
        Ok((known == ending.len()).then_some(known))
    }
}
