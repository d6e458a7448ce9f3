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
//! Backward is straight-through. [`finetune`] trains adapters or the base, on the chip or in digital arithmetic; [`evaluate_all`]
//! and [`accuracy_curve`] tell what came of it.

mod checkpoint;
mod config;
mod device;
mod error;
mod evaluation;
mod fingerprint;
mod head;
mod law;
mod loss;
mod optimiser;
mod pretrain;
mod ranging;
mod statistics;
mod training;

pub use config::{
    AdapterConfig, AugmentConfig, BaseScope, ComputeDevice, ConfigError, DistillationConfig, EarlyStopConfig,
    FinetuneConfig, Schedule, Techniques,
};
pub use device::compute_device;
pub use error::FinetuneError;
pub use evaluation::{
    Accuracy, AdapterUse, CURVE_SIGMAS, CurvePoint, Evaluation, Spread, Subject, Trial, WithoutError,
    accuracy_curve, evaluate, evaluate_all, evaluate_under_error, evaluate_without_error, logits,
    reestimate_norms,
};
pub use head::train_head;
pub use law::{full_scale_law, scaled_law, stretched};
pub use optimiser::Trained;
pub use pretrain::PretrainConfig;
pub use ranging::static_ranges;
pub use training::{FinetuneOutcome, Job, finetune};
