//! alora.

pub mod photonic;
