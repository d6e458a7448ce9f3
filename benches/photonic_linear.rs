//! The photonic linear layer against burn's plain matrix product of the same shape.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "criterion's macros; a benchmark stops at the first failure"
)]

use std::hint::black_box;

use alora::{
    finetune::{ChipModel, ComputeDevice, PhotonicLinear, Sampling, compute_device},
    photonic::{ConverterPrecision, TileShape, WeightScaling},
};
use alora_calibration::ErrorLaw;
use burn::tensor::{Device, Tensor, TensorData};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use ndarray::Array2;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn random(rows: usize, cols: usize, seed: u64) -> Array2<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Array2::from_shape_simple_fn((rows, cols), || rng.random_range(-1.0..1.0))
}

fn tensor(values: Array2<f32>, device: &Device) -> Tensor<2> {
    let shape = [values.nrows(), values.ncols()];
    Tensor::from_data(TensorData::new(values.into_raw_vec_and_offset().0, shape), device)
}

fn photonic_linear(criterion: &mut Criterion) {
    let device = compute_device(ComputeDevice::Flex).unwrap();
    for ([batch, inputs, outputs], side) in [([64, 784, 256], 16), ([256, 768, 768], 64)] {
        let mut group = criterion.benchmark_group(format!("{batch}x{inputs}x{outputs}, tiles {side}x{side}"));
        let weight = random(outputs, inputs, 1);
        let x = tensor(random(batch, inputs, 2), &device);
        let plain = tensor(weight.clone(), &device).transpose();
        let input = || x.clone().detach().require_grad();
        group.bench_function(BenchmarkId::new("forward", "plain matmul"), |bencher| {
            bencher.iter(|| black_box(x.clone().matmul(plain.clone())));
        });
        group.bench_function(BenchmarkId::new("forward and backward", "plain matmul"), |bencher| {
            bencher.iter(|| black_box(input().matmul(plain.clone()).sum().backward()));
        });
        for (name, error) in [("photonic, quantised", None), ("photonic, quantised and noisy", Some(0.012))] {
            let chip = ChipModel {
                tile: TileShape::new(side, side).unwrap(),
                scaling: WeightScaling::Matrix,
                precision: Some(ConverterPrecision::uniform(8).unwrap()),
                error: error.map(|sigma| ErrorLaw::Gaussian { sigma }),
                sampling: Sampling::PerExecution,
            };
            let mut layer = PhotonicLinear::new(weight.view(), &chip, 0, &device).unwrap();
            group.bench_function(BenchmarkId::new("forward", name), |bencher| {
                bencher.iter(|| black_box(layer.forward(x.clone(), 3).unwrap()));
            });
            group.bench_function(BenchmarkId::new("forward and backward", name), |bencher| {
                bencher.iter(|| black_box(layer.forward(input(), 3).unwrap().sum().backward()));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, photonic_linear);
criterion_main!(benches);
