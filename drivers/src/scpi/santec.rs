//! Santec TSL-570 tunable laser.
//!
//! Sources: Santec's public control scripts for the TSL series, QMI's `tsl_570` (lines end with CR, error table) and
//! PyMeasure's `TSL570`. The pitfall: after `:SYST:COMM:COD 0` ("legacy") `:WAV` is in nanometres and takes no unit, after
//! `:SYST:COMM:COD 1` ("SCPI") it is in metres. The command set is asked for, never changed, and verified after each new
//! connection; a wavelength is only believed when it is one in that unit. `:POW` is in what `:POW:UNIT` says: 1 is milliwatts.
//! `:POW:SHUT 1` closes the shutter, the reverse of `:POW:STAT 1`.

use std::{ops::RangeInclusive, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    error::{ScpiError, within},
    identity::Model,
    instrument::{BootSign, Instrument},
    line::LineEnding,
    number::{reading, sent},
    session::Dialect,
    setting::{Held, Setting},
};
use crate::{
    link::Connector,
    units::{Nanometres, Watts},
};

const MODEL: Model =
    Model { name: "a Santec TSL-570 laser", makers: &["SANTEC"], models: &["TSL-570", "TSL570"] };
/// Wavelengths at which such a laser can be at all; outside, a unit was mistaken.
const PLAUSIBLE: RangeInclusive<f64> = 1000.0..=2000.0;
/// What the instrument itself can be set to, in milliwatts.
const MILLIWATTS: RangeInclusive<f64> = 0.04..=20.0;
/// Longest time that tuning takes.
const TUNING: Duration = Duration::from_secs(15);

const COMMAND_SET: &str = ":SYST:COMM:COD";
const UNIT: &str = ":POW:UNIT";
const POWER: &str = ":POW";
const WAVELENGTH: &str = ":WAV";
const EMISSION: &str = ":POW:STAT";
const SHUTTER: &str = ":POW:SHUT";

/// Command set, and with it the unit of wavelengths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandSet {
    /// Wavelengths in nanometres.
    Legacy,
    /// Wavelengths in metres.
    Scpi,
}

/// What may be asked of the laser: from the station file.
#[derive(Clone, Debug, PartialEq)]
pub struct LaserLimits {
    /// Highest power.
    pub power: Watts,
    /// Shortest wavelength.
    pub shortest: Nanometres,
    /// Longest wavelength.
    pub longest: Nanometres,
}

/// A tunable laser.
pub struct SantecTsl570 {
    instrument: Instrument,
    limits: LaserLimits,
    command_set: CommandSet,
}

impl SantecTsl570 {
    /// Connects, identifies and asks for the command set. No setting is touched.
    ///
    /// # Errors
    /// Limits beyond the instrument's; no answer, or another instrument.
    pub async fn connect(connector: Arc<dyn Connector>, limits: LaserLimits) -> Result<Self, ScpiError> {
        within("highest power", limits.power.0 * 1e3, MILLIWATTS, "mW")?;
        within("shortest wavelength", limits.shortest.0, PLAUSIBLE, "nm")?;
        within("longest wavelength", limits.longest.0, limits.shortest.0..=*PLAUSIBLE.end(), "nm")?;
        let dialect = Dialect::new(LineEnding::Cr);
        let mut instrument = Instrument::connect(connector, dialect, MODEL, BootSign::PowerOnEvent).await?;
        let command_set = learned(&mut instrument).await?;
        Ok(Self { instrument, limits, command_set })
    }

    /// Asks for the command set anew: after the laser was switched off and on it may be another, and is not believed before.
    ///
    /// # Errors
    /// The instrument refuses or does not answer.
    pub async fn learn_command_set(&mut self) -> Result<(), ScpiError> {
        self.command_set = learned(&mut self.instrument).await?;
        Ok(())
    }

    /// The instrument below, for its identity, statistics and known settings.
    #[must_use]
    pub fn instrument(&self) -> &Instrument {
        &self.instrument
    }

    /// The command set that the instrument was found in.
    #[must_use]
    pub fn command_set(&self) -> CommandSet {
        self.command_set
    }

    /// Sets the power and reads it back.
    ///
    /// # Errors
    /// A power above the station's limit or outside the instrument's range (nothing is sent); the instrument refuses, or
    /// holds something else.
    pub async fn set_power(&mut self, power: Watts) -> Result<(), ScpiError> {
        let milliwatts = power.0 * 1e3;
        within("laser power", milliwatts, *MILLIWATTS.start()..=self.limits.power.0 * 1e3, "mW")?;
        // In steps of 0.01 mW, towards less.
        let steps = (milliwatts * 100.0 + 1e-6).floor() / 100.0;
        self.instrument.set(Setting::switch(UNIT, true)).await?;
        let held = Held::Number { value: steps, tolerance: 0.005 };
        self.instrument.set(Setting::new(POWER, format!("{steps:.2}"), held)).await
    }

    /// Tunes, waits until it is done and reads the wavelength back.
    ///
    /// # Errors
    /// A wavelength outside the station's limits, or an unknown command set (nothing is sent); the instrument refuses, or
    /// holds something else.
    pub async fn set_wavelength(&mut self, wavelength: Nanometres) -> Result<(), ScpiError> {
        within("wavelength", wavelength.0, self.limits.shortest.0..=self.limits.longest.0, "nm")?;
        self.require_command_set("a wavelength is set")?;
        // In steps of 0.1 pm.
        let (value, held) = match self.command_set {
            CommandSet::Legacy => {
                let held = Held::Number { value: wavelength.0, tolerance: 0.6e-4 };
                (format!("{:.4}", wavelength.0), held)
            }
            CommandSet::Scpi => {
                let held = Held::Number { value: wavelength.0 * 1e-9, tolerance: 0.6e-13 };
                (sent(wavelength.0 * 1e-9), held)
            }
        };
        self.instrument.set(Setting::new(WAVELENGTH, value, held)).await?;
        self.instrument.complete(TUNING).await
    }

    /// The wavelength that the laser says it is set to.
    ///
    /// # Errors
    /// No answer, or a number that is no wavelength in the unit of the command set.
    pub async fn wavelength(&mut self) -> Result<Nanometres, ScpiError> {
        self.require_command_set("a wavelength is read")?;
        let (scale, expected) = match self.command_set {
            CommandSet::Legacy => (1.0, "a wavelength in nanometres (legacy command set)"),
            CommandSet::Scpi => (1e9, "a wavelength in metres (SCPI command set)"),
        };
        self.instrument
            .ask(":WAV?", None, |answer| {
                let value = reading(answer).ok().flatten().map(|value| value * scale);
                value
                    .filter(|value| PLAUSIBLE.contains(value))
                    .map(Nanometres)
                    .ok_or_else(|| expected.to_owned())
            })
            .await
    }

    /// Light on or off: laser and shutter. Off closes the shutter first.
    ///
    /// # Errors
    /// On before power and wavelength were set (nothing is sent); the instrument refuses, or holds something else.
    pub async fn emit(&mut self, on: bool) -> Result<(), ScpiError> {
        if on {
            let known = [":POW:UNIT?", ":POW?", ":WAV?"];
            self.instrument.require(&known, "set power and wavelength", "the laser is switched on")?;
            self.instrument.set(Setting::switch(EMISSION, true)).await?;
            self.instrument.set(Setting::switch(SHUTTER, false)).await
        } else {
            self.instrument.set(Setting::switch(SHUTTER, true)).await?;
            self.instrument.set(Setting::switch(EMISSION, false)).await
        }
    }

    /// Power at the laser's own monitor; `None` where it has none to give.
    ///
    /// # Errors
    /// The unit is not known to be milliwatts; the instrument refuses or does not answer.
    pub async fn monitor(&mut self) -> Result<Option<Watts>, ScpiError> {
        self.instrument.require(&[":POW:UNIT?"], "set the power", "the monitor is read")?;
        let parse = |answer: &str| reading(answer).map_err(|error| error.to_string());
        let milliwatts = self.instrument.ask(":POW:ACT?", None, parse).await?;
        Ok(milliwatts.map(|milliwatts| Watts(milliwatts * 1e-3)))
    }

    fn require_command_set(&self, then: &str) -> Result<(), ScpiError> {
        let query = format!("{COMMAND_SET}?");
        self.instrument.require(&[&query], "connect again to learn the command set", then)
    }
}

/// The command set, which from then on is verified after each new connection.
async fn learned(instrument: &mut Instrument) -> Result<CommandSet, ScpiError> {
    let command_set = instrument.ask(&format!("{COMMAND_SET}?"), None, command_set).await?;
    instrument.expect(Setting::switch(COMMAND_SET, command_set == CommandSet::Scpi)).await?;
    Ok(command_set)
}

fn command_set(answer: &str) -> Result<CommandSet, String> {
    match answer.trim_start_matches('+') {
        "0" => Ok(CommandSet::Legacy),
        "1" => Ok(CommandSet::Scpi),
        _ => Err("0 (legacy) or 1 (SCPI)".to_owned()),
    }
}
