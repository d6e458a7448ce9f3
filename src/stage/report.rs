//! What a run found, as one object.

use std::{collections::BTreeMap, path::PathBuf};

use alora_calibration::Sigma;
use alora_drivers::{ConverterBits, Descriptor, ProcessorId, ProcessorKind};
use serde::Serialize;

use super::Deployed;
use crate::photonic::VanishedDeltas;

/// The result of `alora run`, as `--json` prints it. Every share is a fraction of 1, every σ a fraction of its
/// reference.
#[derive(Clone, Debug, Serialize)]
pub struct RunReport {
    /// [`RunReport::SCHEMA`].
    pub schema: &'static str,
    /// Tool and version.
    pub tool: &'static str,
    /// When.
    pub created: String,
    /// True when no physical processor stands behind the numbers.
    pub simulated: bool,
    /// Master seed.
    pub seed: u64,
    /// Which processor.
    pub processor: ProcessorReport,
    /// Weight error of the processor.
    pub sigma: Sigma,
    /// Techniques of fine-tuning, `ALoRA` where all are on.
    pub method: String,
    /// Classification of the test set.
    pub accuracy: AccuracyReport,
    /// Size of the network and of what was trained.
    pub parameters: ParameterReport,
    /// The adapted weights on the processor.
    pub deployment: DeploymentReport,
    /// Files of the run.
    pub files: BTreeMap<String, PathBuf>,
    /// Wall-clock seconds.
    pub seconds: f64,
}

impl RunReport {
    /// Version of the object.
    pub const SCHEMA: &'static str = "alora.run/1";
}

/// Which processor.
#[derive(Clone, Debug, Serialize)]
pub struct ProcessorReport {
    /// Serial number.
    pub id: ProcessorId,
    /// Family.
    pub kind: ProcessorKind,
    /// Columns.
    pub inputs: usize,
    /// Rows.
    pub outputs: usize,
    /// Converters.
    pub bits: ConverterBits,
}

impl ProcessorReport {
    /// What `descriptor` says in short.
    #[must_use]
    pub fn of(descriptor: &Descriptor) -> Self {
        Self {
            id: descriptor.id.clone(),
            kind: descriptor.kind,
            inputs: descriptor.inputs,
            outputs: descriptor.outputs,
            bits: descriptor.bits,
        }
    }
}

/// Share of the test set classified right.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct AccuracyReport {
    /// The pre-trained network in f32.
    pub digital: f64,
    /// The pre-trained network, quantised, on the processor.
    pub ptq_on_chip: f64,
    /// The network fine-tuned by `method` on the processor.
    pub alora_on_chip: f64,
    /// Test images.
    pub images: usize,
}

/// Size of the network and of what was trained.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ParameterReport {
    /// Weights and biases of the network.
    pub total: usize,
    /// Trained in fine-tuning.
    pub trainable: usize,
    /// `trainable / total`.
    pub share: f64,
}

/// Weight changes and what became of them in the weight converter.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct DeltaReport {
    /// Weights that fine-tuning changed.
    pub changed: usize,
    /// Of these, changes below half an LSB: the processor holds the old code.
    pub vanished: usize,
}

impl From<VanishedDeltas> for DeltaReport {
    fn from(count: VanishedDeltas) -> Self {
        Self { changed: count.changed, vanished: count.vanished }
    }
}

/// What was written to the processor.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct DeploymentReport {
    /// Tiles written.
    pub tiles: usize,
    /// Tiles whose codes were read back equal and whose residuals are within the limit.
    pub verified: usize,
    /// Largest |measured − target|, full scale = 1.
    pub worst_residual: f64,
    /// Weights that the chip cannot reach.
    pub unreachable: usize,
    /// Detector counts at a limit, over all products.
    pub saturated: usize,
    /// Input vectors multiplied by the processor for the test set.
    pub vectors: usize,
    /// Weight changes lost below half an LSB; null when adapters stay digital.
    pub deltas: Option<DeltaReport>,
}

impl DeploymentReport {
    /// The figures of `deployed`.
    #[must_use]
    pub fn of(deployed: &Deployed, deltas: Option<VanishedDeltas>) -> Self {
        let record = &deployed.record;
        Self {
            tiles: record.tiles(),
            verified: record.verified(),
            worst_residual: record.worst_residual(),
            unreachable: record.layers.iter().map(|layer| layer.unreachable).sum(),
            saturated: deployed.outcome.saturated,
            vectors: deployed.outcome.vectors,
            deltas: deltas.map(DeltaReport::from),
        }
    }
}

/// The result of a stage on its own, as its `--json` prints it.
#[derive(Clone, Debug, Serialize)]
pub struct StageReport<T> {
    /// Tool and version.
    pub tool: &'static str,
    /// True when no physical processor stands behind the numbers.
    pub simulated: bool,
    /// What the stage found.
    #[serde(flatten)]
    pub result: T,
    /// Files written.
    pub files: BTreeMap<String, PathBuf>,
}
