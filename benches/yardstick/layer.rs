//! B1: one photonic linear layer of a vision transformer.

use std::hint::black_box;

use alora::{
    finetune::{ComputeDevice, compute_device},
    network::PhotonicLinear,
    photonic::{Bits, ChipModel, ConverterPrecision, Mapping, RangeKind, Sampling},
};
use alora_calibration::ErrorLaw;
use burn::tensor::{Device, Tensor, TensorData};
use ndarray::Array2;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use serde_json::json;

use crate::{Fields, clock::Clock, rounded};

/// 8 images of 197 tokens.
const ROWS: usize = 8 * 197;
const INPUTS: usize = 768;
const RANK: usize = 8;
const ALPHA: f32 = 16.0;

/// The chip of the yardstick: as large as each layer, 8 bits, σ = 0.012 · max|W|, ranges over all rows of a call.
pub(crate) fn chip() -> ChipModel {
    let bits = Bits::new(8).unwrap();
    ChipModel {
        precision: Some(ConverterPrecision { input_bits: bits, weight_bits: bits, output_bits: bits }),
        error: Some(ErrorLaw::Gaussian { sigma: 0.012 }),
        sampling: Sampling::PerExecution,
        mapping: Mapping {
            input_range: RangeKind::Batch,
            output_range: RangeKind::Batch,
            ..Mapping::default()
        },
        ..ChipModel::ideal()
    }
}

/// N(0, σ²).
pub(crate) fn normal(rows: usize, columns: usize, sigma: f32, seed: u64) -> Array2<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Array2::from_shape_simple_fn((rows, columns), || sigma * rng.sample::<f32, _>(StandardNormal))
}

fn tensor(values: Array2<f32>, device: &Device) -> Tensor<2> {
    let shape = [values.nrows(), values.ncols()];
    Tensor::from_data(TensorData::new(values.into_raw_vec_and_offset().0, shape), device)
}

pub(crate) fn b1(clock: &mut Clock, outputs: usize) -> Fields {
    // torch.nn.Linear: uniform within ±1/√inputs.
    let bound = 1.0 / (INPUTS as f32).sqrt();
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let weight = Array2::from_shape_simple_fn((outputs, INPUTS), || rng.random_range(-bound..bound));
    let bias = (0..outputs).map(|_| rng.random_range(-bound..bound)).collect();
    let layer = PhotonicLinear::new(weight.view(), Some(bias), &chip(), 0).unwrap();
    let x = normal(ROWS, INPUTS, 1.0, 2);

    let plain = tensor(x.clone(), &Device::flex());
    let forward = clock.time(3, |run| {
        black_box(layer.forward(plain.clone(), run));
    });

    let device = compute_device(ComputeDevice::Flex).unwrap();
    let x = tensor(x, &device);
    let a = tensor(normal(RANK, INPUTS, bound, 3), &device).require_grad();
    let b = tensor(Array2::zeros((outputs, RANK)), &device).require_grad();
    let both = clock.time(3, |run| {
        let x = x.clone().detach().require_grad();
        let y = layer.forward_adapted(x.clone(), a.clone(), b.clone(), ALPHA / RANK as f32, run);
        // A tensor that is no scalar starts with a gradient of ones.
        let gradients = y.backward();
        black_box([&x, &a, &b].map(|tensor| tensor.grad(&gradients).unwrap()));
    });
    Fields::from_iter(
        [
            ("shape", json!(format!("{outputs}x{INPUTS}"))),
            ("fwd_ms", rounded(forward.median, 2)),
            ("fwd_min", rounded(forward.min, 2)),
            ("fwd_cpu", rounded(forward.cpu, 2)),
            ("fwdbwd_ms", rounded(both.median, 2)),
            ("fwdbwd_min", rounded(both.min, 2)),
            ("fwdbwd_cpu", rounded(both.cpu, 2)),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    )
}
