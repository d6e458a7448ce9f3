//! What a fine-tuning run is asked to do.

use serde::{Deserialize, Serialize};

use crate::photonic::{ConverterPrecision, WeightScaling};

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

/// When the analog error δW is drawn anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Sampling {
    /// For each vector (Taniguchi et al., OECC/PSC 2025).
    #[default]
    PerExecution,
    /// For each batch: one δW for all of its vectors.
    PerStep,
    /// Once in the life of a chip: what a programming error is until the next programming.
    Frozen {
        /// Which chip.
        chip_seed: u64,
    },
}

/// Techniques of the training forward pass. All off is PTQ: nothing is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Post-training quantisation: none.
    pub const PTQ: Self = Self { qat: false, nat: false, lora: false };

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
}

impl Default for AdapterConfig {
    fn default() -> Self {
        Self { rank: 8, alpha: 16.0 }
    }
}

/// A fine-tuning run.
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
    /// Each image is shifted by up to so many pixels both ways, drawn anew each time, 0 to 4. Without it the few
    /// parameters of an adapter learn the training images by heart.
    pub shift: usize,
    /// Seed of initialisation, order, shifts and fresh errors.
    pub seed: u64,
    /// Adapters.
    pub adapter: AdapterConfig,
    /// Techniques, singly.
    pub techniques: Techniques,
    /// When δW is drawn anew while training.
    pub sampling: Sampling,
    /// Resolution of the converters, 2 to 16 bits each.
    pub precision: ConverterPrecision,
    /// How a layer is scaled onto the processor.
    pub scaling: WeightScaling,
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
            shift: 1,
            seed: 1,
            adapter: AdapterConfig::default(),
            techniques: Techniques::default(),
            sampling: Sampling::default(),
            precision: ConverterPrecision::default(),
            scaling: WeightScaling::default(),
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
        require((1..=1000).contains(&self.epochs), "epochs", self.epochs, "1 to 1000")?;
        require((1..=8192).contains(&self.batch_size), "batch_size", self.batch_size, "1 to 8192")?;
        require(rate > 0.0 && rate <= 1.0, "learning_rate", rate, "above 0, to 1")?;
        require((0.0..=1.0).contains(&self.weight_decay), "weight_decay", self.weight_decay, "0 to 1")?;
        require(self.shift <= 4, "shift", self.shift, "0 to 4")?;
        require((1..=256).contains(&self.adapter.rank), "adapter.rank", self.adapter.rank, "1 to 256")?;
        require(alpha > 0.0 && alpha <= 1024.0, "adapter.alpha", alpha, "above 0, to 1024")
    }
}

pub(super) fn require(
    within: bool,
    key: &'static str,
    value: impl ToString,
    allowed: &'static str,
) -> Result<(), ConfigError> {
    if within { Ok(()) } else { Err(ConfigError { key, value: value.to_string(), allowed }) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_value_outside_its_range_is_named_with_the_range() {
        let complaint =
            |text: &str| toml::from_str::<FinetuneConfig>(text).unwrap().check().unwrap_err().to_string();
        assert_eq!(complaint("epochs = 0"), "`epochs` is 0; allowed: 1 to 1000");
        assert_eq!(complaint("learning_rate = nan"), "`learning_rate` is NaN; allowed: above 0, to 1");
        assert_eq!(complaint("adapter = { rank = 300 }"), "`adapter.rank` is 300; allowed: 1 to 256");
        assert_eq!(complaint("weight_decay = -0.1"), "`weight_decay` is -0.1; allowed: 0 to 1");
    }

    #[test]
    fn unknown_keys_are_refused_and_defaults_fill_the_rest() {
        assert!(toml::from_str::<FinetuneConfig>("epoch = 3").unwrap_err().to_string().contains("epoch"));
        let config: FinetuneConfig =
            toml::from_str("sampling = { frozen = { chip_seed = 4 } }\ntechniques = { nat = false }")
                .unwrap();
        assert_eq!(config.sampling, Sampling::Frozen { chip_seed: 4 });
        assert_eq!(config.techniques, Techniques { qat: true, nat: false, lora: true });
        assert_eq!(
            FinetuneConfig { sampling: Sampling::PerExecution, techniques: Techniques::ALORA, ..config },
            FinetuneConfig::default()
        );
        FinetuneConfig::default().check().unwrap();
    }

    #[test]
    fn a_config_survives_toml() {
        let config =
            FinetuneConfig { sampling: Sampling::Frozen { chip_seed: 9 }, ..FinetuneConfig::default() };
        assert_eq!(toml::from_str::<FinetuneConfig>(&toml::to_string(&config).unwrap()).unwrap(), config);
    }
}
