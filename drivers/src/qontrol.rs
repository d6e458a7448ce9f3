//! Chains of Qontrol driver modules (Q8iv, Q8b) and input modules (S8i).

mod kind;

pub use kind::{CHANNELS, ModuleKind, ModuleKindError};
