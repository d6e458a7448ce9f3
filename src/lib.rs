//! alora.

pub mod dataset;
pub mod model;
pub mod photonic;
