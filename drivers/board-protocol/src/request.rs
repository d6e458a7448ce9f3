//! What a host asks.

use crate::{
    frame::{Frame, encode},
    nak::Nak,
};

/// The bit that makes a type that of its reply.
pub const REPLY: u8 = 0x80;

/// Types of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Who are you.
    Hello = 0x01,
    /// Codes for the next commit.
    Stage = 0x02,
    /// The staged image takes effect.
    Commit = 0x03,
    /// Codes in effect.
    Read = 0x04,
    /// Outputs go to zero when the host is silent.
    Watchdog = 0x05,
    /// Input vectors out, counts in.
    Execute = 0x06,
    /// From the board, unasked.
    Event = 0x07,
    /// Temperature, laser, uptime.
    Sense = 0x08,
    /// Everything to zero, now.
    Park = 0x09,
    /// Highest codes.
    Limits = 0x0A,
    /// Highest codes, as the board has them.
    ReadLimits = 0x0B,
}

/// 16-bit codes as they stand in a payload. Signed input codes are two's complement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Codes<'a>(&'a [u8]);

impl<'a> Codes<'a> {
    /// `None` when the bytes are no whole codes.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        bytes.len().is_multiple_of(2).then_some(Self(bytes))
    }

    /// How many.
    #[must_use]
    pub fn len(self) -> usize {
        self.0.len() / 2
    }

    /// True when there are none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// One by one.
    pub fn iter(self) -> impl Iterator<Item = u16> + 'a {
        self.0.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
    }
}

/// A request with its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// Who are you.
    Hello,
    /// Codes of the actuators from `first` on, at most 255.
    Stage {
        /// First actuator.
        first: u16,
        /// Their codes.
        codes: Codes<'a>,
    },
    /// The staged image takes effect if its CRC is this.
    Commit {
        /// CRC-32 over all staged codes, little-endian.
        crc: u32,
    },
    /// Codes in effect.
    Read {
        /// First actuator.
        first: u16,
        /// How many.
        count: u8,
    },
    /// Longest silence of the host.
    Watchdog {
        /// Milliseconds; 0: any.
        ms: u16,
    },
    /// Input vectors, one after the other, all of them `repeats` times.
    Execute {
        /// Passes, kept apart.
        repeats: u8,
        /// Vectors; none only ends a pass.
        frames: u8,
        /// `inputs` codes a vector.
        codes: Codes<'a>,
    },
    /// Temperature, laser, uptime.
    Sense,
    /// Everything to zero.
    Park,
    /// Highest codes of the actuators from `first` on, at most 255.
    Limits {
        /// First actuator.
        first: u16,
        /// Their highest codes.
        codes: Codes<'a>,
    },
    /// Highest codes, as the board has them.
    ReadLimits {
        /// First actuator.
        first: u16,
        /// How many.
        count: u8,
    },
}

impl<'a> Request<'a> {
    /// What a frame asks.
    ///
    /// # Errors
    /// The refusal that it deserves.
    pub fn parse(frame: &Frame<'a>) -> Result<Self, Nak> {
        let payload = frame.payload;
        let nothing = |request| if payload.is_empty() { Ok(request) } else { Err(Nak::Frame) };
        match frame.kind {
            0x01 => nothing(Self::Hello),
            0x02 => block(payload).map(|(first, codes)| Self::Stage { first, codes }),
            0x03 => fixed(payload).map(|bytes| Self::Commit { crc: u32::from_le_bytes(bytes) }),
            0x04 => range(payload).map(|(first, count)| Self::Read { first, count }),
            0x05 => fixed(payload).map(|bytes| Self::Watchdog { ms: u16::from_le_bytes(bytes) }),
            0x06 => execute(payload),
            0x08 => nothing(Self::Sense),
            0x09 => nothing(Self::Park),
            0x0A => block(payload).map(|(first, codes)| Self::Limits { first, codes }),
            0x0B => range(payload).map(|(first, count)| Self::ReadLimits { first, count }),
            _ => Err(Nak::UnknownType),
        }
    }

    /// Type of its frame.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Hello => Kind::Hello,
            Self::Stage { .. } => Kind::Stage,
            Self::Commit { .. } => Kind::Commit,
            Self::Read { .. } => Kind::Read,
            Self::Watchdog { .. } => Kind::Watchdog,
            Self::Execute { .. } => Kind::Execute,
            Self::Sense => Kind::Sense,
            Self::Park => Kind::Park,
            Self::Limits { .. } => Kind::Limits,
            Self::ReadLimits { .. } => Kind::ReadLimits,
        }
    }

    /// Writes its frame into `out` and tells the length; `None` when `out` is too small or a block has above 255 codes.
    #[must_use]
    pub fn encode(&self, seq: u16, out: &mut [u8]) -> Option<usize> {
        let kind = self.kind() as u8;
        match *self {
            Self::Hello | Self::Sense | Self::Park => encode(kind, seq, &[], out),
            Self::Stage { first, codes } | Self::Limits { first, codes } => {
                let count = u8::try_from(codes.len()).ok()?;
                encode(kind, seq, &[&first.to_le_bytes(), &[count], codes.0], out)
            }
            Self::Commit { crc } => encode(kind, seq, &[&crc.to_le_bytes()], out),
            Self::Read { first, count } | Self::ReadLimits { first, count } => {
                encode(kind, seq, &[&first.to_le_bytes(), &[count]], out)
            }
            Self::Watchdog { ms } => encode(kind, seq, &[&ms.to_le_bytes()], out),
            Self::Execute { repeats, frames, codes } => {
                encode(kind, seq, &[&[repeats, frames], codes.0], out)
            }
        }
    }
}

fn fixed<const N: usize>(payload: &[u8]) -> Result<[u8; N], Nak> {
    payload.try_into().map_err(|_| Nak::Frame)
}

fn range(payload: &[u8]) -> Result<(u16, u8), Nak> {
    let [low, high, count] = fixed(payload)?;
    Ok((u16::from_le_bytes([low, high]), count))
}

fn block(payload: &[u8]) -> Result<(u16, Codes<'_>), Nak> {
    let (head, codes) = payload.split_at_checked(3).ok_or(Nak::Frame)?;
    let (first, count) = range(head)?;
    let codes = Codes::new(codes).filter(|codes| codes.len() == usize::from(count)).ok_or(Nak::Frame)?;
    Ok((first, codes))
}

fn execute(payload: &[u8]) -> Result<Request<'_>, Nak> {
    let (head, codes) = payload.split_at_checked(2).ok_or(Nak::Frame)?;
    let codes = Codes::new(codes).ok_or(Nak::Frame)?;
    Ok(Request::Execute { repeats: head[0], frames: head[1], codes })
}
