//! Why a network, its adapters or their files are refused.

use std::{fmt, path::PathBuf};

use alora_calibration::{Cell, StoreError};

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
        path: PathBuf,
    },
    /// No layer at all.
    #[error("a network needs at least one layer")]
    Empty,
    /// A size that no network of this family has.
    #[error("{size} is {found}, expected {expected}")]
    Architecture {
        /// Which size, e.g. `image_size`.
        size: String,
        /// What was found.
        found: String,
        /// What was expected.
        expected: String,
    },
    /// Tensors that are missing, extra or of another shape.
    #[error("the tensors do not make {what}: {}", listed(problems))]
    Tensors {
        /// Family, with its article.
        what: &'static str,
        /// Every tensor that does not fit.
        problems: Vec<TensorProblem>,
    },
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
        /// Where; vectors have one row, convolutions one row an output channel.
        cell: Cell,
        /// What was found.
        value: f32,
    },
    /// An adapter beside a layer that the network does not have.
    #[error("there is no layer `{layer}` in {what}; its layers are {}", some_of(layers))]
    NoSuchLayer {
        /// Layer named.
        layer: String,
        /// Family, with its article.
        what: &'static str,
        /// Layers that there are.
        layers: Vec<String>,
    },
    /// A file or folder that holds something else.
    #[error("{}", path.display())]
    File {
        /// File.
        path: PathBuf,
        /// What is wrong in it.
        #[source]
        source: Box<ModelError>,
    },
    /// A folder without a weights file, or with several.
    #[error(
        "{found} weights files (*.safetensors) here, expected model.safetensors or exactly one of any name"
    )]
    WeightsFile {
        /// How many there are.
        found: usize,
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
    /// Two tensors of one meaning.
    #[error("the tensor `{tensor}` is there twice, under two naming schemes; keep one")]
    Twice {
        /// Its canonical name.
        tensor: String,
    },
    /// A tensor of another number format.
    #[error("the tensor `{tensor}` holds {found}, expected F32, F16 or BF16")]
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
    /// A metadata entry or configuration key that is missing or wrong.
    #[error("the metadata entry `{key}` is {found}, expected {expected}")]
    Metadata {
        /// Key.
        key: &'static str,
        /// What was expected.
        expected: String,
        /// What was found.
        found: String,
    },
    /// A pre-trained backbone of which the number of classes is not known.
    #[error("there is no classification head in this file; say how many classes the new one shall have")]
    NoHead,
    /// Tensors of no family known here.
    #[error(
        "the tensor names are of no family known here (first: {}); expected an MLP, a CNN, a ResNet or a ViT",
        some_of(names)
    )]
    UnknownFamily {
        /// Names found.
        names: Vec<String>,
    },
    /// The file could not be written or read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ModelError {
    /// The same, in the file `path`.
    pub(super) fn within(self, path: &std::path::Path) -> Self {
        match self {
            named @ (Self::Store(_) | Self::File { .. } | Self::AlreadyMerged { .. }) => named,
            source => Self::File { path: path.to_owned(), source: Box::new(source) },
        }
    }
}

/// One tensor that does not fit its network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TensorProblem {
    /// The network needs it.
    Missing(String),
    /// The network does not have it.
    Extra(String),
    /// Another shape.
    Shape {
        /// Its name.
        tensor: String,
        /// Shape expected.
        expected: Vec<usize>,
        /// Shape found.
        found: Vec<usize>,
    },
}

impl fmt::Display for TensorProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(tensor) => write!(f, "`{tensor}` is missing"),
            Self::Extra(tensor) => write!(f, "`{tensor}` is not part of it"),
            Self::Shape { tensor, expected, found } => {
                write!(f, "`{tensor}` is {}, expected {}", shape(found), shape(expected))
            }
        }
    }
}

/// More than these and a message is no longer read.
const LISTED: usize = 6;

fn listed(items: &[impl fmt::Display]) -> String {
    let mut text = items.iter().take(LISTED).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if items.len() > LISTED {
        text.push_str(&format!(", and {} more", items.len() - LISTED));
    }
    text
}

fn some_of(names: &[String]) -> String {
    listed(&names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>())
}

/// `2 × 3`.
pub(super) fn shape(sizes: &[usize]) -> String {
    if sizes.is_empty() {
        return "a single number".to_owned();
    }
    sizes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" × ")
}
