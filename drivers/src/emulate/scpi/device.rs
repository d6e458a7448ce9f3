//! What all SCPI instruments have in common: lines, `;`, the commands with a star, the error queue.

use std::{collections::VecDeque, time::Duration};

use super::command::{Command, Fault};
use crate::{emulate::Device, scpi::LineEnding};

/// Longest line that is taken in.
const LONGEST: usize = 1 << 16;
/// Entries of the error queue.
const QUEUE: usize = 20;
/// Bits of the event status register.
const POWER_ON: u8 = 0x80;
const COMMAND_ERROR: u8 = 0x20;
const EXECUTION_ERROR: u8 = 0x10;

/// What an instrument answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Nothing: the command was none that asks.
    None,
    /// A line.
    Text(String),
    /// A definite block.
    Block(Vec<u8>),
}

/// Channels whose writes have no effect.
#[derive(Clone, Debug, Default)]
pub struct Stuck(Vec<usize>);

impl Stuck {
    /// Whether a write to `channel` is lost.
    #[must_use]
    pub fn is(&self, channel: usize) -> bool {
        self.0.contains(&channel)
    }
}

/// What tells one instrument from another.
pub trait ScpiInstrument: Send {
    /// Answer to `*IDN?`.
    fn identity(&self) -> String;

    /// End of its answers. Commands may end with either character.
    fn ending(&self) -> LineEnding;

    /// What the error queue says when it is empty.
    fn no_error(&self) -> &'static str {
        "0,\"No error\""
    }

    /// Whether `*OPC?` answers 0: something is still under way.
    fn is_busy(&self, _now: Duration) -> bool {
        false
    }

    /// Carries out a command that is not common to all.
    ///
    /// # Errors
    /// What goes into the error queue; nothing has changed then.
    fn execute(&mut self, command: &Command, now: Duration, stuck: &Stuck) -> Result<Answer, Fault>;

    /// Settings as after power-on or `*RST`.
    fn restart(&mut self);
}

/// An SCPI instrument before its wire.
pub struct ScpiDevice<I> {
    instrument: I,
    line: Vec<u8>,
    overrun: bool,
    errors: VecDeque<(i32, &'static str)>,
    events: u8,
    event_mark: u8,
    requests: u64,
    stuck: Stuck,
}

impl<I: ScpiInstrument> ScpiDevice<I> {
    /// Powers an instrument.
    #[must_use]
    pub fn new(instrument: I) -> Self {
        Self {
            instrument,
            line: Vec::new(),
            overrun: false,
            errors: VecDeque::new(),
            events: POWER_ON,
            event_mark: 0,
            requests: 0,
            stuck: Stuck::default(),
        }
    }

    /// What it really holds.
    #[must_use]
    pub fn instrument(&self) -> &I {
        &self.instrument
    }

    /// As somebody at its front panel.
    pub fn instrument_mut(&mut self) -> &mut I {
        &mut self.instrument
    }

    fn carry_out(&mut self, line: &str, now: Duration, answers: &mut Vec<u8>) {
        let mut path = Vec::new();
        let mut said: Vec<Vec<u8>> = Vec::new();
        for text in pieces(line) {
            let command = Command::parse(text, &mut path);
            match self.one(&command, now) {
                Ok(Answer::None) => {}
                Ok(Answer::Text(text)) => said.push(text.into_bytes()),
                Ok(Answer::Block(bytes)) => said.push(definite(&bytes)),
                Err(fault) => self.fault(fault),
            }
        }
        if !said.is_empty() {
            answers.extend(said.join(&b';'));
            answers.extend_from_slice(self.instrument.ending().bytes());
        }
    }

    fn one(&mut self, command: &Command, now: Duration) -> Result<Answer, Fault> {
        let text = |text: &dyn ToString| Ok(Answer::Text(text.to_string()));
        match command.query {
            true if command.is("*IDN") => text(&self.instrument.identity()),
            true if command.is("*OPC") => text(&u8::from(!self.instrument.is_busy(now))),
            true if command.is("*STB") => text(&(u8::from(!self.errors.is_empty()) << 2)),
            true if command.is("*ESR") => text(&std::mem::take(&mut self.events)),
            true if command.is("*ESE") => text(&self.event_mark),
            true if command.is("SYSTem:ERRor[:NEXT]") => match self.errors.pop_front() {
                Some((code, message)) => Ok(Answer::Text(format!("{code},\"{message}\""))),
                None => text(&self.instrument.no_error()),
            },
            false if command.is("*RST") => {
                self.instrument.restart();
                Ok(Answer::None)
            }
            false if command.is("*CLS") => {
                (self.events, self.errors) = (0, VecDeque::new());
                Ok(Answer::None)
            }
            false if command.is("*ESE") => {
                self.event_mark = command.number(0, &[], 0.0..=255.0)? as u8;
                Ok(Answer::None)
            }
            false if command.is("*OPC") || command.is("*WAI") || command.is("*SRE") => Ok(Answer::None),
            _ => self.instrument.execute(command, now, &self.stuck),
        }
    }

    fn fault(&mut self, fault: Fault) {
        let (code, message) = fault.entry();
        self.events |= if code > -200 { COMMAND_ERROR } else { EXECUTION_ERROR };
        if self.errors.len() < QUEUE {
            self.errors.push_back((code, message));
        } else if let Some(last) = self.errors.back_mut() {
            *last = (-350, "Queue overflow");
        }
    }
}

impl<I: ScpiInstrument> Device for ScpiDevice<I> {
    fn receive(&mut self, bytes: &[u8], now: Duration, answers: &mut Vec<u8>) {
        for &byte in bytes {
            if !matches!(byte, b'\n' | b'\r') {
                if self.line.len() < LONGEST {
                    self.line.push(byte);
                } else {
                    self.overrun = true;
                }
                continue;
            }
            let line = std::mem::take(&mut self.line);
            if line.is_empty() {
                continue;
            }
            self.requests += 1;
            if std::mem::take(&mut self.overrun) {
                self.fault(Fault::Overrun);
            } else {
                self.carry_out(&String::from_utf8_lossy(&line), now, answers);
            }
        }
    }

    fn requests(&self) -> u64 {
        self.requests
    }

    fn reset(&mut self, _now: Duration, _answers: &mut Vec<u8>) {
        self.instrument.restart();
        self.line.clear();
        self.errors.clear();
        (self.events, self.event_mark) = (POWER_ON, 0);
    }

    fn stick(&mut self, channel: usize, stuck: bool) {
        self.stuck.0.retain(|&known| known != channel);
        if stuck {
            self.stuck.0.push(channel);
        }
    }
}

/// Commands of a line: cut at `;` outside quotation marks.
fn pieces(line: &str) -> impl Iterator<Item = &str> {
    let mut quote = None;
    line.split(move |letter: char| match (quote, letter) {
        (None, '\'' | '"') => {
            quote = Some(letter);
            false
        }
        (Some(open), _) if open == letter => {
            quote = None;
            false
        }
        (None, ';') => true,
        _ => false,
    })
    .map(str::trim)
    .filter(|piece| !piece.is_empty())
}

fn definite(bytes: &[u8]) -> Vec<u8> {
    let length = bytes.len().to_string();
    let mut block = format!("#{}{length}", length.len()).into_bytes();
    block.extend_from_slice(bytes);
    block
}

/// `+1.23400000E-003`: so many decimals, and an exponent of so many digits.
pub(super) fn scientific(value: f64, decimals: usize, exponent_digits: usize) -> String {
    let text = format!("{value:+.decimals$E}");
    let (mantissa, exponent) = text.split_once('E').unwrap_or((&text, "0"));
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    format!("{mantissa}E{sign}{digits:0>exponent_digits$}")
}

/// Like the answer to a switch.
pub(super) fn switch(on: bool) -> Answer {
    Answer::Text(u8::from(on).to_string())
}
