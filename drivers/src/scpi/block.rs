//! Definite blocks: `#<d><length><bytes>`, `d` being the number of digits of the length (IEEE 488.2, 8.7.9).

/// Order of the bytes of a number in a block; a property of the instrument, not of SCPI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteOrder {
    /// Least significant byte first (Keysight power meters).
    Little,
    /// Most significant byte first (Red Pitaya).
    Big,
}

/// Bytes that are no definite block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// Another first byte.
    #[error("a block begins with `#`")]
    NoHash,
    /// `#0` (a block without length) or something that is no digit.
    #[error("a block names the digits of its length, 1 to 9, and then only digits")]
    Length,
    /// More bytes than were asked for.
    #[error("a block of at most the length asked for")]
    TooLong,
    /// The bytes do not make whole numbers.
    #[error("a block of whole numbers")]
    Ragged,
}

/// The bytes of the block at the front of `received` and what it takes there, without the terminator behind it.
///
/// `None`: more bytes are needed.
///
/// # Errors
/// What can never become a block of at most `most` bytes.
pub fn block(received: &[u8], most: usize) -> Result<Option<(&[u8], usize)>, BlockError> {
    let Some((&hash, rest)) = received.split_first() else { return Ok(None) };
    if hash != b'#' {
        return Err(BlockError::NoHash);
    }
    let Some((&digits, rest)) = rest.split_first() else { return Ok(None) };
    let digits = match digits {
        b'1'..=b'9' => usize::from(digits - b'0'),
        _ => return Err(BlockError::Length),
    };
    let known = &rest[..digits.min(rest.len())];
    if !known.iter().all(u8::is_ascii_digit) {
        return Err(BlockError::Length);
    }
    if known.len() < digits {
        return Ok(None);
    }
    // At most 9 digits: no overflow.
    let length = known.iter().fold(0_usize, |sum, digit| sum * 10 + usize::from(digit - b'0'));
    if length > most {
        return Err(BlockError::TooLong);
    }
    Ok(rest[digits..].get(..length).map(|bytes| (bytes, 2 + digits + length)))
}

/// The single-precision numbers of a block.
///
/// # Errors
/// Bytes left over.
pub fn singles(bytes: &[u8], order: ByteOrder) -> Result<Vec<f32>, BlockError> {
    let (whole, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(BlockError::Ragged);
    }
    Ok(whole
        .iter()
        .map(|&four| match order {
            ByteOrder::Little => f32::from_le_bytes(four),
            ByteOrder::Big => f32::from_be_bytes(four),
        })
        .collect())
}

/// The 16-bit words of a block.
///
/// # Errors
/// A byte left over.
pub fn words(bytes: &[u8], order: ByteOrder) -> Result<Vec<u16>, BlockError> {
    let (whole, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(BlockError::Ragged);
    }
    Ok(whole
        .iter()
        .map(|&two| match order {
            ByteOrder::Little => u16::from_le_bytes(two),
            ByteOrder::Big => u16::from_be_bytes(two),
        })
        .collect())
}
