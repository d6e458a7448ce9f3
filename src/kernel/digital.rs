//! Everything of a network's step that is not the photonic product: products computed digitally, low-rank adapters,
//! norms, activations, attention, pooling, embedding and losses, each forward and backward.
//!
//! Pure functions of `f32` slices, row-major: activations are `[rows, features]`, images NHWC
//! `[batch·height·width, channels]`. Outputs are slices of the caller, so that buffers can be used again. Unless a
//! function says otherwise its output is overwritten and gradients by parameters are added to. Gradients by inputs are
//! added to where another path usually meets (norm before a residual block, adapter, shortcut), as each function says.
//! Slices whose lengths do not fit are a fault of the caller and panic.
//!
//! Work is cut into chunks that depend on the shapes alone and partial sums are added in their order, so that no result
//! depends on the number of threads. It may differ in the last digits between instruction sets.

mod chunks;
mod elementary;
#[cfg(test)]
mod oracle;
mod simd;

pub mod activation;
pub mod adapter;
pub mod attention;
pub mod batch_norm;
pub mod dropout;
pub mod embedding;
pub mod image;
pub mod layer_norm;
pub mod linear;
pub mod loss;
pub mod matmul;
pub mod pooling;

pub use chunks::add_column_sums;
