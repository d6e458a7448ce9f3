//! Where an artefact comes from. Every file carries it.

use alora_drivers::{Descriptor, ProcessorId, ProcessorKind};
use serde::{Deserialize, Serialize};

/// Origin of an artefact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// Tool and version, e.g. `alora 0.1.0`.
    pub tool: String,
    /// Processor that was measured; `None` for pairs that a user brought.
    pub processor: Option<ProcessorId>,
    /// Its family.
    pub kind: Option<ProcessorKind>,
    /// True when no physical processor stands behind the numbers.
    pub simulated: bool,
    /// When, RFC 3339 with UTC offset. Given by the caller: libraries read no clock.
    pub created: String,
    /// Seed of whatever was random.
    pub seed: u64,
}

impl Provenance {
    /// Origin of something measured on the processor that `descriptor` describes.
    #[must_use]
    pub fn of(descriptor: &Descriptor, created: String, seed: u64) -> Self {
        Self {
            tool: concat!("alora ", env!("CARGO_PKG_VERSION")).to_owned(),
            processor: Some(descriptor.id.clone()),
            kind: Some(descriptor.kind),
            simulated: descriptor.simulated,
            created,
            seed,
        }
    }
}
