//! alora.

pub mod figures;
