//! The sections of a run configuration, with their defaults.

use std::{collections::BTreeMap, path::PathBuf};

use alora_calibration::{
    CoherentPlan, IncoherentPlan, LawChoice, MeasurementPlan, Probe,
    characterise::{CharacterisationPlan, HoldOutPlan, ReadingPlan},
    drift::DriftPlan,
    verify::VerifyPlan,
};
use alora_drivers::{
    link::Port,
    mock::{Script, Spec},
};
use serde::{Deserialize, Serialize};

use crate::{
    dataset::{Format, Resample},
    model::Architecture,
    photonic::ErrorReference,
};

/// Which processor to connect to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProcessorSection {
    /// Station file (TOML) of a processor on real wires; absent: a simulated one in this process, by the keys below.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub station: Option<PathBuf>,
    /// Ports in place of the station file's, by the name of the device.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub ports: BTreeMap<String, Port>,
    /// Name of a mock preset, e.g. `incoherent-16x16`.
    pub preset: String,
    /// Seed of the simulated chip: its fabrication errors.
    pub chip_seed: u64,
    /// Bits of the actuator DAC in place of the preset's, 2 to 16; 0: the preset's.
    pub actuator_bits: u8,
    /// Overrides of the preset's physics, key by key; 0 switches a source off.
    pub physics: toml::Table,
    /// Faults that the mock brings.
    pub script: Script,
}

impl Default for ProcessorSection {
    fn default() -> Self {
        Self {
            station: None,
            ports: BTreeMap::new(),
            preset: "incoherent-16x16".to_owned(),
            chip_seed: 1,
            actuator_bits: 0,
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
        if self.actuator_bits > 0
            && let Some(toml::Value::Table(bits)) = table.get_mut("bits")
        {
            bits.insert("actuator".to_owned(), toml::Value::Integer(self.actuator_bits.into()));
        }
        let spec: Spec = table.try_into().map_err(|error: toml::de::Error| error.message().to_owned())?;
        match &spec {
            Spec::Incoherent(incoherent) => incoherent.check().map_err(|error| error.to_string())?,
            Spec::Coherent(coherent) => coherent.check().map_err(|error| error.to_string())?,
        }
        Ok(spec)
    }
}

/// Characterisation of a chip about which nothing is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CharacterizeSection {
    /// Most input vectors of the characterisation, hold-out matrices not counted; 0: as many as it takes.
    pub most_vectors: u64,
    /// What to measure of a coherent processor.
    pub coherent: CoherentPlan,
    /// What to measure of a bank of rings.
    pub incoherent: IncoherentPlan,
    /// Noise of the readings, and how well they are to know a weight.
    pub reading: ReadingPlan,
    /// Hold-out matrices.
    pub holdout: HoldOutPlan,
    /// The closed loop on measured weights.
    pub verify: VerifyPlan,
    /// How drift is observed.
    pub drift: DriftPlan,
    /// What the certificate judges by.
    pub limits: CertificateLimits,
}

impl CharacterizeSection {
    /// The plan of the measurements.
    #[must_use]
    pub fn plan(&self) -> CharacterisationPlan {
        CharacterisationPlan { coherent: self.coherent, incoherent: self.incoherent }
    }
}

/// Largest σ on hold-out matrices that passes, of max|target|.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CertificateLimits {
    /// Without feedback, 0 to 1.
    pub open_loop: f64,
    /// After program-and-verify, 0 to 1.
    pub verified: f64,
}

impl Default for CertificateLimits {
    fn default() -> Self {
        Self { open_loop: 0.013, verified: 0.005 }
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

/// Which law of δW the measurement is condensed to, or which is taken without one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ErrorModelSection {
    /// Law.
    pub law: LawChoice,
    /// What σ is relative to when a network is simulated.
    pub reference: ErrorReference,
    /// Standard deviation of a Gaussian law taken without a measurement, in units of `reference`; 0: it must be measured.
    pub assumed_sigma: f64,
}

/// The network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelSection {
    /// Widths of the hidden layers of a perceptron; where neither an architecture nor weights say otherwise.
    pub hidden: Vec<usize>,
    /// The whole architecture. Absent: that of `weights`, or a perceptron.
    pub architecture: Option<Architecture>,
    /// The size of its images and its number of classes follow the data, whatever `architecture` says. For sweeps over tasks.
    pub fit_data: bool,
    /// Trained weights: a Hugging Face folder, or safetensors. Absent: trained digitally here.
    pub weights: Option<PathBuf>,
    /// Position embedding of a ViT, `[1, tokens, width]` (.npy), in place of the one among the weights.
    pub position_embedding: Option<PathBuf>,
    /// Adapters to go on from: a PEFT folder, or safetensors.
    pub adapters: Option<PathBuf>,
    /// Pixels of a side that a ViT is asked to take; its position embedding is interpolated. 0: as it was trained.
    pub image_size: usize,
}

impl Default for ModelSection {
    fn default() -> Self {
        Self {
            hidden: vec![256, 256, 256],
            architecture: None,
            fit_data: false,
            weights: None,
            position_embedding: None,
            adapters: None,
            image_size: 0,
        }
    }
}

/// Images and labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataSection {
    /// Folder with the images. Absent: the bundled MNIST subset.
    pub path: Option<PathBuf>,
    /// What the folder holds; absent: recognised by its files.
    pub format: Option<Format>,
    /// Use at most so many training images.
    pub train_limit: usize,
    /// Use at most so many test images.
    pub test_limit: usize,
    /// How images are resized where their size is not the network's; absent: as the preprocessor of the weights says.
    pub resample: Option<Resample>,
    /// Subtracted from each channel, 0 to 1; absent: as the preprocessor of the weights says, or 0.
    pub mean: Option<Vec<f32>>,
    /// Each channel is divided by it; absent: as the preprocessor of the weights says, or 1.
    pub std: Option<Vec<f32>>,
}

impl Default for DataSection {
    fn default() -> Self {
        Self {
            path: None,
            format: None,
            train_limit: 60_000,
            test_limit: 10_000,
            resample: None,
            mean: None,
            std: None,
        }
    }
}

/// How a trained network is evaluated in simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvaluationSection {
    /// Times that the test images are run with fresh errors, 1 to 1000.
    pub draws: usize,
    /// Simulated chips with frozen errors, 0 to 1000.
    pub chips: usize,
    /// Images at a time, 1 to 8192.
    pub batch_size: usize,
}

impl Default for EvaluationSection {
    fn default() -> Self {
        Self { draws: 1, chips: 10, batch_size: 100 }
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
