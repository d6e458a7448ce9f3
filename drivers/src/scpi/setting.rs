//! Settings that can be asked for.

use super::number::{integer, number};

/// What an instrument has to answer when a setting is held.
#[derive(Clone, Debug, PartialEq)]
pub enum Held {
    /// A number, within a tolerance for how it is rounded.
    Number {
        /// Value.
        value: f64,
        /// Largest difference.
        tolerance: f64,
    },
    /// On or off: `1`, `+1`, `ON`, or `0`, `OFF`.
    Switch(bool),
    /// One of these words, any case, with or without quotation marks.
    Word(&'static [&'static str]),
}

impl Held {
    /// A number that the instrument rounds at worst to a part in 10⁶.
    #[must_use]
    pub fn number(value: f64) -> Self {
        Self::Number { value, tolerance: value.abs() * 1e-6 + f64::MIN_POSITIVE }
    }

    /// Whether `answer` says so; `None` when it says nothing of the kind.
    #[must_use]
    pub fn is_said_by(&self, answer: &str) -> Option<bool> {
        match self {
            Self::Number { value, tolerance } => {
                number(answer).ok().map(|found| (found - value).abs() <= *tolerance)
            }
            Self::Switch(on) => {
                let found = match answer.to_ascii_uppercase().as_str() {
                    "ON" => true,
                    "OFF" => false,
                    text => match integer(text).ok()? {
                        0 => false,
                        1 => true,
                        _ => return None,
                    },
                };
                Some(found == *on)
            }
            Self::Word(words) => {
                let bare = answer.trim_matches(['"', '\'']);
                let is_word = !bare.is_empty() && bare.bytes().all(|byte| byte.is_ascii_graphic());
                is_word.then(|| words.iter().any(|word| word.eq_ignore_ascii_case(bare)))
            }
        }
    }
}

impl std::fmt::Display for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number { value, .. } => write!(f, "{value:E}"),
            Self::Switch(on) => f.write_str(if *on { "on" } else { "off" }),
            Self::Word(words) => f.write_str(words.first().unwrap_or(&"")),
        }
    }
}

/// A setting: how it is written, how it is asked for, and what then has to come back.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// Command that writes it.
    pub command: String,
    /// Query that reads it.
    pub query: String,
    /// What has to come back.
    pub held: Held,
}

impl Setting {
    /// `<header> <value>`, read with `<header>?`.
    #[must_use]
    pub fn new(header: &str, value: impl std::fmt::Display, held: Held) -> Self {
        Self { command: format!("{header} {value}"), query: format!("{header}?"), held }
    }

    /// `<header> 1` or `<header> 0`.
    #[must_use]
    pub fn switch(header: &str, on: bool) -> Self {
        Self::new(header, u8::from(on), Held::Switch(on))
    }
}
