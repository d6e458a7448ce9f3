//! What codes are at the device behind them: volts where the station file tells, a share of full scale elsewhere.

use alora_drivers::{
    BackendErrorKind, Code, Descriptor, FaultClass, InstrumentFault, Volts,
    board::HeaterRules,
    qontrol::CHANNELS,
    safety::Limits,
    station::{BenchEntry, DeviceEntry, Station, StationError},
};

use super::super::measure::{nominal, station_of, unfit};
use crate::{config::Config, error::Error};

/// Where the codes of a frame go.
pub enum Wiring {
    /// To a board or a simulated chip, which know codes only.
    Codes {
        /// Highest code of the converter.
        full_scale: Code,
        /// Highest code that the station file allows, one an actuator.
        limits: Vec<Code>,
        /// The board, by name, with its rules.
        rules: Option<(String, HeaterRules)>,
    },
    /// To channels of a voltage source.
    Volts(Source),
}

/// A voltage source of a bench.
pub struct Source {
    device: String,
    /// Channel of each actuator.
    channels: Vec<usize>,
    full: Volts,
    top: Code,
    limits: Option<Limits>,
}

impl Wiring {
    /// That of the configuration's processor.
    ///
    /// # Errors
    /// A station file that does not fit.
    pub fn of(config: &Config) -> Result<Self, Error> {
        let descriptor = nominal(config)?;
        let full_scale = ((1_u32 << descriptor.bits.actuator) - 1) as Code;
        let Some(station) = station_of(config)? else {
            return Ok(Self::Codes { full_scale, limits: descriptor.limits, rules: None });
        };
        if let Some(bench) = station.bench_in_use() {
            let source = Source::of(&station, bench, &descriptor).map_err(|error| unfit(config, error))?;
            return Ok(Self::Volts(source));
        }
        let (name, board) = station.board().map_err(|error| unfit(config, error))?;
        let mut limits = descriptor.limits;
        board.limit(&mut limits).map_err(|error| unfit(config, error))?;
        let rules = board.rules().map(|rules| (name.to_owned(), rules));
        Ok(Self::Codes { full_scale, limits, rules })
    }

    /// A code of an actuator in words with their unit.
    #[must_use]
    pub fn in_words(&self, actuator: usize, code: Code) -> String {
        match self {
            Self::Codes { full_scale, .. } => {
                format!("{:.2} % of full scale", 100.0 * f64::from(code) / f64::from(*full_scale))
            }
            Self::Volts(source) => {
                let channel = source.channels.get(actuator).copied().unwrap_or_default();
                format!("{:.4} V at channel {channel} of {}", source.volts(code).0, source.device)
            }
        }
    }

    /// Highest code that the station file allows to an actuator.
    pub(super) fn highest(&self, actuator: usize) -> Code {
        match self {
            Self::Codes { limits, .. } => limits.get(actuator).copied().unwrap_or_default(),
            Self::Volts(source) => source.top,
        }
    }

    /// The device's own limits in the station file, on the whole frame.
    pub(super) fn check(&self, codes: &[Code]) -> Result<(), BackendErrorKind> {
        let source = match self {
            Self::Volts(source) => source,
            Self::Codes { full_scale, rules: Some((device, rules)), .. } => {
                return rules.check(device, f64::from(*full_scale), codes);
            }
            Self::Codes { .. } => return Ok(()),
        };
        let Some(limits) = &source.limits else { return Ok(()) };
        let mut plan = vec![Volts(0.0); limits.channels().len()];
        for (&channel, &code) in source.channels.iter().zip(codes) {
            if let Some(volts) = plan.get_mut(channel) {
                *volts = source.volts(code);
            }
        }
        limits.check(&plan).map_err(|error| {
            let fault = InstrumentFault {
                device: source.device.clone(),
                reason: error.to_string(),
                class: FaultClass::Limit,
            };
            BackendErrorKind::Instrument(Box::new(fault))
        })
    }
}

impl Source {
    fn of(station: &Station, bench: &BenchEntry, descriptor: &Descriptor) -> Result<Self, StationError> {
        let bank = &bench.weights;
        let channels = bank.channels(descriptor.limits.len());
        let limits = match station.device(&bank.device)? {
            DeviceEntry::Qontrol(chain) => {
                let named = channels.iter().max().map_or(0, |&highest| highest + 1);
                let count = named.max(chain.modules.len() * CHANNELS);
                let limits = chain.limits.as_ref().map(|limits| limits.for_channels(count));
                limits.transpose().map_err(|error| StationError::Value {
                    key: format!("device.{}.limits", bank.device),
                    value: error.to_string(),
                    allowed: "channels of the chain".to_owned(),
                })?
            }
            _ => None,
        };
        let top = descriptor.limits.iter().copied().max().unwrap_or(Code::MAX);
        Ok(Self { device: bank.device.clone(), channels, full: Volts(bank.full_volt), top, limits })
    }

    fn volts(&self, code: Code) -> Volts {
        Volts(self.full.0 * f64::from(code) / f64::from(self.top))
    }
}
