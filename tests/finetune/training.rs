//! Training of the paper's perceptron: what it reaches, what it leaves alone, what it refuses.

use std::{collections::BTreeMap, sync::Arc};

use alora::{
    finetune::{
        AdapterUse, ComputeDevice, FinetuneConfig, Job, PretrainConfig, Subject, Techniques, finetune,
        full_scale_law, logits, scaled_law,
    },
    model::{Adapter, AdapterSet, Architecture, MlpShape, Model},
    photonic::{ChipModel, Sampling},
};
use alora_calibration::{ErrorLaw, SigmaReference, Silent};
use ndarray::Array2;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::support::{
    MNIST_SHAPE, Setting, accuracy, after, base, base_training, chip, error_model, inputs, mnist, pipeline,
    plain, pretrained, random, small_mlp, trained_family,
};

#[test]
fn pre_training_reaches_96_5_percent_on_the_test_images() {
    let found = accuracy(&plain(base()), 2000, None, 0);
    assert!(found >= 0.965, "{found}");
}

#[test]
fn the_same_seed_gives_the_same_base_and_another_seed_another() {
    let data = mnist().train.first(640);
    let config = PretrainConfig { epochs: 1, ..PretrainConfig::default() };
    let trained = |seed| pretrained(random(small_mlp(), 1), &data, &config, seed);
    assert_eq!(trained(3), trained(3));
    assert_ne!(trained(3).merged, trained(4).merged);
}

#[test]
fn the_same_seed_gives_the_same_losses_under_every_sampling() {
    for sampling in [Sampling::PerExecution, Sampling::PerStep, Sampling::Frozen { chip_seed: 5 }] {
        for techniques in [Techniques::ALORA, base_training()] {
            let mut setting = Setting::short(320);
            setting.config = FinetuneConfig { sampling, techniques, ..setting.config };
            let run = setting.run(base());
            assert_eq!(run, setting.run(base()));
            setting.seed = 9;
            assert_ne!(run.losses, setting.run(base()).losses);
        }
    }
}

#[test]
fn training_adapters_leaves_the_base_and_training_the_base_makes_none() {
    let mut setting = Setting::short(320);
    let adapted = setting.run(base());
    assert_eq!((adapted.trainable, adapted.total), (18_640, 335_114));
    let adapters = adapted.adapters.unwrap();
    assert_eq!(adapters.merged(base()).unwrap(), *adapted.merged);
    for layer in base().architecture().layers() {
        let adapter = adapters.get(&layer.name).unwrap();
        assert!(adapter.b.iter().any(|&value| value != 0.0), "the adapter of {} did not train", layer.name);
        assert_eq!(adapted.merged.bias(&layer), base().bias(&layer));
        assert_eq!(
            adapted.merged.matrix(&layer).unwrap(),
            &base().matrix(&layer).unwrap() + &adapter.delta()
        );
    }
    setting.config.techniques = base_training();
    let trained = setting.run(base());
    assert!(trained.adapters.is_none() && trained.trainable == 335_114 && trained.merged != *base());
}

#[test]
fn alora_repairs_what_three_bits_and_a_large_error_break() {
    let setting = Setting {
        data: mnist().train.clone(),
        chip: chip(3, 0.05),
        config: FinetuneConfig::default(),
        ..Setting::short(1)
    };
    let adapted = setting.run(base());
    // Mean over five draws of the errors of 2 000 images.
    let mean = |subject: &Subject<'_>| {
        (1..=5).map(|seed| accuracy(subject, 2000, Some(&setting.chip), seed)).sum::<f64>() / 5.0
    };
    let (ptq, alora) = (mean(&plain(base())), mean(&after(base(), &adapted)));
    // Between two networks with 5 % of errors, half of them shared, the same 2 000 images tell 0.5 points apart (1 σ ≈ 0.35).
    assert!(alora > ptq + 0.005, "PTQ {ptq}, ALoRA {alora}");
}

fn adapters(model: &Model, with_b: bool, bias: bool) -> AdapterSet {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let mut matrix = |rows: usize, cols: usize, spread: f32| {
        Array2::from_shape_simple_fn((rows, cols), || rng.random_range(-spread..=spread))
    };
    let spread = if with_b { 0.1 } else { 0.0 };
    let adapters: BTreeMap<String, Adapter> = model
        .architecture()
        .layers()
        .into_iter()
        .map(|layer| {
            let adapter = Adapter {
                a: matrix(4, layer.inputs, 0.1),
                b: matrix(layer.outputs, 4, spread),
                a_bias: bias.then(|| matrix(1, 4, 0.1).row(0).to_owned()),
                b_bias: bias.then(|| matrix(1, layer.outputs, spread).row(0).to_owned()),
                alpha: 8.0,
            };
            (layer.name, adapter)
        })
        .collect();
    AdapterSet::new(adapters, model.architecture()).unwrap()
}

#[test]
fn adapters_with_b_zero_leave_the_function_unchanged() {
    let chip = chip(6, 0.02);
    for name in ["mlp", "vit"] {
        let model = trained_family(name);
        let images = inputs(model, 50);
        for bias in [false, true] {
            let set = adapters(model, false, bias);
            for chip in [None, Some(&chip)] {
                let outputs = |adapters| {
                    logits(&Subject::new(Arc::clone(model), adapters), images.clone(), chip, 3).unwrap()
                };
                assert_eq!(outputs(AdapterUse::None), outputs(AdapterUse::Parallel(&set)), "{name}");
                assert_eq!(outputs(AdapterUse::None), outputs(AdapterUse::Merged(&set)), "{name}");
            }
        }
    }
}

#[test]
fn merged_and_parallel_adapters_are_the_same_function_in_digital_arithmetic() {
    for (name, model) in crate::support::trained_families() {
        let images = inputs(model, 40);
        for bias in [false, true] {
            let set = adapters(model, true, bias);
            let outputs = |adapters| {
                logits(&Subject::new(Arc::clone(model), adapters), images.clone(), None, 0).unwrap()
            };
            let (merged, parallel) = (outputs(AdapterUse::Merged(&set)), outputs(AdapterUse::Parallel(&set)));
            let size = parallel.iter().fold(0.0_f32, |max, value| max.max(value.abs()));
            let moved = &outputs(AdapterUse::None) - &parallel;
            assert!(moved.iter().any(|difference| difference.abs() > 1e-2), "{name}");
            // Sums of some hundred products in f32, through up to thirteen layers. A bias beside a padded convolution is a
            // constant of all pixels on both ways, so borders agree too.
            let worst = (merged - parallel).iter().fold(0.0_f32, |max, value| max.max(value.abs()));
            assert!(worst < 1e-4 * size, "{name}: {worst} of {size}");
        }
    }
}

#[test]
fn a_run_goes_on_from_adapters_that_were_brought() {
    let setting = Setting::short(320);
    let model = trained_family("vit");
    let first = setting.run(model).adapters.unwrap();
    let pipeline = crate::support::shifting(model.architecture().input());
    let config = FinetuneConfig { learning_rate: 1e-12, ..setting.config };
    let job = Job {
        model: Arc::clone(model),
        adapters: Some(&first),
        data: &setting.data,
        pipeline: &pipeline,
        chip: &setting.chip,
        input_scales: BTreeMap::new(),
        config: &config,
        seed: 4,
        checkpoint: None,
    };
    let second = finetune(&job, &mut Silent).unwrap().adapters.unwrap();
    for (name, adapter) in first.iter() {
        let moved = &adapter.b - &second.get(name).unwrap().b;
        // Five steps of 1e-12.
        assert!(moved.iter().all(|value| value.abs() < 1e-9), "{name}");
    }
}

#[test]
fn what_cannot_be_sampled_or_computed_is_refused_with_the_way_out() {
    let with = |change: &dyn Fn(&mut Setting)| {
        let mut setting = Setting::short(64);
        change(&mut setting);
        setting.complaint(base())
    };
    let empirical = ErrorLaw::Empirical { residuals: vec![0.01, -0.01] };
    let drawn = with(&|setting| setting.chip.error = Some(empirical.clone()));
    assert!(drawn.ends_with("ask for `per_step` or `frozen`"), "{drawn}");
    let rate = with(&|setting| setting.config.learning_rate = 2.0);
    assert_eq!(rate, "`learning_rate` is 2; allowed: above 0, to 1");
    let diverged = with(&|setting| {
        setting.config =
            FinetuneConfig { learning_rate: 1.0, epochs: 20, techniques: base_training(), ..setting.config };
        setting.data = mnist().train.first(640);
        setting.chip.precision = None;
        setting.chip.error = Some(ErrorLaw::Gaussian { sigma: 1e30 });
    });
    assert!(diverged.contains("training diverged: lower `learning_rate`"), "{diverged}");
    #[cfg(not(feature = "ndarray-device"))]
    {
        let device = with(&|setting| setting.config.device = ComputeDevice::Ndarray);
        assert!(device.contains("--features ndarray-device"), "{device}");
    }
    let mut per_step = Setting::short(64);
    per_step.config.sampling = Sampling::PerStep;
    per_step.chip.error = Some(empirical);
    assert!(per_step.try_run(base(), None, &mut Silent).is_ok());
    let few = Architecture::Mlp(MlpShape { classes: 5, ..MlpShape::default() });
    let label = Setting::short(64).complaint(&Arc::new(random(few, 1)));
    assert!(
        label.starts_with("MNIST subset, training: label ") && label.ends_with("the network has 5 outputs"),
        "{label}"
    );
    let none = Setting { data: mnist().train.first(0), ..Setting::short(1) };
    assert_eq!(none.complaint(base()), "MNIST subset, training holds no image");
    let narrow = logits(&plain(base()), Array2::zeros((2, 3)), None, 0).unwrap_err().to_string();
    assert_eq!(narrow, "images have 3 values, the network takes 784 (1 × 28 × 28)");
}

#[test]
fn a_law_is_stretched_to_a_sigma_or_refused() {
    let mut model = error_model(ErrorLaw::Gaussian { sigma: 0.02 }, 0.02);
    assert_eq!(scaled_law(&model, 0.0).unwrap(), None);
    let Some(ErrorLaw::Gaussian { sigma }) = scaled_law(&model, 0.05).unwrap() else { panic!("another law") };
    assert!((sigma - 0.05).abs() < 1e-15);
    model.law = ErrorLaw::StateDependent { a: 1e-4, b: 0.0, c: 3e-4 };
    let stretched = scaled_law(&model, 0.04).unwrap().unwrap();
    assert!((stretched.variance_at(1.0) - 16e-4).abs() < 1e-15, "twice the σ, four times the variance");
    model.sigma = 0.0;
    let message = scaled_law(&model, 0.01).unwrap_err().to_string();
    assert!(message.contains("σ of 0") && message.contains("fit a law with an error above 0"), "{message}");
    model.reference = SigmaReference::Rms;
    let message = full_scale_law(&model).unwrap_err().to_string();
    assert!(message.contains("relative to full scale"), "{message}");
}

#[test]
fn a_network_that_sees_no_part_of_the_chip_trains_in_digital_arithmetic() {
    let mut setting = Setting::short(320);
    setting.config.techniques = Techniques::PTQ;
    let here = setting.run(base());
    setting.chip = ChipModel::ideal();
    assert_eq!(here, setting.run(base()));
    // Without an error, and with a factor of 0 on it, nothing is left of NAT.
    let losses = |sigma: f64, sigma_factor: f64| {
        let mut setting = Setting::short(320);
        setting.chip = chip(8, sigma);
        setting.config.sigma_factor = sigma_factor;
        setting.run(base()).losses
    };
    assert_eq!(losses(0.0, 1.0), losses(0.05, 0.0));
    assert_ne!(losses(0.0, 1.0), losses(0.05, 1.0));
}

#[test]
fn images_of_another_size_are_resized_to_the_network_s() {
    assert_eq!(inputs(trained_family("mlp"), 3).dim(), (3, 64));
    let all = pipeline(MNIST_SHAPE).all(&mnist().test.first(3)).unwrap().images;
    assert_eq!(all.dim(), (3, 784));
}

#[cfg(feature = "ndarray-device")]
#[test]
fn burn_ndarray_trains_like_burn_flex() {
    for techniques in [Techniques::ALORA, base_training()] {
        let run = |device| {
            let mut setting = Setting::short(320);
            setting.config = FinetuneConfig { device, techniques, ..setting.config };
            setting.run(trained_family("vit")).losses[0]
        };
        // The products on the chip are the same code; only rounding in the digital part differs, and a code may tip over.
        let (flex, ndarray) = (run(ComputeDevice::Flex), run(ComputeDevice::Ndarray));
        assert!((flex - ndarray).abs() < 0.02, "{flex} {ndarray}");
    }
}
