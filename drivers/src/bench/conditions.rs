//! Laser, thermostat and interlocks of a bench.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep};

use super::{Surroundings, scpi::kind};
use crate::{
    Amperes, BackendErrorKind, Celsius, FaultClass, Nanometres, Watts,
    safety::{Change, Interlocks, Reading, Readings},
    scpi::{Mtd415t, SantecTsl570, ScpiError},
};

/// Readings older than this are taken again before light is believed.
const POLL: Duration = Duration::from_secs(1);
/// Pause between two looks at a thermostat that is on its way.
const LOOK: Duration = Duration::from_millis(500);

/// A laser and what it is set to.
pub struct Lamp {
    /// Its name in the station file.
    pub name: String,
    /// The laser.
    pub laser: SantecTsl570,
    /// Power.
    pub power: Watts,
    /// Wavelength.
    pub wavelength: Nanometres,
    /// Wait after it was switched on.
    pub warm_up: Duration,
    /// It goes dark when the bench is parked.
    pub dark_when_parked: bool,
}

/// A thermostat and what it is set to.
pub struct Thermostat {
    /// Its name in the station file.
    pub name: String,
    /// The controller.
    pub controller: Mtd415t,
    /// Set point.
    pub setpoint: Celsius,
    /// It is locked while the temperature is no further from the set point, in kelvin.
    pub within: f64,
    /// Highest current.
    pub current: Amperes,
    /// Longest wait until it is locked.
    pub settle: Duration,
}

/// Laser, thermostat and interlocks.
pub struct Conditions {
    lamp: Option<Lamp>,
    thermostat: Option<Thermostat>,
    /// The temperature where there is no thermostat.
    room: Celsius,
    interlocks: Interlocks,
    readings: Readings,
    taken: Option<Instant>,
    lit: bool,
}

impl Conditions {
    /// Sets the thermostat and waits until it is locked; the laser stays dark.
    ///
    /// # Errors
    /// An instrument that refuses or does not answer, or a temperature that is not reached in time.
    pub async fn new(
        lamp: Option<Lamp>,
        thermostat: Option<Thermostat>,
        room: Celsius,
        interlocks: Interlocks,
    ) -> Result<Self, BackendErrorKind> {
        let readings = Readings::default();
        let mut conditions = Self { lamp, thermostat, room, interlocks, readings, taken: None, lit: false };
        if let Some(lamp) = &mut conditions.lamp {
            lamp.off().await?;
        }
        if let Some(thermostat) = &mut conditions.thermostat {
            thermostat.lock().await?;
        }
        Ok(conditions)
    }

    async fn poll(&mut self) -> Result<(), BackendErrorKind> {
        if let Some(thermostat) = &mut self.thermostat {
            let (temperature, locked) = thermostat.look().await?;
            self.readings.temperature = Some(fresh(temperature));
            self.readings.tec_locked = Some(fresh(locked));
        }
        if let Some(lamp) = &mut self.lamp {
            let power = lamp.laser.monitor().await;
            self.readings.laser_power = match power {
                Ok(power) => power.map(fresh),
                // Its unit is not set yet: it was never lit.
                Err(ScpiError::NotReady { .. }) => None,
                Err(error) => return Err(kind(&lamp.name, error)),
            };
        }
        self.taken = Some(Instant::now());
        Ok(())
    }

    /// The readings with their present age.
    fn aged(&self) -> Readings {
        let age = self.taken.map_or(Duration::MAX, |taken| taken.elapsed());
        let Readings { temperature, tec_locked, laser_power, door_closed } = self.readings;
        Readings {
            temperature: temperature.map(|reading| Reading { age, ..reading }),
            tec_locked: tec_locked.map(|reading| Reading { age, ..reading }),
            laser_power: laser_power.map(|reading| Reading { age, ..reading }),
            door_closed: door_closed.map(|reading| Reading { age, ..reading }),
        }
    }
}

fn fresh<T>(value: T) -> Reading<T> {
    Reading { value, age: Duration::ZERO }
}

#[async_trait]
impl Surroundings for Conditions {
    async fn check(&mut self) -> Result<Celsius, BackendErrorKind> {
        if self.taken.is_none_or(|taken| taken.elapsed() >= POLL) {
            self.poll().await?;
        }
        let verdict = self.interlocks.evaluate(&self.aged());
        for change in &verdict.changed {
            match change {
                Change::Blocks(_) => tracing::warn!(%change, "interlock"),
                Change::Allows { .. } => tracing::info!(%change, "interlock"),
            }
        }
        verdict.allow()?;
        Ok(self.readings.temperature.map_or(self.room, |reading| reading.value))
    }

    async fn light(&mut self) -> Result<(), BackendErrorKind> {
        let Some(lamp) = self.lamp.as_mut().filter(|_| !self.lit) else { return Ok(()) };
        lamp.on().await?;
        self.lit = true;
        // What was read in the dark says nothing of the light.
        self.taken = None;
        Ok(())
    }

    async fn make_safe(&mut self) -> Result<(), BackendErrorKind> {
        let Some(lamp) = self.lamp.as_mut().filter(|lamp| lamp.dark_when_parked || !self.lit) else {
            return Ok(());
        };
        self.lit = false;
        self.taken = None;
        lamp.off().await
    }
}

impl Lamp {
    async fn on(&mut self) -> Result<(), BackendErrorKind> {
        let lit = self.shine().await;
        lit.map_err(|error| kind(&self.name, error))?;
        sleep(self.warm_up).await;
        Ok(())
    }

    async fn shine(&mut self) -> Result<(), ScpiError> {
        self.laser.set_power(self.power).await?;
        self.laser.set_wavelength(self.wavelength).await?;
        self.laser.emit(true).await
    }

    /// Off, also after it was switched off and on: that is told once, and changes nothing.
    async fn off(&mut self) -> Result<(), BackendErrorKind> {
        let mut off = self.laser.emit(false).await;
        if matches!(off, Err(ScpiError::Rebooted { .. } | ScpiError::SettingsLost { .. })) {
            off = self.laser.emit(false).await;
        }
        off.map_err(|error| kind(&self.name, error))
    }
}

impl Thermostat {
    async fn lock(&mut self) -> Result<(), BackendErrorKind> {
        let set = self.set().await;
        set.map_err(|error| kind(&self.name, error))?;
        let begun = Instant::now();
        loop {
            let (found, locked) = self.look().await?;
            if locked {
                return Ok(());
            }
            if begun.elapsed() >= self.settle {
                let reason = format!(
                    "{found:.3} after {:?}, the set point is {} ± {} K; check sensor and cooler, or allow more time \
                     (settle_s)",
                    self.settle, self.setpoint, self.within
                );
                return Err(BackendErrorKind::instrument(&self.name, reason, FaultClass::Device));
            }
            sleep(LOOK).await;
        }
    }

    async fn set(&mut self) -> Result<(), ScpiError> {
        self.controller.set_current_limit(self.current).await?;
        self.controller.set_temperature(self.setpoint).await
    }

    /// The temperature, and whether it is where it should be without a fault of the controller.
    async fn look(&mut self) -> Result<(Celsius, bool), BackendErrorKind> {
        let looked = self.ask().await;
        let (found, faultless) = looked.map_err(|error| kind(&self.name, error))?;
        Ok((found, faultless && (found.0 - self.setpoint.0).abs() <= self.within))
    }

    async fn ask(&mut self) -> Result<(Celsius, bool), ScpiError> {
        let found = self.controller.temperature().await?;
        let faults = self.controller.faults().await?;
        let own = faults.of_the_controller();
        if own.is_none() && faults.is_of_the_line() {
            // A garbled question, that was asked again: nothing is wrong with the temperature.
            self.controller.clear_faults().await?;
        }
        if !own.is_none() {
            tracing::warn!(device = self.name, faults = %own, "the thermostat has a fault");
        }
        Ok((found, own.is_none()))
    }
}
