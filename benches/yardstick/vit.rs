//! B2, B3 and ViT-B/16: vision transformers with random weights.

use std::{collections::BTreeMap, hint::black_box, sync::Arc};

use alora::{
    finetune::{ComputeDevice, Trained, compute_device},
    model::{Architecture, HiddenActivation, Model, VitConfig},
    network::{AdapterPass, Arithmetic, Mode, Network, Pass, Targets, initial_adapters, loss},
};
use ndarray::Array2;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use crate::{
    Fields,
    clock::{Clock, Times},
    layer::{chip, normal},
    rounded,
};

const BATCH: usize = 64;
const RANK: usize = 8;
const ADAPTER: AdapterPass = AdapterPass { factor: 2.0, dropout: 0.0 };

/// Images of CIFAR-10 and epochs of the paper.
const IMAGES: usize = 50_000;
const EPOCHS: usize = 5;

/// Patches of 4 pixels on 32 × 32, 6 blocks of 192.
fn small() -> VitConfig {
    VitConfig {
        hidden_size: 192,
        num_hidden_layers: 6,
        num_attention_heads: 3,
        intermediate_size: 768,
        hidden_act: HiddenActivation::Gelu,
        layer_norm_eps: 1e-5,
        image_size: 32,
        patch_size: 4,
        num_channels: 3,
        qkv_bias: true,
        classes: 10,
        labels: Vec::new(),
    }
}

fn network(config: VitConfig) -> Network {
    let model = Model::random(Architecture::Vit(config), &mut ChaCha8Rng::seed_from_u64(1)).unwrap();
    Network::new(Arc::new(model), Arithmetic::chip(chip()), &|_| false).unwrap()
}

fn images(network: &Network, batch: usize) -> Array2<f32> {
    normal(batch, network.architecture().input().values(), 1.0, 2)
}

pub(crate) fn b2(clock: &mut Clock) -> Fields {
    let (times, trainable, parameters) = step(clock, &network(small()), BATCH, false, 2);
    fields([
        ("step_s", rounded(times.median / 1e3, 4)),
        ("min_s", rounded(times.min / 1e3, 4)),
        ("cpu_s", rounded(times.cpu / 1e3, 4)),
        ("img_s", rounded(1e3 * BATCH as f64 / times.median, 1)),
        ("trainable", json!(trainable)),
        ("params", json!(parameters)),
    ])
}

pub(crate) fn b3(clock: &mut Clock) -> Fields {
    let network = network(small());
    let images = images(&network, BATCH);
    let own = BTreeMap::new();
    let times = clock.time(2, |run| {
        black_box(network.forward(images.clone(), &Pass::inference(&own, None, run)).unwrap());
    });
    fields([
        ("batch_ms", rounded(times.median, 2)),
        ("batch_cpu", rounded(times.cpu, 2)),
        ("img_s", rounded(1e3 * BATCH as f64 / times.median, 1)),
        ("best_img_s", rounded(1e3 * BATCH as f64 / times.min, 1)),
    ])
}

pub(crate) fn vit_b16(clock: &mut Clock, batch: usize) -> Fields {
    let (times, trainable, parameters) =
        step(clock, &network(VitConfig::base_patch16_224(10)), batch, true, 1);
    let hours = times.median / 1e3 * (EPOCHS * IMAGES.div_ceil(batch)) as f64 / 3600.0;
    fields([
        ("batch", json!(batch)),
        ("step_s", rounded(times.median / 1e3, 3)),
        ("min_s", rounded(times.min / 1e3, 3)),
        ("cpu_s", rounded(times.cpu / 1e3, 3)),
        ("img_s", rounded(1e3 * batch as f64 / times.median, 2)),
        ("epochs_5_h", rounded(hours, 2)),
        ("trainable", json!(trainable)),
        ("params", json!(parameters)),
    ])
}

/// Times forward, cross entropy, backward and AdamW on the adapters; with the number of trained and of all parameters.
fn step(
    clock: &mut Clock,
    network: &Network,
    batch: usize,
    bias: bool,
    warm_up: u64,
) -> (Times, usize, usize) {
    let images = images(network, batch);
    let labels: Vec<usize> = (0..batch).map(|image| image % 10).collect();
    let device = compute_device(ComputeDevice::Flex).unwrap();
    let adapters = initial_adapters(network.architecture(), RANK, bias, 3);
    let trainable = adapters.values().map(Array2::len).sum();
    let mut trained = Trained::new(adapters, 0.01, &device);
    let times = clock.time(warm_up, |run| {
        let tensors = trained.tensors().clone();
        let pass = Pass { mode: Mode::Training, ..Pass::inference(&tensors, Some(ADAPTER), run) };
        let logits = network.forward(images.clone(), &pass).unwrap();
        let loss = loss(logits, Targets::labels(labels.clone()));
        trained.step(&loss, 1e-3, 0.0).unwrap();
    });
    (times, trainable, trainable + network.architecture().parameters())
}

fn fields<const N: usize>(fields: [(&str, serde_json::Value); N]) -> Fields {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
