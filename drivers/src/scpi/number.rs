//! Numbers as instruments write them, read strictly: the whole text is the number, or it is none.

/// From here on a magnitude is no reading: SCPI writes 9.9E37 for infinity and 9.91E37 for "not a number", and some
/// instruments the largest single for "over range".
const NO_READING: f64 = 9.9e37;
/// Longest text of a number.
const LONGEST: usize = 32;

/// Text that is no number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a number such as +1.250E-03")]
pub struct NumberError;

/// `[+-] digits [. digits] [E [+-] digits]`, nothing before, between or behind. At least one digit stands before the
/// exponent, one to three in it.
///
/// # Errors
/// Any other text.
pub fn number(text: &str) -> Result<f64, NumberError> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let is_exponent = |text: &str| {
        let digits_only = text.strip_prefix(['+', '-']).unwrap_or(text);
        (1..=3).contains(&digits_only.len()) && digits(digits_only)
    };
    let valid = text.len() <= LONGEST
        && digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(is_exponent);
    if valid { text.parse().map_err(|_| NumberError) } else { Err(NumberError) }
}

/// A measured number; `None` where the instrument has none to give: its words and sentinels for "not a number", infinity and
/// over range.
///
/// # Errors
/// Text that is neither.
pub fn reading(text: &str) -> Result<Option<f64>, NumberError> {
    let word = text.strip_prefix(['+', '-']).unwrap_or(text);
    if ["NAN", "INF", "NINF", "INFINITY"].iter().any(|none| none.eq_ignore_ascii_case(word)) {
        return Ok(None);
    }
    number(text).map(valid)
}

/// A number that is a reading.
pub(super) fn valid(value: f64) -> Option<f64> {
    (value.is_finite() && value.abs() < NO_READING).then_some(value)
}

/// `[+-] digits`, at most 9.
///
/// # Errors
/// Any other text.
pub fn integer(text: &str) -> Result<i64, NumberError> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let valid = (1..=9).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    if valid { text.parse().map_err(|_| NumberError) } else { Err(NumberError) }
}

/// A number as it is sent.
pub(super) fn sent(value: f64) -> String {
    format!("{value:.9E}")
}
