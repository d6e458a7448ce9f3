//! Requests, in text and in binary.

use std::fmt::Write;

/// What each channel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Property {
    Volts,
    Current,
    VoltsLimit,
    CurrentLimit,
}

impl Property {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Volts => "v",
            Self::Current => "i",
            Self::VoltsLimit => "vmax",
            Self::CurrentLimit => "imax",
        }
    }

    fn code(self) -> u8 {
        match self {
            Self::Volts => 0,
            Self::Current => 1,
            Self::VoltsLimit => 2,
            Self::CurrentLimit => 3,
        }
    }

    /// True where answers are in volts, false for milliamperes.
    pub(super) fn is_in_volts(self) -> bool {
        matches!(self, Self::Volts | Self::VoltsLimit)
    }
}

/// `v3?`
pub(super) fn read_one(property: Property, channel: usize) -> Vec<u8> {
    format!("{}{channel}?\n", property.name()).into_bytes()
}

/// `vall?`, or the frame that means the same.
pub(super) fn read_all(property: Property, binary: bool) -> Vec<u8> {
    if binary {
        vec![header(0x28), property.code(), 0, 0, 0, 0, 0]
    } else {
        format!("{}all?\n", property.name()).into_bytes()
    }
}

/// One value, or several for successive channels. Five decimals tell all 65 536 steps of 12 V apart.
pub(super) fn write_text(property: Property, first: usize, values: &[f64]) -> Vec<u8> {
    let vector = if values.len() > 1 { "vec" } else { "" };
    let mut line = format!("{}{vector}{first}=", property.name());
    for (index, value) in values.iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        // Writing to a String cannot fail.
        let _ = write!(line, "{comma}{value:.5}");
    }
    line.push('\n');
    line.into_bytes()
}

/// The same in binary, in words of full scale.
pub(super) fn write_binary(property: Property, first: usize, words: &[u16]) -> Vec<u8> {
    let [high, low] = (first as u16).to_be_bytes();
    let extended = words.len() > 1;
    let mut frame = vec![header(if extended { 0x02 } else { 0 }), property.code(), 0, high, low];
    if extended {
        frame.extend((words.len() as u16).to_be_bytes());
    }
    frame.extend(words.iter().flat_map(|word| word.to_be_bytes()));
    frame
}

/// Bits of a header, with the bit that makes the number of ones even.
fn header(bits: u8) -> u8 {
    let bits = bits | 0x80;
    bits | (bits.count_ones() % 2) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_the_recorded_ones() {
        assert_eq!(read_all(Property::Volts, true), [0xA9, 0, 0, 0, 0, 0, 0]);
        assert_eq!(write_binary(Property::Volts, 3, &[0x6000]), [0x81, 0, 0, 0, 3, 0x60, 0]);
        assert_eq!(write_binary(Property::Volts, 8, &[1, 2]), [0x82, 0, 0, 0, 8, 0, 2, 0, 1, 0, 2]);
    }

    #[test]
    fn lines_are_short_enough_for_the_instruction_buffer() {
        let line = write_text(Property::Volts, 8, &[12.0; 8]);
        assert!(line.starts_with(b"vvec8=12.00000,") && line.len() < 88, "{}", line.len());
        assert_eq!(write_text(Property::VoltsLimit, 3, &[4.5]), b"vmax3=4.50000\n");
    }
}
