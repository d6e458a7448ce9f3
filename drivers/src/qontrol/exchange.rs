//! Questions and answers, and how a doubtful link is brought back into step.

use tokio::time::Instant;

use super::{
    Chain,
    error::{Attribution, ChainError, ChainEvent},
    grammar::Line,
    options::{Mode, local},
};
use crate::link::LinkError;

/// Clean answers after which a link that was seen dirty counts as clean again.
const CAUTION: u32 = 200;

/// What lines an answer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expect {
    Ok,
    Enumerated,
    Volts,
    Milliamperes,
    Count,
    Firmware,
    Module,
}

impl Expect {
    fn fits(self, line: &Line) -> bool {
        matches!(
            (self, line),
            (Self::Ok, Line::Ok)
                | (Self::Enumerated, Line::Enumerated)
                | (Self::Volts, Line::Volts(_))
                | (Self::Milliamperes, Line::Milliamperes(_))
                | (Self::Count, Line::Count(_))
                | (Self::Firmware, Line::Firmware(_))
                | (Self::Module, Line::Module { .. })
        )
    }
}

/// A request with the answer that it should have.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) bytes: Vec<u8>,
    pub(super) expect: Expect,
    pub(super) lines: usize,
    /// Channel that it addresses.
    pub(super) channel: Option<usize>,
}

impl Question {
    pub(super) fn new(bytes: impl Into<Vec<u8>>, expect: Expect, lines: usize) -> Self {
        Self { bytes: bytes.into(), expect, lines, channel: None }
    }

    pub(super) fn to(self, channel: usize) -> Self {
        Self { channel: Some(channel), ..self }
    }

    pub(super) fn text(&self) -> String {
        self.bytes.escape_ascii().to_string()
    }

    fn is_binary(&self) -> bool {
        self.bytes.first().is_some_and(|&byte| byte >= 0x80)
    }
}

/// Why an answer is no answer.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// Nothing came.
    Silent,
    /// Something else came.
    Garbled(String),
    /// An error came instead.
    Refused(u8),
    /// The chain was reset.
    Rebooted,
    Link(LinkError),
}

impl Failure {
    pub(super) fn text(&self) -> String {
        match self {
            Self::Silent => "nothing".to_owned(),
            Self::Garbled(text) => text.clone(),
            Self::Refused(code) => format!("E{code:02}"),
            Self::Rebooted => "E90".to_owned(),
            Self::Link(error) => error.to_string(),
        }
    }
}

/// How far the link can be trusted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Trust {
    /// The link may be out of step: it has to be brought back before anything is believed.
    pub(super) dirty: bool,
    /// Something may still be late.
    pub(super) silent: bool,
    /// The device may be in the middle of a binary frame.
    pub(super) in_frame: bool,
    /// A question is under way; still so at the next one when its future was dropped.
    pub(super) under_way: bool,
    /// Something may have changed an output, or answers may have been out of step, since this was last reset.
    pub(super) disturbed: bool,
    /// Limits may be lost: a reset may have been among what was thrown away.
    pub(super) limits_doubtful: bool,
    /// Clean answers to go until the link counts as clean.
    pub(super) caution: u32,
}

impl Trust {
    pub(super) fn soil(&mut self, silent: bool, in_frame: bool) {
        self.dirty = true;
        self.silent |= silent;
        self.in_frame |= in_frame;
        self.caution = CAUTION;
    }
}

impl Chain {
    /// Asks once. Before, the link is brought into step when it is not; after a failure it is not.
    pub(super) async fn ask(&mut self, question: &Question) -> Result<Vec<Line>, Failure> {
        if self.trust.under_way {
            let binary = self.options.mode == Mode::Binary;
            self.trust.soil(true, binary);
        }
        if !self.trust.dirty {
            self.take_unasked().await?;
        }
        if self.trust.dirty {
            self.resync().await?;
        }
        self.ask_now(question).await
    }

    async fn ask_now(&mut self, question: &Question) -> Result<Vec<Line>, Failure> {
        self.trust.under_way = true;
        let start = Instant::now();
        let answer = self.converse(question).await;
        self.trust.under_way = false;
        match &answer {
            Ok(_) => {
                self.wire.statistics.answered += 1;
                self.round_trip.measured(start.elapsed());
                self.trust.caution = self.trust.caution.saturating_sub(1);
            }
            Err(failure) => {
                let silent = matches!(failure, Failure::Silent);
                self.wire.statistics.timeouts += u64::from(silent);
                self.wire.statistics.refusals += u64::from(matches!(failure, Failure::Refused(_)));
                self.trust.soil(silent, question.is_binary());
            }
        }
        answer
    }

    async fn converse(&mut self, question: &Question) -> Result<Vec<Line>, Failure> {
        self.wire.send(&question.bytes, self.options.quarantine * 10).await.map_err(Failure::Link)?;
        let mut lines = Vec::with_capacity(question.lines);
        let mut refused = None;
        while lines.len() < question.lines {
            let line = self.wire.line(self.options.reply).await.map_err(Failure::Link)?;
            match line {
                Some(Line::Error { code, channel }) => {
                    self.note_error(code, channel, question.channel);
                    if code == 90 {
                        return Err(Failure::Rebooted);
                    }
                    if code >= 10 || question.lines == 1 && question.channel.map(local) == Some(channel) {
                        return Err(Failure::Refused(code));
                    }
                    refused = Some(code);
                }
                Some(line) if question.expect.fits(&line) => lines.push(line),
                Some(line) => {
                    self.note_stray(&line);
                    return Err(Failure::Garbled(line.text()));
                }
                None => return Err(refused.map_or(Failure::Silent, Failure::Refused)),
            }
        }
        Ok(lines)
    }

    /// What has come since the last answer. Errors are noted; anything else means that the link is out of step.
    async fn take_unasked(&mut self) -> Result<(), Failure> {
        let lines = self.wire.arrived().await.map_err(Failure::Link)?;
        if self.wire.is_in_line() || !lines.is_empty() {
            self.trust.soil(false, false);
        }
        self.note_all(&lines)
    }

    fn note_all(&mut self, lines: &[Line]) -> Result<(), Failure> {
        let mut rebooted = false;
        for line in lines {
            match line {
                Line::Error { code, channel } => {
                    self.note_error(*code, *channel, None);
                    rebooted |= *code == 90;
                }
                line => self.note_stray(line),
            }
        }
        if rebooted { Err(Failure::Rebooted) } else { Ok(()) }
    }

    /// A line that nobody asked for: an `OK` may be to a write that was made of a question, a value to an earlier question.
    fn note_stray(&mut self, line: &Line) {
        if !matches!(line, Line::Garbage(_)) {
            self.wire.statistics.strays += 1;
            self.trust.disturbed = true;
        }
    }

    fn note_error(&mut self, code: u8, channel: usize, addressed: Option<usize>) {
        match code {
            90 => self.note_reboot("E90 powered up"),
            // Errors of what noise made of a request: they are the link's, not a channel's.
            10..=16 => {}
            _ => {
                self.unverified = true;
                let channel = self.attribute(channel, addressed);
                self.events.push_back(ChainEvent::Error { code, channel: channel.clone() });
                self.accused.push((code, channel));
            }
        }
    }

    fn attribute(&self, number: usize, addressed: Option<usize>) -> Attribution {
        if let Some(channel) = addressed
            && local(channel) == number
        {
            return Attribution::Channel(channel);
        }
        let mut candidates: Vec<_> =
            (0..self.channels()).filter(|&channel| local(channel) == number).collect();
        match candidates.pop() {
            Some(only) if candidates.is_empty() => Attribution::Channel(only),
            last => {
                candidates.extend(last);
                Attribution::AnyOf(candidates)
            }
        }
    }

    pub(super) fn note_reboot(&mut self, evidence: &str) {
        self.shadow.fill(None);
        if self.rebooted.is_none() {
            self.rebooted = Some(evidence.to_owned());
            self.events.push_back(ChainEvent::Rebooted { evidence: evidence.to_owned() });
        }
    }

    /// Brings the link into step: ends whatever the device is in the middle of, throws away what comes until it is quiet, then
    /// asks what is answered in other words than any value. Bytes keep their order on a wire: once such an answer has come as
    /// the next line, nothing older can come any more.
    pub(super) async fn resync(&mut self) -> Result<(), Failure> {
        self.trust.limits_doubtful = true;
        let mut failure = Failure::Silent;
        for _ in 0..self.options.tries {
            self.wire.statistics.retries += 1;
            self.flush().await?;
            match self.echo().await {
                Ok(()) => {
                    (self.trust.dirty, self.trust.silent, self.trust.in_frame) = (false, false, false);
                    return Ok(());
                }
                Err(fatal @ (Failure::Rebooted | Failure::Link(_))) => return Err(fatal),
                // An echo that never comes: the device may believe to be in a frame.
                Err(other) => {
                    self.trust.in_frame |=
                        self.options.mode == Mode::Binary && matches!(other, Failure::Silent);
                    failure = other;
                }
            }
        }
        Err(failure)
    }

    /// Zeros end a frame: what is missing of a vector of outputs becomes 0 V. The newline ends a line.
    async fn flush(&mut self) -> Result<(), Failure> {
        let mut bytes = Vec::new();
        if self.trust.in_frame {
            bytes.resize(2 * self.channels() + 8, 0);
            self.trust.disturbed = true;
        }
        bytes.push(b'\n');
        let quiet = if self.trust.silent { self.options.quarantine } else { self.options.quiet };
        self.wire.send(&bytes, self.options.quarantine * 10).await.map_err(Failure::Link)?;
        let lines = self.wire.quiet(quiet).await.map_err(Failure::Link)?;
        self.note_all(&lines)
    }

    async fn echo(&mut self) -> Result<(), Failure> {
        let count = self.ask_now(&Question::new(*b"nchan?\n", Expect::Count, 1)).await?;
        if count != [Line::Count(super::CHANNELS)] {
            return Err(Failure::Garbled(count[0].text()));
        }
        let firmware = self.ask_now(&Question::new(*b"firmware?\n", Expect::Firmware, 1)).await?;
        match (self.identity.first(), &firmware[0]) {
            (Some(known), Line::Firmware(found)) if known.firmware != *found => {
                Err(Failure::Garbled(found.clone()))
            }
            _ => Ok(()),
        }
    }

    /// Asks until an answer comes that is one.
    pub(super) async fn ask_until_answered(&mut self, question: &Question) -> Result<Vec<Line>, ChainError> {
        let mut last = String::new();
        for _ in 0..self.options.tries {
            match self.ask(question).await {
                Ok(lines) => return Ok(lines),
                Err(Failure::Link(error)) => return Err(self.lost(error)),
                Err(Failure::Rebooted) => return Err(self.rebooted_error()),
                Err(failure) => last = failure.text(),
            }
        }
        Err(self.unreadable(&question.text(), last))
    }

    pub(super) fn unreadable(&self, request: &str, last: String) -> ChainError {
        ChainError::Unreadable {
            place: self.wire.place(),
            request: request.to_owned(),
            tries: self.options.tries,
            last,
        }
    }

    pub(super) fn lost(&mut self, error: LinkError) -> ChainError {
        self.shadow.fill(None);
        ChainError::Link(error)
    }

    pub(super) fn rebooted_error(&self) -> ChainError {
        let evidence = self.rebooted.clone().unwrap_or_else(|| "E90 powered up".to_owned());
        ChainError::Rebooted { evidence }
    }
}
