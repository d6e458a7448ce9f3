//! Networks and their adapters as arrays: what is trained, stored and written to a processor.

mod adapter;
mod file;
mod mlp;

use std::path::PathBuf;

use alora_calibration::{Cell, StoreError};

pub use adapter::{Adapter, AdapterSet};
pub use mlp::{LinearWeights, Mlp};

/// Why a network, a set of adapters or their file is refused.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// Adapters would count twice.
    #[error(
        "{}: adapters were merged into these weights already; give the base weights with --adapters, or these without",
        path.display()
    )]
    AlreadyMerged {
        /// File.
        path: std::path::PathBuf,
    },
    /// No layer at all.
    #[error("a network needs at least one layer")]
    Empty,
    /// A tensor of another shape than its neighbours ask for.
    #[error("{tensor} is {}, expected {}", shape(found), shape(expected))]
    Shape {
        /// Tensor, e.g. `fc2.weight`.
        tensor: String,
        /// Shape expected.
        expected: Vec<usize>,
        /// Shape found.
        found: Vec<usize>,
    },
    /// NaN or infinity.
    #[error("{tensor}: the value at {cell} is {value}; every value must be a finite number")]
    NotFinite {
        /// Tensor.
        tensor: String,
        /// Where; vectors have one row.
        cell: Cell,
        /// What was found.
        value: f32,
    },
    /// Another number of adapters than layers.
    #[error("{found} adapters for {expected} layers; each layer needs one")]
    AdapterCount {
        /// Layers.
        expected: usize,
        /// Adapters.
        found: usize,
    },
    /// A file that holds something else.
    #[error("{}", path.display())]
    File {
        /// File.
        path: PathBuf,
        /// What is wrong in it.
        #[source]
        source: Box<ModelError>,
    },
    /// A tensor that the file lacks.
    #[error("the tensor `{tensor}` is missing")]
    Missing {
        /// Its name.
        tensor: String,
    },
    /// A tensor that nothing here knows.
    #[error("the tensor `{tensor}` is not part of {what}; remove it")]
    Extra {
        /// Its name.
        tensor: String,
        /// What the file should hold.
        what: &'static str,
    },
    /// A tensor of another number format.
    #[error("the tensor `{tensor}` holds {found}, expected F32")]
    Format {
        /// Its name.
        tensor: String,
        /// Number format found.
        found: String,
    },
    /// Not a safetensors file.
    #[error("not a whole safetensors file ({reason}); make it again, or check the copy")]
    Malformed {
        /// What the reader said.
        reason: String,
    },
    /// A metadata entry that is missing or wrong.
    #[error("the metadata entry `{key}` is {found}, expected {expected}")]
    Metadata {
        /// Key.
        key: &'static str,
        /// What was expected.
        expected: String,
        /// What was found.
        found: String,
    },
    /// The file could not be written or read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn shape(sizes: &[usize]) -> String {
    sizes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" × ")
}
