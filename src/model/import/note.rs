//! What an import changed.

use std::{fmt, path::PathBuf};

/// What was changed or left out while a network was read. The text is one sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportNote {
    /// The head is new and untrained.
    NewHead {
        /// Its classes.
        classes: usize,
        /// Classes of the head in the file, if there was one.
        found: Option<usize>,
        /// Seed of its weights.
        seed: u64,
    },
    /// Tensors that this network does not use.
    Ignored {
        /// Their names.
        tensors: Vec<String>,
    },
    /// The position embedding was interpolated.
    Positions {
        /// Patches along a side in the file.
        from: usize,
        /// Patches along a side now.
        to: usize,
    },
    /// The position embedding was taken from another file.
    PositionsFrom {
        /// That file.
        path: PathBuf,
    },
    /// Names had no `vit.` before them: the file of a backbone.
    Backbone,
    /// The preprocessor asks for something that is not done.
    Preprocessor {
        /// What.
        step: &'static str,
    },
}

impl fmt::Display for ImportNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NewHead { classes, found: Some(found), seed } => write!(
                f,
                "the head for {found} classes was replaced by an untrained one for {classes} (seed {seed})"
            ),
            Self::NewHead { classes, found: None, seed } => {
                write!(
                    f,
                    "the file has no head; an untrained one for {classes} classes was added (seed {seed})"
                )
            }
            Self::Ignored { tensors } => write!(f, "not used and left out: {}", tensors.join(", ")),
            Self::Positions { from, to } => {
                write!(
                    f,
                    "the position embedding was interpolated from {from} × {from} to {to} × {to} patches"
                )
            }
            Self::PositionsFrom { path } => {
                write!(f, "the position embedding was taken from {}", path.display())
            }
            Self::Backbone => f.write_str("the names have no `vit.` before them: read as a backbone"),
            Self::Preprocessor { step } => {
                write!(f, "preprocessor_config.json asks for {step}, which is not done")
            }
        }
    }
}
