//! Networks, images and chips that the tests share.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, OnceLock},
};

use alora::{
    dataset::{Augment, Dataset, Pipeline, Preprocess, Splits, bundled_mnist},
    finetune::{
        AdapterUse, ComputeDevice, FinetuneConfig, FinetuneError, FinetuneOutcome, Job, PretrainConfig,
        Subject, Techniques, Trial, finetune,
    },
    model::{
        AdapterSet, Architecture, CnnShape, HiddenActivation, ImageShape, MlpShape, Model, ResNetShape,
        Shortcut, Stem, VitConfig,
    },
    photonic::{ChipModel, ConverterPrecision, ErrorReference, Mapping, Sampling, TileShape},
};
use alora_calibration::{ErrorLaw, ErrorModel, Observer, Provenance, SigmaReference, Silent};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

pub(crate) fn mnist() -> &'static Splits {
    static MNIST: OnceLock<Splits> = OnceLock::new();
    MNIST.get_or_init(|| bundled_mnist().unwrap())
}

/// Plain images of the size `shape`.
pub(crate) fn pipeline(shape: ImageShape) -> Pipeline {
    Pipeline::new(Preprocess::plain(shape), None).unwrap()
}

/// The same, shifted by up to a pixel while training.
pub(crate) fn shifting(shape: ImageShape) -> Pipeline {
    pipeline(shape).with_augment(Some(Augment { shift: 1, flip: false, crop_padding: 0 }))
}

pub(crate) const MNIST_SHAPE: ImageShape = ImageShape { channels: 1, height: 28, width: 28 };

/// A chip of 16 × 16 with `bits` everywhere and a Gaussian error of `sigma`.
pub(crate) fn chip(bits: u8, sigma: f64) -> ChipModel {
    ChipModel {
        tile: Some(TileShape::new(16, 16).unwrap()),
        mapping: Mapping::default(),
        precision: Some(ConverterPrecision::uniform(bits).unwrap()),
        error: (sigma > 0.0).then_some(ErrorLaw::Gaussian { sigma }),
        reference: ErrorReference::FullScale,
        sampling: Sampling::PerExecution,
    }
}

pub(crate) fn error_model(law: ErrorLaw, sigma: f64) -> ErrorModel {
    let provenance = Provenance {
        tool: "test".to_owned(),
        processor: None,
        kind: None,
        simulated: true,
        created: String::new(),
        seed: 0,
    };
    let schema = ErrorModel::SCHEMA.to_owned();
    ErrorModel { schema, reference: SigmaReference::FullScale, sigma, provenance, law }
}

/// What a run is asked besides its network; the network's input says what the images become.
pub(crate) struct Setting {
    pub(crate) data: Dataset,
    pub(crate) chip: ChipModel,
    pub(crate) config: FinetuneConfig,
    pub(crate) seed: u64,
    pub(crate) input_scales: BTreeMap<String, Arc<Vec<f32>>>,
    /// Adapters from which it goes on.
    pub(crate) adapters: Option<AdapterSet>,
}

impl Setting {
    /// One epoch of ALoRA on the first `images` images, eight bits and an error of 2 %.
    pub(crate) fn short(images: usize) -> Self {
        Self {
            data: mnist().train.first(images),
            chip: chip(8, 0.02),
            config: FinetuneConfig { epochs: 1, ..FinetuneConfig::default() },
            seed: 1,
            input_scales: BTreeMap::new(),
            adapters: None,
        }
    }

    pub(crate) fn try_run(
        &self,
        model: &Arc<Model>,
        checkpoint: Option<&Path>,
        observer: &mut dyn Observer,
    ) -> Result<FinetuneOutcome, FinetuneError> {
        let pipeline = shifting(model.architecture().input());
        let job = Job {
            model: Arc::clone(model),
            adapters: self.adapters.as_ref(),
            data: &self.data,
            pipeline: &pipeline,
            chip: &self.chip,
            input_scales: self.input_scales.clone(),
            config: &self.config,
            seed: self.seed,
            checkpoint,
        };
        finetune(&job, observer)
    }

    pub(crate) fn run(&self, model: &Arc<Model>) -> FinetuneOutcome {
        self.try_run(model, None, &mut Silent).unwrap()
    }

    pub(crate) fn complaint(&self, model: &Arc<Model>) -> String {
        self.try_run(model, None, &mut Silent).unwrap_err().to_string()
    }
}

/// `model` trained digitally as `pretrain` says.
pub(crate) fn pretrained(
    model: Model,
    data: &Dataset,
    pretrain: &PretrainConfig,
    seed: u64,
) -> FinetuneOutcome {
    let setting = Setting {
        data: data.clone(),
        chip: ChipModel::ideal(),
        config: pretrain.as_training(ComputeDevice::Flex),
        seed,
        ..Setting::short(0)
    };
    setting.run(&Arc::new(model))
}

pub(crate) fn random(architecture: Architecture, seed: u64) -> Model {
    Model::random(architecture, &mut ChaCha8Rng::seed_from_u64(seed)).unwrap()
}

/// The paper's perceptron, pre-trained once for all tests.
pub(crate) fn base() -> &'static Arc<Model> {
    static BASE: OnceLock<Arc<Model>> = OnceLock::new();
    BASE.get_or_init(|| {
        let model = random(Architecture::Mlp(MlpShape::default()), 0);
        pretrained(model, &mnist().train, &PretrainConfig::default(), 0).merged
    })
}

pub(crate) fn small_mlp() -> Architecture {
    let input = ImageShape { channels: 1, height: 8, width: 8 };
    Architecture::Mlp(MlpShape { input, hidden: vec![24, 20], classes: 10 })
}

pub(crate) fn small_cnn() -> Architecture {
    let input = ImageShape { channels: 1, height: 12, width: 12 };
    Architecture::Cnn(CnnShape { input, channels: [4, 6], hidden: 20, classes: 10 })
}

pub(crate) fn small_resnet(stem: Stem, shortcut: Shortcut) -> Architecture {
    let side = if stem == Stem::Cifar { 12 } else { 28 };
    let input = ImageShape { channels: 1, height: side, width: side };
    Architecture::ResNet(ResNetShape { input, stem, width: 6, blocks: vec![1, 1], shortcut, classes: 10 })
}

pub(crate) fn small_vit(hidden_act: HiddenActivation) -> Architecture {
    Architecture::Vit(VitConfig {
        hidden_size: 24,
        num_hidden_layers: 2,
        num_attention_heads: 3,
        intermediate_size: 40,
        hidden_act,
        layer_norm_eps: 1e-6,
        image_size: 16,
        patch_size: 4,
        num_channels: 1,
        qkv_bias: true,
        classes: 10,
        labels: Vec::new(),
    })
}

/// A small network of every family, with both stems and shortcuts of residual networks.
pub(crate) fn families() -> Vec<(&'static str, Architecture)> {
    vec![
        ("mlp", small_mlp()),
        ("cnn", small_cnn()),
        ("resnet, projection", small_resnet(Stem::Cifar, Shortcut::Projection)),
        ("resnet, pad", small_resnet(Stem::Cifar, Shortcut::Pad)),
        ("resnet, large stem", small_resnet(Stem::Imagenet, Shortcut::Projection)),
        ("vit", small_vit(HiddenActivation::Gelu)),
    ]
}

/// Each of [`families`], trained digitally on 4 000 images, once for all tests.
pub(crate) fn trained_families() -> &'static [(&'static str, Arc<Model>)] {
    static TRAINED: OnceLock<Vec<(&'static str, Arc<Model>)>> = OnceLock::new();
    TRAINED.get_or_init(|| {
        let data = mnist().train.first(4000);
        let trained = |(name, architecture)| {
            let epochs = if name == "vit" { 10 } else { 4 };
            let plain = PretrainConfig::default();
            let config = PretrainConfig { epochs, batch_size: 32, learning_rate: 4e-3, ..plain };
            (name, pretrained(random(architecture, 3), &data, &config, 3).merged)
        };
        families().into_iter().map(trained).collect()
    })
}

pub(crate) fn trained_family(name: &str) -> &'static Arc<Model> {
    &trained_families().iter().find(|(other, _)| *other == name).unwrap().1
}

/// Part of right answers of `subject` on the first `images` test images.
pub(crate) fn accuracy(subject: &Subject<'_>, images: usize, chip: Option<&ChipModel>, seed: u64) -> f64 {
    let data = mnist().test.first(images);
    let pipeline = pipeline(subject.model.architecture().input());
    let trial = Trial { data: &data, pipeline: &pipeline, batch_size: 100 };
    alora::finetune::evaluate(subject, trial, chip, seed).unwrap().fraction()
}

pub(crate) fn plain(model: &Arc<Model>) -> Subject<'static> {
    Subject::new(Arc::clone(model), AdapterUse::None)
}

/// The subject that a run left: adapters beside the chip, or the trained base.
pub(crate) fn after<'a>(model: &Arc<Model>, outcome: &'a FinetuneOutcome) -> Subject<'a> {
    let (model, adapters) = match &outcome.adapters {
        Some(adapters) => (model, AdapterUse::Parallel(adapters)),
        None => (&outcome.merged, AdapterUse::None),
    };
    Subject { ranges: outcome.ranges.clone(), ..Subject::new(Arc::clone(model), adapters) }
}

/// Inputs of the network, from the first `count` test images.
pub(crate) fn inputs(model: &Model, count: usize) -> ndarray::Array2<f32> {
    pipeline(model.architecture().input()).all(&mnist().test.first(count)).unwrap().images
}

pub(crate) fn base_training() -> Techniques {
    Techniques { lora: false, ..Techniques::ALORA }
}
