//! What one run through a network is given, besides the images.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use burn::tensor::Tensor;

use crate::kernel::digital::batch_norm::ChannelMoments;

/// What a run is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Batch norms use their running statistics; nothing is dropped.
    #[default]
    Inference,
    /// Batch norms of a base that trains use those of the batch; adapters drop inputs.
    Training,
}

/// Adapters of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdapterPass {
    /// `α/k`.
    pub factor: f32,
    /// Part of the inputs dropped while training.
    pub dropout: f32,
}

/// One run through a network.
#[derive(Clone, Copy)]
pub struct Pass<'a> {
    /// Parameters in place of the model's, by name, and adapters: `GROUP.adapter.a` and so on.
    pub trained: &'a BTreeMap<String, Tensor<2>>,
    /// Factor and dropout of the adapters among them.
    pub adapter: Option<AdapterPass>,
    /// What the run is for.
    pub mode: Mode,
    /// Seed of errors and dropped inputs.
    pub seed: u64,
    /// Factor on every error, 1 for the chip's own.
    pub error_factor: f32,
    /// Receives what was seen on the way.
    pub watch: Option<&'a Watch>,
}

impl<'a> Pass<'a> {
    /// Inference with the model's own parameters but those in `trained`.
    #[must_use]
    pub fn inference(
        trained: &'a BTreeMap<String, Tensor<2>>,
        adapter: Option<AdapterPass>,
        seed: u64,
    ) -> Self {
        Self { trained, adapter, mode: Mode::Inference, seed, error_factor: 1.0, watch: None }
    }

    /// A seed for the operation `name` of this run.
    pub(super) fn seed_of(&self, name: &str) -> u64 {
        // FNV-1a (Fowler, Noll, Vo): operations of one run must not share random numbers.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        self.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ hash
    }
}

/// Moments of the channels of a batch norm over one batch.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchMoments {
    /// Values of each channel.
    pub rows: usize,
    /// Mean and variance (divisor `rows`).
    pub moments: ChannelMoments,
}

/// Largest magnitudes at a group of layers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SeenRange {
    /// Of the inputs.
    pub input: f32,
    /// Of what a tile's output converter gets, in chip units.
    pub output: f32,
}

/// What a run saw: ranges of the converters, and moments of batch norms.
#[derive(Debug, Default)]
pub struct Watch {
    /// Whether batch norms use the moments of the batch, and note them.
    pub estimate_norms: bool,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    ranges: BTreeMap<String, SeenRange>,
    moments: BTreeMap<String, Vec<BatchMoments>>,
}

impl Watch {
    /// Notes the ranges of converters; batch norms stay as they are.
    #[must_use]
    pub fn ranges() -> Self {
        Self::default()
    }

    /// Lets batch norms use the moments of the batch and notes them.
    #[must_use]
    pub fn norms() -> Self {
        Self { estimate_norms: true, seen: Mutex::default() }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // A note is a single insertion: a thread that panicked left it whole.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn range(&self, group: &str, range: SeenRange) {
        let mut seen = self.seen();
        let known = seen.ranges.entry(group.to_owned()).or_default();
        known.input = known.input.max(range.input);
        known.output = known.output.max(range.output);
    }

    pub(super) fn moments(&self, norm: &str, moments: BatchMoments) {
        self.seen().moments.entry(norm.to_owned()).or_default().push(moments);
    }

    /// Ranges seen, by group.
    #[must_use]
    pub fn seen_ranges(&self) -> BTreeMap<String, SeenRange> {
        self.seen().ranges.clone()
    }

    /// Moments of every batch seen, by norm.
    #[must_use]
    pub fn take_moments(&self) -> BTreeMap<String, Vec<BatchMoments>> {
        std::mem::take(&mut self.seen().moments)
    }
}
