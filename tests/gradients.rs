//! Derivatives of whole networks against differences, and those of the photonic layer against the plain formulation.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::{collections::BTreeMap, sync::Arc};

use alora::{
    model::{
        Architecture, CnnShape, HiddenActivation, ImageShape, MlpShape, Model, ResNetShape, Shortcut, Stem,
        VitConfig,
    },
    network::{
        AdapterPass, Arithmetic, Mode, Network, Pass, PhotonicLinear, Watch, initial_adapters, initial_base,
    },
    photonic::{ChipModel, ConverterPrecision, ErrorReference, Mapping, RangeKind, Sampling, TileShape},
};
use alora_calibration::ErrorLaw;
use burn::tensor::{Device, Tensor, TensorData, activation::log_softmax};
use ndarray::Array2;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

type Values = BTreeMap<String, Array2<f32>>;

fn random(rows: usize, cols: usize, seed: u64) -> Array2<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Array2::from_shape_simple_fn((rows, cols), || rng.sample::<f32, _>(StandardNormal))
}

fn tensor(values: &Array2<f32>, device: &Device) -> Tensor<2> {
    let shape = [values.nrows(), values.ncols()];
    Tensor::from_data(TensorData::new(values.iter().copied().collect::<Vec<f32>>(), shape), device)
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.inner().into_data().try_into_vec().unwrap()
}

/// A network, what trains in it, and images with their classes.
struct Case {
    name: &'static str,
    network: Network,
    trained: Values,
    adapter: Option<AdapterPass>,
    images: Array2<f32>,
    labels: Vec<usize>,
    of_batch: bool,
}

impl Case {
    fn pass<'a>(&self, trained: &'a BTreeMap<String, Tensor<2>>, watch: &'a Watch) -> Pass<'a> {
        let watch = self.of_batch.then_some(watch);
        Pass { trained, adapter: self.adapter, mode: Mode::Training, seed: 1, error_factor: 1.0, watch }
    }

    /// Mean cross entropy, summed in f64 from the network's f32.
    fn loss(&self, trained: &Values) -> f64 {
        let device = Device::flex();
        let trained = trained.iter().map(|(name, values)| (name.clone(), tensor(values, &device))).collect();
        let watch = Watch::norms();
        let logits = self.network.forward(self.images.clone(), &self.pass(&trained, &watch)).unwrap();
        let classes = logits.dims()[1];
        let logits = logits.into_data().try_into_vec::<f32>().unwrap();
        let rows = logits.chunks(classes).zip(&self.labels);
        let losses = rows.map(|(row, &label)| {
            let max = row.iter().copied().fold(f32::MIN, f32::max);
            let sum: f64 = row.iter().map(|&value| f64::from(value - max).exp()).sum();
            sum.ln() - f64::from(row[label] - max)
        });
        losses.sum::<f64>() / self.labels.len() as f64
    }

    /// Gradients as burn gives them, with the cross entropy written in burn's own operations.
    fn gradients(&self) -> Values {
        let device = Device::flex().autodiff();
        let trained: BTreeMap<String, Tensor<2>> = self
            .trained
            .iter()
            .map(|(name, values)| (name.clone(), tensor(values, &device).require_grad()))
            .collect();
        let watch = Watch::norms();
        let logits = self.network.forward(self.images.clone(), &self.pass(&trained, &watch)).unwrap();
        let classes = logits.dims()[1];
        let mut chosen = Array2::zeros((self.labels.len(), classes));
        for (row, &label) in self.labels.iter().enumerate() {
            chosen[(row, label)] = -1.0 / self.labels.len() as f32;
        }
        let loss = (log_softmax(logits, 1) * tensor(&chosen, &device)).sum();
        let gradients = loss.backward();
        trained
            .iter()
            .map(|(name, tensor)| {
                let gradient =
                    tensor.grad(&gradients).map(|gradient| gradient.into_data().try_into_vec().unwrap());
                let shape = self.trained[name].dim();
                let gradient = gradient.unwrap_or_else(|| vec![0.0; shape.0 * shape.1]);
                (name.clone(), Array2::from_shape_vec(shape, gradient).unwrap())
            })
            .collect()
    }

    /// Compares up to `most` entries of each tensor with central differences.
    fn check(&self, most: usize) {
        let gradients = self.gradients();
        let smooth = matches!(self.network.architecture(), Architecture::Vit(_));
        let mut moved = self.trained.clone();
        for (name, gradient) in &gradients {
            let count = gradient.len();
            let (mut squares, mut of_difference, mut looked_at) = (0.0_f64, 0.0_f64, 0);
            for index in (0..count).step_by(count.div_ceil(most)) {
                let at = (index / gradient.ncols(), index % gradient.ncols());
                let value = self.trained[name][at];
                let mut loss = |step: f32| {
                    moved.get_mut(name).unwrap()[at] = value + step;
                    let loss = self.loss(&moved);
                    moved.get_mut(name).unwrap()[at] = value;
                    loss
                };
                let step = if smooth { 4e-3 } else { 5e-4 };
                // What f32 makes of the step counts, not what was asked.
                let [above, below] =
                    [value + step, value - step].map(|moved| f64::from(moved) - f64::from(value));
                let [up, here, down] = [loss(step), loss(0.0), loss(-step)];
                let slopes = [(up - down) / (above - below), (up - here) / above, (down - here) / below];
                let found = f64::from(gradient[at]);
                // Where the kink of a ReLU or of a maximum lies within the step, one side of it has the derivative.
                let sides = if smooth { &slopes[..1] } else { &slopes[..] };
                let apart = sides.iter().map(|slope| (slope - found).abs()).fold(f64::INFINITY, f64::min);
                squares += found * found;
                of_difference += apart.powi(2);
                looked_at += 1;
            }
            let (size, error) = (squares.sqrt(), of_difference.sqrt());
            // Logits of order 1 in f32 are off by some 1e-7 each, the loss therefore by as much, and a difference by 1e-7 over
            // its width; curvature gives a relative error.
            let (curvature, noise) = if smooth { (5e-3, 4e-5) } else { (1e-2, 4e-4) };
            let bound = curvature * size + noise * f64::from(looked_at).sqrt();
            assert!(error < bound, "{}: {name}: off by {error} of {size} in {looked_at} entries", self.name);
        }
    }
}

fn architectures() -> Vec<(&'static str, Architecture)> {
    let input = |side| ImageShape { channels: 2, height: side, width: side };
    let resnet = |stem, shortcut, side| {
        Architecture::ResNet(ResNetShape {
            input: input(side),
            stem,
            width: 3,
            blocks: vec![1, 1],
            shortcut,
            classes: 3,
        })
    };
    let vit = |hidden_act, qkv_bias| {
        Architecture::Vit(VitConfig {
            hidden_size: 12,
            num_hidden_layers: 2,
            num_attention_heads: 3,
            intermediate_size: 20,
            hidden_act,
            layer_norm_eps: 1e-6,
            image_size: 6,
            patch_size: 3,
            num_channels: 2,
            qkv_bias,
            classes: 3,
            labels: Vec::new(),
        })
    };
    vec![
        ("mlp", Architecture::Mlp(MlpShape { input: input(4), hidden: vec![12, 9], classes: 3 })),
        ("cnn", Architecture::Cnn(CnnShape { input: input(7), channels: [3, 5], hidden: 8, classes: 3 })),
        ("resnet, projection", resnet(Stem::Cifar, Shortcut::Projection, 6)),
        ("resnet, pad", resnet(Stem::Cifar, Shortcut::Pad, 7)),
        ("resnet, large stem", resnet(Stem::Imagenet, Shortcut::Projection, 17)),
        ("vit, gelu", vit(HiddenActivation::Gelu, true)),
        ("vit, gelu by tanh, no bias", vit(HiddenActivation::GeluTanh, false)),
        ("vit, quick gelu", vit(HiddenActivation::QuickGelu, true)),
        ("vit, silu", vit(HiddenActivation::Silu, true)),
    ]
}

/// A network whose every parameter matters: weights large enough that no derivative is near 0.
fn model(architecture: Architecture) -> Model {
    let model = Model::random(architecture, &mut ChaCha8Rng::seed_from_u64(7)).unwrap();
    let (architecture, mut weights) = model.into_parts();
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    for spec in architecture.tensors() {
        let parameter = weights.get_mut(&spec.name).unwrap();
        let inputs = (parameter.values.len() / parameter.shape[0]).max(1);
        let spread = if parameter.shape.len() > 1 { 1.0 / (inputs as f32).sqrt() } else { 0.2 };
        let positive = spec.name.ends_with("running_var");
        for value in &mut parameter.values {
            let centre = if parameter.shape.len() > 1 { 0.0 } else { *value };
            let moved = centre + spread * rng.sample::<f32, _>(StandardNormal);
            *value = if positive { moved.abs() + 0.5 } else { moved };
        }
    }
    Model::new(architecture, weights).unwrap()
}

fn case(
    name: &'static str,
    architecture: Architecture,
    trained: Values,
    adapter: Option<AdapterPass>,
) -> Case {
    let images = random(5, architecture.input().values(), 9);
    let model = Arc::new(model(architecture));
    let network = Network::new(model, Arithmetic::Digital, &|name| trained.contains_key(name)).unwrap();
    Case { name, network, trained, adapter, images, labels: vec![0, 1, 2, 1, 0], of_batch: false }
}

#[test]
fn gradients_of_adapters_are_those_of_the_loss_in_every_family() {
    for (name, architecture) in architectures() {
        for bias in [false, true] {
            let mut trained = initial_adapters(&architecture, 2, bias, 3);
            // B of 0 would hide the derivative of A.
            for (index, values) in trained.values_mut().enumerate() {
                let noise = random(values.nrows(), values.ncols(), 20 + index as u64);
                values.zip_mut_with(&noise, |value, noise| *value += 0.3 * noise);
            }
            let adapter = Some(AdapterPass { factor: 0.7, dropout: 0.0 });
            case(name, architecture.clone(), trained, adapter).check(40);
        }
    }
}

#[test]
fn gradients_under_dropout_are_those_of_the_inputs_that_were_left() {
    for (name, architecture) in architectures().into_iter().take(6) {
        let mut trained = initial_adapters(&architecture, 2, true, 3);
        for (index, values) in trained.values_mut().enumerate() {
            let noise = random(values.nrows(), values.ncols(), 20 + index as u64);
            values.zip_mut_with(&noise, |value, noise| *value += 0.3 * noise);
        }
        let adapter = Some(AdapterPass { factor: 0.7, dropout: 0.4 });
        case(name, architecture, trained, adapter).check(20);
    }
}

#[test]
fn gradients_of_the_base_are_those_of_the_loss_in_every_family() {
    for (name, architecture) in architectures() {
        let trained = initial_base(&model(architecture.clone()), false);
        case(name, architecture, trained, None).check(40);
    }
}

#[test]
fn gradients_through_the_moments_of_the_batch_are_those_of_the_loss() {
    for (name, architecture) in architectures() {
        if matches!(architecture, Architecture::ResNet(_)) {
            let trained = initial_base(&model(architecture.clone()), false);
            Case { of_batch: true, ..case(name, architecture, trained, None) }.check(40);
        }
    }
}

#[test]
fn gradients_of_the_head_alone_are_those_of_the_loss() {
    for (name, architecture) in architectures() {
        let trained = initial_base(&model(architecture.clone()), true);
        assert_eq!(trained.len(), 2);
        case(name, architecture, trained, None).check(40);
    }
}

/// `largest · round(x / largest · steps) / steps`.
fn rounded(x: f32, largest: f32, bits: u8) -> f32 {
    let steps = ((1_u32 << (bits - 1)) - 1) as f32;
    if largest > 0.0 { largest * (x / largest * steps).round_ties_even() / steps } else { 0.0 }
}

fn largest<'a>(values: impl IntoIterator<Item = &'a f32>) -> f32 {
    values.into_iter().fold(0.0, |max, value| max.max(value.abs()))
}

fn straight_through(x: Tensor<2>, rounded: Tensor<2>) -> Tensor<2> {
    x.clone() + (rounded - x).detach()
}

#[test]
fn the_photonic_layer_s_backward_is_that_of_the_plain_straight_through_formulation() {
    let (rows, inputs, outputs, rank) = (9, 40, 21, 3);
    let (weight, x) = (random(outputs, inputs, 1), random(rows, inputs, 2));
    let (a, b, direction) = (random(rank, inputs, 3), random(outputs, rank, 4), random(rows, outputs, 5));
    let device = Device::flex().autodiff();
    for bits in [4, 8, 12] {
        for sampling in [Sampling::PerExecution, Sampling::PerStep] {
            let chip = ChipModel {
                tile: Some(TileShape::new(16, 16).unwrap()),
                mapping: Mapping::default(),
                precision: Some(ConverterPrecision::uniform(bits).unwrap()),
                // Noise of each execution has no part in the derivative; that of a step is held, see below.
                error: (sampling == Sampling::PerExecution).then_some(ErrorLaw::Gaussian { sigma: 0.05 }),
                reference: ErrorReference::FullScale,
                sampling,
            };
            let layer = PhotonicLinear::new(weight.view(), None, &chip, 0).unwrap();
            let leaves = || [&x, &a, &b].map(|values| tensor(values, &device).require_grad());
            let gradients = |[x, a, b]: [Tensor<2>; 3], y: Tensor<2>| {
                let gradients = (y * tensor(&direction, &device)).sum().backward();
                [x, a, b]
                    .map(|leaf| leaf.grad(&gradients).unwrap().into_data().try_into_vec::<f32>().unwrap())
            };
            let ours = leaves();
            let [of_x, of_a, of_b] = ours.clone();
            let found = gradients(ours, layer.forward_adapted(of_x, of_a, of_b, 0.7, 3));

            let plain = leaves();
            let [of_x, of_a, of_b] = plain.clone();
            let scale = largest(&weight);
            let held = tensor(&weight.mapv(|value| rounded(value, scale, bits)), &device);
            let mut sent = x.clone();
            for mut row in sent.rows_mut() {
                for block in 0..inputs.div_ceil(16) {
                    let mut block = row.slice_mut(ndarray::s![16 * block..(16 * block + 16).min(inputs)]);
                    let range = largest(&block);
                    block.mapv_inplace(|value| rounded(value, range, bits));
                }
            }
            let y = straight_through(of_x.clone(), tensor(&sent, &device)).matmul(held.transpose())
                + of_x.matmul(of_a.transpose()).matmul(of_b.transpose()) * 0.7;
            let expected = gradients(plain, y);
            for (which, (found, expected)) in found.iter().zip(&expected).enumerate() {
                let size = largest(expected);
                let worst = found.iter().zip(expected).fold(0.0_f32, |max, (f, e)| max.max((f - e).abs()));
                // Sums of 40 products in f32, the photonic ones in 24 bits.
                assert!(worst < 2e-5 * size, "{bits} bits, gradient {which}: {worst} of {size}");
            }
        }
    }
}

#[test]
fn the_gradient_of_a_layer_with_a_frozen_error_is_that_of_the_product_it_computed() {
    let (weight, x, direction) = (random(20, 30, 6), random(6, 30, 7), random(6, 20, 8));
    let device = Device::flex().autodiff();
    // One error for the life of the chip and no converter: the layer is linear, so its derivative is exact and a difference
    // over any step shows it.
    let chip = ChipModel {
        tile: Some(TileShape::new(16, 16).unwrap()),
        error: Some(ErrorLaw::Gaussian { sigma: 0.1 }),
        sampling: Sampling::Frozen { chip_seed: 1 },
        ..ChipModel::ideal()
    };
    let layer = PhotonicLinear::new(weight.view(), None, &chip, 0).unwrap();
    let outputs = |x: &Array2<f32>| {
        Array2::from_shape_vec((6, 20), values(layer.forward(tensor(x, &device), 0))).unwrap()
    };
    let plain = outputs(&x);
    let mut differences = Array2::zeros(x.dim());
    for cell in ndarray::indices(x.dim()) {
        let mut moved = x.clone();
        moved[cell] += 1.0;
        differences[cell] = ((outputs(&moved) - &plain) * &direction).sum();
    }
    let input = tensor(&x, &device).require_grad();
    let loss = (layer.forward(input.clone(), 0) * tensor(&direction, &device)).sum();
    let gradient = input.grad(&loss.backward()).unwrap().into_data().try_into_vec::<f32>().unwrap();
    let gradient = Array2::from_shape_vec(x.dim(), gradient).unwrap();
    // Sums of 20 · 30 products of order 1 in f32.
    assert!((&gradient - &differences).iter().all(|difference| difference.abs() < 1e-3));
    // The derivative is that of the erroneous weights, not of those asked.
    assert!((&gradient - &direction.dot(&weight)).iter().any(|difference| difference.abs() > 0.05));
}

#[test]
fn the_layer_with_ranges_of_the_batch_is_the_formula_in_plain_loops() {
    // x' = s_x round(x/s_x) over the whole batch, W' likewise over the matrix, y = ADC(W' x') over all outputs of the batch:
    // the formula of the module `finetune` with one tile, as a few lines of PyTorch compute it.
    let (rows, inputs, outputs) = (33, 50, 27);
    let (weight, x) = (random(outputs, inputs, 11), random(rows, inputs, 12));
    let bias: Vec<f32> = random(1, outputs, 13).row(0).to_vec();
    for bits in [4, 6, 8, 10] {
        let chip = ChipModel {
            mapping: Mapping {
                input_range: RangeKind::Batch,
                output_range: RangeKind::Batch,
                ..Mapping::default()
            },
            precision: Some(ConverterPrecision::uniform(bits).unwrap()),
            ..ChipModel::ideal()
        };
        let layer = PhotonicLinear::new(weight.view(), Some(bias.clone()), &chip, 0).unwrap();
        let found = values(layer.forward(tensor(&x, &Device::flex()), 0));
        let steps = f64::from((1_u32 << (bits - 1)) - 1);
        let code =
            |value: f32, largest: f32| (f64::from(value) / f64::from(largest) * steps).round_ties_even();
        let (scale_w, scale_x) = (largest(&weight), largest(&x));
        let mut analog = Array2::<f64>::zeros((rows, outputs));
        for ((row, output), z) in analog.indexed_iter_mut() {
            for input in 0..inputs {
                *z += code(weight[(output, input)], scale_w) * code(x[(row, input)], scale_x);
            }
        }
        let range = analog.iter().fold(0.0_f64, |max, z| max.max(z.abs()));
        let unit = f64::from(scale_w) * f64::from(scale_x) / (steps * steps);
        let step = range / steps * unit;
        for ((row, output), z) in analog.indexed_iter() {
            let place = z / range * steps;
            let expected = step * place.round_ties_even() + f64::from(bias[output]);
            let apart = (f64::from(found[row * outputs + output]) - expected).abs();
            // Sums in the middle between two codes, exactly or within f32, may go either way: then it is one step.
            let tie = (place.abs().fract() - 0.5).abs() < 1e-4;
            let bound = if tie { 1.001 * step } else { 1e-3 * step };
            assert!(apart < bound, "{bits} bits, ({row}, {output}): {apart}, a step is {step}, {place}");
        }
    }
}
