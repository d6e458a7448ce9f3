//! What a chain can be asked, whether in text or in binary.

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Property {
    Volts,
    Current,
    VoltsLimit,
    CurrentLimit,
    Power,
    VoltsFull,
    CurrentFull,
    Channels,
    Firmware,
    Id,
    Lifetime,
    Log,
    Enumerate,
}

/// Name in text and code in binary.
const NAMES: [(&str, u8, Property); 13] = [
    ("V", 0x00, Property::Volts),
    ("I", 0x01, Property::Current),
    ("VMAX", 0x02, Property::VoltsLimit),
    ("IMAX", 0x03, Property::CurrentLimit),
    ("VIP", 0x0A, Property::Power),
    ("VFULL", 0x20, Property::VoltsFull),
    ("IFULL", 0x21, Property::CurrentFull),
    ("NCHAN", 0x22, Property::Channels),
    ("FIRMWARE", 0x23, Property::Firmware),
    ("ID", 0x24, Property::Id),
    ("LIFETIME", 0x25, Property::Lifetime),
    ("LOG", 0x27, Property::Log),
    ("NUP", 0x32, Property::Enumerate),
];

impl Property {
    pub(super) fn of_name(name: &str) -> Option<Self> {
        NAMES.iter().find(|(known, _, _)| *known == name).map(|&(_, _, property)| property)
    }

    pub(super) fn of_code(code: u8) -> Option<Self> {
        NAMES.iter().find(|(_, known, _)| *known == code).map(|&(_, _, property)| property)
    }

    /// True for what each channel has, false for what each module has.
    pub(super) fn is_of_channels(self) -> bool {
        matches!(self, Self::Volts | Self::Current | Self::VoltsLimit | Self::CurrentLimit | Self::Power)
    }
}

/// Whom a request addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Nobody by number: the first module.
    Unaddressed,
    /// One channel, or a module by number; channels count through the chain.
    Number(usize),
    /// This channel and those behind it.
    From(usize),
    /// All channels, or all modules.
    All,
}

/// A value to be set: in text a number with its unit understood, in binary a share of full scale.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    Decimal(f64),
    Word(u16),
}

/// Read, or set.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action {
    Read,
    Write(Vec<Value>),
}

/// One complete request.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Request {
    pub(super) property: Property,
    pub(super) scope: Scope,
    pub(super) action: Action,
}

/// An error as it stands on the wire, `E11:03`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) code: u8,
    pub(super) channel: usize,
}

impl Fault {
    pub(super) const OVER_VOLTAGE: u8 = 1;
    pub(super) const OVER_CURRENT: u8 = 2;
    pub(super) const COMMAND: u8 = 10;
    pub(super) const PARAMETER: u8 = 11;
    pub(super) const CHANNEL: u8 = 12;
    pub(super) const FORBIDDEN: u8 = 13;
    pub(super) const OVERFLOW: u8 = 14;
    pub(super) const SERIAL: u8 = 15;
    pub(super) const POWERED_UP: u8 = 90;

    pub(super) fn new(code: u8, channel: usize) -> Self {
        Self { code, channel }
    }

    pub(super) fn text(self) -> String {
        format!("E{:02}:{:02}", self.code, self.channel % 100)
    }
}
