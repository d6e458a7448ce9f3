//! Lines that carry their own SHA-256, so that a line that was torn or altered is known by itself.

use serde::Serialize;
use sha2::{Digest, Sha256};

/// Length of `,"sum":"<64 hex digits>"}`.
const TAIL: usize = 8 + 64 + 2;

/// Hex SHA-256.
pub(super) fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    bytes.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]).collect()
}

pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let byte = |pair: &[u8; 2]| u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok();
    if rest.is_empty() { pairs.iter().map(byte).collect() } else { None }
}

/// One line, without its end: the object with `sum`, the digest of the object without it.
pub(super) fn seal(record: &impl Serialize) -> Result<String, serde_json::Error> {
    let mut line = serde_json::to_string(record)?;
    let sum = digest(line.as_bytes());
    line.pop();
    line.push_str(&format!(",\"sum\":\"{sum}\"}}"));
    Ok(line)
}

/// The object of a sealed line without its sum; `None` when the line is not as it was written.
pub(super) fn open(line: &[u8]) -> Option<Vec<u8>> {
    let (body, tail) = line.split_at_checked(line.len().checked_sub(TAIL)?)?;
    let object = [body, b"}"].concat();
    let expected = format!(",\"sum\":\"{}\"}}", digest(&object));
    (tail == expected.as_bytes()).then_some(object)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_digest_is_that_of_the_standard() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest(b"abc"), abc);
        assert_eq!(hex(&unhex(abc).unwrap()), abc);
        assert_eq!((unhex("abc"), unhex("zz")), (None, None));
    }

    #[test]
    fn a_line_changed_at_any_bit_does_not_open() {
        let line = seal(&serde_json::json!({"a": 1})).unwrap().into_bytes();
        assert_eq!(open(&line).unwrap(), b"{\"a\":1}");
        for bit in 0..line.len() * 8 {
            let mut changed = line.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(&changed), None);
        }
    }
}
