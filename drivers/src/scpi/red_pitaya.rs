//! Red Pitaya: two fast outputs within ±1 V and two fast inputs, over the SCPI server at port 5000.
//!
//! Commands as the official client writes them. Names have changed between releases of its operating system: what the server
//! says that it knows is recorded. Binary numbers are big-endian, as in the official client.

use std::{sync::Arc, time::Duration};

use super::{
    block::{ByteOrder, singles},
    error::{ScpiError, within},
    identity::Model,
    instrument::{BootSign, Instrument},
    line::LineEnding,
    number::{number, valid},
    session::Dialect,
    setting::{Held, Setting},
};
use crate::{link::Connector, units::Volts};

const MODEL: Model = Model { name: "a Red Pitaya", makers: &["REDPITAYA"], models: &["INSTR"] };
/// Samples that the buffer holds.
const BUFFER: usize = 16_384;
/// Samples a second without decimation.
const RATE: f64 = 125e6;
/// The list of commands is long.
const LONGEST_LINE: usize = 1 << 17;

/// What to record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acquisition {
    /// Input, 1 or 2.
    pub input: u8,
    /// 1, 2, 4, … 65536: the rate is 125 MS/s divided by it. Samples between are averaged.
    pub decimation: u32,
    /// 1 to 16384.
    pub samples: usize,
}

/// A Red Pitaya.
pub struct RedPitaya {
    instrument: Instrument,
    version: Option<String>,
    commands: Option<Vec<String>>,
}

impl RedPitaya {
    /// Connects and identifies, and asks for version and commands, which older releases do not know.
    ///
    /// # Errors
    /// No answer, or another instrument.
    pub async fn connect(connector: Arc<dyn Connector>) -> Result<Self, ScpiError> {
        let dialect = Dialect {
            byte_order: ByteOrder::Big,
            longest_line: LONGEST_LINE,
            ..Dialect::new(LineEnding::CrLf)
        };
        let mut instrument = Instrument::connect(connector, dialect, MODEL, BootSign::EventMark).await?;
        let version = optional(&mut instrument, "SYSTem:VERSion?").await?;
        let commands = optional(&mut instrument, "SYSTem:Help?").await?;
        let commands = commands.map(|list| list.split_whitespace().map(str::to_owned).collect());
        Ok(Self { instrument, version, commands })
    }

    /// The instrument below, for its identity, statistics and known settings.
    #[must_use]
    pub fn instrument(&self) -> &Instrument {
        &self.instrument
    }

    /// Version that the server gives: of the operating system, or of SCPI on older releases.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// Commands that the server says it knows.
    #[must_use]
    pub fn commands(&self) -> Option<&[String]> {
        self.commands.as_deref()
    }

    /// Puts a constant voltage onto an output, 1 or 2, and reads it back: no amplitude, all of it offset, so that either sign
    /// is written alike. The output stays off until [`Self::output`].
    ///
    /// # Errors
    /// A voltage beyond ±1 V (nothing is sent); the instrument refuses, or holds something else.
    pub async fn set_volts(&mut self, output: u8, volts: Volts) -> Result<(), ScpiError> {
        channel("output", output)?;
        within("output voltage", volts.0, -1.0..=1.0, "V")?;
        let header = |name: &str| format!("SOUR{output}:{name}");
        self.instrument.set(Setting::new(&header("FUNC"), "DC", Held::Word(&["DC"]))).await?;
        let none = Held::Number { value: 0.0, tolerance: 1e-6 };
        self.instrument.set(Setting::new(&header("VOLT"), 0, none)).await?;
        let held = Held::Number { value: volts.0, tolerance: 1e-5 };
        self.instrument.set(Setting::new(&header("VOLT:OFFS"), format!("{:.6}", volts.0), held)).await
    }

    /// The voltage that an output is set to, 1 or 2, as the instrument says; 0 V while it is off.
    ///
    /// # Errors
    /// The instrument refuses or does not answer.
    pub async fn volts(&mut self, output: u8) -> Result<Volts, ScpiError> {
        channel("output", output)?;
        let on = |answer: &str| Held::Switch(true).is_said_by(answer).ok_or_else(|| "0 or 1".to_owned());
        if !self.instrument.ask(&format!("OUTPUT{output}:STATE?"), None, on).await? {
            return Ok(Volts(0.0));
        }
        let volts = |answer: &str| number(answer).map(Volts).map_err(|error| error.to_string());
        self.instrument.ask(&format!("SOUR{output}:VOLT:OFFS?"), None, volts).await
    }

    /// Switches an output, 1 or 2.
    ///
    /// # Errors
    /// On before a voltage was set (nothing is sent); the instrument refuses, or holds something else.
    pub async fn output(&mut self, output: u8, on: bool) -> Result<(), ScpiError> {
        channel("output", output)?;
        if on {
            let known = format!("SOUR{output}:VOLT:OFFS?");
            self.instrument.require(&[&known], "set a voltage", "the output is switched on")?;
        }
        let (header, word) = (format!("OUTPUT{output}:STATE"), if on { "ON" } else { "OFF" });
        self.instrument.set(Setting::new(&header, word, Held::Switch(on))).await?;
        if on { self.instrument.command(&format!("SOUR{output}:TRIG:INT")).await } else { Ok(()) }
    }

    /// Records the last samples before now; `None` where the instrument had no number to give.
    ///
    /// # Errors
    /// Something out of range (nothing is sent); the instrument refuses, does not fill its buffer in time, or does not answer.
    pub async fn acquire(&mut self, acquisition: Acquisition) -> Result<Vec<Option<Volts>>, ScpiError> {
        let Acquisition { input, decimation, samples } = acquisition;
        channel("input", input)?;
        within("samples", samples as f64, 1.0..=BUFFER as f64, "")?;
        if !decimation.is_power_of_two() || decimation > 65_536 {
            return Err(ScpiError::Limit {
                what: "decimation".to_owned(),
                asked: decimation.to_string(),
                allowed: "1, 2, 4, … 65536".to_owned(),
            });
        }
        self.prepare(input, decimation).await?;
        self.instrument.command("ACQ:START").await?;
        self.instrument.command("ACQ:TRIG NOW").await?;
        let filling = Duration::from_secs_f64(BUFFER as f64 * f64::from(decimation) / RATE);
        let most = Duration::from_secs(1) + filling * 2;
        self.instrument
            .wait_until("ACQ:TRIG:STAT?", most, |answer| match answer {
                "TD" => Ok(true),
                "WAIT" => Ok(false),
                _ => Err("TD or WAIT".to_owned()),
            })
            .await?;
        let filled = |answer: &str| Held::Switch(true).is_said_by(answer).ok_or_else(|| "0 or 1".to_owned());
        self.instrument.wait_until("ACQ:TRIG:FILL?", most, filled).await?;
        let query = format!("ACQ:SOUR{input}:DATA:OLD:N? {samples}");
        self.instrument
            .ask_block(&query, samples * 4, None, |bytes| {
                let singles = singles(bytes, ByteOrder::Big).map_err(|error| error.to_string())?;
                if singles.len() != samples {
                    return Err(format!("{samples} numbers of 4 bytes"));
                }
                Ok(singles.into_iter().map(|single| valid(f64::from(single)).map(Volts)).collect())
            })
            .await
    }

    async fn prepare(&mut self, input: u8, decimation: u32) -> Result<(), ScpiError> {
        // The reset takes its settings with it.
        self.instrument.forget(|setting| setting.query.starts_with("ACQ:"));
        self.instrument.command("ACQ:RST").await?;
        let held = Held::Number { value: f64::from(decimation), tolerance: 0.0 };
        self.instrument.set(Setting::new("ACQ:DEC", decimation, held)).await?;
        self.instrument.set(Setting::new("ACQ:AVG", "ON", Held::Switch(true))).await?;
        self.instrument.set(Setting::new("ACQ:DATA:UNITS", "VOLTS", Held::Word(&["VOLTS"]))).await?;
        let gain = format!("ACQ:SOUR{input}:GAIN");
        self.instrument.set(Setting::new(&gain, "LV", Held::Word(&["LV"]))).await?;
        // The format cannot be asked for; the length of the block shows it.
        self.instrument.command("ACQ:DATA:FORMAT BIN").await
    }
}

fn channel(what: &str, number: u8) -> Result<(), ScpiError> {
    within(what, f64::from(number), 1.0..=2.0, "")
}

/// An answer that older releases do not give: they refuse the query or stay silent.
async fn optional(instrument: &mut Instrument, query: &str) -> Result<Option<String>, ScpiError> {
    match instrument.ask(query, None, |answer| Ok(answer.to_owned())).await {
        Ok(answer) => Ok(Some(answer)),
        Err(ScpiError::NoAnswer { .. } | ScpiError::Refused { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
