//! Ranges of converters: dynamic, calibrated, learned.

use alora::{
    finetune::{FinetuneConfig, Subject, logits, static_ranges},
    photonic::{ChipError, ChipModel, Mapping, RangeKind},
};
use std::collections::BTreeMap;

use crate::support::{
    Setting, after, chip, inputs, mnist, pipeline, plain, trained_families, trained_family,
};

fn with_ranges(chip: ChipModel, input_range: RangeKind, output_range: RangeKind) -> ChipModel {
    ChipModel { mapping: Mapping { input_range, output_range, ..chip.mapping }, ..chip }
}

#[test]
fn static_ranges_are_the_largest_magnitudes_of_the_training_images() {
    let data = mnist().train.first(100);
    for (name, model) in trained_families() {
        let pipeline = pipeline(model.architecture().input());
        let ask = |input, output| {
            let chip = with_ranges(chip(8, 0.05), input, output);
            static_ranges(model, &chip, &BTreeMap::new(), &data, &pipeline).unwrap()
        };
        let dynamic = ask(RangeKind::Vector, RangeKind::Batch);
        assert!(dynamic.input.is_empty() && dynamic.output.is_empty());
        let ranges = ask(RangeKind::Static, RangeKind::Static);
        let groups = model.architecture().groups();
        assert_eq!(ranges.input.len(), groups.len(), "{name}");
        assert_eq!(ranges.output.len(), groups.len(), "{name}");
        let first = &groups[0][0].name;
        if *name == "mlp" {
            let largest =
                pipeline.all(&data).unwrap().images.iter().fold(0.0_f32, |max, value| max.max(*value));
            assert_eq!(ranges.input[first], largest);
        }
        // With ranges that hold all of the signal, eight bits compute nearly what ideal converters do.
        let subject = Subject { ranges, ..plain(model) };
        let chip = with_ranges(chip(8, 0.0), RangeKind::Static, RangeKind::Static);
        let images = pipeline.all(&data).unwrap().images;
        let digital = logits(&plain(model), images.clone(), None, 0).unwrap();
        let quantised = logits(&subject, images, Some(&chip), 0).unwrap();
        let rms = |values: &ndarray::Array2<f32>| values.mapv(|value| value * value).mean().unwrap().sqrt();
        let error = rms(&(&quantised - &digital)) / rms(&digital);
        // Steps of 1/127 of the largest value in each of a dozen layers.
        assert!(error < 0.15, "{name}: {error}");
    }
}

#[test]
fn a_static_range_that_was_not_calibrated_is_told() {
    let model = trained_family("mlp");
    let chip = with_ranges(chip(8, 0.0), RangeKind::Static, RangeKind::Vector);
    let error = logits(&plain(model), inputs(model, 2), Some(&chip), 0).unwrap_err().to_string();
    assert!(error.contains("input range of `fc1` is static and was not calibrated"), "{error}");
}

#[test]
fn output_ranges_cannot_be_learned() {
    let chip = with_ranges(chip(8, 0.0), RangeKind::Vector, RangeKind::Learned);
    assert_eq!(chip.check(), Err(ChipError::LearnedOutput));
}

#[test]
fn learned_input_ranges_move_from_the_calibrated_ones_and_help() {
    let model = trained_family("vit");
    let run = |kind| {
        let mut setting = Setting::short(1000);
        // Three bits: the range decides between steps that are too wide and a signal that is cut off.
        setting.chip = with_ranges(chip(3, 0.0), kind, RangeKind::Vector);
        setting.config = FinetuneConfig { epochs: 4, batch_size: 32, learning_rate: 1e-2, ..setting.config };
        setting.run(model)
    };
    let (fixed, learned) = (run(RangeKind::Static), run(RangeKind::Learned));
    assert_eq!(fixed.ranges.input.len(), learned.ranges.input.len());
    for (group, range) in &learned.ranges.input {
        assert!(*range != fixed.ranges.input[group] && *range > 0.0, "{group}");
    }
    assert_eq!(learned.trainable, fixed.trainable + fixed.ranges.input.len());
    assert!(learned.losses[3] < fixed.losses[3], "{:?} {:?}", learned.losses, fixed.losses);
    let chip = with_ranges(chip(3, 0.0), RangeKind::Learned, RangeKind::Vector);
    let found = crate::support::accuracy(&after(model, &learned), 500, Some(&chip), 0);
    assert!(found > 0.5, "{found}");
}

#[test]
fn a_base_trains_under_static_ranges() {
    let model = trained_family("cnn");
    let mut setting = Setting::short(640);
    setting.chip = with_ranges(chip(5, 0.03), RangeKind::Static, RangeKind::Static);
    setting.config = FinetuneConfig {
        epochs: 3,
        batch_size: 32,
        learning_rate: 1e-3,
        techniques: crate::support::base_training(),
        ..setting.config
    };
    let outcome = setting.run(model);
    assert!(outcome.losses[2] < outcome.losses[0], "{:?}", outcome.losses);
}
