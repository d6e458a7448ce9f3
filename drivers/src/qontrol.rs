//! Chains of Qontrol driver modules (Q8iv, Q8b) and input modules (S8i).
//!
//! Nothing on this wire carries a checksum. So every value is written, read back on all channels until readings agree, and
//! compared; what cannot be read back so is [`ChannelState::Unknown`]. Limits are written to the modules and read back before
//! any output is set, and again after every reset.

mod arm;
mod encode;
mod error;
mod exchange;
mod grammar;
mod kind;
mod options;
mod read;
mod scan;
mod settle;
mod wire;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

pub use error::{Attribution, ChainError, ChainEvent, meaning};
pub use kind::{CHANNELS, ModuleKind, ModuleKindError};
pub use options::{ChainOptions, ChannelLimits, Mode, ModuleIdentity};

use self::{exchange::Trust, options::FULL, wire::Wire};
use crate::{
    link::{Connector, LinkError, LinkStatistics, RoundTrip},
    units::Volts,
};

/// What the host reads in a line of an answer, written again; `None` where it reads garbage.
#[cfg(feature = "fuzzing")]
#[must_use]
pub fn rewritten(line: &[u8]) -> Option<String> {
    grammar::Line::parse(line).rewritten()
}

/// What is known of a channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ChannelState {
    /// It held this when it was last read, as agreeing readings say.
    Known(Volts),
    /// It may hold anything within its limits.
    Unknown,
}

/// What became of a value.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The channel holds it, rounded to its converter; so was read back. Never wrong.
    Confirmed(Volts),
    /// The channel does not hold it, and why.
    Refused(String),
    /// Nobody knows, and why.
    Unknown(String),
}

/// A chain of modules on one wire. Channels count through the chain: 8 to a module, inputs included.
pub struct Chain {
    wire: Wire,
    options: ChainOptions,
    identity: Vec<ModuleIdentity>,
    /// What each channel was last known to hold.
    shadow: Vec<Option<u16>>,
    /// Outputs may have changed since the shadow was taken.
    unverified: bool,
    trust: Trust,
    rebooted: Option<String>,
    events: VecDeque<ChainEvent>,
    /// Errors that modules said since the last write began.
    accused: Vec<(u8, Attribution)>,
    round_trip: RoundTrip,
}

impl Chain {
    /// Opens the wire, identifies the modules, writes all limits and reads them back, and zeroes all outputs.
    ///
    /// # Errors
    /// A wire that does not open, modules other than expected (nothing is written to them then), limits that do not hold.
    pub async fn connect(connector: Arc<dyn Connector>, options: ChainOptions) -> Result<Self, ChainError> {
        let round_trip = RoundTrip::new(options.reply / 10, options.reply);
        let mut chain = Self {
            wire: Wire::new(connector),
            options,
            identity: Vec::new(),
            shadow: Vec::new(),
            unverified: true,
            trust: Trust::default(),
            rebooted: None,
            events: VecDeque::new(),
            accused: Vec::new(),
            round_trip,
        };
        chain.wire.open().await?;
        chain.identify_and_arm().await?;
        Ok(chain)
    }

    /// Opens the wire again after it was lost, and does all that [`Self::connect`] does; the modules must be the same.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub async fn reconnect(&mut self) -> Result<(), ChainError> {
        self.shadow.fill(None);
        self.wire.open().await?;
        self.wire.statistics.reconnects += 1;
        self.identify_and_arm().await
    }

    /// After a reset: identifies the modules, writes all limits, reads them back, and zeroes all outputs.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub async fn rearm(&mut self) -> Result<(), ChainError> {
        self.identify_and_arm().await
    }

    /// Modules in the order of the chain.
    #[must_use]
    pub fn identity(&self) -> &[ModuleIdentity] {
        &self.identity
    }

    /// Channels of all modules.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.shadow.len()
    }

    /// Channels that are outputs.
    #[must_use]
    pub fn outputs(&self) -> Vec<usize> {
        (0..self.channels()).filter(|&channel| self.kind(channel).drives()).collect()
    }

    /// Channels that are inputs.
    #[must_use]
    pub fn inputs(&self) -> Vec<usize> {
        (0..self.channels()).filter(|&channel| !self.kind(channel).drives()).collect()
    }

    fn kind(&self, channel: usize) -> ModuleKind {
        self.identity.get(channel / CHANNELS).map_or(ModuleKind::S8i, |module| module.kind)
    }

    /// What is known of a channel since the last call that read it back. Inputs are never known.
    #[must_use]
    pub fn state(&self, channel: usize) -> ChannelState {
        match self.shadow.get(channel) {
            Some(&Some(word)) if !self.unverified && self.rebooted.is_none() => {
                ChannelState::Known(self.volts_of(channel, word))
            }
            _ => ChannelState::Unknown,
        }
    }

    /// What is known of all channels.
    #[must_use]
    pub fn states(&self) -> Vec<ChannelState> {
        (0..self.channels()).map(|channel| self.state(channel)).collect()
    }

    /// The voltage that a channel can really hold nearest to `volts`.
    #[must_use]
    pub fn quantised(&self, channel: usize, volts: Volts) -> Volts {
        self.volts_of(channel, self.nearest(channel, volts))
    }

    /// Sets one output, reads all back, and returns once it is confirmed.
    ///
    /// # Errors
    /// A voltage above the host's limit (nothing is sent), a refusal by the module, a value that is not held, a link that
    /// brings nothing to be trusted, a reset. [`Self::state`] says what is known after an error.
    ///
    /// Not cancel-safe: dropping the future leaves all outputs unknown until the next call that reads back.
    pub async fn set(&mut self, channel: usize, volts: Volts) -> Result<(), ChainError> {
        self.set_many(&[(channel, volts)]).await
    }

    /// Sets several outputs. All voltages are checked before anything is sent.
    ///
    /// # Errors
    /// As [`Self::set`].
    pub async fn set_many(&mut self, values: &[(usize, Volts)]) -> Result<(), ChainError> {
        let mut targets = BTreeMap::new();
        for &(channel, volts) in values {
            targets.insert(channel, self.checked(channel, volts)?);
        }
        self.ready()?;
        self.settle(targets).await
    }

    /// Sets all outputs to zero and confirms it.
    ///
    /// # Errors
    /// As [`Self::set`].
    pub async fn zero(&mut self) -> Result<(), ChainError> {
        self.ready()?;
        self.settle(self.outputs().into_iter().map(|channel| (channel, 0)).collect()).await
    }

    /// Sets one output and says what is known of it.
    pub async fn confirm(&mut self, channel: usize, volts: Volts) -> Outcome {
        match self.set(channel, volts).await {
            Ok(()) => match self.state(channel) {
                ChannelState::Known(held) => Outcome::Confirmed(held),
                ChannelState::Unknown => Outcome::Unknown("the chain was disturbed since".to_owned()),
            },
            Err(
                error @ (ChainError::NoOutput { .. }
                | ChainError::OverLimit { .. }
                | ChainError::Refused { .. }
                | ChainError::NotHeld { .. }),
            ) => Outcome::Refused(error.to_string()),
            Err(error) => Outcome::Unknown(error.to_string()),
        }
    }

    /// What happened by itself since this was last asked.
    pub fn take_events(&mut self) -> Vec<ChainEvent> {
        self.events.drain(..).collect()
    }

    /// What the link has seen.
    #[must_use]
    pub fn statistics(&self) -> LinkStatistics {
        let round_trip_us = self.round_trip.smoothed().map_or(0, |smoothed| smoothed.as_micros() as u64);
        LinkStatistics { round_trip_us, ..self.wire.statistics }
    }

    /// The way is free for outputs: the wire is open and the limits are in the modules.
    fn ready(&self) -> Result<(), ChainError> {
        if !self.wire.is_open() {
            return Err(LinkError::Lost { place: self.wire.place() }.into());
        }
        if self.rebooted.is_some() { Err(self.rebooted_error()) } else { Ok(()) }
    }

    fn checked(&self, channel: usize, volts: Volts) -> Result<u16, ChainError> {
        if channel >= self.channels() || !self.kind(channel).drives() {
            return Err(ChainError::NoOutput { channel, channels: self.channels() });
        }
        let limit = self.options.limit(channel).map_or(Volts(0.0), |limits| limits.volts);
        // Not a number compares as outside, too.
        if !(0.0..=limit.0).contains(&volts.0) {
            return Err(ChainError::OverLimit { channel, wanted: volts, limit });
        }
        Ok(self.nearest(channel, volts).min(self.limit_word(channel)))
    }

    fn nearest(&self, channel: usize, Volts(volts): Volts) -> u16 {
        let full = self.full(encode::Property::Volts, channel);
        (volts / full * FULL).round().clamp(0.0, FULL) as u16
    }
}
