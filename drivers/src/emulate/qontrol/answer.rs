//! What the chain does with a request, and says.

use std::{collections::BTreeSet, ops::Range};

use super::{
    QontrolChain,
    request::{Action, Fault, Property, Request, Scope, Value},
};
use crate::{qontrol::CHANNELS, units::Amperes};

/// Age that a module has when it is powered first.
const AGE: u64 = 141_177;

impl QontrolChain {
    pub(super) fn answer(&mut self, request: &Request, answers: &mut Vec<u8>) {
        match (&request.action, request.property) {
            (Action::Write(_), Property::Enumerate) => self.enumerate(answers),
            (Action::Write(values), property) if property.is_of_channels() => {
                self.write(property, request.scope, values, answers);
            }
            (Action::Write(_), _) => self.fail(Fault::new(Fault::FORBIDDEN, 0), answers),
            (Action::Read, property) if property.is_of_channels() => {
                self.read_channels(property, request.scope, answers);
            }
            (Action::Read, Property::Log) => self.read_log(answers),
            (Action::Read, property) => self.read_modules(property, request.scope, answers),
        }
    }

    /// Each module says `OK`, with an ACK byte in front.
    fn enumerate(&mut self, answers: &mut Vec<u8>) {
        for _ in 0..self.modules.len() {
            self.say("\x06OK", answers);
        }
    }

    fn write(&mut self, property: Property, scope: Scope, values: &[Value], answers: &mut Vec<u8>) {
        let Some(channels) = self.addressed(scope, values.len()) else {
            return self.no_such_channel(scope, answers);
        };
        if values.len() != 1 && values.len() != channels.len() {
            return self.fail(Fault::new(Fault::PARAMETER, 0), answers);
        }
        let single = channels.len() == 1;
        let mut modules = BTreeSet::new();
        let mut failed = false;
        for (index, channel) in channels.enumerate() {
            let value = if values.len() == 1 { values[0] } else { values[index] };
            let module = &mut self.modules[channel / CHANNELS];
            if scope == Scope::All && !module.drives() {
                continue;
            }
            modules.insert(channel / CHANNELS);
            if let Err(fault) = module.set(channel % CHANNELS, property, value) {
                failed = true;
                self.fail(fault, answers);
            }
        }
        if !(single && failed) {
            modules.into_iter().for_each(|_| self.say("OK", answers));
        }
    }

    /// `None` when a channel is not there.
    fn addressed(&self, scope: Scope, values: usize) -> Option<Range<usize>> {
        let channels = match scope {
            Scope::Unaddressed | Scope::All => 0..self.channels(),
            Scope::Number(channel) => channel..channel.saturating_add(1),
            Scope::From(first) => first..first.saturating_add(values),
        };
        (channels.end <= self.channels()).then_some(channels)
    }

    fn no_such_channel(&mut self, scope: Scope, answers: &mut Vec<u8>) {
        let channel = match scope {
            Scope::Number(channel) | Scope::From(channel) => channel,
            _ => 0,
        };
        self.fail(Fault::new(Fault::CHANNEL, channel), answers);
    }

    fn read_channels(&mut self, property: Property, scope: Scope, answers: &mut Vec<u8>) {
        let Some(channels) = self.addressed(scope, 1) else {
            return self.no_such_channel(scope, answers);
        };
        let all = matches!(scope, Scope::All | Scope::Unaddressed);
        for channel in channels {
            match self.channel_line(property, channel) {
                Some(line) => self.say(&line, answers),
                None if all => {}
                None => self.fail(Fault::new(Fault::FORBIDDEN, channel % CHANNELS), answers),
            }
        }
    }

    /// `None` for what an input does not have.
    fn channel_line(&mut self, property: Property, channel: usize) -> Option<String> {
        let (index, local) = (channel / CHANNELS, channel % CHANNELS);
        let module = &self.modules[index];
        if !module.drives() {
            return (property == Property::Current).then(|| {
                let Amperes(sensed) = self.io.sensed(channel, self.now);
                milliamperes(sensed * 1e3)
            });
        }
        Some(match property {
            Property::Volts => volts(module.volts(local)),
            Property::Current => milliamperes(module.current(local)),
            Property::VoltsLimit => volts(module.volts_limit(local)),
            Property::CurrentLimit => milliamperes(module.current_limit(local)),
            _ => power(index, local, module.volts(local), module.current(local)),
        })
    }

    fn read_modules(&mut self, property: Property, scope: Scope, answers: &mut Vec<u8>) {
        let modules = match scope {
            Scope::All => 0..self.modules.len(),
            Scope::Number(module) => module..module.saturating_add(1),
            _ if property == Property::Enumerate => 0..self.modules.len(),
            _ => 0..1,
        };
        if modules.end > self.modules.len() {
            return self.no_such_channel(scope, answers);
        }
        for index in modules {
            let line = self.module_line(property, index);
            self.say(&line, answers);
        }
    }

    fn module_line(&self, property: Property, index: usize) -> String {
        let module = &self.modules[index];
        match property {
            Property::VoltsFull => volts(module.full_volts()),
            Property::CurrentFull => milliamperes(module.full_current()),
            Property::Channels => CHANNELS.to_string(),
            Property::Firmware => self.firmware.clone(),
            Property::Lifetime => format!("{} s", AGE + self.now.as_secs()),
            Property::Enumerate => format!("{}: {index}", module.spec.id()),
            _ => module.spec.id(),
        }
    }

    fn read_log(&mut self, answers: &mut Vec<u8>) {
        let entries: Vec<_> = self.log.iter().copied().collect();
        for (index, (fault, at)) in entries.into_iter().enumerate() {
            let minutes = self.now.saturating_sub(at).as_secs() / 60;
            self.say(&format!("#{index:3}, {}, {minutes} m ago", fault.text()), answers);
        }
    }
}

fn volts(value: f64) -> String {
    format!("{} V", signed(value))
}

fn milliamperes(value: f64) -> String {
    format!("{} mA", signed(value))
}

fn signed(value: f64) -> String {
    format!("{value:+.4}")
}

/// Power and resistance only when a current flows.
fn power(module: usize, local: usize, driven: f64, current: f64) -> String {
    let line = format!("{module},{local}: {}, {}", volts(driven), milliamperes(current));
    if current < 5e-5 {
        return line;
    }
    format!("{line}, {:8.4} mW, {:6.0} Ohm", driven * current, driven / current * 1e3)
}
