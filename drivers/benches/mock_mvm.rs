//! The mocks' MVM against ndarray's `dot` of the same shape, in one run.
//!
//! `execute` takes 2 000 input vectors through a programmed chip: input converters, optics, every noise source,
//! amplifier and ADC. The baseline `dot` is the bare product of the same matrices in f64. Quote the ratio of the
//! medians: machines differ, and the ratio much less.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "criterion's macros; a benchmark stops at the first failure"
)]

use std::{
    future::Future,
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
};

use alora_drivers::{
    ActuatorFrame, InputBatch,
    mock::{Script, Spec},
};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ndarray::Array2;

const VECTORS: usize = 2_000;

/// The mocks never wait, so one poll is enough.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("a mock does not wait"),
    }
}

fn mvm(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mvm of 2000 vectors");
    for preset in ["incoherent-16x16", "incoherent-64x64", "coherent-8x8", "coherent-64x64"] {
        let mut chip = Spec::preset(preset).unwrap().connect(1, Script::default());
        let (inputs, outputs) = (chip.descriptor().inputs, chip.descriptor().outputs);
        let top = chip.descriptor().input_range().1;
        let codes =
            chip.descriptor().limits.iter().enumerate().map(|(index, &limit)| limit / 2 + (index % 7) as u16);
        let _applied = ready(chip.apply(&ActuatorFrame(codes.collect()))).unwrap();
        let batch = InputBatch(Array2::from_shape_fn((VECTORS, inputs), |(row, col)| {
            ((row * 31 + col * 17) % (top as usize + 1)) as i32
        }));
        group.throughput(Throughput::Elements((VECTORS * inputs * outputs) as u64));
        group.bench_function(BenchmarkId::new("mock", preset), |bencher| {
            bencher.iter_batched(
                || (),
                |()| black_box(ready(chip.execute(black_box(&batch), 1)).unwrap()),
                BatchSize::PerIteration,
            );
        });
        let x = batch.0.mapv(f64::from);
        let w = Array2::from_shape_fn((inputs, outputs), |(row, col)| (row as f64 - col as f64) / 64.0);
        group.bench_function(BenchmarkId::new("ndarray dot", preset), |bencher| {
            bencher.iter(|| black_box(black_box(&x).dot(black_box(&w))));
        });
    }
    group.finish();
}

criterion_group!(benches, mvm);
criterion_main!(benches);
