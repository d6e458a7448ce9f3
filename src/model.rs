//! Networks and their adapters as arrays: what is trained, stored and written to a processor.

mod adapter;
mod architecture;
mod equalise;
mod error;
mod export;
mod file;
mod import;
mod json;
mod mlp;
mod network;
mod peft;
mod stream;
mod table;
mod weights;

pub use adapter::{Adapter, AdapterSet};
pub use architecture::{
    Architecture, CnnShape, HiddenActivation, ImageShape, LayerKind, LayerRole, LayerSpec, MlpShape,
    ResNetBlock, ResNetShape, Shortcut, Stem, TensorRole, TensorSpec, VitConfig,
};
pub use equalise::{Equalised, equalise};
pub use error::{ModelError, TensorProblem};
pub use export::{MODEL_SCHEMA, ModelMetadata, write_hf, write_model};
pub use import::{
    ImportNote, ImportOptions, Imported, Preprocessor, interpolate_positions, read_adapters, read_model,
    read_resnet, read_vit,
};
pub use mlp::{LinearWeights, Mlp};
pub use network::Model;
pub use peft::{PeftLayout, PeftOptions, read_peft, write_peft};
pub use table::{AdapterShape, ParameterRow, ParameterTable, Trained};
pub use weights::{Parameter, Weights};
