//! Run configuration: plain TOML, every key with a default, unit and range; checked before any device is opened.

mod check;
mod error;
mod load;
mod sections;

pub use error::ConfigError;
pub use load::{Override, load, load_plain, load_station, load_table, resolve};
pub use sections::{
    AdapterMode, CertificateLimits, CharacterizeSection, DataSection, DeploymentSection, ErrorModelSection,
    EvaluationSection, FigureSection, MeasurementSection, ModelSection, ProcessorSection,
};

use alora_calibration::{CalibrationPlan, monitor::MonitorPlan};
use serde::{Deserialize, Serialize};

use crate::{
    finetune::{FinetuneConfig, PretrainConfig},
    photonic::{ConverterPrecision, Mapping},
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
    /// Characterisation of a chip about which nothing is known.
    pub characterize: CharacterizeSection,
    /// How `alora watch` watches a calibrated processor.
    pub watch: MonitorPlan,
    /// Random-matrix measurement of the weight error.
    pub measurement: MeasurementSection,
    /// Which law of δW the measurement is condensed to.
    pub error_model: ErrorModelSection,
    /// Bits of weights, inputs and outputs.
    pub precision: ConverterPrecision,
    /// How a layer is laid onto the processor.
    pub mapping: Mapping,
    /// The network.
    pub model: ModelSection,
    /// Images and labels.
    pub data: DataSection,
    /// Digital pre-training, when no weights are brought.
    pub pretrain: PretrainConfig,
    /// ALoRA.
    pub finetune: FinetuneConfig,
    /// Evaluation in simulation.
    pub evaluation: EvaluationSection,
    /// Write-back and verification.
    pub deployment: DeploymentSection,
    /// The accuracy-against-σ figure.
    pub figures: FigureSection,
}
