//! alora.

pub mod dataset;
pub mod finetune;
pub mod model;
pub mod photonic;
