//! A chain of Qontrol modules, byte for byte as the real ones, in text and in binary.
//!
//! Known from recordings and the vendor's client: the grammar, the replies, the error codes, the overflow of an
//! instruction. Assumed, for lack of a recording, is this: a failed write is answered by its error alone, a vector with
//! failures by the errors before its `OK`; an empty line is ignored; a header of odd parity is `E15:01`; a
//! frame that announces more words than the chain has channels is `E14:00` and forgotten, its words are then read as whatever
//! they look like; a byte of 0x80 or more in an unfinished line begins a frame and the line is forgotten; inputs answer
//! nothing to `vall?` and `0.0000` to what only outputs have; error lines carry the channel of the module that says them;
//! a channel command without a channel is for all of them.

mod answer;
mod binary;
mod module;
mod request;
mod text;

use std::{collections::VecDeque, time::Duration};

pub use module::ModuleSpec;

use self::{
    module::Module,
    request::{Fault, Request},
};
use super::Device;
use crate::{
    qontrol::{CHANNELS, ModuleKind},
    units::{Amperes, Volts},
};

/// Bytes that a line may have before it is thrown away.
const LINE: usize = 256;
/// Errors that the log keeps.
const LOG: usize = 64;

/// What stands behind the chain: heaters to drive, photodiodes to read.
pub trait ChainIo: Send {
    /// The outputs have changed to `volts`, one for every channel of the chain (0 at inputs).
    fn driven(&mut self, _volts: &[Volts], _now: Duration) {}

    /// Current into an input, by its channel in the chain.
    fn sensed(&mut self, _channel: usize, _now: Duration) -> Amperes {
        Amperes(0.0)
    }
}

/// Nothing connected to any input.
struct Nothing;

impl ChainIo for Nothing {}

/// An error that comes by itself.
#[derive(Clone, Copy, Debug)]
struct Injected {
    after_lines: usize,
    fault: Fault,
}

/// The chain.
pub struct QontrolChain {
    modules: Vec<Module>,
    io: Box<dyn ChainIo>,
    firmware: String,
    pending: Vec<u8>,
    in_frame: bool,
    requests: u64,
    log: VecDeque<(Fault, Duration)>,
    injected: Vec<Injected>,
    now: Duration,
}

impl QontrolChain {
    /// Modules in the order of the chain, numbered `0001`, `0002`, ...
    #[must_use]
    pub fn new(kinds: &[ModuleKind]) -> Self {
        let number = |index| format!("{:04}", index + 1);
        Self::of(
            kinds.iter().enumerate().map(|(index, &kind)| ModuleSpec::new(kind, number(index))).collect(),
        )
    }

    /// Modules with chosen numbers.
    #[must_use]
    pub fn of(modules: Vec<ModuleSpec>) -> Self {
        Self {
            modules: modules.into_iter().map(Module::new).collect(),
            io: Box::new(Nothing),
            firmware: "v2.4.1".to_owned(),
            pending: Vec::new(),
            in_frame: false,
            requests: 0,
            log: VecDeque::new(),
            injected: Vec::new(),
            now: Duration::ZERO,
        }
    }

    /// With something behind its channels.
    #[must_use]
    pub fn with_io(mut self, io: impl ChainIo + 'static) -> Self {
        self.io = Box::new(io);
        self
    }

    /// With other firmware, as `v2.3.0`.
    #[must_use]
    pub fn with_firmware(mut self, firmware: impl Into<String>) -> Self {
        self.firmware = firmware.into();
        self
    }

    /// Channels of the chain.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.modules.len() * CHANNELS
    }

    /// True voltage of every channel (0 at inputs).
    #[must_use]
    pub fn volts(&self) -> Vec<Volts> {
        self.of_channels(|module, local| Volts(module.volts(local)))
    }

    /// What the converter of every channel holds.
    #[must_use]
    pub fn words(&self) -> Vec<u16> {
        self.of_channels(|module, local| module.channels[local].volts)
    }

    /// Limits of every channel.
    #[must_use]
    pub fn limits(&self) -> Vec<(Volts, Amperes)> {
        self.of_channels(|module, local| {
            (Volts(module.volts_limit(local)), Amperes(module.current_limit(local) * 1e-3))
        })
    }

    /// Connects `ohms` to a channel; infinite: nothing.
    pub fn load(&mut self, channel: usize, ohms: f64) {
        if let Some(module) = self.modules.get_mut(channel / CHANNELS) {
            module.channels[channel % CHANNELS].load = ohms;
        }
    }

    /// An error that comes by itself: after so many more lines of answers (0: at once), with the local number of `channel`.
    pub fn inject_error(&mut self, code: u8, channel: usize, after_lines: usize) {
        let fault = Fault::new(code, channel % CHANNELS);
        self.injected.push(Injected { after_lines, fault });
    }

    fn of_channels<T>(&self, read: impl Fn(&Module, usize) -> T) -> Vec<T> {
        let locals = |module| (0..CHANNELS).map(move |local| (module, local));
        self.modules.iter().flat_map(locals).map(|(module, local)| read(module, local)).collect()
    }

    /// Takes one byte; what it completes is answered.
    fn take(&mut self, byte: u8, answers: &mut Vec<u8>) {
        if !self.in_frame && binary::begins(byte) {
            self.pending.clear();
            self.in_frame = true;
        }
        if self.in_frame {
            self.pending.push(byte);
            self.take_frame(answers);
        } else if byte == b'\n' {
            let line = std::mem::take(&mut self.pending);
            self.take_line(&line, answers);
        } else if self.pending.len() < LINE {
            self.pending.push(byte);
        } else {
            self.pending.clear();
            self.fail(Fault::new(Fault::OVERFLOW, 0), answers);
        }
    }

    fn take_line(&mut self, line: &[u8], answers: &mut Vec<u8>) {
        if line.iter().all(u8::is_ascii_whitespace) {
            return;
        }
        self.requests += 1;
        match text::parse(line) {
            Ok(request) => self.serve(&request, answers),
            Err(faults) => faults.into_iter().for_each(|fault| self.fail(fault, answers)),
        }
    }

    fn take_frame(&mut self, answers: &mut Vec<u8>) {
        let length = binary::length(&self.pending);
        if length > 7 + 2 * self.channels() {
            self.requests += 1;
            (self.in_frame, self.pending) = (false, Vec::new());
            return self.fail(Fault::new(Fault::OVERFLOW, 0), answers);
        }
        if self.pending.len() < length {
            return;
        }
        self.requests += 1;
        self.in_frame = false;
        let frame = std::mem::take(&mut self.pending);
        match binary::parse(&frame, |number| self.module_numbered(number)) {
            Ok(request) => self.serve(&request, answers),
            Err(fault) => self.fail(fault, answers),
        }
    }

    fn module_numbered(&self, number: u16) -> Option<usize> {
        let is = |module: &Module| u16::from_str_radix(&module.spec.number, 16) == Ok(number);
        self.modules.iter().position(is)
    }

    fn serve(&mut self, request: &Request, answers: &mut Vec<u8>) {
        let before = self.words();
        self.answer(request, answers);
        if self.words() != before {
            self.tell_io();
        }
    }

    fn tell_io(&mut self) {
        let volts = self.volts();
        self.io.driven(&volts, self.now);
    }

    /// Sends a line, and the errors whose time comes before it.
    fn say(&mut self, line: &str, answers: &mut Vec<u8>) {
        for fault in self.due() {
            self.fail(fault, answers);
        }
        self.injected.iter_mut().for_each(|injected| injected.after_lines -= 1);
        answers.extend_from_slice(line.as_bytes());
        answers.push(b'\n');
    }

    fn due(&mut self) -> Vec<Fault> {
        let mut due = Vec::new();
        self.injected.retain(|injected| {
            if injected.after_lines == 0 {
                due.push(injected.fault);
            }
            injected.after_lines > 0
        });
        due
    }

    fn fail(&mut self, fault: Fault, answers: &mut Vec<u8>) {
        if self.log.len() == LOG {
            self.log.pop_back();
        }
        self.log.push_front((fault, self.now));
        answers.extend_from_slice(fault.text().as_bytes());
        answers.push(b'\n');
    }
}

impl Device for QontrolChain {
    fn receive(&mut self, bytes: &[u8], now: Duration, answers: &mut Vec<u8>) {
        self.now = now;
        bytes.iter().for_each(|&byte| self.take(byte, answers));
    }

    fn tick(&mut self, now: Duration, answers: &mut Vec<u8>) {
        self.now = now;
        for fault in self.due() {
            self.fail(fault, answers);
        }
    }

    fn next_tick(&self) -> Option<Duration> {
        self.injected.iter().any(|injected| injected.after_lines == 0).then_some(self.now)
    }

    fn requests(&self) -> u64 {
        self.requests
    }

    /// Assumed: limits do not survive, and every module says `E90:00`.
    fn reset(&mut self, now: Duration, answers: &mut Vec<u8>) {
        (self.now, self.in_frame) = (now, false);
        self.pending.clear();
        self.modules.iter_mut().for_each(Module::power_cycle);
        self.tell_io();
        for _ in 0..self.modules.len() {
            self.fail(Fault::new(Fault::POWERED_UP, 0), answers);
        }
    }

    fn stick(&mut self, channel: usize, stuck: bool) {
        if let Some(module) = self.modules.get_mut(channel / CHANNELS) {
            module.channels[channel % CHANNELS].stuck = stuck;
        }
    }
}
