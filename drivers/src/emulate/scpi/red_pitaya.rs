//! An emulated Red Pitaya.

use std::time::Duration;

use super::{
    command::{Command, Fault},
    device::{Answer, ScpiInstrument, Stuck, switch},
    noise::Noise,
};
use crate::{scpi::LineEnding, units::Volts};

/// Samples that the buffer holds.
const BUFFER: usize = 16_384;
/// Samples a second without decimation.
const RATE: f64 = 125e6;
/// Noise of an input.
const NOISE: f64 = 2e-4;
const SHAPES: [&str; 9] = ["SINE", "SQUARE", "TRIANGLE", "SAWU", "SAWD", "PWM", "ARBITRARY", "DC", "DC_NEG"];
/// Position of `DC` among them.
const DC: usize = 7;

/// Voltage of a sample of an input (0 or 1), while those voltages stand at the outputs.
type Inputs = Box<dyn FnMut([Volts; 2], usize, usize) -> Volts + Send>;

/// Told of each change at the outputs.
type Listener = Box<dyn FnMut([Volts; 2]) + Send>;

/// A Red Pitaya.
pub struct EmulatedRedPitaya {
    outputs: [FastOutput; 2],
    acquisition: Recorder,
    inputs: Inputs,
    listener: Listener,
}

/// Settings of one output.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FastOutput {
    /// The output is on.
    pub on: bool,
    /// Amplitude in volts.
    pub amplitude: f64,
    /// Offset in volts.
    pub offset: f64,
    shape: usize,
}

#[derive(Clone, Debug, PartialEq)]
struct Recorder {
    decimation: u32,
    averages: bool,
    volts: bool,
    binary: bool,
    gains: [bool; 2],
    runs: bool,
    triggered: Option<Duration>,
    recorded: [Vec<f32>; 2],
}

impl FastOutput {
    const POWER_ON: Self = Self { on: false, amplitude: 0.9, offset: 0.0, shape: 0 };

    /// What stands at the connector; only a constant voltage is told.
    #[must_use]
    pub fn volts(&self) -> Volts {
        let constant = if self.shape == DC { self.amplitude } else { 0.0 };
        Volts(if self.on { (constant + self.offset).clamp(-1.0, 1.0) } else { 0.0 })
    }
}

impl Recorder {
    const fn power_on() -> Self {
        Self {
            decimation: 1,
            averages: true,
            volts: true,
            binary: false,
            gains: [false; 2],
            runs: false,
            triggered: None,
            recorded: [Vec::new(), Vec::new()],
        }
    }

    fn is_filled(&self, now: Duration) -> bool {
        let filling = Duration::from_secs_f64(BUFFER as f64 * f64::from(self.decimation) / RATE);
        self.triggered.is_some_and(|at| now >= at + filling)
    }
}

impl EmulatedRedPitaya {
    /// Each output is wired to the input of the same number, with a little noise.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut noise = Noise::new(seed);
        let inputs =
            Box::new(move |at: [Volts; 2], input: usize, _| Volts(at[input].0 + noise.normal(NOISE)));
        Self {
            outputs: [FastOutput::POWER_ON; 2],
            acquisition: Recorder::power_on(),
            inputs,
            listener: Box::new(|_| ()),
        }
    }

    /// Input voltages from `hook`: what stands at the outputs, the input (0 or 1), the sample.
    #[must_use]
    pub fn fed_by(mut self, hook: impl FnMut([Volts; 2], usize, usize) -> Volts + Send + 'static) -> Self {
        self.inputs = Box::new(hook);
        self
    }

    /// `hook` is told of each change at the outputs.
    #[must_use]
    pub fn heard_by(mut self, hook: impl FnMut([Volts; 2]) + Send + 'static) -> Self {
        self.listener = Box::new(hook);
        self
    }

    /// Settings of an output, 0 or 1.
    #[must_use]
    pub fn output(&self, output: usize) -> Option<&FastOutput> {
        self.outputs.get(output)
    }

    fn source(&mut self, output: u32, command: &Command, stuck: &Stuck, name: &str) -> Result<Answer, Fault> {
        let index = channel(output)?;
        let mut output = self.outputs[index];
        let number = |value: f64| Answer::Text(format!("{value}"));
        let answer = match (name, command.query) {
            ("FUNC", true) => Answer::Text(SHAPES[output.shape].to_owned()),
            ("FUNC", false) => {
                output.shape = command.word(&SHAPES)?;
                Answer::None
            }
            ("VOLT", true) => number(output.amplitude),
            ("VOLT", false) => {
                output.amplitude = command.number(0, &[("V", 1.0)], -1.0..=1.0)?;
                Answer::None
            }
            ("OFFS", true) => number(output.offset),
            ("OFFS", false) => {
                output.offset = command.number(0, &[("V", 1.0)], -1.0..=1.0)?;
                Answer::None
            }
            ("STATE", true) => switch(output.on),
            _ => {
                output.on = command.switch()?;
                Answer::None
            }
        };
        if !stuck.is(index) {
            self.outputs[index] = output;
            (self.listener)(self.outputs.map(|output| output.volts()));
        }
        Ok(answer)
    }

    fn recorder(&mut self, command: &Command, now: Duration) -> Result<Answer, Fault> {
        let recorder = &mut self.acquisition;
        if command.query {
            return recorder.query(command, now);
        }
        if command.is("ACQ:RST") {
            *recorder = Recorder::power_on();
        } else if command.is("ACQ:DEC") {
            let value = command.number(0, &[], 1.0..=65_536.0)? as u32;
            recorder.decimation =
                Some(value).filter(|value| value.is_power_of_two()).ok_or(Fault::OutOfRange)?;
        } else if command.is("ACQ:AVG") {
            recorder.averages = command.switch()?;
        } else if command.is("ACQ:DATA:Units") {
            recorder.volts = command.word(&["RAW", "VOLTS"])? == 1;
        } else if command.is("ACQ:DATA:FORMAT") {
            recorder.binary = command.word(&["ASCII", "BIN"])? == 1;
        } else if let Some(numbers) = command.numbers("ACQ:SOUR#:GAIN") {
            recorder.gains[channel(numbers[0])?] = command.word(&["LV", "HV"])? == 1;
        } else if command.is("ACQ:START") {
            (recorder.runs, recorder.triggered) = (true, None);
        } else if command.is("ACQ:STOP") {
            recorder.runs = false;
        } else if command.is("ACQ:TRig") {
            command.word(&["NOW", "DISABLED"])?;
            if recorder.runs {
                self.record(now);
            }
        } else {
            return Err(Fault::UndefinedHeader);
        }
        Ok(Answer::None)
    }

    fn record(&mut self, now: Duration) {
        self.acquisition.triggered = Some(now);
        let at = self.outputs.map(|output| output.volts());
        for input in 0..2 {
            self.acquisition.recorded[input] =
                (0..BUFFER).map(|sample| (self.inputs)(at, input, sample).0 as f32).collect();
        }
    }
}

impl Recorder {
    fn query(&self, command: &Command, now: Duration) -> Result<Answer, Fault> {
        let text = |text: &str| Ok(Answer::Text(text.to_owned()));
        if command.is("ACQ:DEC") {
            return text(&self.decimation.to_string());
        }
        if command.is("ACQ:AVG") {
            return text(if self.averages { "ON" } else { "OFF" });
        }
        if command.is("ACQ:DATA:Units") {
            return text(if self.volts { "VOLTS" } else { "RAW" });
        }
        if command.is("ACQ:BUF:SIZE") {
            return text(&BUFFER.to_string());
        }
        if command.is("ACQ:TRig:STAT") {
            return text(if self.triggered.is_some() { "TD" } else { "WAIT" });
        }
        if command.is("ACQ:TRig:FILL") {
            return Ok(switch(self.is_filled(now)));
        }
        if let Some(numbers) = command.numbers("ACQ:SOUR#:GAIN") {
            return text(if self.gains[channel(numbers[0])?] { "HV" } else { "LV" });
        }
        if let Some(numbers) = command.numbers("ACQ:SOUR#:DATA[:Old][:N]") {
            let recorded = &self.recorded[channel(numbers[0])?];
            let count = match command.parameters.first() {
                Some(_) => command.number(0, &[], 1.0..=BUFFER as f64)? as usize,
                None => BUFFER,
            };
            return Ok(self.samples(&recorded[..count.min(recorded.len())]));
        }
        Err(Fault::UndefinedHeader)
    }

    fn samples(&self, samples: &[f32]) -> Answer {
        let raw = |volts: f32| (volts * 8191.0).round().clamp(-8192.0, 8191.0) as i16;
        match (self.binary, self.volts) {
            (true, true) => Answer::Block(samples.iter().flat_map(|volts| volts.to_be_bytes()).collect()),
            (true, false) => {
                Answer::Block(samples.iter().flat_map(|&volts| raw(volts).to_be_bytes()).collect())
            }
            (false, volts) => {
                let text = |&sample: &f32| {
                    if volts { format!("{sample:.6}") } else { raw(sample).to_string() }
                };
                let list: Vec<String> = samples.iter().map(text).collect();
                Answer::Text(format!("{{{}}}", list.join(",")))
            }
        }
    }
}

fn channel(number: u32) -> Result<usize, Fault> {
    match number {
        1 | 2 => Ok(number as usize - 1),
        _ => Err(Fault::SuffixOutOfRange),
    }
}

impl ScpiInstrument for EmulatedRedPitaya {
    fn identity(&self) -> String {
        "REDPITAYA,INSTR2024,EMULATED01,01-16".to_owned()
    }

    fn ending(&self) -> LineEnding {
        LineEnding::CrLf
    }

    fn execute(&mut self, command: &Command, now: Duration, stuck: &Stuck) -> Result<Answer, Fault> {
        let sources = [
            ("SOUR#:FUNC", "FUNC"),
            ("SOUR#:VOLT", "VOLT"),
            ("SOUR#:VOLT:OFFS", "OFFS"),
            ("OUTPUT#:STATE", "STATE"),
        ];
        for (pattern, name) in sources {
            if let Some(numbers) = command.numbers(pattern) {
                return self.source(numbers[0], command, stuck, name);
            }
        }
        if command.query && command.is("SYSTem:VERSion") {
            return Ok(Answer::Text("2.07-651".to_owned()));
        }
        if command.query && command.is("SYSTem:BRD:Name") {
            return Ok(Answer::Text("STEMLab 125-14".to_owned()));
        }
        if command.query && command.is("SYSTem:Help") {
            return Ok(Answer::Text(HELP.join("\n")));
        }
        if !command.query && command.is("SOUR#:TRIG:INT") {
            return Ok(Answer::None);
        }
        self.recorder(command, now)
    }

    fn restart(&mut self) {
        (self.outputs, self.acquisition) = ([FastOutput::POWER_ON; 2], Recorder::power_on());
        (self.listener)([Volts(0.0); 2]);
    }
}

const HELP: [&str; 22] = [
    "*CLS",
    "*ESE",
    "*ESE?",
    "*ESR?",
    "*IDN?",
    "*OPC?",
    "*RST",
    "*STB?",
    "SYSTem:ERRor[:NEXT]?",
    "SYSTem:VERSion?",
    "SYSTem:BRD:Name?",
    "SYSTem:Help?",
    "SOUR#:FUNC",
    "SOUR#:VOLT",
    "SOUR#:VOLT:OFFS",
    "SOUR#:TRig:INT",
    "OUTPUT#:STATE",
    "ACQ:START",
    "ACQ:TRig",
    "ACQ:TRig:STAT?",
    "ACQ:TRig:FILL?",
    "ACQ:SOUR#:DATA:Old:N?",
];
