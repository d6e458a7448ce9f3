//! Why a sweep did not end.

use std::path::PathBuf;

use alora_calibration::StoreError;

use crate::{config::ConfigError, figures::FigureError};

/// Why a sweep did not end. A cell that fails is no such reason: it is recorded, and the others run.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// One combination of network and task gives a configuration that cannot be used.
    #[error(
        "the sweep over network `{model}` and task `{task}` has no valid configuration; correct its `set`"
    )]
    Combination {
        /// Network.
        model: String,
        /// Task.
        task: String,
        /// What is wrong.
        #[source]
        source: Box<ConfigError>,
    },
    /// A file of the store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A figure cannot be drawn.
    #[error(transparent)]
    Figure(#[from] FigureError),
    /// Another process writes to the same folder.
    #[error("another sweep is running in {}; wait until it ends or choose another folder", folder.display())]
    Busy {
        /// Folder.
        folder: PathBuf,
    },
    /// The operator pressed Ctrl-C.
    #[error("interrupted after {done} of {total} cells; start the same command again to run the rest")]
    Interrupted {
        /// Cells that are kept.
        done: usize,
        /// Cells of the plan.
        total: usize,
    },
}
