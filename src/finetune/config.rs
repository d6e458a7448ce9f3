//! What a fine-tuning run is asked to do.

use serde::{Deserialize, Serialize};

use crate::photonic::Sampling;

/// Where burn computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ComputeDevice {
    /// burn-flex.
    #[default]
    Flex,
    /// burn-ndarray; needs the cargo feature `ndarray-device`.
    Ndarray,
}

/// Techniques of the training forward pass. All off is PTQ: nothing is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Techniques {
    /// Quantisation-aware training: weights, inputs and outputs go through their converters.
    pub qat: bool,
    /// Noise-aware training: δW is added to the weights.
    pub nat: bool,
    /// The base is frozen and low-rank adapters train beside it; else the base itself trains.
    pub lora: bool,
}

impl Techniques {
    /// ALoRA: all three.
    pub const ALORA: Self = Self { qat: true, nat: true, lora: true };
    /// Quantisation-aware training of adapters.
    pub const QAT_LORA: Self = Self { qat: true, nat: false, lora: true };
    /// Quantisation-aware training of the base.
    pub const QAT: Self = Self { qat: true, nat: false, lora: false };
    /// Post-training quantisation: none.
    pub const PTQ: Self = Self { qat: false, nat: false, lora: false };

    /// Whether anything trains.
    #[must_use]
    pub fn train(self) -> bool {
        self.qat || self.nat || self.lora
    }

    /// Name under which figures and tables show them.
    #[must_use]
    pub fn name(self) -> String {
        if self == Self::ALORA {
            return "ALoRA".to_owned();
        }
        let names = [(self.qat, "QAT"), (self.nat, "NAT"), (self.lora, "LoRA")];
        let on: Vec<&str> = names.into_iter().filter_map(|(on, name)| on.then_some(name)).collect();
        if on.is_empty() { "PTQ".to_owned() } else { on.join(" + ") }
    }
}

impl Default for Techniques {
    fn default() -> Self {
        Self::ALORA
    }
}

/// Shape of the adapters.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdapterConfig {
    /// Rank `k`, 1 to 256.
    pub rank: usize,
    /// `α`, above 0 to 1024; the adapter counts `α/k` times.
    pub alpha: f32,
    /// Whether `A` and `B` have biases of their own.
    pub bias: bool,
    /// Part of the adapter's inputs dropped while training, 0 to 0.9.
    pub dropout: f32,
}

impl Default for AdapterConfig {
    fn default() -> Self {
        Self { rank: 8, alpha: 16.0, bias: false, dropout: 0.0 }
    }
}

/// How the learning rate falls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Half a cosine from 1 to 0.05.
    #[default]
    Cosine,
    /// A straight line from 1 to 0.05.
    Linear,
    /// It does not.
    Constant,
}

impl Schedule {
    /// Learning rate of step `done` of `steps`, as a part of the full one; the first `warmup` part of the steps rises from 0.
    #[must_use]
    pub(super) fn factor(self, done: usize, steps: usize, warmup: f64) -> f64 {
        let part = done as f64 / steps.max(1) as f64;
        let rise =
            if warmup > 0.0 { ((done + 1) as f64 / (warmup * steps as f64).max(1.0)).min(1.0) } else { 1.0 };
        let fall = match self {
            Self::Cosine => 0.05 + 0.95 * 0.5 * (1.0 + (std::f64::consts::PI * part).cos()),
            Self::Linear => 1.0 - 0.95 * part,
            Self::Constant => 1.0,
        };
        rise * fall
    }
}

/// Training images are changed, anew in each epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AugmentConfig {
    /// Shifted by up to so many pixels both ways, 0 to 8. Without it the few parameters of an adapter learn the training images
    /// by heart.
    pub shift: usize,
    /// Mirrored left to right, every other image.
    pub flip: bool,
}

impl Default for AugmentConfig {
    fn default() -> Self {
        Self { shift: 1, flip: false }
    }
}

/// The digital network as a teacher: `loss = (1 − weight) · cross entropy + weight · KL(teacher ‖ student)`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DistillationConfig {
    /// Share of the teacher in the loss, 0 to 1; 0 switches it off.
    pub weight: f32,
    /// Softens both distributions, above 0 to 100 (Hinton et al., arXiv 1503.02531).
    pub temperature: f32,
}

impl Default for DistillationConfig {
    fn default() -> Self {
        Self { weight: 0.0, temperature: 2.0 }
    }
}

/// Stop when a part of the training images kept aside gets no better.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EarlyStopConfig {
    /// Epochs without a better loss before training stops, 1 to 1000; 0 switches it off. The best epoch is kept.
    pub patience: usize,
    /// Part of the training images kept aside, above 0 to 0.5.
    pub held_out: f64,
}

impl Default for EarlyStopConfig {
    fn default() -> Self {
        Self { patience: 0, held_out: 0.1 }
    }
}

/// Which parameters of the base train where it does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BaseScope {
    /// All of them.
    #[default]
    All,
    /// The classification head alone.
    Head,
}

/// A training run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FinetuneConfig {
    /// Passes over the training images, 1 to 1000.
    pub epochs: usize,
    /// Images a step, 1 to 8192.
    pub batch_size: usize,
    /// Step size of AdamW, above 0 to 1.
    pub learning_rate: f64,
    /// Decoupled weight decay of AdamW, 0 to 1.
    pub weight_decay: f64,
    /// How the learning rate falls.
    pub schedule: Schedule,
    /// Part of the steps in which the learning rate rises from 0, 0 to 1.
    pub warmup: f64,
    /// Part of the steps in which σ rises from 0 to its full value, 0 to 1.
    pub sigma_ramp: f64,
    /// Training sees the error times this, 0 to 10.
    pub sigma_factor: f64,
    /// Gradients are scaled down to this norm at most, 0 to 1000; 0 switches it off.
    pub gradient_norm: f64,
    /// Batches over which the statistics of batch norms are estimated again on the chip after training, 0 to 10 000.
    pub norm_batches: usize,
    /// Steps between checkpoints, 1 to 1 000 000; 0 writes one an epoch.
    pub checkpoint_steps: usize,
    /// When δW is drawn anew while training.
    pub sampling: Sampling,
    /// Augmentation.
    pub augment: AugmentConfig,
    /// Adapters.
    pub adapter: AdapterConfig,
    /// Techniques, singly.
    pub techniques: Techniques,
    /// What trains where the base does.
    pub scope: BaseScope,
    /// The digital network as a teacher.
    pub distillation: DistillationConfig,
    /// Early stop.
    pub early_stop: EarlyStopConfig,
    /// Where to compute.
    pub device: ComputeDevice,
}

impl Default for FinetuneConfig {
    fn default() -> Self {
        Self {
            epochs: 5,
            batch_size: 64,
            learning_rate: 3e-3,
            weight_decay: 0.0,
            schedule: Schedule::default(),
            warmup: 0.0,
            sigma_ramp: 0.0,
            sigma_factor: 1.0,
            gradient_norm: 0.0,
            norm_batches: 0,
            checkpoint_steps: 0,
            sampling: Sampling::default(),
            augment: AugmentConfig::default(),
            adapter: AdapterConfig::default(),
            techniques: Techniques::default(),
            scope: BaseScope::default(),
            distillation: DistillationConfig::default(),
            early_stop: EarlyStopConfig::default(),
            device: ComputeDevice::default(),
        }
    }
}

/// A value outside its range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` is {value}; allowed: {allowed}")]
pub struct ConfigError {
    /// Key, dotted.
    pub key: &'static str,
    /// Value given.
    pub value: String,
    /// Allowed range.
    pub allowed: &'static str,
}

impl FinetuneConfig {
    /// Checks every range.
    ///
    /// # Errors
    /// The first value outside its range.
    pub fn check(&self) -> Result<(), ConfigError> {
        let rate = self.learning_rate;
        let alpha = self.adapter.alpha;
        let part = 0.0..=1.0;
        require((1..=1000).contains(&self.epochs), "epochs", self.epochs, "1 to 1000")?;
        require((1..=8192).contains(&self.batch_size), "batch_size", self.batch_size, "1 to 8192")?;
        require(rate > 0.0 && rate <= 1.0, "learning_rate", rate, "above 0, to 1")?;
        require(part.contains(&self.weight_decay), "weight_decay", self.weight_decay, "0 to 1")?;
        require(part.contains(&self.warmup), "warmup", self.warmup, "0 to 1")?;
        require(part.contains(&self.sigma_ramp), "sigma_ramp", self.sigma_ramp, "0 to 1")?;
        require((0.0..=10.0).contains(&self.sigma_factor), "sigma_factor", self.sigma_factor, "0 to 10")?;
        let norm = self.gradient_norm;
        require((0.0..=1000.0).contains(&norm), "gradient_norm", norm, "0 to 1000")?;
        require(self.norm_batches <= 10_000, "norm_batches", self.norm_batches, "0 to 10 000")?;
        require(self.augment.shift <= 8, "augment.shift", self.augment.shift, "0 to 8")?;
        require((1..=256).contains(&self.adapter.rank), "adapter.rank", self.adapter.rank, "1 to 256")?;
        require(alpha > 0.0 && alpha <= 1024.0, "adapter.alpha", alpha, "above 0, to 1024")?;
        let dropout = self.adapter.dropout;
        require((0.0..=0.9).contains(&dropout), "adapter.dropout", dropout, "0 to 0.9")?;
        let DistillationConfig { weight, temperature } = self.distillation;
        require((0.0..=1.0).contains(&weight), "distillation.weight", weight, "0 to 1")?;
        let warm = temperature > 0.0 && temperature <= 100.0;
        require(warm, "distillation.temperature", temperature, "above 0, to 100")?;
        let EarlyStopConfig { patience, held_out } = self.early_stop;
        require(patience <= 1000, "early_stop.patience", patience, "0 to 1000")?;
        require(held_out > 0.0 && held_out <= 0.5, "early_stop.held_out", held_out, "above 0, to 0.5")
    }
}

fn require(
    holds: bool,
    key: &'static str,
    value: impl ToString,
    allowed: &'static str,
) -> Result<(), ConfigError> {
    if holds { Ok(()) } else { Err(ConfigError { key, value: value.to_string(), allowed }) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_defaults_are_within_their_own_ranges() {
        FinetuneConfig::default().check().unwrap();
    }

    #[test]
    fn a_value_outside_its_range_is_named_with_the_range() {
        let message = |config: FinetuneConfig| config.check().unwrap_err().to_string();
        let config = FinetuneConfig { epochs: 0, ..FinetuneConfig::default() };
        assert_eq!(message(config), "`epochs` is 0; allowed: 1 to 1000");
        let adapter = AdapterConfig { rank: 257, ..AdapterConfig::default() };
        let config = FinetuneConfig { adapter, ..FinetuneConfig::default() };
        assert_eq!(message(config), "`adapter.rank` is 257; allowed: 1 to 256");
        let config = FinetuneConfig { learning_rate: f64::NAN, ..FinetuneConfig::default() };
        assert_eq!(message(config), "`learning_rate` is NaN; allowed: above 0, to 1");
    }

    #[test]
    fn techniques_are_named_as_in_the_paper() {
        assert_eq!(Techniques::ALORA.name(), "ALoRA");
        assert_eq!(Techniques::QAT_LORA.name(), "QAT + LoRA");
        assert_eq!(Techniques::PTQ.name(), "PTQ");
    }

    #[test]
    fn the_learning_rate_rises_over_the_warm_up_and_falls_to_a_twentieth() {
        assert_eq!(Schedule::Cosine.factor(0, 100, 0.0), 1.0);
        assert!((Schedule::Cosine.factor(100, 100, 0.0) - 0.05).abs() < 1e-12);
        assert!((Schedule::Linear.factor(50, 100, 0.0) - 0.525).abs() < 1e-12);
        assert!((Schedule::Constant.factor(4, 100, 0.1) - 0.5).abs() < 1e-12);
    }
}
