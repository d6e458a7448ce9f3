//! One module: its channels, limits and load.

use super::request::{Fault, Property, Value};
use crate::{
    qontrol::{CHANNELS, ModuleKind},
    units::{Amperes, Volts},
};

/// Words of full scale.
const FULL: f64 = 65535.0;
/// Resistance at every output until told otherwise, ohms.
const USUAL_LOAD: f64 = 1000.0;

/// A module as it is ordered: kind and id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleSpec {
    /// Kind.
    pub kind: ModuleKind,
    /// Behind the hyphen of its id, as `0001`; `****` when none is assigned.
    pub number: String,
}

impl ModuleSpec {
    /// A module with that number.
    #[must_use]
    pub fn new(kind: ModuleKind, number: impl Into<String>) -> Self {
        Self { kind, number: number.into() }
    }

    pub(super) fn id(&self) -> String {
        format!("{}-{}", self.kind, self.number)
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Channel {
    pub(super) volts: u16,
    volts_limit: u16,
    current_limit: u16,
    /// Ohms; infinite when nothing is connected.
    pub(super) load: f64,
    pub(super) stuck: bool,
}

impl Channel {
    fn powered() -> Self {
        Self { volts: 0, volts_limit: u16::MAX, current_limit: u16::MAX, load: USUAL_LOAD, stuck: false }
    }

    fn power_cycle(&mut self) {
        *self = Self { load: self.load, stuck: self.stuck, ..Self::powered() };
    }
}

#[derive(Clone, Debug)]
pub(super) struct Module {
    pub(super) spec: ModuleSpec,
    pub(super) channels: [Channel; CHANNELS],
}

impl Module {
    pub(super) fn new(spec: ModuleSpec) -> Self {
        Self { spec, channels: [Channel::powered(); CHANNELS] }
    }

    pub(super) fn power_cycle(&mut self) {
        self.channels.iter_mut().for_each(Channel::power_cycle);
    }

    pub(super) fn drives(&self) -> bool {
        self.spec.kind.drives()
    }

    pub(super) fn full_volts(&self) -> f64 {
        self.spec.kind.full_volts().unwrap_or(Volts(0.0)).0
    }

    /// Milliamperes, as everything on the wire.
    pub(super) fn full_current(&self) -> f64 {
        let Amperes(full) = self.spec.kind.full_amperes();
        full * 1e3
    }

    pub(super) fn volts(&self, local: usize) -> f64 {
        f64::from(self.channels[local].volts) / FULL * self.full_volts()
    }

    /// Milliamperes into the load.
    pub(super) fn current(&self, local: usize) -> f64 {
        self.volts(local) / self.channels[local].load * 1e3
    }

    pub(super) fn volts_limit(&self, local: usize) -> f64 {
        f64::from(self.channels[local].volts_limit) / FULL * self.full_volts()
    }

    pub(super) fn current_limit(&self, local: usize) -> f64 {
        f64::from(self.channels[local].current_limit) / FULL * self.full_current()
    }

    /// Sets one property of one channel. Inputs have nothing to set.
    pub(super) fn set(&mut self, local: usize, property: Property, value: Value) -> Result<(), Fault> {
        if !self.drives() {
            return Err(Fault::new(Fault::FORBIDDEN, local));
        }
        match property {
            Property::Volts => self.set_volts(local, word(value, self.full_volts())),
            Property::Current => self.set_current(local, value),
            Property::VoltsLimit => self.limit_volts(local, word(value, self.full_volts())),
            Property::CurrentLimit => self.limit_current(local, word(value, self.full_current())),
            _ => Err(Fault::new(Fault::FORBIDDEN, local)),
        }
    }

    /// Assumed: a voltage above its limit is refused and the output stays; one that drives too much current trips the
    /// channel to zero.
    fn set_volts(&mut self, local: usize, wanted: Option<f64>) -> Result<(), Fault> {
        let wanted = wanted.ok_or(Fault::new(Fault::PARAMETER, local))?;
        let channel = self.channels[local];
        if wanted > f64::from(channel.volts_limit) {
            return Err(Fault::new(Fault::OVER_VOLTAGE, local));
        }
        if channel.stuck {
            return Ok(());
        }
        self.channels[local].volts = wanted as u16;
        self.check_current(local)
    }

    fn check_current(&mut self, local: usize) -> Result<(), Fault> {
        if self.current(local) > self.current_limit(local) * (1.0 + 1e-9) {
            self.channels[local].volts = 0;
            return Err(Fault::new(Fault::OVER_CURRENT, local));
        }
        Ok(())
    }

    /// A current is reached by the voltage that drives it: into an open channel there is none.
    fn set_current(&mut self, local: usize, value: Value) -> Result<(), Fault> {
        let share = word(value, self.full_current()).ok_or(Fault::new(Fault::PARAMETER, local))?;
        let channel = self.channels[local];
        if share > f64::from(channel.current_limit) {
            return Err(Fault::new(Fault::OVER_CURRENT, local));
        }
        let milliamperes = share / FULL * self.full_current();
        if share == 0.0 {
            return self.set_volts(local, Some(0.0));
        }
        if channel.load.is_infinite() {
            return Err(Fault::new(Fault::OVER_VOLTAGE, local));
        }
        let volts = milliamperes * 1e-3 * channel.load;
        self.set_volts(local, Some((volts / self.full_volts() * FULL).round()))
    }

    /// Assumed: an output above its new limit goes to zero.
    fn limit_volts(&mut self, local: usize, wanted: Option<f64>) -> Result<(), Fault> {
        let wanted = full(wanted).ok_or(Fault::new(Fault::PARAMETER, local))?;
        let channel = &mut self.channels[local];
        channel.volts_limit = wanted;
        if channel.volts > wanted {
            channel.volts = 0;
            return Err(Fault::new(Fault::OVER_VOLTAGE, local));
        }
        Ok(())
    }

    fn limit_current(&mut self, local: usize, wanted: Option<f64>) -> Result<(), Fault> {
        self.channels[local].current_limit = full(wanted).ok_or(Fault::new(Fault::PARAMETER, local))?;
        self.check_current(local)
    }
}

/// Words of full scale, rounded, maybe too many; `None` when negative.
fn word(value: Value, full: f64) -> Option<f64> {
    let words = match value {
        Value::Word(word) => f64::from(word),
        Value::Decimal(decimal) => (decimal / full * FULL).round(),
    };
    (words >= 0.0).then_some(words)
}

fn full(words: Option<f64>) -> Option<u16> {
    words.filter(|&words| words <= FULL).map(|words| words as u16)
}
