//! A run that was killed goes on as if it had never stopped.

use std::{fs, path::PathBuf};

use alora::{
    finetune::{AdapterConfig, EarlyStopConfig, FinetuneConfig, FinetuneError, Techniques},
    photonic::{Mapping, RangeKind, Sampling},
};
use alora_calibration::{Event, Observer, Silent};
use tempfile::TempDir;

use crate::support::{Setting, base_training, chip, trained_family};

/// Interrupts after so many steps.
struct Interrupting {
    steps: usize,
    after: usize,
}

impl Observer for Interrupting {
    fn on(&mut self, event: Event) {
        self.steps += usize::from(event == Event::Step);
    }

    fn interrupted(&self) -> bool {
        self.steps >= self.after
    }
}

fn setting(techniques: Techniques, sampling: Sampling) -> Setting {
    let mut setting = Setting::short(100);
    setting.config = FinetuneConfig {
        epochs: 3,
        batch_size: 32,
        warmup: 0.2,
        sigma_ramp: 0.5,
        gradient_norm: 0.5,
        weight_decay: 0.01,
        techniques,
        sampling,
        adapter: AdapterConfig { dropout: 0.2, bias: true, ..AdapterConfig::default() },
        ..setting.config
    };
    setting
}

/// Interrupts `setting` after each of `steps` in turn, and compares what came of it with an unbroken run.
fn goes_on(name: &str, setting: &Setting, steps: &[usize]) {
    let model = trained_family(name);
    let unbroken = setting.run(model);
    let folder = TempDir::new().unwrap();
    let checkpoint = folder.path().join("checkpoint.safetensors");
    for &after in steps {
        let mut observer = Interrupting { steps: 0, after };
        let error = setting.try_run(model, Some(&checkpoint), &mut observer).unwrap_err();
        assert!(matches!(error, FinetuneError::Interrupted), "{error}");
        assert_eq!(observer.steps, after);
    }
    let resumed = setting.try_run(model, Some(&checkpoint), &mut Silent).unwrap();
    assert!(resumed == unbroken, "{name}, {steps:?}: {:?} {:?}", resumed.losses, unbroken.losses);
    // A finished run has nothing left to do.
    let mut observer = Interrupting { steps: 0, after: usize::MAX };
    let again = setting.try_run(model, Some(&checkpoint), &mut observer).unwrap();
    assert!(again == unbroken && observer.steps == 0);
}

#[test]
fn adapters_go_on_with_the_same_losses_and_values_under_every_sampling() {
    // 100 images are four steps an epoch: within an epoch, at its end, and twice in a row.
    for sampling in [Sampling::PerExecution, Sampling::PerStep, Sampling::Frozen { chip_seed: 3 }] {
        goes_on("vit", &setting(Techniques::ALORA, sampling), &[3, 4]);
    }
    goes_on("vit", &setting(Techniques::ALORA, Sampling::PerExecution), &[4]);
    goes_on("vit", &setting(Techniques::ALORA, Sampling::PerExecution), &[12]);
}

#[test]
fn a_base_with_batch_norms_goes_on_with_the_same_running_statistics() {
    for steps in [&[5][..], &[8], &[1, 1, 1]] {
        goes_on("resnet, projection", &setting(base_training(), Sampling::PerStep), steps);
    }
}

#[test]
fn early_stop_goes_on_with_the_best_values_it_had() {
    let mut early = setting(Techniques::ALORA, Sampling::PerExecution);
    early.config.early_stop = EarlyStopConfig { patience: 2, held_out: 0.2 };
    early.config.epochs = 6;
    for steps in [&[4][..], &[6], &[3]] {
        goes_on("mlp", &early, steps);
    }
}

#[test]
fn learned_ranges_and_a_teacher_go_on() {
    let mut learned = setting(Techniques::ALORA, Sampling::PerExecution);
    learned.chip.mapping = Mapping { input_range: RangeKind::Learned, ..Mapping::default() };
    learned.config.distillation.weight = 0.5;
    goes_on("vit", &learned, &[5]);
}

/// Keeps a copy of the checkpoint as it lies there at a step: what a kill would leave.
struct Copying {
    from: PathBuf,
    to: PathBuf,
    at: usize,
    steps: usize,
}

impl Observer for Copying {
    fn on(&mut self, event: Event) {
        self.steps += usize::from(event == Event::Step);
        if self.steps == self.at && self.from.exists() {
            fs::copy(&self.from, &self.to).unwrap();
        }
    }
}

#[test]
fn a_killed_run_goes_on_from_the_last_checkpoint_between_epochs() {
    let mut setting = setting(Techniques::ALORA, Sampling::PerExecution);
    setting.config.checkpoint_steps = 2;
    let model = trained_family("cnn");
    let folder = TempDir::new().unwrap();
    let [from, to] = ["checkpoint", "killed"].map(|name| folder.path().join(name));
    let mut observer = Copying { from: from.clone(), to: to.clone(), at: 7, steps: 0 };
    let unbroken = setting.try_run(model, Some(&from), &mut observer).unwrap();
    let mut observer = Interrupting { steps: 0, after: usize::MAX };
    let resumed = setting.try_run(model, Some(&to), &mut observer).unwrap();
    assert!(resumed == unbroken && observer.steps == 12 - 6, "{} steps were left", observer.steps);
}

#[test]
fn a_checkpoint_of_another_run_or_a_torn_one_is_refused_with_the_way_out() {
    let model = trained_family("mlp");
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("checkpoint.safetensors");
    let ours = setting(Techniques::ALORA, Sampling::PerExecution);
    let trained = ours.try_run(model, Some(&path), &mut Silent).unwrap();
    let refused = |setting: &Setting, model| {
        let message = setting.try_run(model, Some(&path), &mut Silent).unwrap_err().to_string();
        assert!(
            message.contains("checkpoint.safetensors") && message.contains("remove it to start anew"),
            "{message}"
        );
        message
    };
    let change = |change: &dyn Fn(&mut Setting)| {
        let mut other = setting(Techniques::ALORA, Sampling::PerExecution);
        change(&mut other);
        refused(&other, model)
    };
    for message in [
        change(&|setting| setting.seed += 1),
        change(&|setting| setting.config.learning_rate *= 2.0),
        change(&|setting| setting.chip = chip(8, 0.03)),
        change(&|setting| setting.data = crate::support::mnist().train.first(99)),
        change(&|setting| setting.data = crate::support::mnist().train.sample(100, 1)),
        change(&|setting| setting.adapters = trained.adapters.clone()),
        refused(&ours, trained_family("cnn")),
    ] {
        assert!(message.contains("it is of another run"), "{message}");
    }
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert!(refused(&ours, model).contains("it is not whole"));
    fs::write(&path, "text").unwrap();
    refused(&ours, model);
}
