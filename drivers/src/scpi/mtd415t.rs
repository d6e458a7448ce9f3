//! Thorlabs MTD415T temperature controller: a letter, a whole number, a line feed, on a serial line of 115200 baud.
//!
//! Source: the data sheet as public drivers cite it (`thorlabs-mtd415t`, openQCM). Temperatures are in thousandths of a degree,
//! currents in milliamperes, voltages in millivolts. `M`, which writes the settings into flash, is never sent. Whether a setting
//! is answered with a line depends on the firmware: both are taken.
//!
//! The line has no checksum and numbers have no names, so each number is asked for between two things that look like no number:
//! `u?`, the controller's own 32 hexadecimal digits, has to be the very next line after it. A surplus or late line shifts the
//! digits out of their place and is found. Readings count when four in a row agree.

use std::{fmt, ops::RangeInclusive, sync::Arc, time::Duration};

use tokio::time::sleep;

use super::{
    error::{ScpiError, shown, within},
    line::LineEnding,
    number::integer,
    session::{Dialect, Session},
};
use crate::{
    link::{Connector, LinkStatistics},
    units::{Amperes, Celsius, Volts},
};

const NAME: &str = "a Thorlabs MTD415T temperature controller";
const MODEL: &str = "MTD415T";
/// What the controller itself can be set to.
const CELSIUS: RangeInclusive<f64> = 5.0..=45.0;
const AMPERES: RangeInclusive<f64> = 0.2..=2.0;
/// Longest delay after which a late answer has been seen, with room: a USB adapter's latency timer and a busy controller.
const LATE: Duration = Duration::from_millis(300);
/// End of waiting for the line to fall silent.
const NOISY: Duration = Duration::from_secs(5);
/// Tries of what asking again may mend.
const TRIES: u32 = 4;
/// Lines before the digits that are passed over after a setting: its own answer.
const OWN_ANSWERS: usize = 1;
/// Readings this close agree.
const AGREE: i64 = 50;
/// So many readings in a row have to agree: with three zeros in a number, two that lost one each look alike often enough.
const READINGS: usize = 4;

/// Temperatures and current that may be asked for: from the station file.
#[derive(Clone, Debug, PartialEq)]
pub struct TemperatureLimits {
    /// Lowest set point.
    pub lowest: Celsius,
    /// Highest set point.
    pub highest: Celsius,
    /// Highest current limit.
    pub current: Amperes,
}

/// The controller's error register.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ControllerFaults(pub u16);

/// Bits of the register, in words.
const FAULTS: [(u16, &str); 9] = [
    (0, "not enabled: the enable pin is open"),
    (1, "the controller itself is too hot"),
    (2, "thermal latch-up: at its current limit without effect"),
    (3, "cycling time too short"),
    (4, "no temperature sensor"),
    (5, "no thermoelectric cooler"),
    (6, "the cooler's polarity is reversed"),
    (13, "a value was out of range"),
    (14, "a command was not understood"),
];

impl ControllerFaults {
    /// No fault.
    #[must_use]
    pub fn is_none(self) -> bool {
        self.0 == 0
    }

    /// A value or command that did not arrive as it was sent.
    #[must_use]
    pub fn is_of_the_line(self) -> bool {
        self.0 & ((1 << 13) | (1 << 14)) != 0
    }
}

impl fmt::Display for ControllerFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = FAULTS.iter().filter(|(bit, _)| self.0 & (1 << bit) != 0);
        let mut words: Vec<String> = known.map(|(_, word)| (*word).to_owned()).collect();
        let unknown = FAULTS.iter().fold(self.0, |left, (bit, _)| left & !(1 << bit));
        if unknown != 0 {
            words.push(format!("unknown bits {unknown:#06x}"));
        }
        f.write_str(&if words.is_empty() { "no fault".to_owned() } else { words.join("; ") })
    }
}

/// A temperature controller.
pub struct Mtd415t {
    session: Session,
    limits: TemperatureLimits,
    firmware: String,
    /// Its 32 digits, by which answers are kept apart.
    digits: String,
    setpoint: Option<i64>,
    current_limit: Option<i64>,
    /// The line is silent and leads to the known controller, which holds what was written.
    verified: bool,
}

impl Mtd415t {
    /// Connects and identifies. No setting is touched.
    ///
    /// # Errors
    /// Limits beyond the controller's; no answer, or another device.
    pub async fn connect(
        connector: Arc<dyn Connector>,
        limits: TemperatureLimits,
    ) -> Result<Self, ScpiError> {
        within("lowest set point", limits.lowest.0, CELSIUS, "°C")?;
        within("highest set point", limits.highest.0, limits.lowest.0..=*CELSIUS.end(), "°C")?;
        within("highest current limit", limits.current.0, AMPERES, "A")?;
        let dialect = Dialect { patience: Duration::from_secs(1), ..Dialect::new(LineEnding::Lf) };
        let mut controller = Self {
            session: Session::new(connector, Dialect { longest_line: 64, ..dialect }),
            limits,
            firmware: String::new(),
            digits: String::new(),
            setpoint: None,
            current_limit: None,
            verified: false,
        };
        let mut tried = 1;
        while let Err(error) = controller.ready().await {
            controller.again(error, &mut tried).await?;
        }
        Ok(controller)
    }

    /// What the controller says of its firmware.
    #[must_use]
    pub fn firmware(&self) -> &str {
        &self.firmware
    }

    /// The controller's own 32 digits.
    #[must_use]
    pub fn digits(&self) -> &str {
        &self.digits
    }

    /// What the link has seen.
    #[must_use]
    pub fn statistics(&self) -> LinkStatistics {
        self.session.statistics()
    }

    /// The set point as written and read back; `None`: unknown.
    #[must_use]
    pub fn held_setpoint(&self) -> Option<Celsius> {
        self.setpoint.filter(|_| self.is_verified()).map(celsius)
    }

    /// The current limit as written and read back; `None`: unknown.
    #[must_use]
    pub fn held_current_limit(&self) -> Option<Amperes> {
        self.current_limit.filter(|_| self.is_verified()).map(amperes)
    }

    /// Limits the current and reads it back.
    ///
    /// # Errors
    /// A limit beyond the station's (nothing is sent); the controller refuses, or holds something else.
    pub async fn set_current_limit(&mut self, limit: Amperes) -> Result<(), ScpiError> {
        within("current limit", limit.0, *AMPERES.start()..=self.limits.current.0, "A")?;
        self.current_limit = None;
        // Towards less.
        let milliamperes = (limit.0 * 1e3 + 1e-6).floor() as i64;
        self.set('L', milliamperes).await?;
        self.current_limit = Some(milliamperes);
        Ok(())
    }

    /// Sets the temperature and reads it back.
    ///
    /// # Errors
    /// A set point outside the station's limits, or no current limit set before (nothing is sent); the controller refuses,
    /// or holds something else.
    pub async fn set_temperature(&mut self, setpoint: Celsius) -> Result<(), ScpiError> {
        within("set point", setpoint.0, self.limits.lowest.0..=self.limits.highest.0, "°C")?;
        if self.current_limit.is_none() {
            return Err(ScpiError::NotReady {
                place: self.session.place(),
                first: "limit the current".to_owned(),
                then: "a temperature is set".to_owned(),
            });
        }
        self.setpoint = None;
        let millidegrees = (setpoint.0 * 1e3).round() as i64;
        self.set('T', millidegrees).await?;
        self.setpoint = Some(millidegrees);
        Ok(())
    }

    /// The temperature at the sensor: four readings in a row that agree within 0.05 °C.
    ///
    /// # Errors
    /// No answer, or no readings that agree.
    pub async fn temperature(&mut self) -> Result<Celsius, ScpiError> {
        Ok(celsius(self.agreed("Te?", -50_000..=150_000, AGREE).await?))
    }

    /// The current through the cooler; positive cools.
    ///
    /// # Errors
    /// No answer, or no readings that agree.
    pub async fn current(&mut self) -> Result<Amperes, ScpiError> {
        Ok(amperes(self.agreed("A?", -3000..=3000, AGREE).await?))
    }

    /// The voltage at the cooler.
    ///
    /// # Errors
    /// No answer, or no readings that agree.
    pub async fn voltage(&mut self) -> Result<Volts, ScpiError> {
        Ok(Volts(self.agreed("U?", -10_000..=10_000, AGREE).await? as f64 * 1e-3))
    }

    /// The error register.
    ///
    /// # Errors
    /// No answer, or no readings that are alike.
    pub async fn faults(&mut self) -> Result<ControllerFaults, ScpiError> {
        let register = self.agreed("E?", 0..=i64::from(u16::MAX), 0).await?;
        Ok(ControllerFaults(register as u16))
    }

    /// Clears the error register.
    ///
    /// # Errors
    /// No answer.
    pub async fn clear_faults(&mut self) -> Result<(), ScpiError> {
        let mut tried = 1;
        while let Err(error) = self.command_once("c").await {
            self.again(error, &mut tried).await?;
        }
        Ok(())
    }

    fn is_verified(&self) -> bool {
        self.verified && self.session.is_open()
    }

    async fn again(&mut self, error: ScpiError, tried: &mut u32) -> Result<(), ScpiError> {
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
    async fn ready(&mut self) -> Result<(), ScpiError> {
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

    async fn set(&mut self, letter: char, value: i64) -> Result<(), ScpiError> {
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

    async fn setting(&mut self, letter: char) -> Result<i64, ScpiError> {
        self.number(&format!("{letter}?"), 0..=100_000).await
    }

    async fn command_once(&mut self, command: &str) -> Result<(), ScpiError> {
        self.ready().await?;
        self.session.send(command).await?;
        self.find_digits(command, OWN_ANSWERS).await
    }

    async fn agreed(
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
    async fn number(&mut self, query: &str, plausible: RangeInclusive<i64>) -> Result<i64, ScpiError> {
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

fn celsius(millidegrees: i64) -> Celsius {
    Celsius(millidegrees as f64 * 1e-3)
}

fn amperes(milliamperes: i64) -> Amperes {
    Amperes(milliamperes as f64 * 1e-3)
}
