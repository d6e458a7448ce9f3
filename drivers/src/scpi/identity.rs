//! Who an instrument is.

use std::fmt;

use super::line::LineEnding;

/// Answer to `*IDN?`: maker, model, serial number, firmware.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Maker.
    pub maker: String,
    /// Model.
    pub model: String,
    /// Serial number.
    pub serial: String,
    /// Firmware.
    pub firmware: String,
}

/// Models that a driver takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Model {
    /// For messages.
    pub name: &'static str,
    /// Beginnings of the maker's name, any case.
    pub makers: &'static [&'static str],
    /// Beginnings of the model's name, any case.
    pub models: &'static [&'static str],
}

impl Identity {
    /// Four printable fields with commas between.
    #[must_use]
    pub fn parse(line: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(line).ok()?;
        let printable = text.bytes().all(|byte| (0x20..0x7F).contains(&byte));
        let fields: Vec<&str> = text.split(',').map(str::trim).collect();
        match fields[..] {
            [maker, model, serial, firmware] if printable && !maker.is_empty() && !model.is_empty() => {
                let [maker, model, serial, firmware] = [maker, model, serial, firmware].map(str::to_owned);
                Some(Self { maker, model, serial, firmware })
            }
            _ => None,
        }
    }

    /// The first line of `received` that is an identity, and what it takes there with what stands before it: a banner.
    pub(super) fn find(received: &[u8], ending: LineEnding) -> Option<(Self, usize)> {
        let mut from = 0;
        while let Some((line, taken)) = ending.line(&received[from..]) {
            from += taken;
            if let Some(identity) = Self::parse(line) {
                return Some((identity, from));
            }
        }
        None
    }
}

impl Model {
    /// True when an instrument of that identity may be driven.
    #[must_use]
    pub fn takes(&self, identity: &Identity) -> bool {
        let begins = |text: &str, beginnings: &[&str]| {
            let text = text.to_ascii_uppercase();
            beginnings.iter().any(|beginning| text.starts_with(&beginning.to_ascii_uppercase()))
        };
        begins(&identity.maker, self.makers) && begins(&identity.model, self.models)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} (serial number {})", self.maker, self.model, self.serial)
    }
}
