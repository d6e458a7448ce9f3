//! What changes over a run: σ, the learning rate, the teacher, the moment to stop.

use alora::finetune::{
    AugmentConfig, DistillationConfig, EarlyStopConfig, FinetuneConfig, Schedule, Techniques, logits,
};
use alora::photonic::Sampling;

use crate::support::{Setting, after, base_training, chip, inputs, plain, trained_family};

/// Losses of eight steps that train nothing, with the error ramped up over `ramp` of them.
fn losses(ramp: f64, sampling: Sampling, techniques: Techniques) -> Vec<f64> {
    let mut setting = Setting::short(128);
    setting.chip = chip(8, 0.3);
    setting.config = FinetuneConfig {
        epochs: 8,
        batch_size: 128,
        learning_rate: 1e-30,
        sigma_ramp: ramp,
        sampling,
        techniques,
        augment: AugmentConfig { shift: 0, flip: false },
        ..setting.config
    };
    setting.run(trained_family("mlp")).losses
}

#[test]
fn sigma_rises_over_the_ramp_under_every_sampling_and_is_full_after_it() {
    for sampling in [Sampling::PerExecution, Sampling::PerStep, Sampling::Frozen { chip_seed: 2 }] {
        for techniques in [Techniques::ALORA, base_training()] {
            let (ramped, full) = (losses(0.5, sampling, techniques), losses(0.0, sampling, techniques));
            // The fourth step of eight is the first with the whole error; from there on both runs draw the same.
            assert_eq!(ramped[3..], full[3..], "{sampling:?}");
            // A quarter of an error of 30 % hurts less than all of it.
            assert!(ramped[0] < 0.7 * full[0], "{sampling:?}, {techniques:?}: {ramped:?} {full:?}");
            assert!(ramped[0] < ramped[2], "{sampling:?}: {ramped:?}");
        }
    }
}

#[test]
fn a_factor_on_sigma_is_a_larger_sigma() {
    let run = |sigma, sigma_factor| {
        let mut setting = Setting::short(320);
        setting.chip = chip(8, sigma);
        setting.config.sigma_factor = sigma_factor;
        setting.run(trained_family("vit"))
    };
    assert_eq!(run(0.02, 2.0), run(0.04, 1.0));
    assert_ne!(run(0.02, 2.0).losses, run(0.02, 1.0).losses);
}

/// Mean over images of KL(softmax(teacher) ‖ softmax(student)).
fn divergence(teacher: &ndarray::Array2<f32>, student: &ndarray::Array2<f32>) -> f64 {
    let log_softmax = |row: ndarray::ArrayView1<'_, f32>| {
        let max = row.iter().copied().fold(f32::MIN, f32::max);
        let sum: f64 = row.iter().map(|value| f64::from(value - max).exp()).sum();
        row.iter().map(|value| f64::from(value - max) - sum.ln()).collect::<Vec<f64>>()
    };
    let rows = teacher.rows().into_iter().zip(student.rows());
    let sum: f64 = rows
        .map(|(teacher, student)| {
            let (p, q) = (log_softmax(teacher), log_softmax(student));
            p.iter().zip(&q).map(|(p, q)| p.exp() * (p - q)).sum::<f64>()
        })
        .sum();
    sum / teacher.nrows() as f64
}

#[test]
fn a_teacher_brings_the_chip_s_outputs_nearer_to_the_digital_ones() {
    let model = trained_family("vit");
    let mut setting = Setting::short(1000);
    setting.chip = chip(4, 0.03);
    setting.config = FinetuneConfig { epochs: 3, batch_size: 32, ..setting.config };
    let images = inputs(model, 300);
    let digital = logits(&plain(model), images.clone(), None, 0).unwrap();
    let apart = |subject: &alora::finetune::Subject<'_>| {
        divergence(&digital, &logits(subject, images.clone(), Some(&setting.chip), 7).unwrap())
    };
    let before = apart(&plain(model));
    let with = |weight| {
        let mut taught =
            Setting { chip: setting.chip.clone(), data: setting.data.clone(), ..Setting::short(1) };
        let distillation = DistillationConfig { weight, ..DistillationConfig::default() };
        taught.config = FinetuneConfig { distillation, ..setting.config };
        apart(&after(model, &taught.run(model)))
    };
    let (labels, teacher) = (with(0.0), with(1.0));
    // Labels pull the outputs to their own; only a teacher asks for the digital ones.
    assert!(
        teacher < 0.6 * before && teacher < labels,
        "before {before}, labels {labels}, teacher {teacher}"
    );
}

#[test]
fn training_stops_when_images_kept_aside_get_no_better_and_keeps_the_best_epoch() {
    for (name, techniques) in [("mlp", Techniques::ALORA), ("resnet, projection", base_training())] {
        let model = trained_family(name);
        let run = |epochs, patience| {
            let mut setting = Setting::short(250);
            setting.config = FinetuneConfig {
                epochs,
                batch_size: 25,
                learning_rate: 2e-2,
                schedule: Schedule::Constant,
                techniques,
                early_stop: EarlyStopConfig { patience, held_out: 0.2 },
                augment: AugmentConfig { shift: 0, flip: false },
                ..setting.config
            };
            setting.run(model)
        };
        let stopped = run(60, 2);
        let held_out = &stopped.held_out;
        assert_eq!(held_out.len(), stopped.losses.len());
        assert!(held_out.len() < 60, "{name} never stopped: {held_out:?}");
        let best = (0..held_out.len()).min_by(|a, b| held_out[*a].total_cmp(&held_out[*b])).unwrap();
        assert_eq!(best + 3, held_out.len(), "{name}: two epochs after the best: {held_out:?}");
        // The run that ends with its best epoch has its values, and its running statistics.
        let shorter = run(best + 1, 1000);
        assert_eq!(shorter.held_out, held_out[..=best]);
        assert!(shorter.merged == stopped.merged && shorter.adapters == stopped.adapters, "{name}");
        assert_eq!(shorter.trainable, stopped.trainable);
    }
}

#[test]
fn a_bound_on_the_gradients_norm_and_a_warm_up_change_the_way_but_not_the_aim() {
    let model = trained_family("cnn");
    let run = |gradient_norm, warmup, schedule| {
        let mut setting = Setting::short(640);
        setting.config =
            FinetuneConfig { epochs: 2, batch_size: 32, gradient_norm, warmup, schedule, ..setting.config };
        setting.run(model).losses
    };
    let plain = run(0.0, 0.0, Schedule::Cosine);
    for other in [
        run(0.1, 0.0, Schedule::Cosine),
        run(0.0, 0.3, Schedule::Cosine),
        run(0.0, 0.0, Schedule::Linear),
        run(0.0, 0.0, Schedule::Constant),
    ] {
        assert!(other != plain && other[1] < other[0], "{other:?} {plain:?}");
    }
    assert_eq!(plain, run(1e3, 0.0, Schedule::Cosine), "a bound that nothing reaches");
}
