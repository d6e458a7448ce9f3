//! Pre-training, fine-tuning and evaluation together.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::OnceLock;

use alora::{
    dataset::{Dataset, Mnist, bundled_mnist},
    finetune::{
        AdapterUse, ChipModel, ComputeDevice, Conditions, FinetuneConfig, PAPER_HIDDEN, PhotonicLinear,
        PretrainConfig, Sampling, Techniques, compute_device, evaluate, finetune, logits, pretrain,
    },
    model::{Adapter, AdapterSet, Mlp},
    photonic::{ConverterPrecision, TileShape, WeightScaling},
};
use alora_calibration::{ErrorLaw, ErrorModel, Provenance, SigmaReference, Silent};
use burn::tensor::{Tensor, TensorData};
use ndarray::{Array2, Axis};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn error(law: ErrorLaw, sigma: f64) -> ErrorModel {
    let provenance = Provenance {
        tool: "test".to_owned(),
        processor: None,
        kind: None,
        simulated: true,
        created: String::new(),
        seed: 0,
    };
    let schema = ErrorModel::SCHEMA.to_owned();
    ErrorModel { schema, reference: SigmaReference::FullScale, sigma, provenance, law }
}

fn gaussian(sigma: f64) -> ErrorModel {
    error(ErrorLaw::Gaussian { sigma }, sigma)
}

fn tile() -> TileShape {
    TileShape::new(16, 16).unwrap()
}

fn chip(bits: u8, sigma: f64) -> ChipModel {
    ChipModel {
        tile: tile(),
        scaling: WeightScaling::Matrix,
        precision: Some(ConverterPrecision::uniform(bits).unwrap()),
        error: (sigma > 0.0).then_some(ErrorLaw::Gaussian { sigma }),
        sampling: Sampling::PerExecution,
    }
}

fn mnist() -> &'static Mnist {
    static MNIST: OnceLock<Mnist> = OnceLock::new();
    MNIST.get_or_init(|| bundled_mnist().unwrap())
}

/// The base, pre-trained once for all tests.
fn base() -> &'static Mlp {
    static BASE: OnceLock<Mlp> = OnceLock::new();
    BASE.get_or_init(|| {
        pretrain(&mnist().train, &PAPER_HIDDEN, &PretrainConfig::default(), &mut Silent).unwrap()
    })
}

fn short(images: usize) -> (Dataset, FinetuneConfig) {
    (mnist().train.first(images), FinetuneConfig { epochs: 1, ..FinetuneConfig::default() })
}

#[test]
fn pre_training_reaches_96_5_percent_on_the_test_images() {
    let accuracy = evaluate(base(), &mnist().test, &Conditions::default()).unwrap();
    assert!(accuracy.fraction() >= 0.965, "{accuracy:?}");
}

#[test]
fn the_same_seed_gives_the_same_base_and_another_seed_another() {
    let data = mnist().train.first(640);
    let trained = |seed| {
        pretrain(
            &data,
            &PAPER_HIDDEN,
            &PretrainConfig { epochs: 1, seed, ..PretrainConfig::default() },
            &mut Silent,
        )
        .unwrap()
    };
    assert_eq!(trained(3), trained(3));
    assert_ne!(trained(3), trained(4));
}

#[test]
fn the_same_seed_gives_the_same_losses_under_every_sampling() {
    let (data, config) = short(640);
    for sampling in [Sampling::PerExecution, Sampling::PerStep, Sampling::Frozen { chip_seed: 5 }] {
        let config = FinetuneConfig { sampling, ..config };
        let run = |config: FinetuneConfig| {
            finetune(base(), &data, &config, tile(), &gaussian(0.02), &mut Silent).unwrap()
        };
        assert_eq!(run(config), run(config));
        assert_ne!(run(config).losses, run(FinetuneConfig { seed: 9, ..config }).losses);
    }
}

#[test]
fn training_adapters_leaves_the_base_and_training_the_base_makes_none() {
    let (data, config) = short(320);
    let adapted = finetune(base(), &data, &config, tile(), &gaussian(0.012), &mut Silent).unwrap();
    assert_eq!((adapted.trainable, adapted.total), (18_640, 335_114));
    let adapters = adapted.adapters.unwrap();
    assert_eq!(adapters.merged(base()).unwrap(), adapted.merged);
    for ((merged, layer), adapter) in
        adapted.merged.layers().iter().zip(base().layers()).zip(adapters.adapters())
    {
        assert_eq!(merged.bias, layer.bias);
        assert_eq!(merged.weight, &layer.weight + &adapter.delta());
        assert!(adapter.b.iter().any(|&value| value != 0.0), "the adapter of {} did not train", layer.name);
    }
    let techniques = Techniques { lora: false, ..Techniques::ALORA };
    let config = FinetuneConfig { techniques, ..config };
    let trained = finetune(base(), &data, &config, tile(), &gaussian(0.012), &mut Silent).unwrap();
    assert!(trained.adapters.is_none() && trained.trainable == 335_114 && &trained.merged != base());
    let config = FinetuneConfig { techniques: Techniques::PTQ, ..config };
    let untouched = finetune(base(), &data, &config, tile(), &gaussian(0.012), &mut Silent).unwrap();
    assert!(&untouched.merged == base() && untouched.trainable == 0 && untouched.losses.is_empty());
}

#[test]
fn alora_repairs_what_three_bits_and_a_large_error_break() {
    // Mean over five draws of the errors of 2 000 images.
    let mean = |model: &Mlp, adapters: AdapterUse<'_>| {
        let chip = chip(3, 0.05);
        let accuracy = |seed| {
            evaluate(model, &mnist().test, &Conditions { chip: Some(&chip), adapters, seed })
                .unwrap()
                .fraction()
        };
        (1..=5).map(accuracy).sum::<f64>() / 5.0
    };
    let config =
        FinetuneConfig { precision: ConverterPrecision::uniform(3).unwrap(), ..FinetuneConfig::default() };
    let adapted = finetune(base(), &mnist().train, &config, tile(), &gaussian(0.05), &mut Silent).unwrap();
    let ptq = mean(base(), AdapterUse::None);
    let alora = mean(base(), AdapterUse::Parallel(&adapted.adapters.unwrap()));
    // Between two networks with 5 % of errors, half of them shared, the same 2 000 images tell 0.5 points apart (1 σ ≈ 0.35).
    assert!(alora > ptq + 0.005, "PTQ {ptq}, ALoRA {alora}");
}

fn adapters(with_b: bool) -> AdapterSet {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let mut matrix = |rows, cols, spread: f32| {
        Array2::from_shape_simple_fn((rows, cols), || rng.random_range(-spread..=spread))
    };
    let adapter = |layer: &alora::model::LinearWeights| Adapter {
        a: matrix(4, layer.weight.ncols(), 0.1),
        b: matrix(layer.weight.nrows(), 4, if with_b { 0.1 } else { 0.0 }),
        alpha: 8.0,
    };
    AdapterSet::new(base().layers().iter().map(adapter).collect(), base()).unwrap()
}

#[test]
fn adapters_with_b_zero_leave_the_function_unchanged() {
    let images = mnist().test.first(50).images;
    let chip = chip(6, 0.02);
    let set = adapters(false);
    for chip in [None, Some(&chip)] {
        let outputs =
            |adapters| logits(base(), images.view(), &Conditions { chip, adapters, seed: 3 }).unwrap();
        assert_eq!(outputs(AdapterUse::None), outputs(AdapterUse::Parallel(&set)));
        assert_eq!(outputs(AdapterUse::None), outputs(AdapterUse::Merged(&set)));
    }
}

#[test]
fn merged_and_parallel_adapters_are_the_same_function_in_digital_arithmetic() {
    let images = mnist().test.first(50).images;
    let set = adapters(true);
    let outputs =
        |adapters| logits(base(), images.view(), &Conditions { adapters, ..Conditions::default() }).unwrap();
    let (merged, parallel) = (outputs(AdapterUse::Merged(&set)), outputs(AdapterUse::Parallel(&set)));
    let size = parallel.iter().fold(0.0_f32, |max, value| max.max(value.abs()));
    assert!((&outputs(AdapterUse::None) - &parallel).iter().any(|difference| difference.abs() > 0.1));
    // Sums of up to 784 products in f32, through four layers.
    assert!((merged - parallel).iter().all(|difference| difference.abs() < 1e-4 * size));
}

#[test]
fn the_gradient_of_a_photonic_layer_is_that_of_the_product_it_computed() {
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    let mut matrix =
        |rows, cols| Array2::from_shape_simple_fn((rows, cols), || rng.random_range(-1.0_f32..1.0));
    let (weight, x, direction) = (matrix(20, 30), matrix(6, 30), matrix(6, 20));
    let device = compute_device(ComputeDevice::Flex).unwrap();
    let tensor = |values: &Array2<f32>| {
        let shape = [values.nrows(), values.ncols()];
        Tensor::<2>::from_data(TensorData::new(values.iter().copied().collect::<Vec<_>>(), shape), &device)
    };
    // One error for the life of the chip and no converter: the layer is linear, so its derivative is exact and a
    // difference over any step shows it.
    let chip = ChipModel {
        precision: None,
        error: Some(ErrorLaw::Gaussian { sigma: 0.1 }),
        sampling: Sampling::Frozen { chip_seed: 1 },
        ..chip(8, 0.0)
    };
    let mut layer = PhotonicLinear::new(weight.view(), &chip, 0, &device).unwrap();
    let mut outputs = |x: &Array2<f32>| {
        let values = layer.forward(tensor(x), 0).unwrap().inner().into_data().try_into_vec::<f32>().unwrap();
        Array2::from_shape_vec((x.nrows(), 20), values).unwrap()
    };
    let plain = outputs(&x);
    let mut differences = Array2::zeros(x.dim());
    for cell in ndarray::indices(x.dim()) {
        let mut moved = x.clone();
        moved[cell] += 1.0;
        differences[cell] = ((outputs(&moved) - &plain) * &direction).sum();
    }
    let input = tensor(&x).require_grad();
    let loss = (layer.forward(input.clone(), 0).unwrap() * tensor(&direction)).sum();
    let gradient = input.grad(&loss.backward()).unwrap().into_data().try_into_vec::<f32>().unwrap();
    let gradient = Array2::from_shape_vec(x.dim(), gradient).unwrap();
    // Sums of 20 · 30 products of order 1 in f32.
    assert!((&gradient - &differences).iter().all(|difference| difference.abs() < 1e-3));
    // The derivative is that of the erroneous weights, not of those asked.
    assert!((&gradient - &direction.dot(&weight)).iter().any(|difference| difference.abs() > 0.05));
}

#[test]
fn what_cannot_be_sampled_or_computed_is_refused_with_the_way_out() {
    let (data, config) = short(64);
    let complaint = |config: &FinetuneConfig, error: &ErrorModel, data: &Dataset| {
        finetune(base(), data, config, tile(), error, &mut Silent).unwrap_err().to_string()
    };
    let empirical = error(ErrorLaw::Empirical { residuals: vec![0.01, -0.01] }, 0.01);
    assert!(complaint(&config, &empirical, &data).ends_with("ask for `per_step` or `frozen`"));
    let rms = ErrorModel { reference: SigmaReference::Rms, ..gaussian(0.01) };
    assert!(complaint(&config, &rms, &data).contains("relative to full scale"));
    let rate = FinetuneConfig { learning_rate: 2.0, ..config };
    assert_eq!(complaint(&rate, &gaussian(0.01), &data), "`learning_rate` is 2; allowed: above 0, to 1");
    let narrow = Dataset { images: data.images.select(Axis(1), &[0, 1, 2]), ..data.clone() };
    assert!(
        complaint(&config, &gaussian(0.01), &narrow).ends_with("images have 3 pixels, the network takes 784")
    );
    #[cfg(not(feature = "ndarray-device"))]
    {
        let config = FinetuneConfig { device: ComputeDevice::Ndarray, ..config };
        assert!(complaint(&config, &gaussian(0.01), &data).contains("--features ndarray-device"));
    }
    let per_step = FinetuneConfig { sampling: Sampling::PerStep, ..config };
    assert!(finetune(base(), &data, &per_step, tile(), &empirical, &mut Silent).is_ok());
}

#[cfg(feature = "ndarray-device")]
#[test]
fn burn_ndarray_trains_like_burn_flex() {
    let (data, config) = short(640);
    let run = |device| {
        let config = FinetuneConfig { device, ..config };
        finetune(base(), &data, &config, tile(), &gaussian(0.012), &mut Silent).unwrap().losses[0]
    };
    // The products on the chip are the same code; only rounding in the digital part differs, and a code may tip over.
    assert!((run(ComputeDevice::Flex) - run(ComputeDevice::Ndarray)).abs() < 0.02);
}
