//! Run configuration: plain TOML, every key with a default, unit and range; checked before any device is opened.

mod check;
mod error;
mod load;
mod sections;

pub use error::ConfigError;
pub use load::load;
pub use sections::{
    AdapterMode, DataSection, DeploymentSection, ErrorModelSection, FigureSection, FinetuneSection,
    MappingSection, MeasurementSection, ModelSection, PretrainSection, ProcessorSection,
};

use alora_calibration::CalibrationPlan;
use serde::{Deserialize, Serialize};

use crate::{
    finetune::{FinetuneConfig, PretrainConfig},
    photonic::ConverterPrecision,
};

/// Everything a run needs. Unknown keys are refused.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Master seed: targets, initial weights, shuffling and noise follow from it.
    pub seed: u64,
    /// Which processor, and how it is reached.
    pub processor: ProcessorSection,
    /// First calibration.
    pub calibration: CalibrationPlan,
    /// Random-matrix measurement of the weight error.
    pub measurement: MeasurementSection,
    /// Which law of δW the measurement is condensed to.
    pub error_model: ErrorModelSection,
    /// Bits of weights, inputs and outputs.
    pub precision: ConverterPrecision,
    /// How a layer is laid onto the processor.
    pub mapping: MappingSection,
    /// The network.
    pub model: ModelSection,
    /// Images and labels.
    pub data: DataSection,
    /// Digital pre-training, when no weights are brought.
    pub pretrain: PretrainSection,
    /// ALoRA.
    pub finetune: FinetuneSection,
    /// Write-back and verification.
    pub deployment: DeploymentSection,
    /// The accuracy-against-σ figure.
    pub figures: FigureSection,
}

impl Config {
    /// What the fine-tuner is asked to do, with the seed of its random numbers.
    #[must_use]
    pub fn finetune_config(&self, seed: u64) -> FinetuneConfig {
        let FinetuneSection {
            epochs,
            batch_size,
            learning_rate,
            weight_decay,
            shift,
            sampling,
            device,
            techniques,
            adapter,
        } = self.finetune;
        FinetuneConfig {
            epochs,
            batch_size,
            learning_rate,
            weight_decay,
            shift,
            seed,
            adapter,
            techniques,
            sampling,
            precision: self.precision,
            scaling: self.mapping.scaling,
            device,
        }
    }

    /// What pre-training is asked to do, with the seed of its random numbers.
    #[must_use]
    pub fn pretrain_config(&self, seed: u64) -> PretrainConfig {
        let PretrainSection { epochs, batch_size, learning_rate, weight_decay, shift } = self.pretrain;
        PretrainConfig {
            epochs,
            batch_size,
            learning_rate,
            weight_decay,
            shift,
            seed,
            device: self.finetune.device,
        }
    }
}
