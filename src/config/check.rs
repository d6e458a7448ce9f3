//! Range checks that collect nothing and hide nothing: the first value out of range is the error.

use std::{fmt::Display, ops::RangeInclusive};

use alora_calibration::LawChoice;
use alora_drivers::mock::{Fault, Script, Spec};

use super::{AdapterMode, CharacterizeSection, Config};
use crate::{
    finetune::{ConfigError as TrainingRange, compute_device},
    photonic::{RangeKind, Sampling},
};

/// A value outside its range: dotted key, value, allowed.
pub(super) type OutOfRange = (String, String, String);

fn within<T: PartialOrd + Display>(key: &str, value: T, range: RangeInclusive<T>) -> Result<(), OutOfRange> {
    if range.contains(&value) {
        Ok(())
    } else {
        Err((key.to_owned(), value.to_string(), format!("{} to {}", range.start(), range.end())))
    }
}

pub(super) fn check(config: &Config) -> Result<(), OutOfRange> {
    let Config { processor, calibration, measurement, model, data, .. } = config;
    if !Spec::presets().contains(&processor.preset.as_str()) {
        let known = Spec::presets().join(", ");
        return Err(("processor.preset".to_owned(), format!("\"{}\"", processor.preset), known));
    }
    check_script(config)?;
    within("calibration.sweep_points", calibration.sweep_points, 5..=4096)?;
    within("calibration.repeats", calibration.repeats, 1..=255)?;
    within("measurement.programmings", measurement.programmings, 1..=10_000)?;
    within("measurement.repeats", measurement.repeats, 1..=255)?;
    within("model.hidden (number of layers)", model.hidden.len(), 1..=16)?;
    for (index, &width) in model.hidden.iter().enumerate() {
        within(&format!("model.hidden[{index}]"), width, 1..=16_384)?;
    }
    within("data.train_limit", data.train_limit, 1..=usize::MAX)?;
    within("data.test_limit", data.test_limit, 1..=usize::MAX)?;
    check_characterization(config)?;
    check_training(config)?;
    check_deployment(config)
}

/// Faults that the chip cannot have would pass unseen. A processor that cannot be made is refused elsewhere.
fn check_script(config: &Config) -> Result<(), OutOfRange> {
    if config.processor.script.0.is_empty() {
        return Ok(());
    }
    let Ok(spec) = config.processor.spec() else { return Ok(()) };
    let chip = spec.connect(config.processor.chip_seed, Script::default());
    let descriptor = chip.descriptor();
    for (index, scripted) in config.processor.script.0.iter().enumerate() {
        let key = |name: &str| format!("processor.script[{index}].{name}");
        match scripted.fault {
            Fault::StuckElement { actuator, code } => {
                within(&key("actuator"), actuator, 0..=descriptor.limits.len() - 1)?;
                within(&key("code"), code, 0..=descriptor.limits[actuator])?;
            }
            Fault::DeadDetector { output } => within(&key("output"), output, 0..=descriptor.outputs - 1)?,
            Fault::Saturation { output, gain } => {
                within(&key("output"), output, 0..=descriptor.outputs - 1)?;
                within(&key("gain"), gain, 1e-6..=1e6)?;
            }
            Fault::TemperatureStep { kelvin } => within(&key("kelvin"), kelvin, -200.0..=200.0)?,
            Fault::LaserDrop { fraction } => within(&key("fraction"), fraction, 0.0..=1.0)?,
        }
    }
    Ok(())
}

fn check_characterization(config: &Config) -> Result<(), OutOfRange> {
    let CharacterizeSection {
        most_vectors: _,
        coherent,
        incoherent,
        reading,
        holdout,
        verify,
        drift,
        limits,
    } = config.characterize;
    if config.processor.actuator_bits != 0 {
        within("processor.actuator_bits", config.processor.actuator_bits, 2..=16)?;
    }
    within("characterize.coherent.sweep_points", coherent.sweep_points, 8..=4096)?;
    within("characterize.coherent.settings", coherent.settings, 0..=1_000_000)?;
    within("characterize.coherent.amplitude", coherent.amplitude, 0.01..=1.0)?;
    for (key, value, least, most) in incoherent.ranges() {
        within(&format!("characterize.incoherent.{key}"), value, least..=most)?;
    }
    within("characterize.holdout.matrices", holdout.matrices, 1..=1000)?;
    if holdout.repeats != 0 {
        within("characterize.holdout.repeats", holdout.repeats, 2..=10_000)?;
    }
    within("characterize.holdout.rewrites", holdout.rewrites, 1..=100)?;
    within("characterize.reading.levels", reading.levels, 4..=256)?;
    within("characterize.reading.repeats", reading.repeats, 8..=10_000)?;
    within("characterize.reading.uncertainty", reading.uncertainty, 1e-6..=0.1)?;
    within("characterize.reading.least", reading.least, 2..=10_000)?;
    within("characterize.reading.most", reading.most, reading.least..=10_000)?;
    within("characterize.verify.turns", verify.turns, 1..=100)?;
    if verify.repeats != 0 {
        within("characterize.verify.repeats", verify.repeats, 2..=10_000)?;
    }
    within("characterize.limits.open_loop", limits.open_loop, 0.0..=1.0)?;
    within("characterize.limits.verified", limits.verified, 0.0..=1.0)?;
    within("characterize.drift.duration_s", drift.duration_s, 0.0..=1e6)?;
    within("characterize.drift.points", drift.points, 8..=1000)?;
    within("characterize.drift.repeats", drift.repeats, 2..=10_000)?;
    let watch = config.watch;
    within("watch.every_s", watch.every_s, 1e-3..=1e6)?;
    within("watch.vectors", watch.vectors, 1..=4096)?;
    if watch.repeats != 0 {
        within("watch.repeats", watch.repeats, 2..=10_000)?;
    }
    within("watch.budget", watch.budget, 1e-6..=1.0)
}

/// The trainer knows its own ranges.
fn check_training(config: &Config) -> Result<(), OutOfRange> {
    let named = |section: &str| {
        let section = section.to_owned();
        move |error: TrainingRange| {
            (format!("{section}.{}", error.key), error.value, error.allowed.to_owned())
        }
    };
    config.pretrain.check().map_err(named("pretrain"))?;
    config.finetune.check().map_err(named("finetune"))?;
    if let Err(error) = compute_device(config.finetune.device) {
        let value = format!("{:?}", config.finetune.device).to_lowercase();
        return Err(("finetune.device".to_owned(), format!("\"{value}\""), error.to_string()));
    }
    within("error_model.assumed_sigma", config.error_model.assumed_sigma, 0.0..=1.0)?;
    within("evaluation.draws", config.evaluation.draws, 1..=1000)?;
    within("evaluation.chips", config.evaluation.chips, 0..=1000)?;
    within("evaluation.batch_size", config.evaluation.batch_size, 1..=8192)?;
    check_mapping(config)
}

fn check_mapping(config: &Config) -> Result<(), OutOfRange> {
    let clip = config.mapping.clip_rms;
    if clip != 0.0 && !(0.5..=100.0).contains(&clip) {
        let allowed = "0 (off), or 0.5 to 100".to_owned();
        return Err(("mapping.clip_rms".to_owned(), clip.to_string(), allowed));
    }
    if config.mapping.output_range == RangeKind::Learned {
        let allowed = "\"vector\", \"batch\" or \"static\"".to_owned();
        return Err(("mapping.output_range".to_owned(), "\"learned\"".to_owned(), allowed));
    }
    for (key, values) in [("data.mean", &config.data.mean), ("data.std", &config.data.std)] {
        for (index, &value) in values.iter().flatten().enumerate() {
            let least = if key == "data.std" { 1e-6 } else { -1e6 };
            within(&format!("{key}[{index}]"), value, least..=1e6)?;
        }
    }
    Ok(())
}

fn check_deployment(config: &Config) -> Result<(), OutOfRange> {
    let Config { deployment, finetune, figures, .. } = config;
    within("deployment.repeats", deployment.repeats, 1..=255)?;
    within("deployment.residual_limit", deployment.residual_limit, 1e-3..=2.0)?;
    if deployment.adapters == AdapterMode::Digital && !finetune.techniques.lora {
        let value = "\"digital\"".to_owned();
        let allowed =
            "\"merged\", as finetune.techniques.lora is false and there is no adapter to keep".to_owned();
        return Err(("deployment.adapters".to_owned(), value, allowed));
    }
    if config.error_model.law == LawChoice::Map && finetune.sampling != Sampling::Map {
        let allowed = "\"map\", as error_model.law is \"map\"".to_owned();
        let value = toml::Value::try_from(finetune.sampling)
            .map_or_else(|_| "another".to_owned(), |value| value.to_string());
        return Err(("finetune.sampling".to_owned(), value, allowed));
    }
    if config.error_model.law == LawChoice::Empirical
        && finetune.techniques.nat
        && finetune.sampling == Sampling::PerExecution
    {
        let value = "\"per_execution\"".to_owned();
        let allowed = "\"per_step\" or frozen, as error_model.law is \"empirical\"".to_owned();
        return Err(("finetune.sampling".to_owned(), value, allowed));
    }
    for (index, &sigma) in figures.sigma_percent.iter().enumerate() {
        within(&format!("figures.sigma_percent[{index}]"), sigma, 0.0..=100.0)?;
    }
    for (index, &bits) in figures.bits.iter().enumerate() {
        within(&format!("figures.bits[{index}]"), bits, 2..=16)?;
    }
    Ok(())
}
