//! Low-rank adapters: merging and counting.

use ndarray::{Array1, Array2};
use rand_chacha::ChaCha8Rng;
use tokio::runtime::Handle;

use super::{
    Case,
    random::{largest, normal, rng},
};
use crate::{
    error::Error,
    model::{Adapter, AdapterSet, ImageShape, LinearWeights, Mlp, Model},
};

/// Widths of the paper's network.
const WIDTHS: [usize; 5] = [784, 256, 256, 256, 10];
const RANK: usize = 8;
const ALPHA: f32 = 16.0;

pub(super) fn cases(_: &Handle) -> Result<Vec<Case>, Error> {
    let rng = &mut rng(8);
    let layers = WIDTHS.windows(2).map(|pair| LinearWeights {
        name: String::new(),
        weight: matrix(pair[1], pair[0], 0.05, rng),
        bias: Array1::zeros(pair[1]),
    });
    let base = Mlp::new(layers.collect())?;
    let adapters = WIDTHS.windows(2).enumerate().map(|(index, pair)| {
        let adapter = Adapter {
            a: matrix(RANK, pair[0], 0.05, rng),
            b: matrix(pair[1], RANK, 0.05, rng),
            a_bias: None,
            b_bias: None,
            alpha: ALPHA,
        };
        (format!("fc{}", index + 1), adapter)
    });
    let adapters = adapters.collect();
    let model = Model::from_mlp(&base, ImageShape { channels: 1, height: 28, width: 28 })?;
    let set = AdapterSet::new(adapters, model.architecture())?;
    let merged = set.merged(&model)?.to_mlp().unwrap_or_else(|| base.clone());
    Ok(vec![
        Case::at_most(
            "Merged weights against base + (α/k)·B·A, largest difference, k = 8, α = 16",
            "entry by entry in 64 bits; weights below 1 in 32 bits round by 6e-8, 8 terms",
            largest(merged_errors(&base, &set, &merged)),
            1e-6,
        ),
        Case::within(
            "Parameters of the 784–256–256–256–10 network",
            "Σ(in + 1)·out by hand; a count, so ± 0",
            base.parameters() as f64,
            335_114.0,
            0.0,
        ),
        Case::within(
            "Trainable parameters of its adapters, k = 8",
            "8·Σ(in + out) = 8·2330 by hand; a count, so ± 0",
            set.parameters() as f64,
            18_640.0,
            0.0,
        ),
    ])
}

fn merged_errors(base: &Mlp, set: &AdapterSet, merged: &Mlp) -> Vec<f64> {
    let layers = base.layers().iter().zip(merged.layers());
    layers
        .filter_map(|(base, merged)| Some((base, set.get(&base.name)?, merged)))
        .flat_map(|(base, adapter, merged)| {
            merged.weight.indexed_iter().map(|((out, input), &found)| {
                let products =
                    (0..RANK).map(|k| f64::from(adapter.b[(out, k)]) * f64::from(adapter.a[(k, input)]));
                let factor = f64::from(ALPHA) / RANK as f64;
                f64::from(found) - f64::from(base.weight[(out, input)]) - factor * products.sum::<f64>()
            })
        })
        .collect()
}

fn matrix(rows: usize, cols: usize, sd: f64, rng: &mut ChaCha8Rng) -> Array2<f32> {
    Array2::from_shape_simple_fn((rows, cols), || (sd * normal(rng)) as f32)
}
