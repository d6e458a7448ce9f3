//! An instrument behind a session: known by name, with every setting read back.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use super::{
    error::{ScpiError, shown},
    identity::{Identity, Model},
    number::integer,
    session::{Dialect, Session},
    setting::Setting,
};
use crate::link::{Connector, LinkStatistics};

/// Tries of what a new connection may mend.
const TRIES: u32 = 3;
/// Pause before the second try; the third waits twice as long.
const PAUSE: Duration = Duration::from_millis(200);
/// Entries of the error queue that are read at most.
const MOST_ERRORS: usize = 32;
/// Pause between two looks whether something is done.
const POLL: Duration = Duration::from_millis(20);
/// The event-enable register as it is set on connecting; it is 0 after power-on.
const MARK: i64 = 61;
/// "Power on" in the event status register (IEEE 488.2, 11.5.1).
const POWER_ON: i64 = 0x80;

/// How it is seen that an instrument was switched off and on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootSign {
    /// Bit 7 of `*ESR?`.
    PowerOnEvent,
    /// `*ESE`, set on connecting, has gone back to 0: for servers that never set the power-on bit.
    EventMark,
}

/// An entry of the error queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstrumentError {
    /// Number: negative ones are SCPI's, positive ones the maker's.
    pub code: i64,
    /// Text.
    pub text: String,
}

impl std::fmt::Display for InstrumentError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.text, self.code)
    }
}

/// A named instrument whose settings are read back.
///
/// * Each call ends with the error queue, whose entries look like no other answer: an answer that came twice, or a late one,
///   shifts it out of its place and is found before the call returns.
/// * A connection that was given up is opened again by the next call: who is there, whether it was switched off, and whether
///   it still holds every setting is found out first. What it no longer holds is [`ScpiError::SettingsLost`] or
///   [`ScpiError::Rebooted`], once; the settings are unknown from then on.
/// * Three tries for what a new connection may mend. All settings are absolute, so that a second try does no harm.
/// * Cancel-safe in this sense: a setting whose writing was dropped is unknown, and the connection is given up.
pub struct Instrument {
    session: Session,
    model: Model,
    boot_sign: BootSign,
    identity: Identity,
    settings: Vec<Setting>,
    /// The open connection leads to the known instrument, which holds `settings`.
    verified: bool,
}

impl Instrument {
    /// Connects and identifies; the error queue is emptied.
    ///
    /// # Errors
    /// A wire that does not open, no answer, or another instrument.
    pub async fn connect(
        connector: Arc<dyn Connector>,
        dialect: Dialect,
        model: Model,
        boot_sign: BootSign,
    ) -> Result<Self, ScpiError> {
        let mut session = Session::new(connector, dialect);
        let mut tried = 1;
        let identity = loop {
            match greet(&mut session, model, boot_sign).await {
                Err(error) if error.is_of_the_wire() && tried < TRIES => {
                    session.count().retries += 1;
                    sleep(PAUSE * tried).await;
                    tried += 1;
                }
                greeted => break greeted?.0,
            }
        };
        Ok(Self { session, model, boot_sign, identity, settings: Vec::new(), verified: true })
    }

    /// Who it is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Where the wire leads.
    #[must_use]
    pub fn place(&self) -> String {
        self.session.place()
    }

    /// What the link has seen.
    #[must_use]
    pub fn statistics(&self) -> LinkStatistics {
        self.session.statistics()
    }

    /// The setting that `query` reads, as written and read back; `None`: unknown.
    #[must_use]
    pub fn held(&self, query: &str) -> Option<&Setting> {
        self.settings().iter().find(|setting| setting.query == query)
    }

    /// Everything that the instrument is known to hold; nothing while the connection is given up.
    #[must_use]
    pub fn settings(&self) -> &[Setting] {
        if self.is_verified() { &self.settings } else { &[] }
    }

    /// Writes a setting and reads it back.
    ///
    /// # Errors
    /// The instrument refuses, holds something else, or does not answer: the setting is unknown then.
    pub async fn set(&mut self, setting: Setting) -> Result<(), ScpiError> {
        self.forget(|known| known.query == setting.query);
        let mut tried = 1;
        while let Err(error) = self.set_once(&setting).await {
            self.again(error, &mut tried).await?;
        }
        self.settings.push(setting);
        Ok(())
    }

    /// Verifies a setting that is left as it is, and from then on after each new connection.
    ///
    /// # Errors
    /// It is not as expected, or there is no answer.
    pub async fn expect(&mut self, setting: Setting) -> Result<(), ScpiError> {
        self.forget(|known| known.query == setting.query);
        let mut tried = 1;
        while let Err(error) = self.expect_once(&setting).await {
            self.again(error, &mut tried).await?;
        }
        self.settings.push(setting);
        Ok(())
    }

    /// Sends a command that changes no setting and can be sent twice without harm.
    ///
    /// # Errors
    /// The instrument refuses or does not answer.
    pub async fn command(&mut self, command: &str) -> Result<(), ScpiError> {
        let mut tried = 1;
        while let Err(error) = self.command_once(command).await {
            self.again(error, &mut tried).await?;
        }
        Ok(())
    }

    /// Asks for a line; `parse` says what it means, or what was expected.
    ///
    /// # Errors
    /// The instrument refuses, does not answer, or answers something else.
    pub async fn ask<T>(
        &mut self,
        query: &str,
        patience: Option<Duration>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, ScpiError> {
        let mut tried = 1;
        loop {
            match self.ask_once(query, patience, &parse).await {
                Err(error) => self.again(error, &mut tried).await?,
                answered => return answered,
            }
        }
    }

    /// Asks for a block of at most `most` bytes; `parse` says what it means, or what was expected.
    ///
    /// # Errors
    /// The instrument refuses, does not answer, or answers something else.
    pub async fn ask_block<T>(
        &mut self,
        query: &str,
        most: usize,
        patience: Option<Duration>,
        parse: impl Fn(&[u8]) -> Result<T, String>,
    ) -> Result<T, ScpiError> {
        let mut tried = 1;
        loop {
            match self.ask_block_once(query, most, patience, &parse).await {
                Err(error) => self.again(error, &mut tried).await?,
                answered => return answered,
            }
        }
    }

    /// Asks `query` until `is_done`, at most for `most`.
    ///
    /// # Errors
    /// As [`Self::ask`]; not done in time.
    pub async fn wait_until(
        &mut self,
        query: &str,
        most: Duration,
        is_done: impl Fn(&str) -> Result<bool, String>,
    ) -> Result<(), ScpiError> {
        let begun = Instant::now();
        while !self.ask(query, None, &is_done).await? {
            if begun.elapsed() >= most {
                return Err(ScpiError::NoAnswer {
                    place: self.place(),
                    query: query.to_owned(),
                    waited: most,
                });
            }
            sleep(POLL).await;
        }
        Ok(())
    }

    /// Waits for `*OPC?` to answer 1, whether the instrument holds its answer back until then or answers 0 before.
    ///
    /// # Errors
    /// As [`Self::wait_until`].
    pub async fn complete(&mut self, most: Duration) -> Result<(), ScpiError> {
        self.wait_until("*OPC?", most, |answer| match answer.trim_start_matches('+') {
            "1" => Ok(true),
            "0" => Ok(false),
            _ => Err("0 or 1".to_owned()),
        })
        .await
    }

    /// Refuses `then` unless all these settings are known.
    ///
    /// # Errors
    /// The first that is not.
    pub fn require(&self, queries: &[&str], first: &str, then: &str) -> Result<(), ScpiError> {
        // Those of a connection that was given up are verified before the next call does anything.
        let known =
            |query: &&str| self.settings.iter().any(|setting| setting.query.eq_ignore_ascii_case(query));
        if queries.iter().all(known) {
            return Ok(());
        }
        Err(ScpiError::NotReady { place: self.place(), first: first.to_owned(), then: then.to_owned() })
    }

    /// Settings are unknown from now on.
    pub(super) fn forget(&mut self, which: impl Fn(&Setting) -> bool) {
        self.settings.retain(|setting| !which(setting));
    }

    /// Gives the connection up: the next call connects, identifies and verifies again.
    pub fn disconnect(&mut self) {
        self.session.close();
    }

    fn is_verified(&self) -> bool {
        self.verified && self.session.is_open()
    }

    /// Whether to try again after `error`.
    async fn again(&mut self, error: ScpiError, tried: &mut u32) -> Result<(), ScpiError> {
        if !error.is_of_the_wire() || *tried >= TRIES {
            return Err(error);
        }
        sleep(PAUSE * *tried).await;
        self.session.count().retries += 1;
        *tried += 1;
        Ok(())
    }

    /// Opens, identifies and verifies again if need be.
    async fn ready(&mut self) -> Result<(), ScpiError> {
        if self.is_verified() {
            return Ok(());
        }
        self.verified = false;
        let (identity, rebooted) = greet(&mut self.session, self.model, self.boot_sign).await?;
        if (&identity.model, &identity.serial) != (&self.identity.model, &self.identity.serial) {
            self.session.close();
            return Err(wrong(&self.session, &identity, self.identity.to_string()));
        }
        let lost = if rebooted { Vec::new() } else { self.lost().await? };
        self.verified = true;
        if rebooted && !self.settings.is_empty() {
            self.settings.clear();
            return Err(ScpiError::Rebooted { place: self.place() });
        }
        if lost.is_empty() {
            return Ok(());
        }
        self.forget(|setting| lost.iter().any(|(query, _)| *query == setting.query));
        let lost: Vec<String> = lost.into_iter().map(|(query, found)| format!("{query} {found}")).collect();
        Err(ScpiError::SettingsLost { place: self.place(), lost: lost.join(", ") })
    }

    /// Settings that the instrument no longer holds, with what it holds.
    async fn lost(&mut self) -> Result<Vec<(String, String)>, ScpiError> {
        let mut lost = Vec::new();
        for setting in self.settings.clone() {
            let found = self.session.ask(&setting.query).await?;
            if !self.says(&setting, &found)? {
                lost.push((setting.query, found));
            }
        }
        self.confirm("after a new connection").await?;
        Ok(lost)
    }

    async fn set_once(&mut self, setting: &Setting) -> Result<(), ScpiError> {
        self.ready().await?;
        self.session.send(&setting.command).await?;
        self.read_back(setting).await
    }

    async fn expect_once(&mut self, setting: &Setting) -> Result<(), ScpiError> {
        self.ready().await?;
        self.read_back(setting).await
    }

    async fn read_back(&mut self, setting: &Setting) -> Result<(), ScpiError> {
        let found = self.session.ask(&setting.query).await?;
        self.confirm(&setting.command).await?;
        if self.says(setting, &found)? {
            return Ok(());
        }
        // Whatever made it so may have met other settings too.
        self.session.close();
        Err(ScpiError::NotHeld {
            place: self.place(),
            command: setting.command.clone(),
            query: setting.query.clone(),
            found,
            expected: setting.held.to_string(),
        })
    }

    async fn command_once(&mut self, command: &str) -> Result<(), ScpiError> {
        self.ready().await?;
        self.session.send(command).await?;
        self.confirm(command).await
    }

    async fn ask_once<T>(
        &mut self,
        query: &str,
        patience: Option<Duration>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, ScpiError> {
        self.ready().await?;
        let patience = patience.unwrap_or(self.session.dialect().patience);
        let answer = self.session.ask_within(query, patience).await?;
        self.confirm(query).await?;
        parse(&answer).map_err(|expected| self.misread(query, answer.as_bytes(), expected))
    }

    async fn ask_block_once<T>(
        &mut self,
        query: &str,
        most: usize,
        patience: Option<Duration>,
        parse: impl Fn(&[u8]) -> Result<T, String>,
    ) -> Result<T, ScpiError> {
        self.ready().await?;
        let patience = patience.unwrap_or(self.session.dialect().patience);
        let bytes = self.session.ask_block(query, most, patience).await?;
        self.confirm(query).await?;
        parse(&bytes).map_err(|expected| self.misread(query, &bytes, expected))
    }

    /// Whether it was switched off, and its error queue. Last of every call.
    async fn confirm(&mut self, command: &str) -> Result<(), ScpiError> {
        let rebooted = was_rebooted(&mut self.session, self.boot_sign).await?;
        let errors = errors(&mut self.session).await?;
        if rebooted {
            self.settings.clear();
            // The mark is set anew by the next call.
            self.session.close();
            return Err(ScpiError::Rebooted { place: self.place() });
        }
        if errors.is_empty() {
            return Ok(());
        }
        self.session.count().refusals += 1;
        let errors: Vec<String> = errors.iter().map(InstrumentError::to_string).collect();
        Err(ScpiError::Refused {
            place: self.place(),
            command: command.to_owned(),
            errors: errors.join("; "),
        })
    }

    fn says(&mut self, setting: &Setting, answer: &str) -> Result<bool, ScpiError> {
        match setting.held.is_said_by(answer) {
            Some(said) => Ok(said),
            None => Err(self.misread(&setting.query, answer.as_bytes(), format!("{}", setting.held))),
        }
    }

    fn misread(&mut self, query: &str, answer: &[u8], expected: String) -> ScpiError {
        self.session.close();
        self.session.malformed(query, shown(answer), expected)
    }
}

/// Opens, identifies, empties the error queue and says whether the instrument was switched on since the last greeting.
async fn greet(
    session: &mut Session,
    model: Model,
    boot_sign: BootSign,
) -> Result<(Identity, bool), ScpiError> {
    session.open().await?;
    let identity = session.identify().await?;
    if !model.takes(&identity) {
        session.close();
        return Err(wrong(session, &identity, model.name.to_owned()));
    }
    let rebooted = was_rebooted(session, boot_sign).await?;
    // What stands in the queue is none of ours.
    errors(session).await?;
    if boot_sign == BootSign::EventMark {
        session.send(&format!("*ESE {MARK}")).await?;
    }
    Ok((identity, rebooted))
}

fn wrong(session: &Session, found: &Identity, expected: String) -> ScpiError {
    ScpiError::WrongInstrument { place: session.place(), found: found.to_string(), expected }
}

async fn was_rebooted(session: &mut Session, boot_sign: BootSign) -> Result<bool, ScpiError> {
    let query = match boot_sign {
        BootSign::PowerOnEvent => "*ESR?",
        BootSign::EventMark => "*ESE?",
    };
    let answer = session.ask(query).await?;
    match integer(&answer) {
        Ok(register) if (0..256).contains(&register) => Ok(match boot_sign {
            BootSign::PowerOnEvent => register & POWER_ON != 0,
            BootSign::EventMark => register != MARK,
        }),
        _ => {
            session.close();
            Err(session.malformed(query, shown(answer.as_bytes()), "a register of 8 bits"))
        }
    }
}

/// The error queue, read until it says that there is no more.
async fn errors(session: &mut Session) -> Result<Vec<InstrumentError>, ScpiError> {
    let query = "SYST:ERR?";
    let mut errors = Vec::new();
    while errors.len() < MOST_ERRORS {
        let answer = session.ask(query).await?;
        match queue_entry(&answer) {
            Some(entry) if entry.code == 0 => return Ok(errors),
            Some(entry) => errors.push(entry),
            None => {
                session.close();
                return Err(session.malformed(query, shown(answer.as_bytes()), "a number and a quoted text"));
            }
        }
    }
    session.close();
    Err(session.malformed(query, errors[0].to_string(), format!("fewer than {MOST_ERRORS} errors")))
}

/// `<number>,"<text>"`.
fn queue_entry(answer: &str) -> Option<InstrumentError> {
    let (code, text) = answer.split_once(',')?;
    let text = text.trim_start().strip_prefix('"')?.strip_suffix('"')?;
    Some(InstrumentError { code: integer(code).ok()?, text: text.to_owned() })
}
