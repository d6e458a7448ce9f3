//! Thorlabs MTD415T temperature controller: a letter, a whole number, a line feed, on a serial line of 115200 baud.
//!
//! Source: the data sheet as public drivers cite it (`thorlabs-mtd415t`, openQCM). Temperatures are in thousandths of a degree,
//! currents in milliamperes, voltages in millivolts. `M`, which writes the settings into flash, is never sent. Whether a setting
//! is answered with a line depends on the firmware: both are taken.
//!
//! The line has no checksum and numbers have no names, so each number is asked for between two things that look like no number:
//! `u?`, the controller's own 32 hexadecimal digits, has to be the very next line after it. A surplus or late line shifts the
//! digits out of their place and is found. Readings count when four in a row agree.

mod faults;
mod once;

use std::{ops::RangeInclusive, sync::Arc, time::Duration};

use super::{
    error::{ScpiError, within},
    line::LineEnding,
    session::{Dialect, Session},
};
use crate::{
    link::{Connector, LinkStatistics},
    units::{Amperes, Celsius, Volts},
};

pub use faults::ControllerFaults;

/// What the controller itself can be set to.
const CELSIUS: RangeInclusive<f64> = 5.0..=45.0;
const AMPERES: RangeInclusive<f64> = 0.2..=2.0;
/// Readings this close agree.
const AGREE: i64 = 50;

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

    /// Set point and current limit were written, and not lost since.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.setpoint.is_some() && self.current_limit.is_some()
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
}

fn celsius(millidegrees: i64) -> Celsius {
    Celsius(millidegrees as f64 * 1e-3)
}

fn amperes(milliamperes: i64) -> Amperes {
    Amperes(milliamperes as f64 * 1e-3)
}
