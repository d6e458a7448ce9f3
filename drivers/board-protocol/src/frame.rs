//! Frames: COBS, version, type, number, payload, CRC.

use cobs::CobsEncoder;
use crc::{CRC_32_ISO_HDLC, Crc};

/// Version of the frame, the major version of the protocol.
pub const VERSION: u8 = 1;
/// Bytes of a frame beside its payload, before COBS.
pub const OVERHEAD: usize = 8;
const HEADER: usize = 4;
const CHECK: usize = 4;
const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// CRC-32/ISO-HDLC of `bytes`.
#[must_use]
pub fn crc32(bytes: impl IntoIterator<Item = u8>) -> u32 {
    let mut digest = CRC.digest();
    bytes.into_iter().for_each(|byte| digest.update(&[byte]));
    digest.finalize()
}

/// A frame as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Type of the message.
    pub kind: u8,
    /// Number of the request.
    pub seq: u16,
    /// What it says.
    pub payload: &'a [u8],
}

/// Bytes between two delimiters that are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// No COBS, or too short.
    Malformed,
    /// Longer than the reader's memory.
    TooLong,
    /// The CRC is another. `seq` is what stands in its place, damaged or not.
    Crc {
        /// Number that the frame claims.
        seq: u16,
    },
    /// A sound frame of another version.
    Version {
        /// Version found.
        found: u8,
        /// Number of the frame.
        seq: u16,
    },
}

/// Longest encoding of a payload of so many bytes, delimiter included.
#[must_use]
pub const fn max_encoded(payload: usize) -> usize {
    cobs::max_encoding_length(payload + OVERHEAD) + 1
}

/// Writes a frame, delimiter included, into `out` and tells its length; `None` when `out` is too small.
///
/// The payload comes in pieces, so that nobody has to put it together first.
pub fn encode(kind: u8, seq: u16, payload: &[&[u8]], out: &mut [u8]) -> Option<usize> {
    let total: usize = payload.iter().map(|piece| piece.len()).sum();
    if out.len() < max_encoded(total) {
        return None;
    }
    let [low, high] = seq.to_le_bytes();
    let header = [VERSION, kind, low, high];
    let mut digest = CRC.digest();
    let mut encoder = CobsEncoder::new(out);
    for piece in core::iter::once(&header[..]).chain(payload.iter().copied()) {
        digest.update(piece);
        encoder.push(piece).ok()?;
    }
    encoder.push(&digest.finalize().to_le_bytes()).ok()?;
    let length = encoder.finalize();
    *out.get_mut(length)? = 0;
    Some(length + 1)
}

/// Reads a frame in place; `encoded` is what stood before the delimiter.
///
/// # Errors
/// Bytes that are no sound frame of this version.
pub fn decode(encoded: &mut [u8]) -> Result<Frame<'_>, FrameError> {
    let length = cobs::decode_in_place(encoded).map_err(|_| FrameError::Malformed)?;
    let body = encoded.get(..length).ok_or(FrameError::Malformed)?;
    if body.len() < OVERHEAD {
        return Err(FrameError::Malformed);
    }
    let (content, check) = body.split_at(body.len() - CHECK);
    let (header, payload) = content.split_at(HEADER);
    let seq = u16::from_le_bytes([header[2], header[3]]);
    if CRC.checksum(content).to_le_bytes() != check {
        return Err(FrameError::Crc { seq });
    }
    match header[0] {
        VERSION => Ok(Frame { kind: header[1], seq, payload }),
        found => Err(FrameError::Version { found, seq }),
    }
}
