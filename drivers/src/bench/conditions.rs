//! Laser, thermostat and interlocks of a bench.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep};

use super::{Surroundings, scpi::kind};
use crate::{
    Amperes, BackendErrorKind, Celsius, FaultClass, Nanometres, Watts,
    safety::{Change, Condition, Interlocks, Reading, Readings},
    scpi::{Mtd415t, SantecTsl570, ScpiError},
};

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
    /// Those that are judged before there is light.
    dark_interlocks: Interlocks,
    /// Readings older than this are taken again before light is believed.
    poll: Duration,
    readings: Readings,
    taken: Option<Instant>,
    lit: bool,
}

impl Conditions {
    /// The laser goes dark; the thermostat is left as it is.
    ///
    /// # Errors
    /// A laser that refuses or does not answer.
    pub async fn new(
        lamp: Option<Lamp>,
        thermostat: Option<Thermostat>,
        room: Celsius,
        interlocks: &[Condition],
    ) -> Result<Self, BackendErrorKind> {
        let in_the_dark: Vec<_> =
            interlocks.iter().filter(|condition| condition.name() != "laser_power").copied().collect();
        let mut conditions = Self {
            lamp,
            thermostat,
            room,
            interlocks: Interlocks::new(interlocks),
            dark_interlocks: Interlocks::new(&in_the_dark),
            poll: Interlocks::poll(interlocks),
            readings: Readings::default(),
            taken: None,
            lit: false,
        };
        if let Some(lamp) = &mut conditions.lamp {
            lamp.off().await?;
        }
        Ok(conditions)
    }

    /// Sets the thermostat and waits until it is locked: sources at rest first, as their heat may be what keeps it from it.
    ///
    /// # Errors
    /// A thermostat that refuses or does not answer, or a temperature that is not reached in time.
    pub async fn settle(&mut self) -> Result<(), BackendErrorKind> {
        match &mut self.thermostat {
            Some(thermostat) => thermostat.lock().await,
            None => Ok(()),
        }
    }

    /// What the sensors say, taken anew when it is old.
    async fn look(&mut self) -> Result<Readings, BackendErrorKind> {
        if self.taken.is_none_or(|taken| taken.elapsed() >= self.poll) {
            self.poll().await?;
        }
        let age = self.taken.map_or(Duration::MAX, |taken| taken.elapsed());
        Ok(self.readings.aged(age))
    }

    async fn poll(&mut self) -> Result<(), BackendErrorKind> {
        if let Some(thermostat) = &mut self.thermostat {
            if !thermostat.controller.is_set() {
                // It was switched off and on, which was said once: its set point is written again.
                thermostat.lock().await?;
            }
            let (temperature, locked) = thermostat.look().await?;
            self.readings.temperature = Some(fresh(temperature));
            self.readings.tec_locked = Some(fresh(locked));
        }
        if let Some(lamp) = &mut self.lamp {
            let power = lamp.laser.monitor().await;
            self.readings.laser_power = match power {
                Ok(power) => power.map(fresh),
                // Its unit is not set yet: it was never lit.
                Err(ScpiError::NotReady { .. }) if !self.lit => None,
                Err(error) => {
                    // Whether it shines is not known: it is lit anew.
                    self.lit = false;
                    return Err(kind(&lamp.name, error));
                }
            };
        }
        self.taken = Some(Instant::now());
        Ok(())
    }
}

fn fresh<T>(value: T) -> Reading<T> {
    Reading { value, age: Duration::ZERO }
}

#[async_trait]
impl Surroundings for Conditions {
    async fn check(&mut self) -> Result<Celsius, BackendErrorKind> {
        let readings = self.look().await?;
        let verdict = self.interlocks.evaluate(&readings);
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
        if self.lit || self.lamp.is_none() {
            return Ok(());
        }
        let readings = self.look().await?;
        self.dark_interlocks.evaluate(&readings).allow()?;
        if let Some(lamp) = &mut self.lamp {
            lamp.on().await?;
        }
        // What was read in the dark says nothing of the light.
        (self.lit, self.taken) = (true, None);
        let readings = self.look().await?;
        let allowed = self.interlocks.evaluate(&readings).allow();
        if let (Err(_), Some(lamp)) = (&allowed, &mut self.lamp) {
            self.lit = false;
            lamp.off().await?;
        }
        allowed
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
        self.laser.learn_command_set().await?;
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
