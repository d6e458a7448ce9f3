//! Requests in binary: `header, command, address[3], data[2]`, big-endian.

use super::request::{Action, Fault, Property, Request, Scope, Value};

const BROADCAST: u8 = 0x40;
const ALL_CHANNELS: u8 = 0x20;
const BY_DEVICE: u8 = 0x10;
const READ: u8 = 0x08;
const EXTENDED: u8 = 0x02;
/// Bytes of a frame without extension.
const FRAME: usize = 7;

/// True for a byte that begins a frame.
pub(super) fn begins(byte: u8) -> bool {
    byte >= 0x80
}

/// How many bytes the frame that begins so will have, as far as can be told.
pub(super) fn length(frame: &[u8]) -> usize {
    match frame {
        [header, _, _, _, _, high, low, ..] if header & EXTENDED != 0 => {
            FRAME + 2 * usize::from(u16::from_be_bytes([*high, *low]))
        }
        _ => FRAME,
    }
}

/// Reads one complete frame. `module_of` finds a module by the number in its id.
pub(super) fn parse(frame: &[u8], module_of: impl Fn(u16) -> Option<usize>) -> Result<Request, Fault> {
    let &[header, command, a, b, c, high, low, ref words @ ..] = frame else {
        return Err(Fault::new(Fault::SERIAL, 1));
    };
    if header.count_ones() % 2 == 1 {
        return Err(Fault::new(Fault::SERIAL, 1));
    }
    let property = Property::of_code(command).ok_or(Fault::new(Fault::COMMAND, 0))?;
    let channel = if header & BY_DEVICE == 0 {
        usize::from(u16::from_be_bytes([b, c])) | usize::from(a) << 16
    } else {
        let module =
            module_of(u16::from_be_bytes([a, b])).ok_or(Fault::new(Fault::CHANNEL, usize::from(c)))?;
        module * crate::qontrol::CHANNELS + usize::from(c)
    };
    let values: Vec<Value> = if header & EXTENDED == 0 {
        vec![Value::Word(u16::from_be_bytes([high, low]))]
    } else {
        words.chunks_exact(2).map(|word| Value::Word(u16::from_be_bytes([word[0], word[1]]))).collect()
    };
    let scope = match header & (ALL_CHANNELS | BROADCAST) {
        0 if header & EXTENDED != 0 => Scope::From(channel),
        0 if property.is_of_channels() => Scope::Number(channel),
        0 => Scope::Unaddressed,
        _ => Scope::All,
    };
    let action = if header & READ != 0 { Action::Read } else { Action::Write(values) };
    Ok(Request { property, scope, action })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn recorded_headers_are_read() {
        let request = parse(&[0x81, 0, 0, 0, 3, 0x60, 0], |_| None).unwrap();
        assert_eq!(
            (request.scope, request.action),
            (Scope::Number(3), Action::Write(vec![Value::Word(0x6000)]))
        );
        let request = parse(&[0xA9, 1, 0, 0, 0, 0, 0], |_| None).unwrap();
        assert_eq!(
            (request.property, request.scope, request.action),
            (Property::Current, Scope::All, Action::Read)
        );
        let request = parse(&[0x82, 0, 0, 0, 6, 0, 2, 1, 2, 3, 4], |_| None).unwrap();
        let words = vec![Value::Word(0x0102), Value::Word(0x0304)];
        assert_eq!((request.scope, request.action), (Scope::From(6), Action::Write(words)));
    }

    #[test]
    fn a_header_of_odd_parity_is_a_serial_error() {
        assert_eq!(parse(&[0x80, 0, 0, 0, 3, 0, 0], |_| None).unwrap_err().text(), "E15:01");
    }

    #[test]
    fn a_module_is_found_by_the_number_of_its_id() {
        let request = parse(&[0x99 ^ 1, 0, 0, 2, 3, 0, 0], |id| (id == 2).then_some(1));
        // 0x98 = header, read, by device: three ones, so the parity bit is set.
        assert!(request.is_err());
        let request = parse(&[0x99, 0, 0, 2, 3, 0, 0], |id| (id == 2).then_some(1)).unwrap();
        assert_eq!(request.scope, Scope::Number(11));
    }
}
