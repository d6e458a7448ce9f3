//! Refusals.

/// Why a board refuses a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Nak {
    /// The payload does not fit its type.
    Frame = 1,
    /// A frame with a wrong CRC.
    Crc = 2,
    /// A frame of another version.
    Version = 3,
    /// An actuator that is not there.
    Channel = 4,
    /// A code above its limit, or a value out of range.
    Range = 5,
    /// The staged image is not the one that the commit names.
    Mismatch = 6,
    /// A type that the board does not know.
    UnknownType = 7,
    /// A frame, or its reply, too long for the board.
    Overflow = 8,
    /// The board is busy; ask again.
    Busy = 9,
    /// The board has tripped; park it first.
    Tripped = 10,
}

impl Nak {
    /// The refusal of that code.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::Frame,
            2 => Self::Crc,
            3 => Self::Version,
            4 => Self::Channel,
            5 => Self::Range,
            6 => Self::Mismatch,
            7 => Self::UnknownType,
            8 => Self::Overflow,
            9 => Self::Busy,
            10 => Self::Tripped,
            _ => return None,
        })
    }

    /// In words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Frame => "the payload does not fit its type",
            Self::Crc => "the frame came with a wrong CRC",
            Self::Version => "the frame is of another version",
            Self::Channel => "there is no such actuator",
            Self::Range => "a code is above its limit",
            Self::Mismatch => "the staged image is another",
            Self::UnknownType => "the board does not know the type",
            Self::Overflow => "the frame is too long for the board",
            Self::Busy => "the board is busy",
            Self::Tripped => "the board has tripped",
        }
    }
}
