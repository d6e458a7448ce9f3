//! Digital pre-training of the base network.

use alora_calibration::{Event, Observer};
use burn::tensor::{Tensor, activation::relu};
use ndarray::Array2;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

use super::{
    ComputeDevice, FinetuneError,
    augment::shifted,
    batches::{check_fit, cross_entropy, images, shuffled, value},
    config::{ConfigError, require},
    device::compute_device,
    linear::constant,
    optimiser::Trained,
    training::{base_from, cosine},
};
use crate::{dataset::Dataset, model::Mlp};

/// Hidden layers of the paper's 4-layer MLP: with 784 inputs and 10 classes, 335 114 parameters.
pub const PAPER_HIDDEN: [usize; 3] = [256, 256, 256];
/// Classes of the digits.
const CLASSES: usize = 10;

/// A pre-training run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PretrainConfig {
    /// Passes over the training images, 1 to 1000.
    pub epochs: usize,
    /// Images a step, 1 to 8192.
    pub batch_size: usize,
    /// Step size of AdamW, above 0 to 1.
    pub learning_rate: f64,
    /// Decoupled weight decay of AdamW, 0 to 1.
    pub weight_decay: f64,
    /// Each image is shifted by up to so many pixels both ways, drawn anew each time, 0 to 4.
    pub shift: usize,
    /// Seed of initialisation, order and shifts.
    pub seed: u64,
    /// Where to compute.
    pub device: ComputeDevice,
}

impl Default for PretrainConfig {
    fn default() -> Self {
        Self {
            epochs: 10,
            batch_size: 64,
            learning_rate: 2e-3,
            weight_decay: 0.01,
            shift: 1,
            seed: 1,
            device: ComputeDevice::Flex,
        }
    }
}

impl PretrainConfig {
    /// Checks every range.
    ///
    /// # Errors
    /// The first value outside its range.
    pub fn check(&self) -> Result<(), ConfigError> {
        let rate = self.learning_rate;
        require((1..=1000).contains(&self.epochs), "epochs", self.epochs, "1 to 1000")?;
        require((1..=8192).contains(&self.batch_size), "batch_size", self.batch_size, "1 to 8192")?;
        require(rate > 0.0 && rate <= 1.0, "learning_rate", rate, "above 0, to 1")?;
        require((0.0..=1.0).contains(&self.weight_decay), "weight_decay", self.weight_decay, "0 to 1")?;
        require(self.shift <= 4, "shift", self.shift, "0 to 4")
    }
}

/// Trains a perceptron with ReLU between its layers in digital arithmetic: pixels – `hidden` – 10 classes.
///
/// The same arguments give the same network.
///
/// # Errors
/// A value outside its range, images of another size, a device that was not compiled in, a loss that is no longer finite, or an interruption.
pub fn pretrain(
    data: &Dataset,
    hidden: &[usize],
    config: &PretrainConfig,
    observer: &mut dyn Observer,
) -> Result<Mlp, FinetuneError> {
    config.check()?;
    let device = compute_device(config.device)?;
    let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
    let sizes = [&[data.images.ncols()], hidden, &[CLASSES]].concat();
    let values = initial_weights(&sizes, &mut rng);
    check_fit(data, &base_from(values.clone())?)?;
    let mut trained = Trained::new(values, config.learning_rate, config.weight_decay, &device);
    let steps = config.epochs * data.len().div_ceil(config.batch_size);
    observer.on(Event::Started { stage: "pre-training", steps: steps as u64 });
    let mut done = 0;
    for epoch in 1..=config.epochs {
        for batch in shuffled(data.len(), config.batch_size, &mut rng) {
            let inputs = constant(shifted(images(data, &batch), config.shift, &mut rng)?, &device);
            let loss = cross_entropy(forward(inputs, trained.tensors()), data, &batch, &device);
            trained.step(&loss, cosine(done, steps));
            let loss = value(&loss)?;
            if !loss.is_finite() {
                return Err(FinetuneError::Diverged { epoch, loss });
            }
            done += 1;
            observer.on(Event::Step);
            if observer.interrupted() {
                return Err(FinetuneError::Interrupted);
            }
        }
    }
    observer.on(Event::Finished);
    base_from(trained.values()?)
}

/// He initialisation (arXiv 1502.01852): `W ~ N(0, 2/in)`, `b = 0`.
fn initial_weights(sizes: &[usize], rng: &mut ChaCha8Rng) -> Vec<Array2<f32>> {
    let mut values = Vec::new();
    for pair in sizes.windows(2) {
        let spread = (2.0 / pair[0] as f32).sqrt();
        values.push(Array2::from_shape_simple_fn((pair[1], pair[0]), || {
            spread * rng.sample::<f32, _>(StandardNormal)
        }));
        values.push(Array2::zeros((1, pair[1])));
    }
    values
}

fn forward(inputs: Tensor<2>, trained: &[Tensor<2>]) -> Tensor<2> {
    let mut x = inputs;
    for (index, pair) in trained.chunks_exact(2).enumerate() {
        if index > 0 {
            x = relu(x);
        }
        x = x.matmul(pair[0].clone().transpose()) + pair[1].clone();
    }
    x
}
