//! An instrument behind a session: known by name, with every setting read back.

mod greeting;
mod once;

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use self::greeting::greet;
use super::{
    error::ScpiError,
    identity::{Identity, Model},
    session::{Dialect, Session},
    setting::Setting,
};
use crate::link::{Connector, LinkStatistics};

pub use greeting::{BootSign, InstrumentError};

/// Tries of what a new connection may mend.
const TRIES: u32 = 3;
/// Pause before the second try; the third waits twice as long.
const PAUSE: Duration = Duration::from_millis(200);
/// Pause between two looks whether something is done.
const POLL: Duration = Duration::from_millis(20);

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
}
