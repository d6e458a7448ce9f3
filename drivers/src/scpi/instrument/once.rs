//! One try of each thing, on a connection that is made ready first.

use std::time::Duration;

use tokio::time::sleep;

use super::{
    Instrument, PAUSE, TRIES,
    greeting::{InstrumentError, errors, greet, was_rebooted, wrong},
};
use crate::scpi::{
    error::{ScpiError, shown},
    setting::Setting,
};

impl Instrument {
    /// Whether to try again after `error`.
    pub(super) async fn again(&mut self, error: ScpiError, tried: &mut u32) -> Result<(), ScpiError> {
        if !error.is_of_the_wire() || *tried >= TRIES {
            return Err(error);
        }
        sleep(PAUSE * *tried).await;
        self.session.count().retries += 1;
        *tried += 1;
        Ok(())
    }

    /// Opens, identifies and verifies again if need be.
    pub(super) async fn ready(&mut self) -> Result<(), ScpiError> {
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

    pub(super) async fn set_once(&mut self, setting: &Setting) -> Result<(), ScpiError> {
        self.ready().await?;
        self.session.send(&setting.command).await?;
        self.read_back(setting).await
    }

    pub(super) async fn expect_once(&mut self, setting: &Setting) -> Result<(), ScpiError> {
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

    pub(super) async fn command_once(&mut self, command: &str) -> Result<(), ScpiError> {
        self.ready().await?;
        self.session.send(command).await?;
        self.confirm(command).await
    }

    pub(super) async fn ask_once<T>(
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

    pub(super) async fn ask_block_once<T>(
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
