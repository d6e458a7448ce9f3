//! Groups of layers with random weights.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::super::*;

pub(super) fn uniform(count: usize, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
}

pub(super) fn converters(
    resolution: Option<u8>,
    input_range: InputRange,
    output_range: OutputRange,
) -> Converters {
    Converters { input_bits: resolution, output_bits: resolution, input_range, output_range }
}

pub(super) fn seeded(seed: u64) -> Execution {
    Execution { seed, error_factor: 1.0, input_range: None }
}

pub(super) const VECTOR: (InputRange, OutputRange) = (InputRange::Vector, OutputRange::Vector);
pub(super) const BATCH: (InputRange, OutputRange) = (InputRange::Batch, OutputRange::Batch);
pub(super) const STATIC: (InputRange, OutputRange) = (InputRange::Static(0.7), OutputRange::Static(1.1));

/// A group with random weights.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) inputs: usize,
    pub(super) tile: (usize, usize),
    pub(super) parts: Vec<Part>,
    pub(super) converters: Converters,
}

impl Group {
    pub(super) fn new(
        inputs: usize,
        outputs: &[usize],
        tile: (usize, usize),
        coded: bool,
        converters: Converters,
    ) -> Self {
        let parts = outputs.iter().enumerate().map(|(index, &outputs)| {
            let seed = 100 * index as u64;
            let weights = uniform(outputs * inputs, seed);
            let held = if coded {
                let codes = weights.iter().map(|w| (w * 127.0).round() as i8).collect();
                Held::Codes { codes, max_code: 127 }
            } else {
                Held::Values(weights)
            };
            let blocks = inputs.div_ceil(tile.1);
            let scales = uniform(blocks * outputs, seed + 1).iter().map(|scale| scale.abs() + 0.1).collect();
            let bias = index.is_multiple_of(2).then(|| uniform(outputs, seed + 2));
            Part { outputs, held, scales, noise: OutputNoise::None, bias }
        });
        Self { inputs, tile, parts: parts.collect(), converters }
    }

    pub(super) fn with_noise(mut self, noise: impl Fn(usize) -> OutputNoise) -> Self {
        self.parts.iter_mut().enumerate().for_each(|(index, part)| part.noise = noise(index));
        self
    }

    pub(super) fn on(&self, isa: Isa) -> Product {
        let (inputs, (tile_rows, tile_cols)) = (self.inputs, self.tile);
        Product::with_isa(inputs, tile_rows, tile_cols, self.parts.clone(), self.converters, isa)
    }

    pub(super) fn weight(part: &Part, cell: usize) -> f64 {
        match &part.held {
            Held::Codes { codes, max_code } => f64::from(codes[cell]) / f64::from(*max_code),
            Held::Values(values) => f64::from(values[cell]),
        }
    }
}

/// Noise of all kinds, by part.
pub(super) fn all_noises(inputs: usize, outputs: &[usize]) -> impl Fn(usize) -> OutputNoise {
    let variances: Vec<Vec<f32>> = outputs
        .iter()
        .map(|&outputs| uniform(outputs * inputs, 77).iter().map(|v| 1e-3 * (v.abs() + 0.1)).collect())
        .collect();
    // One for each of at most `inputs` column blocks.
    let sigmas: Vec<f32> = uniform(inputs * outputs[0], 78).iter().map(|s| 0.02 * s.abs()).collect();
    move |part| match part {
        0 => OutputNoise::Uniform(sigmas.clone()),
        1 => OutputNoise::PerWeight(variances[1].clone()),
        _ => OutputNoise::None,
    }
}
