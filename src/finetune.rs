//! ALoRA: fine-tuning a network against the quantisation and the error of a photonic processor.
//!
//! Per layer and tile, after T. Taniguchi et al., "ALoRA: Hardware-Aware Fine Tuning for Photonic Large Neural Networks",
//! OECC/PSC 2025 (ME1-2):
//!
//! ```text
//! x' = s_x · round(x / s_x)           input DAC, over the dynamic range of one MVM
//! W' = s_w · round(W / s_w)           weight DAC, over the full scale of matrix, tile or row
//! W̃  = W' + full scale · δW           analog error
//! y  = ADC(W̃ x')                      over the dynamic range of the tile's outputs; tiles summed digitally
//! out = y + (α/k) · B (A x) + b       digital
//! ```
//!
//! Backward is straight-through. [`finetune`] trains, [`evaluate`] and [`accuracy_curve`] tell what came of it,
//! [`pretrain`] makes the base.

mod augment;
mod batches;
mod chip;
mod config;
mod device;
mod error;
mod evaluation;
mod execution;
mod linear;
mod normal;
mod optimiser;
mod pretrain;
mod programmed;
mod straight_through;
mod training;

pub use chip::{ChipModel, full_scale_law, scaled_law};
pub use config::{AdapterConfig, ComputeDevice, ConfigError, FinetuneConfig, Sampling, Techniques};
pub use device::compute_device;
pub use error::FinetuneError;
pub use evaluation::{
    Accuracy, AdapterUse, CURVE_SIGMAS, Conditions, CurvePoint, accuracy_curve, evaluate, logits,
};
pub use linear::PhotonicLinear;
pub use pretrain::{PAPER_HIDDEN, PretrainConfig, pretrain};
pub use training::{FinetuneOutcome, finetune};
