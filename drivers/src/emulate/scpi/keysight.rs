//! An emulated Keysight N7744A or N7745A.

use std::time::Duration;

use super::{
    command::{Command, Fault},
    device::{Answer, ScpiInstrument, Stuck, scientific, switch},
    noise::Noise,
};
use crate::{scpi::LineEnding, units::Watts};

/// What over-range readings are.
const OVER_RANGE: f32 = f32::MAX;
/// Power of the default world, and its noise.
const DARKISH: f64 = 1e-6;
const NOISE: f64 = 1e-9;

/// Watts at a port, numbered from 1, now.
type Light = Box<dyn FnMut(u16, Duration) -> Watts + Send>;

/// A power meter.
pub struct EmulatedPowerMeter {
    ports: Vec<PowerPort>,
    order: Vec<u16>,
    light: Light,
}

/// Settings of one port.
#[derive(Clone, Debug, PartialEq)]
pub struct PowerPort {
    /// Answers in watts, not dBm.
    pub watts: bool,
    /// Wavelength in metres.
    pub wavelength: f64,
    /// Averaging time in seconds.
    pub averaging: f64,
    /// The range follows the power.
    pub auto_range: bool,
    /// Range in dBm.
    pub range: f64,
}

impl PowerPort {
    const POWER_ON: Self =
        Self { watts: false, wavelength: 1.55e-6, averaging: 0.1, auto_range: true, range: 0.0 };
}

impl EmulatedPowerMeter {
    /// 4 ports (N7744A) or 8 (N7745A), at each 1 µW and a little noise.
    #[must_use]
    pub fn new(ports: u16, seed: u64) -> Self {
        let mut noise = Noise::new(seed);
        let light = Box::new(move |_, _| Watts(DARKISH + noise.normal(NOISE)));
        let ports = if ports <= 4 { 4 } else { 8 };
        Self { ports: vec![PowerPort::POWER_ON; usize::from(ports)], order: (1..=ports).collect(), light }
    }

    /// Light from `hook`: watts at a port, numbered from 1, at a time.
    #[must_use]
    pub fn lit_by(mut self, hook: impl FnMut(u16, Duration) -> Watts + Send + 'static) -> Self {
        self.light = Box::new(hook);
        self
    }

    /// Blocks list the ports in this order.
    #[must_use]
    pub fn listing(mut self, order: Vec<u16>) -> Self {
        self.order = order;
        self
    }

    /// Settings of a port, numbered from 1.
    #[must_use]
    pub fn port(&self, port: u16) -> Option<&PowerPort> {
        self.ports.get(usize::from(port).checked_sub(1)?)
    }

    fn single(&mut self, port: u16, now: Duration) -> f32 {
        let Watts(power) = (self.light)(port, now);
        let Some(settings) = self.port(port) else { return f32::NAN };
        let ceiling = 2e-3 * 10_f64.powf(settings.range / 10.0);
        match settings.watts {
            _ if !settings.auto_range && power > ceiling => OVER_RANGE,
            true => power as f32,
            // What is no light has no logarithm.
            false => (10.0 * (power.max(1e-23) * 1e3).log10()) as f32,
        }
    }

    fn setting(&mut self, port: u32, command: &Command, stuck: &Stuck, name: &str) -> Result<Answer, Fault> {
        let index = (port as usize).checked_sub(1).filter(|&index| index < self.ports.len());
        let index = index.ok_or(Fault::SuffixOutOfRange)?;
        let mut settings = self.ports[index].clone();
        let number = |value: f64| Answer::Text(scientific(value, 8, 3));
        let answer = match (name, command.query) {
            ("UNIT", true) => Answer::Text(format!("+{}", u8::from(settings.watts))),
            ("UNIT", false) => {
                settings.watts = matches!(command.word(&["0", "DBM", "1", "Watt"])?, 2 | 3);
                Answer::None
            }
            ("WAV", true) => number(settings.wavelength),
            ("WAV", false) => {
                let units = [("NM", 1e-9), ("UM", 1e-6), ("M", 1.0)];
                settings.wavelength = command.number(0, &units, 1.25e-6..=1.65e-6)?;
                Answer::None
            }
            ("ATIM", true) => number(settings.averaging),
            ("ATIM", false) => {
                let units = [("MS", 1e-3), ("US", 1e-6), ("S", 1.0)];
                settings.averaging = command.number(0, &units, 1e-6..=10.0)?;
                Answer::None
            }
            ("AUTO", true) => switch(settings.auto_range),
            ("AUTO", false) => {
                settings.auto_range = command.switch()?;
                Answer::None
            }
            ("RANG", true) => number(settings.range),
            _ => {
                let dbm = command.number(0, &[("DBM", 1.0)], -35.0..=15.0)?;
                (settings.range, settings.auto_range) = ((dbm / 10.0).round() * 10.0, false);
                Answer::None
            }
        };
        if !stuck.is(index) {
            self.ports[index] = settings;
        }
        Ok(answer)
    }
}

impl ScpiInstrument for EmulatedPowerMeter {
    fn identity(&self) -> String {
        let model = if self.ports.len() == 4 { "N7744A" } else { "N7745A" };
        format!("Keysight Technologies,{model},EMULATED01,V1.15")
    }

    fn ending(&self) -> LineEnding {
        LineEnding::Lf
    }

    fn no_error(&self) -> &'static str {
        "+0,\"No error\""
    }

    fn execute(&mut self, command: &Command, now: Duration, stuck: &Stuck) -> Result<Answer, Fault> {
        let settings = [
            ("SENSe#[:CHANnel#]:POWer:UNIT", "UNIT"),
            ("SENSe#[:CHANnel#]:POWer:WAVelength", "WAV"),
            ("SENSe#[:CHANnel#]:POWer:ATIMe", "ATIM"),
            ("SENSe#[:CHANnel#]:POWer:RANGe:AUTO", "AUTO"),
            ("SENSe#[:CHANnel#]:POWer:RANGe[:UPPer]", "RANG"),
        ];
        for (pattern, name) in settings {
            if let Some(numbers) = command.numbers(pattern) {
                return self.setting(numbers[0], command, stuck, name);
            }
        }
        if !command.query {
            return Err(Fault::UndefinedHeader);
        }
        if command.is("READ#[:CHANnel#]:POWer:ALL:CONFig") || command.is("FETCh#[:CHANnel#]:POWer:ALL:CONFig")
        {
            let pairs = self.order.iter().flat_map(|&port| [port, 1_u16]);
            return Ok(Answer::Block(pairs.flat_map(u16::to_le_bytes).collect()));
        }
        if command.is("READ#[:CHANnel#]:POWer:ALL") || command.is("FETCh#[:CHANnel#]:POWer:ALL") {
            let singles: Vec<f32> =
                self.order.clone().into_iter().map(|port| self.single(port, now)).collect();
            return Ok(Answer::Block(singles.into_iter().flat_map(f32::to_le_bytes).collect()));
        }
        let one = command
            .numbers("READ#[:CHANnel#][:SCALar]:POWer[:DC]")
            .or_else(|| command.numbers("FETCh#[:CHANnel#][:SCALar]:POWer[:DC]"));
        let port = one.ok_or(Fault::UndefinedHeader)?[0];
        if port == 0 || port as usize > self.ports.len() {
            return Err(Fault::SuffixOutOfRange);
        }
        Ok(Answer::Text(scientific(f64::from(self.single(port as u16, now)), 8, 3)))
    }

    fn restart(&mut self) {
        self.ports.fill(PowerPort::POWER_ON);
    }
}
