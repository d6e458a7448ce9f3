//! What can go wrong when a network is built or run.

use crate::photonic::{ChipError, TilingError};

/// Why a network cannot be built or run.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// A chip that cannot be computed.
    #[error(transparent)]
    Chip(#[from] ChipError),
    /// A layer that cannot be tiled.
    #[error(transparent)]
    Tiling(#[from] TilingError),
    /// Images of another size than the network takes.
    #[error("images have {found} values, the network takes {expected} ({channels} × {height} × {width})")]
    Images {
        /// Values of an image given.
        found: usize,
        /// Values that the network takes.
        expected: usize,
        /// Channels that it takes.
        channels: usize,
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
    },
    /// A tensor that the network lacks.
    #[error("the network has no tensor `{name}`; this is a defect of alora, please report it")]
    NoTensor {
        /// Its name.
        name: String,
    },
    /// burn did not give values out.
    #[error("a tensor cannot be read ({reason}); this is a defect of alora, please report it")]
    Tensor {
        /// What burn said.
        reason: String,
    },
    /// A static range without a value.
    #[error(
        "the {which} range of `{layer}` is static and was not calibrated; this is a defect of alora, please report it"
    )]
    NoRange {
        /// Input or output.
        which: &'static str,
        /// Layer.
        layer: String,
    },
}
