//! Network, images, and the way from one to the other.

use std::{collections::BTreeMap, sync::Arc};

use alora_calibration::Event;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::{Context, Purpose};
use crate::{
    config::Config,
    dataset::{Augment, Dataset, HeldOut, Pipeline, Preprocess, Resample, Splits, bundled_mnist, read},
    error::Error,
    finetune::{AugmentConfig, Job, Techniques, finetune, train_head},
    model::{
        AdapterSet, Architecture, ImageShape, ImportNote, ImportOptions, Mlp, MlpShape, Model, Preprocessor,
        equalise, read_adapters, read_model,
    },
    photonic::{ChipModel, Equalise, Mapping, WeightScaling},
};

/// How much of a network still has to be trained digitally.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untrained {
    /// Nothing.
    None,
    /// The head is new.
    Head,
    /// Everything is.
    All,
}

/// What a training run works on.
pub struct Task {
    /// The network, as it was brought or as it starts.
    pub model: Arc<Model>,
    /// How much of it is still to be trained.
    pub untrained: Untrained,
    /// Adapters that were brought.
    pub adapters: Option<AdapterSet>,
    /// Training and test images.
    pub data: Splits,
    /// From images to the network's input, with the augmentation of fine-tuning.
    pub pipeline: Pipeline,
}

/// The network that is adapted: trained digitally, with its channels evened out.
pub struct Base {
    /// The network.
    pub model: Arc<Model>,
    /// Digital factors on inputs, by group.
    pub input_scales: BTreeMap<String, Arc<Vec<f32>>>,
}

impl Base {
    /// `trained` with its channels evened out as `mapping` says.
    ///
    /// # Errors
    /// Weights that overflow.
    pub fn laid_out(trained: &Arc<Model>, mapping: Mapping) -> Result<Self, Error> {
        let rows = mapping.scaling == WeightScaling::Row;
        let equalised = match mapping.equalise {
            Equalise::None => {
                return Ok(Self { model: Arc::clone(trained), input_scales: BTreeMap::new() });
            }
            Equalise::Folded => equalise(trained, rows, false)?,
            Equalise::All => equalise(trained, rows, true)?,
        };
        let input_scales =
            equalised.input_scales.into_iter().map(|(name, scales)| (name, Arc::new(scales))).collect();
        Ok(Self { model: Arc::new(equalised.model), input_scales })
    }
}

/// The images of `config`: from its folder, or the bundled subset.
///
/// # Errors
/// A missing, damaged or mismatched file.
pub fn load_data(config: &Config) -> Result<Splits, Error> {
    let section = &config.data;
    let data = match &section.path {
        Some(folder) => read(folder, section.format, HeldOut::default())?,
        None => bundled_mnist()?,
    };
    Ok(data.limited(section.train_limit, section.test_limit, 0))
}

impl Task {
    /// Reads what `context.config` names, and sees to it that network and images fit.
    ///
    /// # Errors
    /// A file that is missing, damaged or of another kind; a network that cannot tell the classes apart.
    pub fn load(context: &mut Context<'_>) -> Result<Self, Error> {
        let config = context.config;
        let data = load_data(config)?;
        let seed = context.seed(Purpose::Pretrain);
        let (model, preprocessor, untrained) = match &config.model.weights {
            Some(path) => {
                let options = ImportOptions {
                    image_size: Some(config.model.image_size).filter(|size| *size > 0),
                    classes: Some(data.train.classes()),
                    seed,
                    position_embedding: config.model.position_embedding.clone(),
                };
                let imported = read_model(path, &options)?;
                let mut untrained = Untrained::None;
                for note in &imported.notes {
                    if matches!(note, ImportNote::NewHead { .. }) {
                        untrained = Untrained::Head;
                    }
                    context.observer.on(Event::Note(note.to_string()));
                }
                refuse_other_architecture(config, path, imported.model.architecture())?;
                (imported.model, imported.preprocessor, untrained)
            }
            None => {
                let architecture = architecture(config, &data)?;
                let model = Model::random(architecture, &mut ChaCha8Rng::seed_from_u64(seed))?;
                (model, None, Untrained::All)
            }
        };
        let adapters = match &config.model.adapters {
            Some(path) => Some(read_adapters(path, model.architecture())?),
            None => None,
        };
        let pipeline = pipeline(config, model.architecture().input(), preprocessor, config.finetune.augment)?;
        Ok(Self { model: Arc::new(model), untrained, adapters, data, pipeline })
    }

    /// Trains digitally what is not trained yet, then evens out channels as `mapping.equalise` says.
    ///
    /// # Errors
    /// Training that diverges, or an interruption.
    pub fn base(&self, context: &mut Context<'_>) -> Result<Base, Error> {
        let trained = self.trained(context)?;
        Base::laid_out(&trained, context.config.mapping)
    }

    /// The network, trained digitally where it was not.
    ///
    /// # Errors
    /// Training that diverges, or an interruption.
    pub fn trained(&self, context: &mut Context<'_>) -> Result<Arc<Model>, Error> {
        let config = context.config;
        let seed = context.seed(Purpose::Pretrain);
        let mut training = config.pretrain.as_training(config.finetune.device);
        training.techniques = Techniques::PTQ;
        let pipeline = self.pipeline.with_augment(augment(config.pretrain.augment));
        match self.untrained {
            Untrained::None => Ok(Arc::clone(&self.model)),
            Untrained::Head => Ok(Arc::new(train_head(
                &self.model,
                &self.data.train,
                &pipeline,
                &training,
                seed,
                &mut *context.observer,
            )?)),
            Untrained::All => {
                let job = Job {
                    model: Arc::clone(&self.model),
                    adapters: None,
                    data: &self.data.train,
                    pipeline: &pipeline,
                    chip: &ChipModel::ideal(),
                    input_scales: BTreeMap::new(),
                    config: &training,
                    seed,
                    checkpoint: None,
                };
                Ok(finetune(&job, &mut *context.observer)?.merged)
            }
        }
    }

    /// The same with other augmentation.
    #[must_use]
    pub fn with_augment(&self, asked: AugmentConfig) -> Self {
        Self {
            model: Arc::clone(&self.model),
            untrained: self.untrained,
            adapters: self.adapters.clone(),
            data: self.data.clone(),
            pipeline: self.pipeline.with_augment(augment(asked)),
        }
    }

    /// Test images.
    #[must_use]
    pub fn test(&self) -> &Dataset {
        &self.data.test
    }
}

/// The architecture that a run of `config` will train, as far as can be told without reading weights.
///
/// # Errors
/// Weights in a file whose architecture only its tensors tell, or images that cannot be read.
pub fn planned_architecture(config: &Config) -> Result<Architecture, Error> {
    if let Some(architecture) = &config.model.architecture {
        architecture.check()?;
        return Ok(architecture.clone());
    }
    let data = load_data(config)?;
    match &config.model.weights {
        None => architecture(config, &data),
        Some(path) => {
            let image_size = Some(config.model.image_size).filter(|size| *size > 0);
            let options =
                ImportOptions { image_size, classes: Some(data.train.classes()), ..ImportOptions::default() };
            Ok(read_model(path, &options)?.model.architecture().clone())
        }
    }
}

/// The architecture that `config` describes; a perceptron on these images where it describes none.
///
/// # Errors
/// Images of different sizes, for a perceptron.
pub fn architecture(config: &Config, data: &Splits) -> Result<Architecture, Error> {
    if let Some(architecture) = &config.model.architecture {
        if config.model.fit_data {
            return Ok(architecture.fitted(data.train.shape(), data.train.classes()));
        }
        let (outputs, classes) = (architecture.classes(), data.train.classes());
        if outputs < classes {
            let reason = format!("the network has {outputs} outputs, the images have {classes} classes");
            return Err(Error::Input { path: "model.architecture".into(), reason });
        }
        return Ok(architecture.clone());
    }
    let Some(shape) = data.train.shape() else {
        let reason = "the images differ in size; describe the network's input in `model.architecture`";
        return Err(Error::Input { path: data.train.source().into(), reason: reason.to_owned() });
    };
    let input = shape;
    let (hidden, classes) = (config.model.hidden.clone(), data.train.classes());
    Ok(Architecture::Mlp(MlpShape { input, hidden, classes }))
}

fn refuse_other_architecture(
    config: &Config,
    path: &std::path::Path,
    found: &Architecture,
) -> Result<(), Error> {
    match &config.model.architecture {
        Some(asked) if asked.layers() != found.layers() => {
            let reason = format!(
                "these are the weights of {} with {} parameters, `model.architecture` describes {} with {}; leave \
                 `model.architecture` out, or bring weights that fit",
                found.what(),
                found.parameters(),
                asked.what(),
                asked.parameters()
            );
            Err(Error::Input { path: path.to_owned(), reason })
        }
        _ => Ok(()),
    }
}

fn augment(asked: AugmentConfig) -> Option<Augment> {
    let wanted = asked.shift > 0 || asked.flip;
    wanted.then_some(Augment { shift: asked.shift, flip: asked.flip, crop_padding: 0 })
}

/// `mlp` as a network on the images of `data`; `path` names its file in errors.
///
/// # Errors
/// Images of different sizes, or of another size than the network takes.
pub fn perceptron_on(mlp: &Mlp, data: &Dataset, path: &std::path::Path) -> Result<Model, Error> {
    let shape = data.shape().unwrap_or(ImageShape { channels: 1, height: 1, width: 1 });
    let inputs = mlp.layers().first().map_or(0, |layer| layer.weight.ncols());
    if shape.values() != inputs {
        let reason = format!("the network takes {inputs} inputs, the images have {} pixels", shape.values());
        return Err(Error::Input { path: path.to_owned(), reason });
    }
    Ok(Model::from_mlp(mlp, shape)?)
}

/// The pipeline of a perceptron on the images of `data`.
///
/// # Errors
/// Images of different sizes, or a normalisation that does not fit.
pub fn perceptron_pipeline(config: &Config, data: &Dataset) -> Result<Pipeline, Error> {
    let shape = data.shape().unwrap_or(ImageShape { channels: 1, height: 1, width: 1 });
    pipeline(config, shape, None, AugmentConfig { shift: 0, flip: false })
}

/// As the configuration says; where it says nothing, as the preprocessor of the weights does; else plain.
fn pipeline(
    config: &Config,
    input: ImageShape,
    preprocessor: Option<Preprocessor>,
    augmentation: AugmentConfig,
) -> Result<Pipeline, Error> {
    let mut preprocess = Preprocess::plain(input);
    if let Some(preprocessor) = preprocessor {
        preprocess.resample = match preprocessor.resample {
            0 => Resample::Nearest,
            3 => Resample::Bicubic,
            _ => Resample::Bilinear,
        };
        preprocess.rescale = if preprocessor.do_rescale { preprocessor.rescale_factor } else { 1.0 };
        if preprocessor.do_normalize {
            preprocess.mean = preprocessor.mean;
            preprocess.std = preprocessor.std;
        }
    }
    let section = &config.data;
    preprocess.resample = section.resample.unwrap_or(preprocess.resample);
    preprocess.mean = section.mean.clone().unwrap_or(preprocess.mean);
    preprocess.std = section.std.clone().unwrap_or(preprocess.std);
    Ok(Pipeline::new(preprocess, augment(augmentation))?)
}
