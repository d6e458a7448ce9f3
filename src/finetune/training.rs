//! The fine-tuning loop.

use alora_calibration::{ErrorModel, Event, Observer};
use burn::tensor::{Device, Tensor, activation::relu};
use ndarray::{Array1, Array2, Axis};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use super::{
    ChipModel, FinetuneConfig, FinetuneError,
    augment::shifted,
    batches::{check_fit, cross_entropy, images, shuffled, value},
    chip::full_scale_law,
    device::compute_device,
    linear::{PhotonicLinear, constant, trained_product},
    optimiser::Trained,
};
use crate::{
    dataset::Dataset,
    model::{Adapter, AdapterSet, LinearWeights, Mlp},
    photonic::TileShape,
};

/// What fine-tuning gave.
#[derive(Clone, Debug, PartialEq)]
pub struct FinetuneOutcome {
    /// The adapters; `None` where the base itself trained, or nothing did.
    pub adapters: Option<AdapterSet>,
    /// The network with adapters merged, or the trained base.
    pub merged: Mlp,
    /// Mean loss of each epoch.
    pub losses: Vec<f64>,
    /// Values that trained.
    pub trainable: usize,
    /// Values of the base.
    pub total: usize,
}

/// Fine-tunes `base` on `data` for a chip of `tile` with the error `error`.
///
/// With `techniques.lora` the base is frozen and only the adapters train; without it the base trains; with all techniques
/// off nothing does (PTQ) and the base comes back. The same arguments give the same result.
///
/// # Errors
/// A value outside its range, images that do not fit the network, an error law that cannot be sampled so, a device that was
/// not compiled in, a loss that is no longer finite, or an interruption.
pub fn finetune(
    base: &Mlp,
    data: &Dataset,
    config: &FinetuneConfig,
    tile: TileShape,
    error: &ErrorModel,
    observer: &mut dyn Observer,
) -> Result<FinetuneOutcome, FinetuneError> {
    config.check()?;
    check_fit(data, base)?;
    let techniques = config.techniques;
    let chip = ChipModel {
        tile,
        scaling: config.scaling,
        precision: techniques.qat.then_some(config.precision),
        error: if techniques.nat { Some(full_scale_law(error)?) } else { None },
        sampling: config.sampling,
    };
    chip.check()?;
    let total = base.parameters();
    if !(techniques.qat || techniques.nat || techniques.lora) {
        return Ok(FinetuneOutcome {
            adapters: None,
            merged: base.clone(),
            losses: vec![],
            trainable: 0,
            total,
        });
    }
    let mut training = Training::new(base, config, chip)?;
    let losses = training.run(data, config, observer)?;
    let values = training.trained.values()?;
    let trainable = values.iter().map(Array2::len).sum();
    let (adapters, merged) = if techniques.lora {
        let adapters = adapters_from(values, base, config)?;
        let merged = adapters.merged(base)?;
        (Some(adapters), merged)
    } else {
        (None, base_from(values)?)
    };
    Ok(FinetuneOutcome { adapters, merged, losses, trainable, total })
}

/// A network on burn: what is frozen, and what trains.
struct Training {
    network: Network,
    trained: Trained,
    device: Device,
    rng: ChaCha8Rng,
}

/// How each layer computes.
enum Network {
    /// Frozen photonic layers with their digital biases, `[1, out]`; `α/k` of the adapters beside them.
    Adapted { layers: Vec<(PhotonicLinear, Tensor<2>)>, factor: f32 },
    /// Every weight and bias trains.
    Base { chip: ChipModel },
}

impl Training {
    fn new(base: &Mlp, config: &FinetuneConfig, chip: ChipModel) -> Result<Self, FinetuneError> {
        let device = compute_device(config.device)?;
        let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
        let (network, values) = if config.techniques.lora {
            let mut layers = Vec::new();
            for (index, layer) in base.layers().iter().enumerate() {
                let photonic = PhotonicLinear::new(layer.weight.view(), &chip, index as u64, &device)?;
                layers.push((photonic, constant(layer.bias.clone().insert_axis(Axis(0)), &device)));
            }
            let factor = config.adapter.alpha / config.adapter.rank as f32;
            (Network::Adapted { layers, factor }, initial_adapters(base, config, &mut rng))
        } else {
            let values = base
                .layers()
                .iter()
                .flat_map(|layer| [layer.weight.clone(), layer.bias.clone().insert_axis(Axis(0))])
                .collect();
            (Network::Base { chip }, values)
        };
        let trained = Trained::new(values, config.learning_rate, config.weight_decay, &device);
        Ok(Self { network, trained, device, rng })
    }

    /// All epochs; the mean loss of each.
    fn run(
        &mut self,
        data: &Dataset,
        config: &FinetuneConfig,
        observer: &mut dyn Observer,
    ) -> Result<Vec<f64>, FinetuneError> {
        let steps = config.epochs * data.len().div_ceil(config.batch_size);
        observer.on(Event::Started { stage: "fine-tuning", steps: steps as u64 });
        let mut losses = Vec::with_capacity(config.epochs);
        let mut done = 0;
        for epoch in 1..=config.epochs {
            let mut sum = 0.0;
            for batch in shuffled(data.len(), config.batch_size, &mut self.rng) {
                let loss = self.step(data, &batch, config.shift, cosine(done, steps))?;
                if !loss.is_finite() {
                    return Err(FinetuneError::Diverged { epoch, loss });
                }
                sum += loss * batch.len() as f64;
                done += 1;
                observer.on(Event::Step);
                if observer.interrupted() {
                    return Err(FinetuneError::Interrupted);
                }
            }
            losses.push(sum / data.len() as f64);
        }
        observer.on(Event::Finished);
        Ok(losses)
    }

    fn step(
        &mut self,
        data: &Dataset,
        batch: &[usize],
        shift: usize,
        rate: f64,
    ) -> Result<f64, FinetuneError> {
        let inputs = constant(shifted(images(data, batch), shift, &mut self.rng)?, &self.device);
        let trained = self.trained.tensors();
        let logits = self.network.forward(inputs, trained, &mut self.rng, &self.device)?;
        let loss = cross_entropy(logits, data, batch, &self.device);
        self.trained.step(&loss, rate);
        value(&loss)
    }
}

impl Network {
    /// Logits of `inputs`, `[batch, in]`. `trained` holds two matrices a layer: `A`, `B`, or `W`, `b`.
    fn forward(
        &mut self,
        inputs: Tensor<2>,
        trained: &[Tensor<2>],
        rng: &mut ChaCha8Rng,
        device: &Device,
    ) -> Result<Tensor<2>, FinetuneError> {
        let mut x = inputs;
        for (index, pair) in trained.chunks_exact(2).enumerate() {
            if index > 0 {
                x = relu(x);
            }
            let seed = rng.random();
            x = match self {
                Self::Adapted { layers, factor } => {
                    let (photonic, bias) = &mut layers[index];
                    let low = x.clone().matmul(pair[0].clone().transpose());
                    let adapted = low.matmul(pair[1].clone().transpose()).mul_scalar(*factor);
                    photonic.forward(x, seed)? + bias.clone() + adapted
                }
                Self::Base { chip } => {
                    trained_product(x, pair[0].clone(), chip, index as u64, seed, device)? + pair[1].clone()
                }
            };
        }
        Ok(x)
    }
}

/// Learning rate of step `done` of `steps`, as a part of the full one: half a cosine from 1 to 0.05.
pub(super) fn cosine(done: usize, steps: usize) -> f64 {
    let part = done as f64 / steps.max(1) as f64;
    0.05 + 0.95 * 0.5 * (1.0 + (std::f64::consts::PI * part).cos())
}

/// `A ~ N(0, 1/in)`, `B = 0`: the network starts as its base.
fn initial_adapters(base: &Mlp, config: &FinetuneConfig, rng: &mut ChaCha8Rng) -> Vec<Array2<f32>> {
    let rank = config.adapter.rank;
    let mut values = Vec::new();
    for layer in base.layers() {
        let (out, inputs) = layer.weight.dim();
        let spread = 1.0 / (inputs as f32).sqrt();
        values.push(Array2::from_shape_simple_fn((rank, inputs), || {
            spread * rng.sample::<f32, _>(StandardNormal)
        }));
        values.push(Array2::zeros((out, rank)));
    }
    values
}

fn adapters_from(
    values: Vec<Array2<f32>>,
    base: &Mlp,
    config: &FinetuneConfig,
) -> Result<AdapterSet, FinetuneError> {
    let alpha = config.adapter.alpha;
    let adapters = pairs(values).map(|(a, b)| Adapter { a, b, alpha }).collect();
    Ok(AdapterSet::new(adapters, base)?)
}

pub(super) fn base_from(values: Vec<Array2<f32>>) -> Result<Mlp, FinetuneError> {
    let layer = |(weight, bias): (Array2<f32>, Array2<f32>)| LinearWeights {
        name: String::new(),
        weight,
        bias: Array1::from_iter(bias),
    };
    Ok(Mlp::new(pairs(values).map(layer).collect())?)
}

fn pairs<T>(values: Vec<T>) -> impl Iterator<Item = (T, T)> {
    let mut values = values.into_iter();
    std::iter::from_fn(move || Some((values.next()?, values.next()?)))
}
