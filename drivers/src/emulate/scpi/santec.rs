//! An emulated Santec TSL-570.

use std::time::Duration;

use super::{
    command::{Command, Fault},
    device::{Answer, ScpiInstrument, Stuck, scientific, switch},
    noise::Noise,
};
use crate::{
    scpi::{CommandSet, LineEnding},
    units::{Nanometres, Watts},
};

/// Time that tuning takes for each nanometre.
const TUNING_PER_NM: Duration = Duration::from_millis(10);
/// Wavelengths that it reaches.
const NANOMETRES: std::ops::RangeInclusive<f64> = 1480.0..=1640.0;
/// Noise of the power monitor, as a share.
const NOISE: f64 = 1e-3;

/// Told of each change of what the laser sends out.
type Listener = Box<dyn FnMut(LaserState) + Send>;

/// What the laser sends out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LaserState {
    /// Light comes out.
    pub emits: bool,
    /// How much.
    pub power: Watts,
    /// Of which colour.
    pub wavelength: Nanometres,
}

/// A tunable laser.
pub struct EmulatedTsl570 {
    state: LaserState,
    /// The power is set and told in milliwatts, not dBm.
    milliwatts: bool,
    command_set: CommandSet,
    tuned: Duration,
    noise: Noise,
    listener: Listener,
}

impl EmulatedTsl570 {
    const POWER_ON: LaserState =
        LaserState { emits: false, power: Watts(1e-3), wavelength: Nanometres(1560.0) };

    /// In that command set, which outlives a restart.
    #[must_use]
    pub fn new(command_set: CommandSet, seed: u64) -> Self {
        Self {
            state: Self::POWER_ON,
            milliwatts: false,
            command_set,
            tuned: Duration::ZERO,
            noise: Noise::new(seed),
            listener: Box::new(|_| ()),
        }
    }

    /// `hook` is told of each change.
    #[must_use]
    pub fn heard_by(mut self, hook: impl FnMut(LaserState) + Send + 'static) -> Self {
        self.listener = Box::new(hook);
        self
    }

    /// What it sends out.
    #[must_use]
    pub fn state(&self) -> LaserState {
        self.state
    }

    fn power_text(&self, power: f64) -> Answer {
        let value = if self.milliwatts { power * 1e3 } else { 10.0 * (power.max(1e-12) * 1e3).log10() };
        Answer::Text(format!("{value:+.2}"))
    }

    fn set_power(&mut self, command: &Command) -> Result<(), Fault> {
        self.state.power = if self.milliwatts {
            Watts(command.number(0, &[("MW", 1.0)], 0.04..=20.0)? * 1e-3)
        } else {
            Watts(1e-3 * 10_f64.powf(command.number(0, &[("DBM", 1.0)], -15.0..=13.0)? / 10.0))
        };
        Ok(())
    }

    /// The unit is that of the command set: the pitfall.
    fn set_wavelength(&mut self, command: &Command, now: Duration) -> Result<(), Fault> {
        let nanometres = match self.command_set {
            CommandSet::Legacy => command.number(0, &[], NANOMETRES)?,
            CommandSet::Scpi => command.number(0, &[("NM", 1e-9), ("M", 1.0)], 0.0..=1.0)? * 1e9,
        };
        let rounded = (nanometres * 1e4).round() / 1e4;
        if !NANOMETRES.contains(&rounded) {
            return Err(Fault::OutOfRange);
        }
        let way = (rounded - self.state.wavelength.0).abs();
        self.tuned = now + TUNING_PER_NM.mul_f64(way);
        self.state.wavelength = Nanometres(rounded);
        Ok(())
    }

    fn wavelength_text(&self, nanometres: f64) -> Answer {
        Answer::Text(match self.command_set {
            CommandSet::Legacy => format!("{nanometres:.4}"),
            CommandSet::Scpi => scientific(nanometres * 1e-9, 8, 3),
        })
    }

    /// In terahertz, or in hertz.
    fn frequency_text(&self, nanometres: f64) -> Answer {
        let terahertz = 299_792.458 / nanometres;
        Answer::Text(match self.command_set {
            CommandSet::Legacy => format!("{terahertz:.5}"),
            CommandSet::Scpi => scientific(terahertz * 1e12, 8, 3),
        })
    }

    fn query(&mut self, command: &Command) -> Result<Answer, Fault> {
        if command.is("SYSTem:COMMunicate:CODe") {
            return Ok(switch(self.command_set == CommandSet::Scpi));
        }
        if command.is("POWer:UNIT") {
            return Ok(switch(self.milliwatts));
        }
        if command.is("POWer:STATe") {
            return Ok(switch(self.state.emits));
        }
        if command.is("POWer:SHUTter") {
            return Ok(switch(!self.state.emits));
        }
        if command.is("POWer:ACTual[:LEVel]") {
            let share = 1.0 + self.noise.normal(NOISE);
            let power = if self.state.emits { self.state.power.0 * share } else { 0.0 };
            return Ok(self.power_text(power));
        }
        if command.is("POWer[:LEVel]") {
            return Ok(self.power_text(self.state.power.0));
        }
        if command.is("SYSTem:ALERt") {
            return Ok(Answer::Text("No alerts.".to_owned()));
        }
        if command.is("WAVelength:SWEep:RANGe:MINimum") || command.is("WAVelength:MINimum") {
            return Ok(self.wavelength_text(*NANOMETRES.start()));
        }
        if command.is("WAVelength:SWEep:RANGe:MAXimum") || command.is("WAVelength:MAXimum") {
            return Ok(self.wavelength_text(*NANOMETRES.end()));
        }
        if command.is("WAVelength:FREQuency:MINimum") {
            return Ok(self.frequency_text(*NANOMETRES.end()));
        }
        if command.is("WAVelength:FREQuency:MAXimum") {
            return Ok(self.frequency_text(*NANOMETRES.start()));
        }
        if command.is("WAVelength") {
            return Ok(self.wavelength_text(self.state.wavelength.0));
        }
        Err(Fault::UndefinedHeader)
    }

    fn write(&mut self, command: &Command, now: Duration, stuck: &Stuck) -> Result<(), Fault> {
        if command.is("POWer:UNIT") {
            self.milliwatts = command.switch()?;
        } else if command.is("POWer:STATe") {
            self.state.emits = command.switch()?;
        } else if command.is("POWer:SHUTter") {
            self.state.emits = !command.switch()?;
        } else if command.is("SYSTem:COMMunicate:CODe") {
            self.command_set = if command.switch()? { CommandSet::Scpi } else { CommandSet::Legacy };
        } else if command.is("POWer[:LEVel]") {
            let before = self.state;
            self.set_power(command)?;
            if stuck.is(1) {
                self.state = before;
            }
        } else if command.is("WAVelength") {
            let before = self.state;
            self.set_wavelength(command, now)?;
            if stuck.is(0) {
                self.state = before;
            }
        } else {
            return Err(Fault::UndefinedHeader);
        }
        Ok(())
    }
}

impl ScpiInstrument for EmulatedTsl570 {
    fn identity(&self) -> String {
        "SANTEC,TSL-570,EMULATED01,0001.0000.0001".to_owned()
    }

    fn ending(&self) -> LineEnding {
        LineEnding::Cr
    }

    fn is_busy(&self, now: Duration) -> bool {
        now < self.tuned
    }

    fn execute(&mut self, command: &Command, now: Duration, stuck: &Stuck) -> Result<Answer, Fault> {
        if command.query {
            return self.query(command);
        }
        self.write(command, now, stuck)?;
        (self.listener)(self.state);
        Ok(Answer::None)
    }

    fn restart(&mut self) {
        (self.state, self.milliwatts) = (Self::POWER_ON, false);
        (self.listener)(self.state);
    }
}
