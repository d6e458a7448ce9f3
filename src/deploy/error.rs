//! Why weights were not written.

use std::path::PathBuf;

use alora_calibration::{ProcessorError, StoreError, WeightError};

/// Why a deployment did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// The processor refused or failed.
    #[error(
        "layer {layer}, tile {tile}: writing failed; the processor must be parked before it is used again"
    )]
    Processor {
        /// Layer.
        layer: String,
        /// Tile within the layer.
        tile: usize,
        /// Why.
        #[source]
        source: ProcessorError,
    },
    /// A tile is not a weight matrix.
    #[error("layer {layer}, tile {tile}: the weights cannot be written")]
    Weights {
        /// Layer.
        layer: String,
        /// Tile within the layer.
        tile: usize,
        /// Why.
        #[source]
        source: WeightError,
    },
    /// The images do not fit the network.
    #[error(
        "the images have {found} pixels, the first layer takes {expected} inputs; use weights trained on such images"
    )]
    ImageSize {
        /// Inputs of the first layer.
        expected: usize,
        /// Pixels an image.
        found: usize,
    },
    /// The deployment was made for another tile shape.
    #[error("{}: its tiles are {found_rows} × {found_cols}, the processor holds {rows} × {cols}; deploy again for this processor", path.display())]
    TileShape {
        /// Deployment file.
        path: PathBuf,
        /// Rows in the file.
        found_rows: usize,
        /// Columns in the file.
        found_cols: usize,
        /// Rows of the processor.
        rows: usize,
        /// Columns of the processor.
        cols: usize,
    },
    /// Reading or writing the deployment's files failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The operator pressed Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}
