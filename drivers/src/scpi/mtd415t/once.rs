//! One try of each thing, on a silent line; numbers between digits.

use std::{ops::RangeInclusive, time::Duration};

use tokio::time::sleep;

use super::Mtd415t;
use crate::scpi::{
    error::{ScpiError, shown},
    number::integer,
};

const NAME: &str = "a Thorlabs MTD415T temperature controller";
const MODEL: &str = "MTD415T";
/// Longest delay after which a late answer has been seen, with room: a USB adapter's latency timer and a busy controller.
const LATE: Duration = Duration::from_millis(300);
/// End of waiting for the line to fall silent.
const NOISY: Duration = Duration::from_secs(5);
/// Tries of what asking again may mend.
const TRIES: u32 = 4;
/// Lines before the digits that are passed over after a setting: its own answer.
const OWN_ANSWERS: usize = 1;
/// So many readings in a row have to agree: with three zeros in a number, two that lost one each look alike often enough.
const READINGS: usize = 4;

impl Mtd415t {
    pub(super) fn is_verified(&self) -> bool {
        self.verified && self.session.is_open()
    }

    pub(super) async fn again(&mut self, error: ScpiError, tried: &mut u32) -> Result<(), ScpiError> {
        // Whatever came that should not have: the line is silent before anything is asked again.
        self.verified = false;
        let is_mendable = error.is_of_the_wire() || matches!(error, ScpiError::NotHeld { .. });
        if !is_mendable || *tried >= TRIES {
            return Err(error);
        }
        sleep(LATE * *tried).await;
        self.session.count().retries += 1;
        *tried += 1;
        Ok(())
    }

    /// Waits until the line is silent, and finds out who is there and whether it holds what was written.
    pub(super) async fn ready(&mut self) -> Result<(), ScpiError> {
        if self.is_verified() {
            return Ok(());
        }
        self.verified = false;
        self.session.open().await?;
        // Whatever half a line is left in the controller's buffer ends here.
        self.session.send("").await?;
        self.session.drain(LATE, NOISY).await?;
        let firmware = self.session.ask("m?").await?;
        self.check_model(&firmware)?;
        let digits = self.session.ask("u?").await?;
        let is_digits = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_digits {
            return Err(self.misread("u?", &digits, "32 hexadecimal digits"));
        }
        // Twice, for a flipped bit in the digits would be looked for from then on.
        if self.session.ask("u?").await? != digits {
            return Err(self.misread("u?", &digits, "the same 32 digits twice"));
        }
        self.check_digits(&digits, &firmware)?;
        (self.firmware, self.digits) = (firmware, digits);
        self.verify().await?;
        self.verified = true;
        Ok(())
    }

    fn check_model(&mut self, firmware: &str) -> Result<(), ScpiError> {
        if firmware.starts_with(MODEL) {
            return Ok(());
        }
        // A flipped bit looks like another device once, but not again and again.
        Err(self.misread("m?", firmware, NAME))
    }

    fn check_digits(&mut self, digits: &str, firmware: &str) -> Result<(), ScpiError> {
        if self.digits.is_empty() || self.digits == digits {
            return Ok(());
        }
        self.session.close();
        Err(ScpiError::WrongInstrument {
            place: self.session.place(),
            found: format!("{firmware} {digits}"),
            expected: format!("{} {}", self.firmware, self.digits),
        })
    }

    /// Finds out whether the controller holds what was written; what it does not is unknown from then on.
    async fn verify(&mut self) -> Result<(), ScpiError> {
        let mut lost = Vec::new();
        for (letter, written) in [('L', self.current_limit), ('T', self.setpoint)] {
            let Some(written) = written else { continue };
            let held = self.setting(letter).await?;
            if held == written {
                continue;
            }
            // Twice, as a flipped bit would look like a lost setting.
            let again = self.setting(letter).await?;
            if again != held {
                let answers = format!("{held}, then {again}");
                return Err(self.misread(&format!("{letter}?"), &answers, "the same number twice"));
            }
            lost.push((letter, format!("{letter}? {held}, expected {written}")));
        }
        if lost.is_empty() {
            return Ok(());
        }
        for (letter, _) in &lost {
            match letter {
                'L' => self.current_limit = None,
                _ => self.setpoint = None,
            }
        }
        self.verified = true;
        let lost: Vec<String> = lost.into_iter().map(|(_, words)| words).collect();
        Err(ScpiError::SettingsLost { place: self.session.place(), lost: lost.join(", ") })
    }

    pub(super) async fn set(&mut self, letter: char, value: i64) -> Result<(), ScpiError> {
        let mut tried = 1;
        while let Err(error) = self.set_once(letter, value).await {
            self.again(error, &mut tried).await?;
        }
        Ok(())
    }

    async fn set_once(&mut self, letter: char, value: i64) -> Result<(), ScpiError> {
        let command = format!("{letter}{value}");
        self.command_once(&command).await?;
        let held = self.setting(letter).await?;
        let again = self.setting(letter).await?;
        if (held, again) != (value, value) {
            return Err(ScpiError::NotHeld {
                place: self.session.place(),
                query: format!("{letter}?"),
                command,
                found: held.to_string(),
                expected: value.to_string(),
            });
        }
        // A write that arrived garbled may have gone to another letter; so may a restart have met the others.
        self.verify().await
    }

    pub(super) async fn setting(&mut self, letter: char) -> Result<i64, ScpiError> {
        self.number(&format!("{letter}?"), 0..=100_000).await
    }

    pub(super) async fn command_once(&mut self, command: &str) -> Result<(), ScpiError> {
        self.ready().await?;
        self.session.send(command).await?;
        self.find_digits(command, OWN_ANSWERS).await
    }

    pub(super) async fn agreed(
        &mut self,
        query: &str,
        plausible: RangeInclusive<i64>,
        apart: i64,
    ) -> Result<i64, ScpiError> {
        let mut tried = 1;
        loop {
            match self.agreed_once(query, &plausible, apart).await {
                Err(error) => self.again(error, &mut tried).await?,
                answered => return answered,
            }
        }
    }

    async fn agreed_once(
        &mut self,
        query: &str,
        plausible: &RangeInclusive<i64>,
        apart: i64,
    ) -> Result<i64, ScpiError> {
        self.ready().await?;
        let first = self.number(query, plausible.clone()).await?;
        let mut last = first;
        for _ in 1..READINGS {
            last = self.number(query, plausible.clone()).await?;
            if (first - last).abs() > apart {
                let answers = format!("{first}, then {last}");
                return Err(self.misread(query, &answers, "numbers that agree"));
            }
        }
        Ok(last)
    }

    /// Asks for a number, behind which the very next line has to be the digits.
    pub(super) async fn number(
        &mut self,
        query: &str,
        plausible: RangeInclusive<i64>,
    ) -> Result<i64, ScpiError> {
        let answer = self.session.ask(query).await?;
        let number = integer(&answer).ok().filter(|number| plausible.contains(number));
        let Some(number) = number else { return Err(self.misread(query, &answer, "a whole number")) };
        self.find_digits(query, 0).await?;
        Ok(number)
    }

    async fn find_digits(&mut self, behind: &str, passed_over: usize) -> Result<(), ScpiError> {
        let ending = self.session.dialect().ending;
        let patience = self.session.dialect().patience;
        let digits = self.digits.clone();
        let longest = (passed_over + 1) * 64;
        let found = self.session.exchange("u?", patience, Some(longest), |received| {
            let mut from = 0;
            for _ in 0..=passed_over {
                let Some((line, taken)) = ending.line(&received[from..]) else { return Ok(None) };
                from += taken;
                if line == digits.as_bytes() {
                    return Ok(Some(((), from)));
                }
            }
            Err("the controller's digits".to_owned())
        });
        found.await.map_err(|error| match error {
            ScpiError::Malformed { place, answer, expected, .. } => {
                ScpiError::Malformed { place, query: format!("u? behind {behind}"), answer, expected }
            }
            other => other,
        })
    }

    fn misread(&mut self, query: &str, answer: &str, expected: &str) -> ScpiError {
        self.session.close();
        self.session.malformed(query, shown(answer.as_bytes()), expected)
    }
}
