//! Every family of networks trains, adapters and base.

use std::sync::Arc;

use alora::{
    dataset::Epoch,
    finetune::{
        AdapterConfig, BaseScope, FinetuneConfig, FinetuneOutcome, PretrainConfig, Techniques, logits,
        train_head,
    },
    model::{Architecture, HiddenActivation, Model, Shortcut, Stem, TensorRole},
    photonic::Sampling,
};
use alora_calibration::Silent;

use crate::support::{
    Setting, accuracy, base_training, chip, families, inputs, mnist, pipeline, plain, pretrained, random,
    small_mlp, small_resnet, small_vit, trained_families, trained_family,
};

#[test]
fn every_family_learns_digitally() {
    for (name, model) in trained_families() {
        let found = accuracy(&plain(model), 500, None, 0);
        // Guessing gives 10 %; these are small networks on small images.
        assert!(found > 0.75, "{name}: {found}");
    }
}

/// Four epochs on a chip of four bits and an error of 5 %, and the losses of the same epochs without a step taken: errors and
/// shifted images are the same in both.
fn trained_and_not(model: &Arc<Model>, techniques: Techniques) -> (FinetuneOutcome, Vec<f64>) {
    let run = |learning_rate| {
        let mut setting = Setting::short(640);
        setting.chip = chip(4, 0.05);
        let config = FinetuneConfig { epochs: 4, batch_size: 32, learning_rate, ..setting.config };
        setting.config = FinetuneConfig { techniques, ..config };
        setting.run(model)
    };
    (run(1e-3), run(1e-30).losses)
}

#[test]
fn adapters_of_every_family_bring_the_loss_down_on_a_chip_with_error() {
    for (name, model) in trained_families() {
        let (outcome, before) = trained_and_not(model, Techniques::ALORA);
        assert!(outcome.losses[3] < 0.95 * before[3], "{name}: {:?} {before:?}", outcome.losses);
        let adapters = outcome.adapters.unwrap();
        assert_eq!(adapters.len(), model.architecture().layers().len(), "{name}");
        assert_eq!(adapters.parameters(), outcome.trainable, "{name}");
        for (layer, adapter) in adapters.iter() {
            assert!(adapter.b.iter().any(|value| *value != 0.0), "{name}: {layer} did not train");
        }
    }
}

#[test]
fn the_base_of_every_family_trains_on_the_chip_with_all_its_parameters() {
    for (name, model) in trained_families() {
        let (outcome, before) = trained_and_not(model, base_training());
        assert!(outcome.losses[3] < 0.95 * before[3], "{name}: {:?} {before:?}", outcome.losses);
        assert_eq!(
            (outcome.trainable, outcome.total),
            (model.architecture().parameters(), outcome.trainable)
        );
        for spec in model.architecture().tensors() {
            let before = &model.weights().get(&spec.name).unwrap().values;
            let after = &outcome.merged.weights().get(&spec.name).unwrap().values;
            assert!(before != after, "{name}: {} ({:?}) did not move", spec.name, spec.role);
        }
    }
}

#[test]
fn training_of_the_head_alone_leaves_all_else() {
    let model = trained_family("resnet, pad");
    let mut setting = Setting::short(320);
    setting.config = FinetuneConfig { techniques: base_training(), scope: BaseScope::Head, ..setting.config };
    let outcome = setting.run(model);
    assert_eq!(outcome.trainable, 12 * 10 + 10);
    for (name, parameter) in model.weights().iter() {
        let same = outcome.merged.weights().get(name).unwrap() == parameter;
        assert_eq!(same, !name.starts_with("linear."), "{name}");
    }
}

#[test]
fn a_new_head_on_frozen_features_learns_and_the_backbone_stays() {
    let model = trained_family("vit");
    let (architecture, mut weights) = Model::clone(model).into_parts();
    for part in ["classifier.weight", "classifier.bias"] {
        weights.get_mut(part).unwrap().values.fill(0.0);
    }
    let headless = Arc::new(Model::new(architecture, weights).unwrap());
    let config = FinetuneConfig {
        epochs: 15,
        batch_size: 32,
        techniques: Techniques::PTQ,
        ..FinetuneConfig::default()
    };
    let data = mnist().train.first(800);
    let pipeline = pipeline(model.architecture().input());
    let train = || train_head(&headless, &data, &pipeline, &config, 5, &mut Silent).unwrap();
    let trained = Arc::new(train());
    assert_eq!(*trained, train(), "the same seed gives the same head");
    for (name, parameter) in headless.weights().iter() {
        let same = trained.weights().get(name).unwrap() == parameter;
        assert_eq!(same, !name.starts_with("classifier."), "{name}");
    }
    // The head that was trained with its backbone is the bar; 500 images tell 3 points apart (1 σ ≈ 2).
    let (was, is) = (accuracy(&plain(model), 500, None, 0), accuracy(&plain(&trained), 500, None, 0));
    assert!(is > was - 0.05, "{is}, with its own head {was}");
}

#[test]
fn biased_adapters_start_as_the_base_and_count_as_published() {
    let model = trained_family("vit");
    let mut setting = Setting::short(64);
    let adapter = AdapterConfig { rank: 4, bias: true, ..AdapterConfig::default() };
    setting.config = FinetuneConfig { adapter, batch_size: 64, learning_rate: 1e-30, ..setting.config };
    let with = setting.run(model);
    setting.config.adapter.bias = false;
    let without = setting.run(model);
    // One step that changes nothing yet: the loss is that of the base either way.
    assert_eq!(with.losses, without.losses);
    // d = 24, mlp = 40, two blocks, ten classes: k (in + out) + k + out for each of thirteen layers.
    let layer = |inputs: usize, outputs: usize| 4 * (inputs + outputs) + 4 + outputs;
    let expected = 2 * (4 * layer(24, 24) + layer(24, 40) + layer(40, 24)) + layer(24, 10);
    assert_eq!((with.trainable, without.trainable), (expected, expected - 13 * 4 - 2 * (4 * 24 + 64) - 10));
    let adapters = with.adapters.unwrap();
    assert!(adapters.iter().all(|(_, adapter)| adapter.a_bias.is_some() && adapter.b_bias.is_some()));
    setting.config = FinetuneConfig { adapter, batch_size: 16, learning_rate: 3e-3, ..setting.config };
    for (name, adapter) in setting.run(model).adapters.unwrap().iter() {
        assert!(adapter.b_bias.as_ref().unwrap().iter().any(|value| *value != 0.0), "{name}");
    }
}

#[test]
fn every_activation_of_a_transformer_trains() {
    let activations = [
        HiddenActivation::Gelu,
        HiddenActivation::GeluTanh,
        HiddenActivation::QuickGelu,
        HiddenActivation::Silu,
        HiddenActivation::Relu,
    ];
    let config =
        PretrainConfig { epochs: 2, batch_size: 32, learning_rate: 5e-3, ..PretrainConfig::default() };
    let data = mnist().train.first(640);
    let losses = activations.map(|activation| {
        let outcome = pretrained(random(small_vit(activation), 3), &data, &config, 3);
        assert!(outcome.losses[1] < outcome.losses[0], "{activation:?}: {:?}", outcome.losses);
        outcome.losses[1]
    });
    for (index, loss) in losses.iter().enumerate() {
        assert!(!losses[..index].contains(loss), "two activations compute the same: {losses:?}");
    }
}

#[test]
fn a_whole_step_gives_the_same_values_on_any_number_of_threads() {
    for (name, model) in trained_families() {
        for techniques in [Techniques::ALORA, base_training()] {
            for sampling in [Sampling::PerExecution, Sampling::PerStep] {
                let mut setting = Setting::short(96);
                let adapter = AdapterConfig { dropout: 0.1, ..AdapterConfig::default() };
                setting.config =
                    FinetuneConfig { techniques, sampling, adapter, batch_size: 48, ..setting.config };
                let run = |threads| {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                    pool.install(|| setting.run(model))
                };
                let one = run(1);
                assert!(one == run(2) && one == run(5), "{name}, {techniques:?}, {sampling:?}");
            }
        }
    }
}

#[test]
fn running_statistics_follow_the_batches_as_in_pytorch() {
    // One step: m ← 0.9 m + 0.1 batch mean, v ← 0.9 v + 0.1 batch variance · n/(n − 1).
    let architecture = small_resnet(Stem::Cifar, Shortcut::Projection);
    let model = Arc::new(random(architecture.clone(), 8));
    let mut setting = Setting::short(24);
    setting.config = FinetuneConfig {
        batch_size: 24,
        techniques: Techniques::PTQ,
        learning_rate: 1e-30,
        ..setting.config
    };
    let outcome = setting.run(&model);
    let order = Epoch { seed: setting.seed, number: 0 }.order(24);
    let shifting = crate::support::shifting(architecture.input());
    let images =
        shifting.batch(&setting.data, &order, Some(Epoch { seed: setting.seed, number: 0 })).unwrap().images;
    // The first convolution by plain loops, 3 × 3 with a border of zeros.
    let layer = architecture.layer("conv1").unwrap();
    let weight = model.matrix(&layer).unwrap();
    let found = |part: &str| &outcome.merged.weights().get(&format!("bn1.{part}")).unwrap().values;
    for channel in 0..layer.outputs {
        let mut values = Vec::new();
        for image in images.rows() {
            let pixel = |row: i32, col: i32| {
                if (0..12).contains(&row) && (0..12).contains(&col) {
                    image[(row * 12 + col) as usize]
                } else {
                    0.0
                }
            };
            for row in 0..12_i32 {
                for col in 0..12_i32 {
                    let taps = (0..9_i32).map(|tap| {
                        f64::from(weight[(channel, tap as usize)])
                            * f64::from(pixel(row + tap / 3 - 1, col + tap % 3 - 1))
                    });
                    values.push(taps.sum::<f64>());
                }
            }
        }
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
        let (m, v) = (f64::from(found("running_mean")[channel]), f64::from(found("running_var")[channel]));
        // f32 sums of 3 456 values.
        assert!(
            (m - 0.1 * mean).abs() < 1e-5 && (v - (0.9 + 0.1 * variance)).abs() < 1e-5,
            "{m} {mean} {v} {variance}"
        );
    }
}

#[test]
fn every_tensor_of_a_family_has_a_part_in_its_logits() {
    for (name, architecture) in families() {
        let model = random(architecture, 5);
        let images = inputs(&model, 4);
        let outputs =
            |model: &Model| logits(&plain(&Arc::new(model.clone())), images.clone(), None, 0).unwrap();
        let before = outputs(&model);
        for spec in model.architecture().tensors() {
            let (architecture, mut weights) = model.clone().into_parts();
            // Not all by the same: a norm that follows takes a common shift out again.
            let parameter = weights.get_mut(&spec.name).unwrap();
            for (index, value) in parameter.values.iter_mut().enumerate() {
                *value += 0.3 + 0.2 * (index % 3) as f32;
            }
            let moved = outputs(&Model::new(architecture, weights).unwrap()) != before;
            let of_no_part =
                matches!(model.architecture(), Architecture::Vit(_)) && spec.name.ends_with("key.bias");
            // A bias of the keys adds the same to every score of a query; softmax takes it out but for rounding.
            assert!(moved || of_no_part, "{name}: {} ({:?})", spec.name, spec.role);
            assert!(spec.role != TensorRole::RunningStatistic || moved);
        }
    }
    assert_eq!(small_mlp().layers().len(), 3);
}
