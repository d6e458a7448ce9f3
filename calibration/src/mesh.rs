//! Pure mathematics of interferometer meshes: no device, no clock, no randomness.
//!
//! A mesh of `N` modes realises any unitary `N × N` matrix by `N (N − 1) / 2` Mach–Zehnder interferometers (MZI) and
//! `N` output phases, in the rectangular arrangement of Clements et al., Optica 3, 1460 (2016).
//! [`decompose`] finds the phases, [`MeshSettings::transfer`] puts them back together, [`factorise`] embeds any
//! real matrix between two meshes.
//!
//! Set `OPENBLAS_NUM_THREADS=1`: a singular value decomposition of this size is slower on several threads.

pub(crate) mod circuit;
mod clements;
pub(crate) mod mzi;
mod svd;
mod topology;

pub use clements::{MeshSettings, decompose};
pub use mzi::{Mzi, Splitters};
pub(crate) use svd::SingularValues;
pub use svd::{Factorised, factorise};
pub use topology::{Site, Topology};
