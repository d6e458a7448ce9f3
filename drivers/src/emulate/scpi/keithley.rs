//! An emulated Keithley 2450.

use std::time::Duration;

use super::{
    command::{Command, Fault},
    device::{Answer, ScpiInstrument, Stuck, scientific, switch},
    noise::Noise,
};
use crate::{
    scpi::LineEnding,
    units::{Amperes, Volts},
};

/// What is answered where there is no reading.
const NO_READING: f64 = 9.91e37;
/// Load of the default world, and its noise.
const OHMS: f64 = 1000.0;
const NOISE: f64 = 1e-9;

/// Current that flows at that voltage, now.
type Load = Box<dyn FnMut(Volts, Duration) -> Amperes + Send>;

/// A source meter.
pub struct EmulatedKeithley2450 {
    source: Source,
    load: Load,
    listener: Box<dyn FnMut(Volts) + Send>,
    language: &'static str,
}

/// Settings of the source meter.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// The output is on.
    pub output: bool,
    /// It sources current, not volts.
    pub sources_current: bool,
    /// Voltage when it sources volts.
    pub volts: f64,
    /// Current when it sources current.
    pub amperes: f64,
    /// Limit of the current when it sources volts.
    pub current_limit: f64,
    /// Limit of the voltage when it sources current.
    pub voltage_limit: f64,
    /// 0 current, 1 voltage, 2 resistance.
    pub measures: usize,
    auto: [bool; 5],
    nplc: [f64; 3],
    limited: bool,
}

const FUNCTIONS: [&str; 3] = ["CURRent", "VOLTage", "RESistance"];

impl Source {
    const POWER_ON: Self = Self {
        output: false,
        sources_current: false,
        volts: 0.0,
        amperes: 0.0,
        current_limit: 1.05e-4,
        voltage_limit: 21.0,
        measures: 0,
        auto: [true; 5],
        nplc: [1.0; 3],
        limited: false,
    };
}

impl EmulatedKeithley2450 {
    /// With 1 kΩ at its terminals and a little noise.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut noise = Noise::new(seed);
        let load = Box::new(move |volts: Volts, _| Amperes(volts.0 / OHMS + noise.normal(NOISE)));
        Self { source: Source::POWER_ON, load, listener: Box::new(|_| ()), language: "SCPI" }
    }

    /// With another load: amperes at a voltage, at a time.
    #[must_use]
    pub fn loaded_with(mut self, hook: impl FnMut(Volts, Duration) -> Amperes + Send + 'static) -> Self {
        self.load = Box::new(hook);
        self
    }

    /// `hook` is told what stands at the terminals after each command: 0 V while the output is off.
    #[must_use]
    pub fn heard_by(mut self, hook: impl FnMut(Volts) + Send + 'static) -> Self {
        self.listener = Box::new(hook);
        self
    }

    fn tell(&mut self) {
        let drives = self.source.output && !self.source.sources_current;
        (self.listener)(Volts(if drives { self.source.volts } else { 0.0 }));
    }

    /// In another command set; only the answer to `*LANG?` differs.
    #[must_use]
    pub fn speaking(mut self, language: &'static str) -> Self {
        self.language = language;
        self
    }

    /// What it holds.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.source
    }

    fn read(&mut self, now: Duration) -> f64 {
        if !self.source.output {
            return NO_READING;
        }
        let (volts, amperes) = if self.source.sources_current {
            (self.source.amperes * OHMS, self.source.amperes)
        } else {
            let free = (self.load)(Volts(self.source.volts), now).0;
            self.source.limited = free.abs() > self.source.current_limit;
            let limit = self.source.current_limit;
            (self.source.volts, free.clamp(-limit, limit))
        };
        match self.source.measures {
            0 => amperes,
            1 => volts,
            _ => volts / amperes,
        }
    }

    fn level(&mut self, command: &Command, stuck: &Stuck) -> Option<Result<Answer, Fault>> {
        let source = &mut self.source;
        let (value, range) = if command.is("SOURce#:VOLTage[:LEVel][:IMMediate][:AMPLitude]") {
            (&mut source.volts, -210.0..=210.0)
        } else if command.is("SOURce#:CURRent[:LEVel][:IMMediate][:AMPLitude]") {
            (&mut source.amperes, -1.05..=1.05)
        } else if command.is("SOURce#:VOLTage:ILIMit[:LEVel]") {
            (&mut source.current_limit, 1e-9..=1.05)
        } else if command.is("SOURce#:CURRent:VLIMit[:LEVel]") {
            (&mut source.voltage_limit, 0.02..=210.0)
        } else {
            return None;
        };
        if command.query {
            return Some(Ok(Answer::Text(scientific(*value, 6, 2).trim_start_matches('+').to_owned())));
        }
        Some(command.number(0, &[("V", 1.0), ("A", 1.0)], range).map(|number| {
            if !stuck.is(0) {
                *value = number;
            }
            Answer::None
        }))
    }

    fn automatic(&mut self, command: &Command) -> Option<Result<Answer, Fault>> {
        let patterns = [
            "SOURce#:VOLTage:RANGe:AUTO",
            "SOURce#:CURRent:RANGe:AUTO",
            "SENSe#:CURRent:RANGe:AUTO",
            "SENSe#:VOLTage:RANGe:AUTO",
            "SENSe#:RESistance:RANGe:AUTO",
        ];
        let index = patterns.iter().position(|pattern| command.is(pattern))?;
        let value = &mut self.source.auto[index];
        if command.query {
            return Some(Ok(switch(*value)));
        }
        Some(command.switch().map(|on| {
            *value = on;
            Answer::None
        }))
    }

    fn integration(&mut self, command: &Command) -> Option<Result<Answer, Fault>> {
        let index = FUNCTIONS.iter().position(|name| command.is(&format!("SENSe#:{name}:NPLCycles")))?;
        let value = &mut self.source.nplc[index];
        if command.query {
            return Some(Ok(Answer::Text(value.to_string())));
        }
        Some(command.number(0, &[], 0.01..=10.0).map(|number| {
            *value = number;
            Answer::None
        }))
    }

    fn function(&mut self, command: &Command) -> Result<Answer, Fault> {
        if command.is("SOURce#:FUNCtion[:MODE]") {
            if command.query {
                let word = if self.source.sources_current { "CURR" } else { "VOLT" };
                return Ok(Answer::Text(word.to_owned()));
            }
            self.source.sources_current = command.word(&["VOLTage", "CURRent"])? == 1;
            self.source.output = false;
            return Ok(Answer::None);
        }
        if !command.is("SENSe#:FUNCtion[:ON]") {
            return Err(Fault::UndefinedHeader);
        }
        if command.query {
            let word = ["\"CURR:DC\"", "\"VOLT:DC\"", "\"RES\""][self.source.measures];
            return Ok(Answer::Text(word.to_owned()));
        }
        self.source.measures = command.word(&FUNCTIONS)?;
        Ok(Answer::None)
    }
}

impl ScpiInstrument for EmulatedKeithley2450 {
    fn identity(&self) -> String {
        "KEITHLEY INSTRUMENTS,MODEL 2450,EMULATED01,1.7.12b".to_owned()
    }

    fn ending(&self) -> LineEnding {
        LineEnding::Lf
    }

    fn execute(&mut self, command: &Command, now: Duration, stuck: &Stuck) -> Result<Answer, Fault> {
        let answer = self.carry_out(command, now, stuck);
        self.tell();
        answer
    }

    fn restart(&mut self) {
        self.source = Source::POWER_ON;
        self.tell();
    }
}

impl EmulatedKeithley2450 {
    fn carry_out(&mut self, command: &Command, now: Duration, stuck: &Stuck) -> Result<Answer, Fault> {
        if command.is("OUTPut#[:STATe]") {
            if command.query {
                return Ok(switch(self.source.output));
            }
            let on = command.switch()?;
            if !stuck.is(1) {
                self.source.output = on;
            }
            return Ok(Answer::None);
        }
        if command.query && command.is("READ") {
            return Ok(Answer::Text(scientific(self.read(now), 6, 2).trim_start_matches('+').to_owned()));
        }
        if command.query && command.is("SOURce#:VOLTage:ILIMit[:LEVel]:TRIPped") {
            return Ok(switch(self.source.limited && self.source.output));
        }
        if command.query && command.is("*LANG") {
            return Ok(Answer::Text(self.language.to_owned()));
        }
        if !command.query
            && (command.is("ABORt") || command.is("STATus:PRESet") || command.is("SYSTem:BEEPer"))
        {
            return Ok(Answer::None);
        }
        if let Some(answer) = self.level(command, stuck) {
            return answer;
        }
        if let Some(answer) = self.automatic(command) {
            return answer;
        }
        if let Some(answer) = self.integration(command) {
            return answer;
        }
        self.function(command)
    }
}
