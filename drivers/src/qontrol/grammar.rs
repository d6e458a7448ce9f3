//! Lines of answers, strictly: a line is one of these in full or it is garbage.

/// One line of an answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Line {
    Ok,
    /// `OK` with the ACK byte in front: one for every module that was enumerated.
    Enumerated,
    Error {
        code: u8,
        channel: usize,
    },
    Volts(f64),
    Milliamperes(f64),
    /// Bare digits: a number of channels.
    Count(usize),
    Firmware(String),
    /// A module and its place in the chain.
    Module {
        id: String,
        index: usize,
    },
    Garbage(String),
}

impl Line {
    /// Reads a line without its end.
    pub(super) fn parse(line: &[u8]) -> Self {
        std::str::from_utf8(line)
            .ok()
            .and_then(known)
            .unwrap_or_else(|| Self::Garbage(line.escape_ascii().to_string()))
    }

    /// In words, for errors.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Garbage(text) => text.clone(),
            Self::Error { code, channel } => format!("E{code:02}:{channel:02}"),
            other => format!("{other:?}"),
        }
    }
}

#[cfg(feature = "fuzzing")]
impl Line {
    /// The line that says the same; `None` for garbage.
    pub(super) fn rewritten(&self) -> Option<String> {
        Some(match self {
            Self::Ok => "OK".to_owned(),
            Self::Enumerated => "\x06OK".to_owned(),
            Self::Error { .. } => self.text(),
            Self::Volts(value) => format!("{value:+.4} V"),
            Self::Milliamperes(value) => format!("{value:+.4} mA"),
            Self::Count(count) => count.to_string(),
            Self::Firmware(version) => version.clone(),
            Self::Module { id, index } => format!("{id}: {index}"),
            Self::Garbage(_) => return None,
        })
    }
}

fn known(line: &str) -> Option<Line> {
    match line {
        "OK" => return Some(Line::Ok),
        "\x06OK" => return Some(Line::Enumerated),
        _ => {}
    }
    if let Some(number) = line.strip_suffix(" V") {
        return signed(number).map(Line::Volts);
    }
    if let Some(number) = line.strip_suffix(" mA") {
        return signed(number).map(Line::Milliamperes);
    }
    if let Some(error) = line.strip_prefix('E') {
        let (code, channel) = error.split_once(':')?;
        let two = |text: &str| if text.len() == 2 { digits(text) } else { None };
        return Some(Line::Error { code: u8::try_from(two(code)?).ok()?, channel: two(channel)? });
    }
    if let Some(version) = line.strip_prefix('v') {
        let parts: Vec<_> = version.split('.').map(digits).collect();
        return (parts.len() == 3 && parts.iter().all(Option::is_some))
            .then(|| Line::Firmware(line.to_owned()));
    }
    if let Some((id, index)) = line.split_once(": ") {
        return is_id(id)
            .then_some(())
            .and(digits(index))
            .map(|index| Line::Module { id: id.to_owned(), index });
    }
    digits(line).map(Line::Count)
}

/// Sign, one to three digits, point, exactly four digits. No leading zero before another digit.
fn signed(text: &str) -> Option<f64> {
    let (whole, part) = text.strip_prefix(['+', '-'])?.split_once('.')?;
    let plain = (1..=3).contains(&whole.len()) && (whole.len() == 1 || !whole.starts_with('0'));
    (plain && part.len() == 4 && digits(whole).is_some() && digits(part).is_some())
        .then(|| text.parse().ok())
        .flatten()
}

fn digits(text: &str) -> Option<usize> {
    let plain = (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

fn is_id(text: &str) -> bool {
    text.split_once('-').is_some_and(|(kind, number)| {
        !kind.is_empty()
            && kind.bytes().all(|byte| byte.is_ascii_alphanumeric())
            && number.len() == 4
            && number.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'*')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_lines_are_read() {
        for (text, line) in [
            ("OK", Line::Ok),
            ("\x06OK", Line::Enumerated),
            ("E11:03", Line::Error { code: 11, channel: 3 }),
            ("+4.5000 V", Line::Volts(4.5)),
            ("-0.0038 mA", Line::Milliamperes(-0.0038)),
            ("8", Line::Count(8)),
            ("v2.4.1", Line::Firmware("v2.4.1".to_owned())),
            ("Q8iv-****: 1", Line::Module { id: "Q8iv-****".to_owned(), index: 1 }),
        ] {
            assert_eq!(Line::parse(text.as_bytes()), line);
        }
    }

    #[test]
    fn a_line_that_lacks_or_doubles_a_byte_is_no_value_unless_a_digit_before_the_point_is_met() {
        let text = b"+12.3456 V";
        for at in 0..text.len() {
            let lacking = [&text[..at], &text[at + 1..]].concat();
            let doubled = [&text[..=at], &text[at..]].concat();
            let is_value = |line: &[u8]| matches!(Line::parse(line), Line::Volts(_));
            assert_eq!(is_value(&lacking), at == 1 || at == 2, "{}", lacking.escape_ascii());
            assert_eq!(is_value(&doubled), at == 1 || at == 2, "{}", doubled.escape_ascii());
        }
    }
}
