//! Keithley 2450 source meter: sources volts with a current limit, measures current.
//!
//! Commands as PyMeasure's driver writes them. The instrument has three command sets; only `SCPI` is spoken here.

use std::{ops::RangeInclusive, sync::Arc};

use super::{
    error::{ScpiError, within},
    identity::Model,
    instrument::{BootSign, Instrument},
    line::LineEnding,
    number::{number, reading, sent},
    session::Dialect,
    setting::{Held, Setting},
};
use crate::{
    link::Connector,
    units::{Amperes, Volts},
};

const MODEL: Model =
    Model { name: "a Keithley 2450 source meter", makers: &["KEITHLEY"], models: &["MODEL 2450"] };
/// What the instrument itself can source and take.
const VOLTS: RangeInclusive<f64> = -210.0..=210.0;
const AMPERES: RangeInclusive<f64> = 1e-9..=1.05;

const FUNCTION: &str = ":SOUR:FUNC?";
const COMPLIANCE: &str = ":SOUR:VOLT:ILIM?";
const LEVEL: &str = ":SOUR:VOLT:LEV?";
const OUTPUT: &str = "OUTPUT?";

/// What may be asked of the source: from the station file.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceLimits {
    /// Lowest voltage.
    pub lowest: Volts,
    /// Highest voltage.
    pub highest: Volts,
    /// Highest current limit.
    pub compliance: Amperes,
}

/// One measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SourceReading {
    /// Current; `None` where the instrument had none to give.
    pub current: Option<Amperes>,
    /// The current limit was at work: the voltage is not the one that was set.
    pub limited: bool,
}

/// A source meter that sources volts.
pub struct Keithley2450 {
    instrument: Instrument,
    limits: SourceLimits,
}

impl Keithley2450 {
    /// Connects, identifies and checks the command set. No setting is touched.
    ///
    /// # Errors
    /// Limits beyond the instrument's; no answer, another instrument, or another command set.
    pub async fn connect(connector: Arc<dyn Connector>, limits: SourceLimits) -> Result<Self, ScpiError> {
        within("lowest voltage", limits.lowest.0, VOLTS, "V")?;
        within("highest voltage", limits.highest.0, limits.lowest.0..=*VOLTS.end(), "V")?;
        within("highest current limit", limits.compliance.0, AMPERES, "A")?;
        let dialect = Dialect::new(LineEnding::Lf);
        let mut instrument = Instrument::connect(connector, dialect, MODEL, BootSign::PowerOnEvent).await?;
        let language = instrument.ask("*LANG?", None, |answer| Ok(answer.to_owned())).await?;
        if language != "SCPI" {
            return Err(ScpiError::WrongInstrument {
                place: instrument.place(),
                found: format!("{} with command set {language}", instrument.identity()),
                expected: "command set SCPI (send `*LANG SCPI` and switch it off and on)".to_owned(),
            });
        }
        Ok(Self { instrument, limits })
    }

    /// The instrument below, for its identity, statistics and known settings.
    #[must_use]
    pub fn instrument(&self) -> &Instrument {
        &self.instrument
    }

    /// Output off, 0 V, current limit, current as what is measured; all read back, in this order.
    ///
    /// # Errors
    /// A limit beyond the station's (nothing is sent); the instrument refuses, or holds something else.
    pub async fn configure(&mut self, compliance: Amperes) -> Result<(), ScpiError> {
        within("current limit", compliance.0, *AMPERES.start()..=self.limits.compliance.0, "A")?;
        self.output(false).await?;
        let volt = Held::Word(&["VOLT", "VOLTAGE"]);
        self.instrument.set(Setting::new(":SOUR:FUNC", "VOLT", volt)).await?;
        self.instrument
            .set(Setting::new(":SOUR:VOLT:ILIM", sent(compliance.0), Held::number(compliance.0)))
            .await?;
        self.instrument.set(level(Volts(0.0))).await?;
        self.instrument.set(Setting::switch(":SOUR:VOLT:RANG:AUTO", true)).await?;
        let current = Held::Word(&["CURR:DC", "CURR", "CURRENT", "CURRENT:DC"]);
        self.instrument.set(Setting::new(":SENS:FUNC", "'CURR'", current)).await?;
        self.instrument.set(Setting::switch(":SENS:CURR:RANG:AUTO", true)).await
    }

    /// Sets the voltage, whether the output is on or off, and reads it back.
    ///
    /// # Errors
    /// A voltage outside the station's limits, or no current limit set before (nothing is sent); the instrument refuses, or
    /// holds something else.
    pub async fn set_volts(&mut self, volts: Volts) -> Result<(), ScpiError> {
        within("voltage", volts.0, self.limits.lowest.0..=self.limits.highest.0, "V")?;
        let limited = [FUNCTION, COMPLIANCE];
        self.instrument.require(&limited, "configure the current limit", "a voltage is set")?;
        self.instrument.set(level(volts)).await
    }

    /// The voltage that it is set to, as it says; 0 V while the output is off.
    ///
    /// # Errors
    /// The instrument refuses or does not answer.
    pub async fn volts(&mut self) -> Result<Volts, ScpiError> {
        let on = |answer: &str| Held::Switch(true).is_said_by(answer).ok_or_else(|| "0 or 1".to_owned());
        if !self.instrument.ask(OUTPUT, None, on).await? {
            return Ok(Volts(0.0));
        }
        self.instrument
            .ask(LEVEL, None, |answer| number(answer).map(Volts).map_err(|error| error.to_string()))
            .await
    }

    /// Switches the output.
    ///
    /// # Errors
    /// On without current limit and voltage set before (nothing is sent); the instrument refuses, or holds something else.
    pub async fn output(&mut self, on: bool) -> Result<(), ScpiError> {
        if on {
            let known = [FUNCTION, COMPLIANCE, LEVEL];
            self.instrument.require(&known, "set current limit and voltage", "the output is switched on")?;
        }
        let command = if on { "OUTPUT ON" } else { "OUTPUT OFF" };
        let held = Held::Switch(on);
        self.instrument.set(Setting { command: command.to_owned(), query: OUTPUT.to_owned(), held }).await
    }

    /// Whether the current limit is at work: then the voltage is not the one that was set.
    ///
    /// # Errors
    /// The instrument refuses or does not answer.
    pub async fn is_limited(&mut self) -> Result<bool, ScpiError> {
        let said = |answer: &str| Held::Switch(true).is_said_by(answer).ok_or_else(|| "0 or 1".to_owned());
        self.instrument.ask(":SOUR:VOLT:ILIM:TRIP?", None, said).await
    }

    /// Measures the current.
    ///
    /// # Errors
    /// The output is not on; the instrument refuses or does not answer.
    pub async fn measure(&mut self) -> Result<SourceReading, ScpiError> {
        self.instrument.require(&[OUTPUT, LEVEL, COMPLIANCE], "switch the output on", "a current is read")?;
        let parse = |answer: &str| reading(answer).map_err(|error| error.to_string());
        let current = self.instrument.ask(":READ?", None, parse).await?.map(Amperes);
        let limited = self.is_limited().await?;
        Ok(SourceReading { current, limited })
    }
}

fn level(volts: Volts) -> Setting {
    // 0 V comes back as 0, or as a trace of it.
    let held = Held::Number { value: volts.0, tolerance: volts.0.abs() * 1e-6 + 1e-9 };
    Setting::new(":SOUR:VOLT:LEV", sent(volts.0), held)
}
