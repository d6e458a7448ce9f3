//! What can go wrong in training and evaluation.

use std::path::PathBuf;

use alora_calibration::{SigmaReference, StoreError};

use super::config::ConfigError;
use crate::{dataset::DatasetError, model::ModelError, network::NetworkError};

/// Why training or evaluation stopped.
#[derive(Debug, thiserror::Error)]
pub enum FinetuneError {
    /// A value outside its range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Adapters or weights that do not fit.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A network that cannot be built or run.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// Images that cannot be read.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// A file that cannot be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A checkpoint that cannot be gone on from.
    #[error("{}: {reason}; remove it to start anew, or run with the configuration it was made with", path.display())]
    Checkpoint {
        /// File.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A compute device that was not compiled in.
    #[error(
        "the compute device `ndarray` is not part of this build; build with `--features ndarray-device`, or ask for `flex`"
    )]
    Device,
    /// Adapters of different shapes.
    #[error(
        "the adapter of {layer} has rank {rank} and α {alpha}, {expected_rank} and {expected_alpha} are asked for; set `finetune.adapter` to what the adapters have, all alike"
    )]
    AdapterShape {
        /// Layer.
        layer: String,
        /// Its rank.
        rank: usize,
        /// Its α.
        alpha: f32,
        /// Rank of the others, or of the configuration.
        expected_rank: usize,
        /// α of the others, or of the configuration.
        expected_alpha: f32,
    },
    /// σ relative to something else than full scale.
    #[error(
        "the error model is relative to {found:?}, training takes one relative to full scale; fit it again with that reference"
    )]
    Reference {
        /// Reference of the model.
        found: SigmaReference,
    },
    /// A law that cannot be stretched.
    #[error(
        "the error law has a σ of {from}, so it cannot be scaled to {to}; fit a law with an error above 0"
    )]
    Unscalable {
        /// σ of the law.
        from: f64,
        /// σ asked.
        to: f64,
    },
    /// A label beyond the network's outputs.
    #[error("{name}: label {label} at image {index}, the network has {classes} outputs")]
    Label {
        /// Data set.
        name: String,
        /// Image.
        index: usize,
        /// Label found.
        label: usize,
        /// Outputs of the network.
        classes: usize,
    },
    /// No image.
    #[error("{name} holds no image")]
    NoImages {
        /// Data set.
        name: String,
    },
    /// Training ran away.
    #[error("the loss is {loss} in epoch {epoch}; training diverged: lower `learning_rate`")]
    Diverged {
        /// Epoch, from 1.
        epoch: usize,
        /// What the loss became.
        loss: f64,
    },
    /// The operator wants to stop.
    #[error("interrupted")]
    Interrupted,
}
