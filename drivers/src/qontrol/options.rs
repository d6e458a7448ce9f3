//! What a chain is expected to be and allowed to do.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{CHANNELS, ModuleKind};
use crate::units::{Amperes, Volts};

/// How values are sent. Answers are text in both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// As text.
    #[default]
    Ascii,
    /// As binary frames, as long as the link is clean: doubtful values are read in text.
    Binary,
}

/// Limits of one output.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChannelLimits {
    /// Highest voltage.
    pub volts: Volts,
    /// Highest current.
    pub amperes: Amperes,
}

/// What is expected of a chain and how it is spoken to.
#[derive(Clone, Debug, PartialEq)]
pub struct ChainOptions {
    /// Modules in the order of the chain; empty: whatever is there.
    pub modules: Vec<ModuleKind>,
    /// Their ids, as `Q8iv-0001`; empty: any.
    pub ids: Vec<String>,
    /// How values are sent.
    pub mode: Mode,
    /// Limits of channels, counted through the chain; one of them for all, or one for each channel.
    pub limits: Vec<ChannelLimits>,
    /// Longest wait for a line of an answer.
    pub reply: Duration,
    /// After garbage, the link counts as quiet when nothing came for so long: longer than an adapter's latency timer.
    pub quiet: Duration,
    /// After a time-out, when nothing came for so long: the longest delay ever seen.
    pub quarantine: Duration,
    /// Writes of one value before it is given up.
    pub attempts: u32,
    /// Tries of one question before it is given up.
    pub tries: u32,
    /// Steps of the converter by which a value may be read back beside the one written. 0 where the module reads back what
    /// was set; more where it reads back what it measures.
    pub tolerance: u16,
}

impl ChainOptions {
    /// The same limits for all channels, whatever modules there are, in text.
    #[must_use]
    pub fn new(limits: ChannelLimits) -> Self {
        Self {
            modules: Vec::new(),
            ids: Vec::new(),
            mode: Mode::Ascii,
            limits: vec![limits],
            reply: Duration::from_millis(100),
            quiet: Duration::from_millis(40),
            quarantine: Duration::from_millis(300),
            attempts: 10,
            tries: 30,
            tolerance: 0,
        }
    }

    /// The modules that have to be there.
    #[must_use]
    pub fn expecting(self, modules: &[ModuleKind]) -> Self {
        Self { modules: modules.to_vec(), ..self }
    }

    /// In that mode.
    #[must_use]
    pub fn in_mode(self, mode: Mode) -> Self {
        Self { mode, ..self }
    }

    /// Limits of a channel; `None` when there are none for it.
    pub(super) fn limit(&self, channel: usize) -> Option<ChannelLimits> {
        if self.limits.len() == 1 { self.limits.first() } else { self.limits.get(channel) }.copied()
    }
}

/// What one module said of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleIdentity {
    /// Kind.
    pub kind: ModuleKind,
    /// Id, as `Q8iv-0001`.
    pub id: String,
    /// Firmware, as `v2.4.1`.
    pub firmware: String,
}

/// Steps of full scale.
pub(super) const FULL: f64 = 65535.0;

/// Channel within its module.
pub(super) fn local(channel: usize) -> usize {
    channel % CHANNELS
}
