//! The sections of a run configuration, with their defaults.

use std::path::PathBuf;

use alora_calibration::{LawChoice, MeasurementPlan, Probe};
use alora_drivers::mock::{Script, Spec};
use serde::{Deserialize, Serialize};

use crate::{
    finetune::{AdapterConfig, ComputeDevice, FinetuneConfig, PretrainConfig, Sampling, Techniques},
    photonic::WeightScaling,
};

/// Which processor to connect to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProcessorSection {
    /// Name of a mock preset, e.g. `incoherent-16x16`.
    pub preset: String,
    /// Seed of the simulated chip: its fabrication errors.
    pub chip_seed: u64,
    /// Overrides of the preset's physics, key by key; 0 switches a source off.
    pub physics: toml::Table,
    /// Faults that the mock brings.
    pub script: Script,
}

impl Default for ProcessorSection {
    fn default() -> Self {
        Self {
            preset: "incoherent-16x16".to_owned(),
            chip_seed: 1,
            physics: toml::Table::new(),
            script: Script::default(),
        }
    }
}

impl ProcessorSection {
    /// The preset with its overrides.
    ///
    /// # Errors
    /// A sentence: an unknown preset, an unknown physics key, or a value of the wrong type.
    pub fn spec(&self) -> Result<Spec, String> {
        let spec = Spec::preset(&self.preset).ok_or_else(|| {
            format!("there is no preset `{}`; presets are {}", self.preset, Spec::presets().join(", "))
        })?;
        let mut table = toml::Table::try_from(&spec).map_err(|error| error.to_string())?;
        if let Some(toml::Value::Table(physics)) = table.get_mut("physics") {
            for (key, value) in &self.physics {
                physics.insert(key.clone(), value.clone());
            }
        }
        let spec: Spec = table.try_into().map_err(|error: toml::de::Error| error.message().to_owned())?;
        match &spec {
            Spec::Incoherent(incoherent) => incoherent.check().map_err(|error| error.to_string())?,
            Spec::Coherent(coherent) => coherent.check().map_err(|error| error.to_string())?,
        }
        Ok(spec)
    }
}

/// Random-matrix measurement of the weight error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MeasurementSection {
    /// Random target matrices programmed, 1 to 10 000.
    pub programmings: usize,
    /// Reads of each, 1 to 255.
    pub repeats: usize,
    /// Input vectors by which weights are read.
    pub probe: Probe,
}

impl Default for MeasurementSection {
    fn default() -> Self {
        Self { programmings: 16, repeats: 4, probe: Probe::OneHot }
    }
}

impl MeasurementSection {
    /// The plan, with the seed of its random targets.
    #[must_use]
    pub fn plan(&self, seed: u64) -> MeasurementPlan {
        MeasurementPlan { programmings: self.programmings, repeats: self.repeats, probe: self.probe, seed }
    }
}

/// Which law of δW the measurement is condensed to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ErrorModelSection {
    /// Law.
    pub law: LawChoice,
}

/// How a layer is laid onto the processor; shared by fine-tuner and deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MappingSection {
    /// What one scale factor covers: the whole `matrix` (as in the paper), a `tile`, or a `row`.
    pub scaling: WeightScaling,
}

impl Default for MappingSection {
    fn default() -> Self {
        Self { scaling: WeightScaling::Matrix }
    }
}

/// The network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelSection {
    /// Widths of the hidden layers of the perceptron.
    pub hidden: Vec<usize>,
    /// Pre-trained weights (safetensors: `fc1.weight`, `fc1.bias`, …). Absent: pre-trained digitally here.
    pub weights: Option<PathBuf>,
}

impl Default for ModelSection {
    fn default() -> Self {
        Self { hidden: vec![256, 256, 256], weights: None }
    }
}

/// Images and labels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataSection {
    /// Folder with the four MNIST files in IDX format (plain or .gz). Absent: the bundled subset.
    pub path: Option<PathBuf>,
    /// Use at most so many training images.
    pub train_limit: usize,
    /// Use at most so many test images.
    pub test_limit: usize,
}

impl Default for DataSection {
    fn default() -> Self {
        Self { path: None, train_limit: 60_000, test_limit: 10_000 }
    }
}

/// Digital pre-training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PretrainSection {
    /// Passes over the training images.
    pub epochs: usize,
    /// Images a step.
    pub batch_size: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Each image is shifted by up to so many pixels both ways, drawn anew each time.
    pub shift: usize,
}

impl Default for PretrainSection {
    fn default() -> Self {
        let PretrainConfig { epochs, batch_size, learning_rate, weight_decay, shift, .. } =
            PretrainConfig::default();
        Self { epochs, batch_size, learning_rate, weight_decay, shift }
    }
}

/// ALoRA fine-tuning.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FinetuneSection {
    /// Passes over the training images.
    pub epochs: usize,
    /// Images a step.
    pub batch_size: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Each image is shifted by up to so many pixels both ways, drawn anew each time.
    pub shift: usize,
    /// When δW is drawn anew while training.
    pub sampling: Sampling,
    /// Compute device: `flex`, or `ndarray` where that cargo feature is on.
    pub device: ComputeDevice,
    /// Which of `qat`, `nat` and `lora` are on; ALoRA is all three.
    pub techniques: Techniques,
    /// Low-rank adapters.
    pub adapter: AdapterConfig,
}

impl Default for FinetuneSection {
    fn default() -> Self {
        let FinetuneConfig {
            epochs,
            batch_size,
            learning_rate,
            weight_decay,
            shift,
            sampling,
            device,
            techniques,
            adapter,
            ..
        } = FinetuneConfig::default();
        Self { epochs, batch_size, learning_rate, weight_decay, shift, sampling, device, techniques, adapter }
    }
}

/// Where adapters run after fine-tuning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdapterMode {
    /// Added to the weights that are written.
    #[default]
    Merged,
    /// Kept beside the processor, in digital.
    Digital,
}

/// Write-back and verification.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeploymentSection {
    /// Where adapters run.
    pub adapters: AdapterMode,
    /// Reads of each tile's weights for verification.
    pub repeats: usize,
    /// A tile is verified when every code was read back equal and no weight is further from its target than this,
    /// in units of full scale.
    pub residual_limit: f64,
}

impl Default for DeploymentSection {
    fn default() -> Self {
        Self { adapters: AdapterMode::Merged, repeats: 2, residual_limit: 0.1 }
    }
}

/// The accuracy-against-σ figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FigureSection {
    /// σ in per cent of full scale.
    pub sigma_percent: Vec<f64>,
    /// Bits of weights, inputs and outputs, one pair of curves each.
    pub bits: Vec<u8>,
}

impl Default for FigureSection {
    fn default() -> Self {
        Self { sigma_percent: vec![0.0, 0.5, 1.2, 2.0, 3.0, 5.0, 7.0, 10.0], bits: vec![8, 4] }
    }
}
