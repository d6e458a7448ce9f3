//! Digital pre-training of the base network.

use alora_calibration::{Event, Observer};
use burn::tensor::{Tensor, activation::relu};
use ndarray::{Array2, s};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

use super::{
    ComputeDevice, FinetuneError,
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
/// Side of a training image.
const SIDE: usize = 28;

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
            epochs: 12,
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
/// A value outside its range, images of another size, a device that was not compiled in, or a loss that is no longer finite.
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
            let inputs = constant(shifted(images(data, &batch), config.shift, &mut rng), &device);
            let loss = cross_entropy(forward(inputs, trained.tensors()), data, &batch, &device);
            trained.step(&loss, cosine(done, steps));
            let loss = value(&loss)?;
            if !loss.is_finite() {
                return Err(FinetuneError::Diverged { epoch, loss });
            }
            done += 1;
            observer.on(Event::Step);
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

/// Each image, `28 × 28` in a row of `[batch, 784]`, moved by up to `most` pixels both ways; zeros come in at the edges.
fn shifted(images: Array2<f32>, most: usize, rng: &mut ChaCha8Rng) -> Array2<f32> {
    if most == 0 {
        return images;
    }
    let mut moved = Array2::zeros(images.dim());
    for (source, mut target) in images.rows().into_iter().zip(moved.rows_mut()) {
        // An offset of `most` is no shift: the window [by, by + 28) of the image padded with `most` zeros.
        let [down, right] = [0, 1].map(|_| rng.random_range(0..=2 * most));
        for row in 0..SIDE {
            let Some(from) = (row + down).checked_sub(most).filter(|from| *from < SIDE) else { continue };
            let first = most.saturating_sub(right);
            let last = (SIDE + most - right).min(SIDE);
            let start = from * SIDE + first + right - most;
            target
                .slice_mut(s![row * SIDE + first..row * SIDE + last])
                .assign(&source.slice(s![start..start + last - first]));
        }
    }
    moved
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_shift_moves_the_whole_image_and_lets_zeros_in() {
        let image = Array2::from_shape_fn((1, 784), |(_, pixel)| 1.0 + pixel as f32);
        let mut seen = std::collections::BTreeSet::new();
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        for _ in 0..200 {
            let moved = shifted(image.clone(), 1, &mut rng);
            // The centre pixel tells the shift.
            let centre = moved[(0, 14 * SIDE + 14)] as i64 - 1 - (14 * SIDE + 14) as i64;
            let (down, right) = ((centre + 14).div_euclid(28), (centre + 14).rem_euclid(28) - 14);
            assert!(down.abs() <= 1 && right.abs() <= 1, "{centre}");
            seen.insert((down, right));
            for row in 0..28 {
                for col in 0..28 {
                    let (from_row, from_col) = (row + down, col + right);
                    let inside = (0..28).contains(&from_row) && (0..28).contains(&from_col);
                    let expected = if inside { 1.0 + (from_row * 28 + from_col) as f32 } else { 0.0 };
                    assert_eq!(moved[(0, (row * 28 + col) as usize)], expected);
                }
            }
        }
        assert_eq!(seen.len(), 9);
    }
}
