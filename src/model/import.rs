//! Networks from files: our own, those of transformers, torchvision and PyTorch.

mod hf_config;
mod names;
mod note;
mod positions;
mod preprocessor;
mod resnet;
mod vit;

use std::path::{Path, PathBuf};

use alora_calibration::Provenance;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub(super) use names::{canonical, in_memory};
pub use note::ImportNote;
pub use positions::interpolate_positions;
pub use preprocessor::Preprocessor;
pub(super) use preprocessor::write as write_preprocessor;
pub use resnet::read_resnet;
pub use vit::read_vit;

use super::{
    AdapterSet, Architecture, ImageShape, LayerSpec, Mlp, Model, ModelError, Parameter, Weights,
    export::MODEL_SCHEMA,
    file,
    mlp::MERGED,
    network::{VIT_SPREAD, normal},
    peft::read_peft,
    stream::TensorReader,
};

/// What to change while a network is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// Side of the square images it shall take, pixels; `None` keeps the file's. For a ViT the position embedding is
    /// interpolated. An MLP or CNN cannot change.
    pub image_size: Option<usize>,
    /// Classes; another number than the file's replaces the head by a new one.
    pub classes: Option<usize>,
    /// Seed of a new head.
    pub seed: u64,
    /// Position embedding to take instead of a ViT's own, `[1, 1 + n², d]` in numpy's `.npy`, F32; interpolated where
    /// its `n` is not the one needed.
    pub position_embedding: Option<PathBuf>,
}

/// A network, and what its file told beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    /// The network.
    pub model: Model,
    /// How to make its inputs, if `preprocessor_config.json` says it.
    pub preprocessor: Option<Preprocessor>,
    /// Where the file comes from; `None` when it was not written by alora.
    pub provenance: Option<Provenance>,
    /// True when adapters were merged into these weights.
    pub merged: bool,
    /// What was changed or left out.
    pub notes: Vec<ImportNote>,
}

impl Imported {
    /// Refuses weights into which adapters were merged, as new ones beside them would count twice.
    ///
    /// # Errors
    /// [`ModelError::AlreadyMerged`].
    pub fn refuse_merged(self, path: &Path) -> Result<Self, ModelError> {
        if self.merged { Err(ModelError::AlreadyMerged { path: path.to_owned() }) } else { Ok(self) }
    }
}

/// Reads any network known here, by what the file says of itself or by its tensor names.
///
/// `path` is a folder of transformers or of [`super::write_hf`], or a safetensors file: of `alora.model/1`, `alora.mlp/1`, or plain with the names
/// of an MLP (`fc1.weight`, …), of a ResNet, or of a ViT with `config.json` beside it.
///
/// # Errors
/// A file that cannot be read, holds another family, or does not fit `options`.
pub fn read_model(path: &Path, options: &ImportOptions) -> Result<Imported, ModelError> {
    if path.is_dir() {
        let files = vit::weight_files(path)?;
        return match &files[..] {
            [file] if !path.join("config.json").exists() => read_model(file, options),
            _ => read_vit(path, options),
        };
    }
    let reader = TensorReader::open(path)?;
    match reader.metadata("schema") {
        Some(MODEL_SCHEMA) => return read_own(reader, path, options),
        Some(Mlp::SCHEMA) => return read_mlp(path, options),
        _ => {}
    }
    let names = reader.names();
    let any = |start: &str| names.iter().any(|name| names::bare(name).starts_with(start));
    if any("vit.") || any("embeddings.") {
        read_vit(path, options)
    } else if any("layer1.0.") {
        read_resnet(path, options)
    } else if any("fc1.") && !any("conv1.") {
        read_mlp(path, options)
    } else {
        Err(ModelError::UnknownFamily { names }.within(path))
    }
}

/// Reads adapters for a network of `architecture`: a file of `alora.adapters/2`, or a folder of peft.
///
/// # Errors
/// As [`AdapterSet::read`] or [`read_peft`].
pub fn read_adapters(path: &Path, architecture: &Architecture) -> Result<AdapterSet, ModelError> {
    if path.is_dir() {
        read_peft(path, architecture)
    } else {
        AdapterSet::read(path, architecture).map(|(adapters, _)| adapters)
    }
}

/// A file of `alora.model/1`.
fn read_own(mut reader: TensorReader, path: &Path, options: &ImportOptions) -> Result<Imported, ModelError> {
    let text = reader.metadata("architecture").unwrap_or("missing");
    let architecture: Architecture = serde_json::from_str(text)
        .map_err(|error| ModelError::Metadata {
            key: "architecture",
            expected: "family and sizes of the network as JSON".to_owned(),
            found: error.to_string(),
        })
        .map_err(|error| error.within(path))?;
    let provenance = file::origin(&reader).map_err(|error| error.within(path))?;
    let merged = reader.metadata("adapters") == Some(MERGED);
    let weights = read_all(&mut reader)?;
    let (model, notes) =
        finished(architecture, weights, Vec::new(), options).map_err(|error| error.within(path))?;
    Ok(Imported { model, preprocessor: None, provenance: Some(provenance), merged, notes })
}

/// A file with the names of an MLP; images are not known, so inputs become one row of pixels unless they make a square.
fn read_mlp(path: &Path, options: &ImportOptions) -> Result<Imported, ModelError> {
    let (mlp, provenance) = Mlp::read(path)?;
    let merged = matches!(Mlp::read_base(path), Err(ModelError::AlreadyMerged { .. }));
    let inputs = mlp.layers().first().map_or(0, |layer| layer.weight.ncols());
    let side = inputs.isqrt();
    let (height, width) = if side * side == inputs { (side, side) } else { (1, inputs) };
    let (architecture, weights) =
        Model::from_mlp(&mlp, ImageShape { channels: 1, height, width })?.into_parts();
    let (model, notes) =
        finished(architecture, weights, Vec::new(), options).map_err(|error| error.within(path))?;
    let provenance = (!provenance.created.is_empty()).then_some(provenance);
    Ok(Imported { model, preprocessor: None, provenance, merged, notes })
}

fn read_all(reader: &mut TensorReader) -> Result<Weights, ModelError> {
    let names = reader.names();
    names.into_iter().map(|name| reader.read(&name).map(|parameter| (name, parameter))).collect()
}

/// Fits image size, position embedding and head to `options` and checks the whole.
fn finished(
    mut architecture: Architecture,
    mut weights: Weights,
    mut notes: Vec<ImportNote>,
    options: &ImportOptions,
) -> Result<(Model, Vec<ImportNote>), ModelError> {
    if let Some(size) = options.image_size {
        resize(&mut architecture, size)?;
    }
    architecture.check()?;
    if let Architecture::Vit(config) = &architecture {
        positions::fit(config, &mut weights, options.position_embedding.as_deref(), &mut notes)?;
    }
    if let Some(classes) = options.classes {
        fit_head(&mut architecture, &mut weights, classes, options.seed, &mut notes);
    }
    Ok((Model::new(architecture, weights)?, notes))
}

fn resize(architecture: &mut Architecture, size: usize) -> Result<(), ModelError> {
    let fixed = |input: &ImageShape| {
        if input.height == size && input.width == size {
            return Ok(());
        }
        let expected = format!("{} × {}, for which this network was made", input.height, input.width);
        let found = size.to_string();
        Err(ModelError::Architecture { size: "image_size".to_owned(), found, expected })
    };
    match architecture {
        Architecture::Vit(config) => config.image_size = size,
        Architecture::ResNet(shape) => (shape.input.height, shape.input.width) = (size, size),
        Architecture::Mlp(shape) => fixed(&shape.input)?,
        Architecture::Cnn(shape) => fixed(&shape.input)?,
    }
    Ok(())
}

/// Gives the network a new head where the file has none or one for another number of classes.
fn fit_head(
    architecture: &mut Architecture,
    weights: &mut Weights,
    classes: usize,
    seed: u64,
    notes: &mut Vec<ImportNote>,
) {
    let Some(head) = architecture.layers().pop() else { return };
    let found = weights.get(&head.weight_name()).and_then(|weight| weight.shape.first().copied());
    if found == Some(classes) {
        return;
    }
    match architecture {
        Architecture::Mlp(shape) => shape.classes = classes,
        Architecture::Cnn(shape) => shape.classes = classes,
        Architecture::ResNet(shape) => shape.classes = classes,
        Architecture::Vit(config) => {
            config.classes = classes;
            config.labels.clear();
        }
    }
    new_head(&LayerSpec { outputs: classes, ..head }, weights, &mut ChaCha8Rng::seed_from_u64(seed));
    notes.push(ImportNote::NewHead { classes, found, seed });
}

/// N(0, 0.02²), biases 0: transformers' rule for a new head.
fn new_head(head: &LayerSpec, weights: &mut Weights, rng: &mut impl Rng) {
    weights.insert(head.weight_name(), normal(head.weight_shape(), VIT_SPREAD, rng));
    weights.insert(head.bias_name(), Parameter::filled(vec![head.outputs], 0.0));
}

#[cfg(test)]
mod tests;
