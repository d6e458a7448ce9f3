//! From a stream of bytes to frames.

use crate::frame::{Frame, FrameError, decode};

/// Collects bytes until a delimiter. Memory is the caller's: an array, or a vector of a host.
#[derive(Clone, Debug)]
pub struct FrameReader<B> {
    memory: B,
    length: usize,
    /// Too long for the memory: everything up to the next delimiter is lost.
    lost: bool,
    bytes_invalid: u64,
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> FrameReader<B> {
    /// A reader of frames that, encoded and without delimiter, fit into `memory`.
    pub const fn new(memory: B) -> Self {
        Self { memory, length: 0, lost: false, bytes_invalid: 0 }
    }

    /// Takes bytes off the front of `bytes` up to and including the next delimiter. `Some` when they end a frame or what
    /// is none; `None` when more bytes are needed.
    pub fn feed(&mut self, bytes: &mut &[u8]) -> Option<Result<Frame<'_>, FrameError>> {
        loop {
            let end = bytes.iter().position(|&byte| byte == 0);
            let (piece, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
            *bytes = rest.get(usize::from(end.is_some())..).unwrap_or_default();
            self.take(piece);
            end?;
            if self.length > 0 || self.lost {
                return Some(self.complete());
            }
            // Nothing between two delimiters is no error.
        }
    }

    /// Bytes that belonged to no sound frame, delimiters left out.
    pub fn bytes_invalid(&self) -> u64 {
        self.bytes_invalid
    }

    /// Forgets what has come of a frame.
    pub fn clear(&mut self) {
        self.bytes_invalid += self.length as u64;
        (self.length, self.lost) = (0, false);
    }

    fn take(&mut self, piece: &[u8]) {
        let room = self.memory.as_mut().get_mut(self.length..self.length + piece.len());
        match room {
            Some(room) if !self.lost => {
                room.copy_from_slice(piece);
                self.length += piece.len();
            }
            _ => {
                self.bytes_invalid += (self.length + piece.len()) as u64;
                (self.length, self.lost) = (0, true);
            }
        }
    }

    fn complete(&mut self) -> Result<Frame<'_>, FrameError> {
        let length = core::mem::take(&mut self.length);
        if core::mem::take(&mut self.lost) {
            return Err(FrameError::TooLong);
        }
        let frame = decode(&mut self.memory.as_mut()[..length]);
        if frame.is_err() {
            self.bytes_invalid += length as u64;
        }
        frame
    }
}
