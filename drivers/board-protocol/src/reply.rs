//! What a board answers and says.

/// State of a board, in HELLO, READ and EXECUTE.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u8);

impl Flags {
    const TRIPPED: u8 = 1;
    const WATCHDOG: u8 = 2;
    const OUTPUTS: u8 = 4;
    const AT_LIMIT: u8 = 8;

    /// The flags of a board in that state.
    #[must_use]
    pub fn new(tripped: bool, watchdog_armed: bool, outputs_enabled: bool) -> Self {
        Self(
            Self::TRIPPED * u8::from(tripped)
                + Self::WATCHDOG * u8::from(watchdog_armed)
                + Self::OUTPUTS * u8::from(outputs_enabled),
        )
    }

    /// The same, of a reply of which some count is at the limit of its amplifier or converter (EXECUTE only).
    #[must_use]
    pub fn with_at_limit(self, at_limit: bool) -> Self {
        if at_limit { Self(self.0 | Self::AT_LIMIT) } else { self }
    }

    /// It has tripped: everything is zero, and stays so until it is parked.
    #[must_use]
    pub fn tripped(self) -> bool {
        self.0 & Self::TRIPPED != 0
    }

    /// The watchdog runs.
    #[must_use]
    pub fn watchdog_armed(self) -> bool {
        self.0 & Self::WATCHDOG != 0
    }

    /// Some output is driven.
    #[must_use]
    pub fn outputs_enabled(self) -> bool {
        self.0 & Self::OUTPUTS != 0
    }

    /// Some count of the reply is at a limit.
    #[must_use]
    pub fn at_limit(self) -> bool {
        self.0 & Self::AT_LIMIT != 0
    }
}

/// Who a board is, and how it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello<'a> {
    /// Minor version of its protocol.
    pub minor: u8,
    /// Version of its firmware, major and minor.
    pub firmware: (u8, u8),
    /// 0 generic, 1 incoherent, 2 coherent.
    pub kind: u8,
    /// Actuators.
    pub actuators: u16,
    /// Input codes of a vector.
    pub inputs: u16,
    /// Counts of a vector.
    pub outputs: u16,
    /// Bits of actuators, inputs and outputs.
    pub bits: [u8; 3],
    /// State.
    pub flags: Flags,
    /// Longest payload that it takes and gives.
    pub max_payload: u16,
    /// Another one after each reset.
    pub boot_id: u32,
    /// Counts commits and parkings since the reset.
    pub commit_epoch: u32,
    /// Serial number, ASCII.
    pub serial: &'a [u8],
}

/// Bytes of HELLO before the serial number.
pub(crate) const HELLO_HEAD: usize = 25;

impl<'a> Hello<'a> {
    /// All but the serial number.
    pub(crate) fn head(&self) -> [u8; HELLO_HEAD] {
        let mut head = [0; HELLO_HEAD];
        head[..4].copy_from_slice(&[self.minor, self.firmware.0, self.firmware.1, self.kind]);
        for (place, value) in
            [(4, self.actuators), (6, self.inputs), (8, self.outputs), (14, self.max_payload)]
        {
            head[place..place + 2].copy_from_slice(&value.to_le_bytes());
        }
        head[10..13].copy_from_slice(&self.bits);
        head[13] = self.flags.0;
        head[16..20].copy_from_slice(&self.boot_id.to_le_bytes());
        head[20..24].copy_from_slice(&self.commit_epoch.to_le_bytes());
        head[24] = self.serial.len().min(255) as u8;
        head
    }

    /// Reads a payload; `None` when it is none.
    #[must_use]
    pub fn parse(payload: &'a [u8]) -> Option<Self> {
        let (head, serial) = payload.split_at_checked(HELLO_HEAD)?;
        let word = |place: usize| u16::from_le_bytes([head[place], head[place + 1]]);
        let long = |place: usize| {
            u32::from_le_bytes([head[place], head[place + 1], head[place + 2], head[place + 3]])
        };
        if serial.len() != usize::from(head[24]) || !serial.is_ascii() {
            return None;
        }
        Some(Self {
            minor: head[0],
            firmware: (head[1], head[2]),
            kind: head[3],
            actuators: word(4),
            inputs: word(6),
            outputs: word(8),
            bits: [head[10], head[11], head[12]],
            flags: Flags(head[13]),
            max_payload: word(14),
            boot_id: long(16),
            commit_epoch: long(20),
            serial,
        })
    }
}

/// Surroundings of a board.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sense {
    /// Temperature of the chip in mK.
    pub millikelvin: u32,
    /// Laser power in µW.
    pub microwatt: u32,
    /// Time since the reset in µs.
    pub uptime_us: u64,
}

impl Sense {
    pub(crate) fn payload(&self) -> [u8; 16] {
        let mut payload = [0; 16];
        payload[..4].copy_from_slice(&self.millikelvin.to_le_bytes());
        payload[4..8].copy_from_slice(&self.microwatt.to_le_bytes());
        payload[8..].copy_from_slice(&self.uptime_us.to_le_bytes());
        payload
    }

    /// Reads a payload; `None` when it is none.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let bytes: &[u8; 16] = payload.try_into().ok()?;
        let (millikelvin, rest) = bytes.split_first_chunk()?;
        let (microwatt, uptime) = rest.split_first_chunk()?;
        Some(Self {
            millikelvin: u32::from_le_bytes(*millikelvin),
            microwatt: u32::from_le_bytes(*microwatt),
            uptime_us: u64::from_le_bytes(uptime.try_into().ok()?),
        })
    }
}

/// What a board says unasked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventCode {
    /// The hardware has tripped.
    Trip,
    /// The host was silent for too long.
    Watchdog,
    /// Too hot.
    OverTemperature,
    /// The board has just been reset.
    Reboot,
    /// One that is not known here.
    Other(u8),
}

/// An event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Counts events since the reset.
    pub counter: u16,
    /// What happened.
    pub code: EventCode,
    /// To which channel.
    pub channel: u16,
    /// How much.
    pub value: i32,
}

impl Event {
    pub(crate) fn payload(&self) -> [u8; 9] {
        let code = match self.code {
            EventCode::Trip => 1,
            EventCode::Watchdog => 2,
            EventCode::OverTemperature => 3,
            EventCode::Reboot => 4,
            EventCode::Other(code) => code,
        };
        let mut payload = [0; 9];
        payload[..2].copy_from_slice(&self.counter.to_le_bytes());
        payload[2] = code;
        payload[3..5].copy_from_slice(&self.channel.to_le_bytes());
        payload[5..].copy_from_slice(&self.value.to_le_bytes());
        payload
    }

    /// Reads a payload; `None` when it is none.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let bytes: &[u8; 9] = payload.try_into().ok()?;
        let code = match bytes[2] {
            1 => EventCode::Trip,
            2 => EventCode::Watchdog,
            3 => EventCode::OverTemperature,
            4 => EventCode::Reboot,
            code => EventCode::Other(code),
        };
        Some(Self {
            counter: u16::from_le_bytes([bytes[0], bytes[1]]),
            code,
            channel: u16::from_le_bytes([bytes[3], bytes[4]]),
            value: i32::from_le_bytes([bytes[5], bytes[6], bytes[7], bytes[8]]),
        })
    }
}
