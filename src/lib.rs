//! alora: hardware-in-the-loop calibration and deployment for photonic matrix–vector-multiply processors.
//!
//! A photonic chip multiplies by the weights it was asked for plus an error δW. alora measures that error, fits it,
//! fine-tunes a network against it (ALoRA: quantisation-aware, noise-aware, low-rank adapters) and writes the adapted
//! weights back, verified. `docs/ARCHITECTURE.md` shows the rooms.

pub mod certificate;
pub mod cli;
pub mod config;
pub mod dataset;
pub mod deploy;
pub mod error;
pub mod examine;
pub mod figures;
pub mod finetune;
pub mod guarded;
pub mod kernel;
pub mod memory;
pub mod model;
pub mod network;
pub mod photonic;
pub mod run_folder;
pub mod stage;
pub mod sweep;
pub mod validate;
