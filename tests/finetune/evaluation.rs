//! What a network is worth on chips, in simulation.

use std::sync::Arc;

use alora::{
    finetune::{
        AdapterUse, CURVE_SIGMAS, Evaluation, FinetuneError, Subject, Trial, accuracy_curve, evaluate,
        evaluate_all, reestimate_norms,
    },
    model::TensorRole,
    photonic::{ChipModel, Sampling},
};
use alora_calibration::{ErrorLaw, Event, Observer, Silent};

use crate::support::{accuracy, base, chip, error_model, mnist, pipeline, plain, trained_family};

fn evaluated(
    chip: &ChipModel,
    draws: usize,
    chips: usize,
    observer: &mut dyn Observer,
) -> Result<Evaluation, FinetuneError> {
    let model = trained_family("mlp");
    let data = mnist().test.first(400);
    let pipeline = pipeline(model.architecture().input());
    let trial = Trial { data: &data, pipeline: &pipeline, batch_size: 100 };
    evaluate_all(&plain(model), trial, chip, draws, chips, 11, observer)
}

#[test]
fn an_evaluation_has_a_value_for_each_draw_and_chip_and_repeats_with_its_seed() {
    let found = evaluated(&chip(4, 0.08), 3, 12, &mut Silent).unwrap();
    assert_eq!(found.images, 400);
    assert!(found.digital >= found.quantised - 0.05);
    let (fresh, frozen) = (found.fresh.clone().unwrap(), found.frozen.clone().unwrap());
    for (spread, count) in [(&fresh, 3), (&frozen, 12)] {
        assert_eq!((spread.values.len(), spread.seeds.len()), (count, count));
        let mut seeds = spread.seeds.clone();
        seeds.sort_unstable();
        seeds.dedup();
        assert_eq!(seeds.len(), count, "every draw has a seed of its own");
        assert!(spread.min <= spread.p5 && spread.p5 <= spread.mean && spread.mean <= spread.max);
        assert!(spread.min < spread.max, "errors of 8 % and no two draws differ: {spread:?}");
        let mean = spread.values.iter().sum::<f64>() / count as f64;
        assert!((spread.mean - mean).abs() < 1e-12);
        // JSON holds whole numbers of 2⁶³ at most everywhere it is read.
        assert!(spread.seeds.iter().all(|seed| i64::try_from(*seed).is_ok()));
    }
    assert_eq!(found, evaluated(&chip(4, 0.08), 3, 12, &mut Silent).unwrap());
    // A frozen chip can be looked at again by its seed.
    let model = trained_family("mlp");
    let again = ChipModel { sampling: Sampling::Frozen { chip_seed: frozen.seeds[5] }, ..chip(4, 0.08) };
    assert_eq!(accuracy(&plain(model), 400, Some(&again), frozen.seeds[5]), frozen.values[5]);
}

#[test]
fn what_has_no_error_has_no_spread_and_a_map_is_one_chip() {
    let found = evaluated(&chip(8, 0.0), 3, 12, &mut Silent).unwrap();
    assert!(found.fresh.is_none() && found.frozen.is_none());
    let empirical =
        ChipModel { error: Some(ErrorLaw::Empirical { residuals: vec![0.05, -0.05] }), ..chip(8, 0.0) };
    let found = evaluated(&empirical, 2, 2, &mut Silent).unwrap();
    assert_eq!((found.fresh.unwrap().values.len(), found.frozen.unwrap().values.len()), (2, 2));
    let map = ErrorLaw::Map { rows: 16, cols: 16, residuals: vec![0.01; 256] };
    let map = ChipModel { error: Some(map), sampling: Sampling::Map, ..chip(8, 0.0) };
    let found = evaluated(&map, 3, 12, &mut Silent).unwrap();
    assert!(found.fresh.is_none() && found.frozen.unwrap().values.len() == 1);
}

/// Counts steps, and interrupts after some.
#[derive(Default)]
struct Steps {
    promised: u64,
    done: u64,
    after: Option<u64>,
}

impl Observer for Steps {
    fn on(&mut self, event: Event) {
        match event {
            Event::Started { steps, .. } => self.promised += steps,
            Event::Step => self.done += 1,
            _ => {}
        }
    }

    fn interrupted(&self) -> bool {
        self.after.is_some_and(|after| self.done >= after)
    }
}

#[test]
fn an_evaluation_tells_its_steps_and_can_be_interrupted() {
    let mut steps = Steps::default();
    evaluated(&chip(8, 0.02), 2, 3, &mut steps).unwrap();
    assert_eq!((steps.promised, steps.done), (7, 7));
    let mut steps = Steps { after: Some(4), ..Steps::default() };
    let error = evaluated(&chip(8, 0.02), 2, 3, &mut steps).unwrap_err();
    assert!(matches!(error, FinetuneError::Interrupted) && steps.done == 4);
}

#[test]
fn accuracy_falls_along_the_curve() {
    let model = trained_family("mlp");
    let data = mnist().test.first(1000);
    let pipeline = pipeline(model.architecture().input());
    let trial = Trial { data: &data, pipeline: &pipeline, batch_size: 100 };
    let error = error_model(ErrorLaw::Gaussian { sigma: 0.01 }, 0.01);
    let sigmas = [&CURVE_SIGMAS[..], &[0.3]].concat();
    let points = accuracy_curve(&plain(model), trial, &chip(8, 0.5), &error, &sigmas, 3).unwrap();
    assert_eq!(points.iter().map(|point| point.sigma).collect::<Vec<_>>(), sigmas);
    let quantised = evaluate(&plain(model), trial, Some(&chip(8, 0.0)), 3).unwrap();
    assert_eq!(points[0].accuracy, quantised, "at σ = 0 only the converters are left");
    let fractions: Vec<f64> = points.iter().map(|point| point.accuracy.fraction()).collect();
    assert!(fractions[7] < fractions[0] - 0.1, "{fractions:?}");
}

#[test]
fn batches_of_another_size_change_no_digital_result() {
    let model = trained_family("vit");
    let data = mnist().test.first(130);
    let pipeline = pipeline(model.architecture().input());
    let found = |batch_size| {
        evaluate(&plain(model), Trial { data: &data, pipeline: &pipeline, batch_size }, None, 0).unwrap()
    };
    assert_eq!(found(130), found(7));
}

#[test]
fn adapters_of_another_network_are_refused() {
    let adapters = crate::support::Setting::short(64).run(base()).adapters.unwrap();
    let subject = Subject::new(Arc::clone(trained_family("mlp")), AdapterUse::Parallel(&adapters));
    let data = mnist().test.first(10);
    let pipeline = pipeline(subject.model.architecture().input());
    let trial = Trial { data: &data, pipeline: &pipeline, batch_size: 10 };
    assert!(evaluate(&subject, trial, None, 0).is_err());
}

#[test]
fn statistics_estimated_again_on_the_chip_repair_a_residual_network() {
    let model = trained_family("resnet, projection");
    let pipeline = pipeline(model.architecture().input());
    let data = mnist().train.first(1000);
    let trial = Trial { data: &data, pipeline: &pipeline, batch_size: 100 };
    let (mut before, mut after) = (0.0, 0.0);
    for chip_seed in 0..5 {
        let chip = ChipModel { sampling: Sampling::Frozen { chip_seed }, ..chip(6, 0.1) };
        let again = reestimate_norms(&plain(model), trial, Some(&chip), 10, 5).unwrap();
        for spec in model.architecture().tensors() {
            let same = again.weights().get(&spec.name) == model.weights().get(&spec.name);
            assert_eq!(same, spec.role != TensorRole::RunningStatistic, "{}", spec.name);
        }
        before += accuracy(&plain(model), 500, Some(&chip), 0) / 5.0;
        after += accuracy(&plain(&Arc::new(again)), 500, Some(&chip), 0) / 5.0;
    }
    assert!(after > before + 0.05, "before {before}, after {after}");
    let vit = trained_family("vit");
    let pipeline = crate::support::pipeline(vit.architecture().input());
    let untouched =
        reestimate_norms(&plain(vit), Trial { pipeline: &pipeline, ..trial }, None, 2, 5).unwrap();
    assert_eq!(untouched, **vit, "a network without batch norms stays");
}
