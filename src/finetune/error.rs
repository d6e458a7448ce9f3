//! What can go wrong in training and evaluation.

use alora_calibration::SigmaReference;

use super::config::ConfigError;
use crate::{model::ModelError, photonic::TilingError};

/// Why training or evaluation stopped.
#[derive(Debug, thiserror::Error)]
pub enum FinetuneError {
    /// A value outside its range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Adapters or weights that do not fit.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A layer that cannot be tiled.
    #[error(transparent)]
    Tiling(#[from] TilingError),
    /// A compute device that was not compiled in.
    #[error(
        "the compute device `ndarray` is not part of this build; build with `--features ndarray-device`, or ask for `flex`"
    )]
    Device,
    /// An empirical law drawn anew for each vector.
    #[error(
        "an empirical error law cannot be drawn per execution (the equivalent on the outputs is exact only for normal laws); ask for `per_step` or `frozen`"
    )]
    EmpiricalPerExecution,
    /// An empirical law without residuals.
    #[error("the empirical error law holds no residuals; fit it again")]
    NoResiduals,
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
    /// Images of another size than the network takes.
    #[error("{name}: images have {found} pixels, the network takes {expected}")]
    Inputs {
        /// Data set.
        name: String,
        /// Inputs of the network.
        expected: usize,
        /// Pixels found.
        found: usize,
    },
    /// A label beyond the network's outputs.
    #[error("{name}: label {label} at image {index}, the network has {classes} outputs")]
    Label {
        /// Data set.
        name: String,
        /// Image.
        index: usize,
        /// Label found.
        label: u8,
        /// Outputs of the network.
        classes: usize,
    },
    /// Images that cannot be shifted.
    #[error(
        "images of {pixels} pixels cannot be shifted by {shift}; they are not square, or smaller than that: set `shift` to 0"
    )]
    NotSquare {
        /// Pixels of an image.
        pixels: usize,
        /// Largest shift asked.
        shift: usize,
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
    /// burn did not give values out.
    #[error("a tensor cannot be read ({reason}); this is a defect of alora, please report it")]
    Tensor {
        /// What burn said.
        reason: String,
    },
}
