//! What the chip is: references of σ, clipping, measured maps, channels evened out.

use std::{collections::BTreeMap, sync::Arc};

use alora::{
    finetune::{FinetuneConfig, Subject, logits},
    model::{Equalised, Model, equalise},
    network::PhotonicLinear,
    photonic::{ChipError, ChipModel, ErrorReference, Mapping, Sampling, TileShape, Tiling, WeightScaling},
};
use alora_calibration::ErrorLaw;
use burn::tensor::{Device, Tensor, TensorData};
use ndarray::{Array2, ArrayView2, s};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use crate::support::{
    Setting, accuracy, base_training, chip, inputs, plain, trained_families, trained_family,
};

/// Weights with rows and tiles of very different size, so that references can be told apart.
fn uneven(rows: usize, cols: usize) -> Array2<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    Array2::from_shape_fn((rows, cols), |(row, col)| {
        let size = (1 + row % 5) as f32 * if (row / 16 + col / 16) % 2 == 0 { 1.0 } else { 0.2 };
        size * rng.sample::<f32, _>(StandardNormal)
    })
}

/// The weights that `chip` really multiplies with.
fn realised(weight: ArrayView2<'_, f32>, chip: &ChipModel) -> Array2<f32> {
    let (outputs, inputs) = weight.dim();
    let layer = PhotonicLinear::new(weight, None, chip, 0).unwrap();
    let unit: Vec<f32> = Array2::<f32>::eye(inputs).into_raw_vec_and_offset().0;
    let unit = Tensor::<2>::from_data(TensorData::new(unit, [inputs, inputs]), &Device::flex());
    let columns = layer.forward(unit, 0).into_data().try_into_vec::<f32>().unwrap();
    Array2::from_shape_vec((inputs, outputs), columns).unwrap().reversed_axes()
}

fn max_abs(weights: ArrayView2<'_, f32>) -> f64 {
    weights.iter().fold(0.0, |max, weight| f64::from(weight.abs()).max(max))
}

fn rms(weights: ArrayView2<'_, f32>) -> f64 {
    (weights.iter().map(|&weight| f64::from(weight).powi(2)).sum::<f64>() / weights.len() as f64).sqrt()
}

#[test]
fn the_error_of_frozen_chips_is_sigma_times_its_reference() {
    let (rows, cols, sigma, chips) = (40, 56, 0.05, 40);
    let weight = uneven(rows, cols);
    let tile = TileShape::new(16, 16).unwrap();
    let tiling = Tiling::new(rows, cols, tile).unwrap();
    for scaling in [WeightScaling::Matrix, WeightScaling::Tile, WeightScaling::Row] {
        for reference in [
            ErrorReference::FullScale,
            ErrorReference::Matrix,
            ErrorReference::Tile,
            ErrorReference::Row,
            ErrorReference::Rms,
        ] {
            // Sum of squares of each weight's error over the chips.
            let mut squares = Array2::<f64>::zeros((rows, cols));
            for chip_seed in 0..chips {
                let chip = ChipModel {
                    tile: Some(tile),
                    mapping: Mapping { scaling, ..Mapping::default() },
                    precision: None,
                    error: Some(ErrorLaw::Gaussian { sigma }),
                    reference,
                    sampling: Sampling::Frozen { chip_seed },
                };
                let error = realised(weight.view(), &chip) - &weight;
                squares.zip_mut_with(&error, |sum, error| *sum += f64::from(*error).powi(2));
            }
            for tile in tiling.tiles() {
                let own = weight.slice(s![tile.rows.clone(), tile.cols.clone()]);
                for row in tile.rows.clone() {
                    let of_row = max_abs(weight.slice(s![row..=row, ..]));
                    let expected = match (reference, scaling) {
                        (ErrorReference::Matrix, _) | (ErrorReference::FullScale, WeightScaling::Matrix) => {
                            max_abs(weight.view())
                        }
                        (ErrorReference::Tile, _) | (ErrorReference::FullScale, WeightScaling::Tile) => {
                            max_abs(own)
                        }
                        (ErrorReference::Row, _) | (ErrorReference::FullScale, WeightScaling::Row) => of_row,
                        (ErrorReference::Rms, _) => rms(weight.view()),
                    };
                    let of_tile = squares.slice(s![row, tile.cols.clone()]);
                    let n = of_tile.len() as f64 * chips as f64;
                    let found = (of_tile.sum() / n).sqrt();
                    // The deviation of n normal errors scatters by 1/√(2n) of itself: 5 σ over 160 rows of 15 cases.
                    let bound = 5.0 / (2.0 * n).sqrt();
                    let ratio = found / (sigma * expected);
                    assert!((ratio - 1.0).abs() < bound, "{scaling:?}, {reference:?}, row {row}: {ratio}");
                }
            }
        }
    }
}

#[test]
fn clipped_weights_end_at_so_many_times_the_rms_and_the_others_stay() {
    let weight = uneven(20, 30);
    let limit = 1.5 * rms(weight.view()) as f32;
    let clipped =
        ChipModel { mapping: Mapping { clip_rms: 1.5, ..Mapping::default() }, ..ChipModel::ideal() };
    let found = realised(weight.view(), &clipped);
    for (asked, found) in weight.iter().zip(&found) {
        let expected = asked.clamp(-limit, limit);
        // Weights of an ideal chip are held in 24 bits of their row.
        assert!((found - expected).abs() < 1e-5 * limit, "{asked} {found}");
    }
    assert!(weight.iter().filter(|weight| weight.abs() > limit).count() > 20);
}

#[test]
fn a_measured_map_gives_each_element_of_the_chip_its_own_error_in_every_tile() {
    let (rows, cols) = (21, 18);
    let weight = uneven(rows, cols);
    let residuals: Vec<f64> = (0..8 * 8).map(|index| 0.001 * (f64::from(index) - 31.5)).collect();
    let chip = ChipModel {
        tile: Some(TileShape::new(8, 8).unwrap()),
        precision: None,
        error: Some(ErrorLaw::Map { rows: 8, cols: 8, residuals: residuals.clone() }),
        sampling: Sampling::Map,
        ..chip(8, 0.0)
    };
    let scale = max_abs(weight.view());
    let found = realised(weight.view(), &chip);
    for ((row, col), found) in found.indexed_iter() {
        let expected = f64::from(weight[(row, col)]) + scale * residuals[(row % 8) * 8 + col % 8];
        assert!((f64::from(*found) - expected).abs() < 1e-5 * scale, "({row}, {col}): {found} {expected}");
    }
}

#[test]
fn a_map_trains_with_its_own_sampling_on_its_own_chip_only() {
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let residuals: Vec<f64> = (0..256).map(|_| 0.05 * rng.sample::<f64, _>(StandardNormal)).collect();
    let map = ErrorLaw::Map { rows: 16, cols: 16, residuals };
    let model = trained_family("mlp");
    let mut setting = Setting::short(1000);
    setting.chip = ChipModel { error: Some(map.clone()), sampling: Sampling::Map, ..chip(6, 0.0) };
    setting.config = FinetuneConfig { epochs: 4, batch_size: 32, sampling: Sampling::Map, ..setting.config };
    let outcome = setting.run(model);
    let on_chip = |subject: &Subject<'_>| accuracy(subject, 1000, Some(&setting.chip), 0);
    let (before, after) = (on_chip(&plain(model)), on_chip(&crate::support::after(model, &outcome)));
    // The errors of this one chip are known: what it breaks, training takes back.
    assert!(after > before + 0.01, "{before} {after}");
    setting.config.sampling = Sampling::PerStep;
    assert!(setting.complaint(model).contains("a measured map goes with the sampling `map`"));
    setting.config.sampling = Sampling::Map;
    setting.chip.tile = Some(TileShape::new(8, 16).unwrap());
    assert!(setting.complaint(model).starts_with("the measured map is 16 × 16, the tiles are 8 × 16"));
    setting.chip.tile = None;
    assert!(setting.complaint(model).contains("as large as each layer"));
}

#[test]
fn chips_that_cannot_be_are_refused() {
    let refused = |chip: ChipModel| chip.check().unwrap_err();
    let law = ErrorLaw::Empirical { residuals: vec![0.1] };
    let with =
        |error, sampling, reference| ChipModel { error: Some(error), sampling, reference, ..chip(8, 0.0) };
    let (per_step, full) = (Sampling::PerStep, ErrorReference::FullScale);
    assert_eq!(refused(with(law.clone(), Sampling::PerExecution, full)), ChipError::EmpiricalPerExecution);
    assert_eq!(refused(with(law.clone(), per_step, ErrorReference::Rms)), ChipError::LawReference);
    let empty = ErrorLaw::Empirical { residuals: vec![] };
    assert_eq!(refused(with(empty, per_step, full)), ChipError::NoResiduals);
    let gaussian = ErrorLaw::Gaussian { sigma: 0.1 };
    assert!(matches!(refused(with(gaussian.clone(), Sampling::Map, full)), ChipError::MapSampling { .. }));
    assert!(with(gaussian, per_step, ErrorReference::Rms).check().is_ok());
    assert!(with(law, per_step, full).check().is_ok());
}

/// `model` with outlier columns: the same function, written unevenly.
fn with_outliers(model: &Model) -> Model {
    let (architecture, mut weights) = model.clone().into_parts();
    for group in architecture.groups() {
        for layer in &group {
            let weight = weights.get_mut(&layer.weight_name()).unwrap();
            for row in weight.values.chunks_mut(layer.inputs) {
                // One unrolled feature in seven, all taps of a convolution alike.
                let features = if matches!(layer.kind, alora::model::LayerKind::Linear) { 1 } else { 9 };
                for (column, value) in row.iter_mut().enumerate() {
                    if (column / features) % 7 == 3 {
                        *value *= 20.0;
                    }
                }
            }
        }
    }
    Model::new(architecture, weights).unwrap()
}

fn shared(scales: BTreeMap<String, Vec<f32>>) -> BTreeMap<String, Arc<Vec<f32>>> {
    scales.into_iter().map(|(name, scales)| (name, Arc::new(scales))).collect()
}

#[test]
fn evened_out_channels_leave_the_function_of_every_family() {
    for (name, model) in trained_families() {
        for model in [Model::clone(model), with_outliers(model)] {
            let images = inputs(&model, 30);
            let before = logits(&plain(&Arc::new(model.clone())), images.clone(), None, 0).unwrap();
            let size = before.iter().fold(0.0_f32, |max, value| max.max(value.abs()));
            for (rows, everywhere) in [(false, false), (true, false), (false, true), (true, true)] {
                let Equalised { model, input_scales } = equalise(&model, rows, everywhere).unwrap();
                assert_eq!(input_scales.is_empty(), !everywhere, "{name}");
                let subject = Subject { input_scales: shared(input_scales), ..plain(&Arc::new(model)) };
                // On an ideal chip the inputs are multiplied and the weights divided; in digital arithmetic neither is.
                for chip in [None, Some(ChipModel::ideal())] {
                    let after = logits(&subject, images.clone(), chip.as_ref(), 0).unwrap();
                    let apart = (&after - &before).iter().fold(0.0_f32, |max, value| max.max(value.abs()));
                    assert!(apart < 1e-4 * size.max(1.0), "{name}, {rows}, {everywhere}: {apart} of {size}");
                }
            }
        }
    }
}

#[test]
fn evening_out_shrinks_the_largest_weight_against_the_rms() {
    for (name, model) in trained_families() {
        let plain = model;
        let model = with_outliers(plain);
        let (mut before, mut after, mut layers) = (0.0, 0.0, 0);
        let evened = equalise(&model, false, true).unwrap();
        for group in model.architecture().groups() {
            for layer in &group {
                if model.matrix(layer).unwrap() == plain.matrix(layer).unwrap() {
                    continue;
                }
                let ratio = |weight: ArrayView2<'_, f32>| max_abs(weight) / rms(weight);
                let mut weight = evened.model.matrix(layer).unwrap().to_owned();
                if let Some(scale) = evened.input_scales.get(&group[0].name) {
                    weight.rows_mut().into_iter().for_each(|mut row| {
                        row.iter_mut().zip(scale).for_each(|(weight, scale)| *weight /= scale);
                    });
                }
                before += ratio(model.matrix(layer).unwrap()).ln();
                after += ratio(weight.view()).ln();
                layers += 1;
            }
        }
        let fell = ((after - before) / f64::from(layers)).exp();
        // Columns of twenty times the others, one in seven: evened out, the ratio falls in the geometric mean of the layers.
        assert!(fell < 0.7, "{name}: {fell}");
    }
}

#[test]
fn evened_out_channels_save_a_network_with_outliers_from_the_error() {
    let model = trained_family("vit");
    // Columns up, the norms before them down: the same function with outlier weights.
    let (architecture, mut weights) = Model::clone(model).into_parts();
    for block in 0..2 {
        for (norm, layers) in [
            (
                "layernorm_before",
                &["attention.attention.query", "attention.attention.key", "attention.attention.value"][..],
            ),
            ("layernorm_after", &["intermediate.dense"]),
        ] {
            let name = |part: &str| format!("vit.encoder.layer.{block}.{part}");
            for part in ["weight", "bias"] {
                let norm = weights.get_mut(&name(&format!("{norm}.{part}"))).unwrap();
                norm.values.iter_mut().step_by(6).for_each(|value| *value /= 20.0);
            }
            for layer in layers {
                let weight = weights.get_mut(&name(&format!("{layer}.weight"))).unwrap();
                weight
                    .values
                    .iter_mut()
                    .enumerate()
                    .filter(|(index, _)| index % 24 % 6 == 0)
                    .for_each(|(_, w)| *w *= 20.0);
            }
        }
    }
    let outliers = Model::new(architecture, weights).unwrap();
    let chip = chip(8, 0.03);
    let evened = equalise(&outliers, false, false).unwrap().model;
    let mean = |model: Model| {
        let model = Arc::new(model);
        (0..4).map(|seed| accuracy(&plain(&model), 500, Some(&chip), seed)).sum::<f64>() / 4.0
    };
    let (digital, without, with) = (accuracy(&plain(model), 500, None, 0), mean(outliers), mean(evened));
    assert!(
        with > without + 0.1 && with > digital - 0.1,
        "digital {digital}, outliers {without}, evened out {with}"
    );
}

#[test]
fn a_base_trains_with_digital_factors_on_its_inputs() {
    for name in ["vit", "mlp"] {
        let model = trained_family(name);
        let Equalised { model, input_scales } = equalise(&with_outliers(model), false, true).unwrap();
        assert!(!input_scales.is_empty());
        let model = Arc::new(model);
        let mut setting = Setting::short(640);
        setting.chip = chip(8, 0.0);
        setting.config = FinetuneConfig {
            epochs: 2,
            batch_size: 32,
            learning_rate: 1e-3,
            techniques: base_training(),
            ..setting.config
        };
        setting.input_scales = shared(input_scales);
        let scaled = setting.run(&model).losses;
        setting.input_scales = BTreeMap::new();
        setting.chip = ChipModel::ideal();
        let ideal = setting.run(&model).losses;
        // Eight bits with evened out channels are nearly the ideal chip, and so is the way down.
        assert!((scaled[1] - ideal[1]).abs() < 0.1 * ideal[1], "{name}: {scaled:?} {ideal:?}");
    }
}
