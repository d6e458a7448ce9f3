//! Keysight N7744/N7745 multiport optical power meters.
//!
//! Sources: the maker's programming guide as public drivers cite it. Numbers come back in SI units whatever unit was sent
//! (`:POW:WAV?` in metres), the range always in dBm, ports as `SENSe<n>`. The unit of a port can be dBm: a reading is only taken
//! as watts after `:POW:UNIT?` has answered 1.

use std::{sync::Arc, time::Duration};

use super::{
    block::{ByteOrder, singles, words},
    error::{ScpiError, within},
    identity::Model,
    instrument::{BootSign, Instrument},
    line::LineEnding,
    number::{reading, sent, valid},
    session::Dialect,
    setting::{Held, Setting},
};
use crate::{
    link::Connector,
    units::{Nanometres, Watts},
};

const MODEL: Model = Model {
    name: "a Keysight N7744/N7745 multiport power meter",
    makers: &["Keysight", "Agilent"],
    models: &["N7744", "N7745"],
};
/// Wavelengths that the detectors of both models see.
const WAVELENGTHS: std::ops::RangeInclusive<f64> = 1250.0..=1650.0;
/// Most bytes of a block: far more than 8 ports need.
const MOST: usize = 1024;

/// Time over which a port averages.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AveragingTime(pub Duration);

/// Range of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerRange {
    /// The instrument changes it as needed.
    Auto,
    /// Up to so many dBm: −30, −20, −10, 0 or 10.
    Fixed {
        /// Upper end in dBm.
        dbm: i8,
    },
}

/// What one port measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PortPower {
    /// Port, from 1.
    pub port: u16,
    /// Power; `None` where the instrument had no reading to give: over range, or not measured.
    pub power: Option<Watts>,
}

/// A power meter with 4 or 8 ports.
pub struct KeysightPowerMeter {
    instrument: Instrument,
    ports: u16,
    averaging: Duration,
}

impl KeysightPowerMeter {
    /// Connects and identifies. No setting is touched.
    ///
    /// # Errors
    /// No answer, or another instrument.
    pub async fn connect(connector: Arc<dyn Connector>) -> Result<Self, ScpiError> {
        let dialect = Dialect::new(LineEnding::Lf);
        let instrument = Instrument::connect(connector, dialect, MODEL, BootSign::PowerOnEvent).await?;
        let ports = if instrument.identity().model.to_ascii_uppercase().starts_with("N7744") { 4 } else { 8 };
        Ok(Self { instrument, ports, averaging: Duration::ZERO })
    }

    /// The instrument below, for its identity, statistics and known settings.
    #[must_use]
    pub fn instrument(&self) -> &Instrument {
        &self.instrument
    }

    /// Number of ports, counted from 1.
    #[must_use]
    pub fn ports(&self) -> u16 {
        self.ports
    }

    /// Makes a port answer in watts, at `wavelength`, averaging over `averaging`, in `range`; all read back.
    ///
    /// # Errors
    /// A value outside the instrument's limits (nothing is sent); the instrument refuses, or holds something else.
    pub async fn configure(
        &mut self,
        port: u16,
        wavelength: Nanometres,
        averaging: AveragingTime,
        range: PowerRange,
    ) -> Result<(), ScpiError> {
        self.check_port(port)?;
        within("wavelength", wavelength.0, WAVELENGTHS, "nm")?;
        within("averaging time", averaging.0.as_secs_f64(), 1e-6..=10.0, "s")?;
        if let PowerRange::Fixed { dbm } = range {
            let steps: [i8; 5] = [-30, -20, -10, 0, 10];
            if !steps.contains(&dbm) {
                return Err(ScpiError::Limit {
                    what: "power range".to_owned(),
                    asked: format!("{dbm} dBm"),
                    allowed: "-30, -20, -10, 0 or 10 dBm".to_owned(),
                });
            }
        }
        let header = |name: &str| format!("SENS{port}:POW:{name}");
        self.instrument.set(Setting::new(&header("UNIT"), 1, Held::Switch(true))).await?;
        let metres = Held::Number { value: wavelength.0 * 1e-9, tolerance: 1e-14 };
        self.instrument
            .set(Setting::new(&header("WAV"), format!("{}NM", sent(wavelength.0)), metres))
            .await?;
        let seconds = averaging.0.as_secs_f64();
        self.instrument
            .set(Setting::new(&header("ATIM"), format!("{}S", sent(seconds)), Held::number(seconds)))
            .await?;
        self.averaging = self.averaging.max(averaging.0);
        self.instrument.set(Setting::switch(&header("RANG:AUTO"), range == PowerRange::Auto)).await?;
        if let PowerRange::Fixed { dbm } = range {
            let held = Held::Number { value: f64::from(dbm), tolerance: 0.01 };
            self.instrument.set(Setting::new(&header("RANG"), format!("{dbm}DBM"), held)).await?;
        }
        Ok(())
    }

    /// Triggers one measurement of a port.
    ///
    /// # Errors
    /// The port was not configured; the instrument refuses or does not answer.
    pub async fn read(&mut self, port: u16) -> Result<Option<Watts>, ScpiError> {
        self.check_port(port)?;
        self.require_watts(port)?;
        let patience = Some(self.patience());
        let parse = |answer: &str| reading(answer).map_err(|error| error.to_string());
        let power = self.instrument.ask(&format!("READ{port}:POW?"), patience, parse).await?;
        Ok(power.map(Watts))
    }

    /// Triggers one measurement of all ports. Which number is whose comes from the instrument, not from their order.
    ///
    /// # Errors
    /// A port that the instrument reports was not configured; the instrument refuses or does not answer, or its two answers
    /// are of different lengths.
    pub async fn read_all(&mut self) -> Result<Vec<PortPower>, ScpiError> {
        let places = self.instrument.ask_block("READ:POW:ALL:CONF?", MOST, None, places).await?;
        for &port in &places {
            self.require_watts(port)?;
        }
        let count = places.len();
        let patience = Some(self.patience());
        let powers = self
            .instrument
            .ask_block("READ:POW:ALL?", MOST, patience, |bytes| {
                let powers = singles(bytes, ByteOrder::Little).map_err(|error| error.to_string())?;
                if powers.len() == count { Ok(powers) } else { Err(format!("{count} numbers of 4 bytes")) }
            })
            .await?;
        let power = |power: f32| valid(f64::from(power)).map(Watts);
        Ok(places
            .into_iter()
            .zip(powers)
            .map(|(port, single)| PortPower { port, power: power(single) })
            .collect())
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(2) + self.averaging * u32::from(self.ports)
    }

    fn check_port(&self, port: u16) -> Result<(), ScpiError> {
        within("port", f64::from(port), 1.0..=f64::from(self.ports), "")
    }

    fn require_watts(&self, port: u16) -> Result<(), ScpiError> {
        let unit = format!("SENS{port}:POW:UNIT?");
        self.instrument.require(&[&unit], &format!("configure port {port}"), "its power is read")
    }
}

/// The ports of a configuration block: pairs of slot and channel. The ports of these models are slots of one channel.
fn places(bytes: &[u8]) -> Result<Vec<u16>, String> {
    let words = words(bytes, ByteOrder::Little).map_err(|error| error.to_string())?;
    let (pairs, rest) = words.as_chunks::<2>();
    let mut ports: Vec<u16> = pairs.iter().map(|&[slot, _]| slot).collect();
    let one_channel = pairs.iter().all(|&[slot, channel]| (1..=8).contains(&slot) && channel == 1);
    ports.sort_unstable();
    ports.dedup();
    if rest.is_empty() && one_channel && ports.len() == pairs.len() && !pairs.is_empty() {
        Ok(pairs.iter().map(|&[slot, _]| slot).collect())
    } else {
        Err("pairs of slot and channel, each once".to_owned())
    }
}
