//! One SCPI command: keywords in short or long form, any case, with numbers behind; then parameters.

use std::ops::RangeInclusive;

/// What goes into the error queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No such command.
    UndefinedHeader,
    /// A number behind a keyword that does not exist.
    SuffixOutOfRange,
    /// Something else than the kind of parameter that is expected.
    DataType,
    /// A parameter that is missing.
    MissingParameter,
    /// A unit that does not belong here.
    InvalidSuffix,
    /// The instrument is in a state that forbids it.
    SettingsConflict,
    /// A number that is too small or too large.
    OutOfRange,
    /// A word that is none of those expected.
    IllegalParameter,
    /// The input buffer is full.
    Overrun,
}

impl Fault {
    /// Number and text of the standard (SCPI 1999, 21.8).
    #[must_use]
    pub fn entry(self) -> (i32, &'static str) {
        match self {
            Self::DataType => (-104, "Data type error"),
            Self::MissingParameter => (-109, "Missing parameter"),
            Self::UndefinedHeader => (-113, "Undefined header"),
            Self::SuffixOutOfRange => (-114, "Header suffix out of range"),
            Self::InvalidSuffix => (-131, "Invalid suffix"),
            Self::SettingsConflict => (-221, "Settings conflict"),
            Self::OutOfRange => (-222, "Data out of range"),
            Self::IllegalParameter => (-224, "Illegal parameter value"),
            Self::Overrun => (-363, "Input buffer overrun"),
        }
    }
}

/// A command as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Keywords in capitals, with the number behind each.
    keywords: Vec<(String, Option<u32>)>,
    /// It ends with a question mark.
    pub query: bool,
    /// What stands behind, cut at commas.
    pub parameters: Vec<String>,
}

impl Command {
    /// Reads one command; `path`: the keywords that a command without a colon in front goes on from.
    pub(super) fn parse(text: &str, path: &mut Vec<String>) -> Self {
        let text = text.trim();
        let (header, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
        let (header, query) = match header.strip_suffix('?') {
            Some(header) => (header, true),
            None => (header, false),
        };
        let from_root = header.strip_prefix(':');
        let own = from_root.unwrap_or(header).to_ascii_uppercase();
        let mut words: Vec<String> = own.split(':').map(str::to_owned).collect();
        if !own.starts_with('*') {
            if from_root.is_none() {
                words.splice(0..0, path.iter().cloned());
            }
            path.clear();
            // The next command goes on from all but the last keyword.
            path.extend_from_slice(&words[..words.len().saturating_sub(1)]);
        }
        let parameters = match rest.trim() {
            "" => Vec::new(),
            rest => rest.split(',').map(|parameter| parameter.trim().to_owned()).collect(),
        };
        Self { keywords: words.iter().map(|word| keyword(word)).collect(), query, parameters }
    }

    /// The numbers behind the keywords (1 where none is written) when the command is that of `pattern`: `SENSe#:POWer:UNIT`
    /// with capitals for the short form, `#` where a number may stand, `[:CHANnel#]` for what may be left out.
    #[must_use]
    pub fn numbers(&self, pattern: &str) -> Option<Vec<u32>> {
        let nodes: Vec<Node<'_>> = nodes(pattern);
        let mut numbers = Vec::new();
        matches(&self.keywords, &nodes, &mut numbers).then_some(numbers)
    }

    /// Whether the command is that of `pattern`.
    #[must_use]
    pub fn is(&self, pattern: &str) -> bool {
        self.numbers(pattern).is_some()
    }

    /// A parameter as it is written.
    ///
    /// # Errors
    /// It is missing.
    pub fn text(&self, index: usize) -> Result<&str, Fault> {
        self.parameters.get(index).map(String::as_str).ok_or(Fault::MissingParameter)
    }

    /// A number with one of these units behind, or none.
    ///
    /// # Errors
    /// It is missing, no number, has another unit, or is outside `range` (in the base unit).
    pub fn number(
        &self,
        index: usize,
        units: &[(&str, f64)],
        range: RangeInclusive<f64>,
    ) -> Result<f64, Fault> {
        let text = self.text(index)?.to_ascii_uppercase();
        let value = match text.parse::<f64>() {
            Ok(value) => value,
            Err(_) => with_unit(&text, units)?,
        };
        // Not a number is in no range.
        if range.contains(&value) { Ok(value) } else { Err(Fault::OutOfRange) }
    }

    /// `1`, `ON`, `0` or `OFF`.
    ///
    /// # Errors
    /// Anything else.
    pub fn switch(&self) -> Result<bool, Fault> {
        match self.text(0)?.to_ascii_uppercase().as_str() {
            "1" | "ON" => Ok(true),
            "0" | "OFF" => Ok(false),
            _ => Err(Fault::IllegalParameter),
        }
    }

    /// The position of the word among `words`, each in capitals for the short form; quotation marks do not matter.
    ///
    /// # Errors
    /// None of them.
    pub fn word(&self, words: &[&str]) -> Result<usize, Fault> {
        let text = self.text(0)?.trim_matches(['\'', '"']).to_ascii_uppercase();
        words.iter().position(|word| is_form_of(&text, word)).ok_or(Fault::IllegalParameter)
    }
}

struct Node<'a> {
    word: &'a str,
    numbered: bool,
    optional: bool,
}

fn nodes(pattern: &str) -> Vec<Node<'_>> {
    pattern
        .split(':')
        .map(|part| {
            // `SENSe#[` and `CHANnel#]` are the two sides of the colon of an optional keyword.
            let optional = part.ends_with(']') || part.ends_with("][");
            let part = part.trim_end_matches(['[', ']']);
            match part.strip_suffix('#') {
                Some(word) => Node { word, numbered: true, optional },
                None => Node { word: part, numbered: false, optional },
            }
        })
        .collect()
}

fn matches(keywords: &[(String, Option<u32>)], nodes: &[Node<'_>], numbers: &mut Vec<u32>) -> bool {
    let Some((node, nodes)) = nodes.split_first() else { return keywords.is_empty() };
    if let Some(((word, number), keywords)) = keywords.split_first()
        && is_form_of(word, node.word)
        && (node.numbered || number.is_none())
    {
        let before = numbers.len();
        if node.numbered {
            numbers.push(number.unwrap_or(1));
        }
        if matches(keywords, nodes, numbers) {
            return true;
        }
        numbers.truncate(before);
    }
    if !node.optional {
        return false;
    }
    let before = numbers.len();
    if node.numbered {
        numbers.push(1);
    }
    let matched = matches(keywords, nodes, numbers);
    if !matched {
        numbers.truncate(before);
    }
    matched
}

fn is_form_of(word: &str, form: &str) -> bool {
    let is_short = word.bytes().eq(form.bytes().filter(|byte| !byte.is_ascii_lowercase()));
    is_short || word.eq_ignore_ascii_case(form)
}

fn keyword(word: &str) -> (String, Option<u32>) {
    let name = word.trim_end_matches(|letter: char| letter.is_ascii_digit());
    (name.to_owned(), word[name.len()..].parse().ok())
}

fn with_unit(text: &str, units: &[(&str, f64)]) -> Result<f64, Fault> {
    for (unit, scale) in units {
        if let Some(value) = text.strip_suffix(unit).and_then(|number| number.trim_end().parse::<f64>().ok())
        {
            return Ok(value * scale);
        }
    }
    let is_number = text.starts_with(|letter: char| letter.is_ascii_digit() || "+-.".contains(letter));
    Err(if is_number { Fault::InvalidSuffix } else { Fault::DataType })
}
