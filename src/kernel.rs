//! Arithmetic kernels: the photonic product and what a network's step needs beside it.

pub mod digital;
mod int8;
mod isa;
mod lanes;
pub mod normal;
pub mod photonic;
mod pieces;

pub use isa::Isa;
