//! The operations of a network, each with its derivative, on the kernels.

pub(super) mod layer;
pub(super) mod loss;

mod convolution;
mod norm;
mod pointwise;
mod tokens;

pub(super) use convolution::{
    Pixels, Unroll, from_pixels, max_pool, mean_pool, pad_shortcut, to_pixels, unroll,
};
pub(super) use pointwise::{activation, linear};
pub(super) use tokens::{attention, embed, every_nth_row};
