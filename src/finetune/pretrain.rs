//! What digital pre-training is asked to do.

use serde::{Deserialize, Serialize};

use super::config::{AdapterConfig, AugmentConfig, ConfigError, FinetuneConfig, Schedule, Techniques};

/// Digital training of the base, where no trained weights are brought or their head is new.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PretrainConfig {
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
    /// Augmentation.
    pub augment: AugmentConfig,
}

impl Default for PretrainConfig {
    fn default() -> Self {
        Self {
            epochs: 10,
            batch_size: 64,
            learning_rate: 2e-3,
            weight_decay: 0.01,
            schedule: Schedule::Cosine,
            warmup: 0.0,
            augment: AugmentConfig::default(),
        }
    }
}

impl PretrainConfig {
    /// The same as a training run without any photonic technique.
    #[must_use]
    pub fn as_training(&self, device: super::ComputeDevice) -> FinetuneConfig {
        FinetuneConfig {
            epochs: self.epochs,
            batch_size: self.batch_size,
            learning_rate: self.learning_rate,
            weight_decay: self.weight_decay,
            schedule: self.schedule,
            warmup: self.warmup,
            augment: self.augment,
            techniques: Techniques::PTQ,
            adapter: AdapterConfig::default(),
            device,
            ..FinetuneConfig::default()
        }
    }

    /// Checks every range.
    ///
    /// # Errors
    /// The first value outside its range.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.as_training(super::ComputeDevice::Flex).check()
    }
}
