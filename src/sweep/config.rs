//! The `[sweep]` section of a configuration file.

use std::{fmt::Display, ops::RangeInclusive, path::Path};

use serde::{Deserialize, Serialize};

use super::cell::{Method, Percent};
use crate::config::ConfigError;

/// What is swept, and how it is shown. The rest of the file is the configuration common to all cells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SweepConfig {
    /// Figure drawn at the end: `fig2` (PTQ by bits, a panel a network), `fig4` (methods, a panel a task) or `none`.
    pub figure: SweepFigure,
    /// Accuracy shown in figures and document: with `fresh` errors for each execution, as in the paper, or with `frozen` ones.
    pub shown: Shown,
    /// Methods: `ptq`, `qat`, `qat+lora`, `alora`.
    pub methods: Vec<Method>,
    /// Bits of weights, inputs and outputs, 2 to 16 each.
    pub bits: Vec<u8>,
    /// σ at which networks are evaluated, in per cent of full scale, 0 to 100.
    pub sigma_percent: Vec<Percent>,
    /// σ at which ALoRA trains: `"same"` as evaluated, or per cent of full scale, 0 to 100. QAT and QAT + LoRA train at
    /// σ = 0, PTQ does not train.
    pub train_sigma: TrainSigma,
    /// Seeds, one repetition of everything each; they take the place of the file's own `seed`.
    pub seeds: Vec<u64>,
    /// Evaluations of each cell with fresh errors, 1 to 1000.
    pub draws: usize,
    /// Chips with frozen errors on which each cell is evaluated, 0 to 1000.
    pub chips: usize,
    /// Networks: each a `name`, and in `set` the keys in which its configuration differs.
    pub models: Vec<Variant>,
    /// Tasks, likewise; what a task sets comes after what the network sets.
    pub tasks: Vec<Variant>,
}

impl Default for SweepConfig {
    fn default() -> Self {
        Self {
            figure: SweepFigure::None,
            shown: Shown::Fresh,
            methods: vec![Method::Ptq, Method::Qat, Method::QatLora, Method::Alora],
            bits: vec![8],
            sigma_percent: [0.0, 0.5, 1.2, 2.0, 3.0, 5.0, 10.0].map(Percent).to_vec(),
            train_sigma: TrainSigma::Same,
            seeds: vec![1],
            draws: 3,
            chips: 10,
            models: Vec::new(),
            tasks: Vec::new(),
        }
    }
}

/// A name and what it changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// Name in figures and tables.
    pub name: String,
    /// Keys of the configuration that take another value, e.g. `{ model = { hidden = [64] } }`.
    #[serde(default)]
    pub set: toml::Table,
}

/// A figure of Taniguchi et al., OECC/PSC 2025.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SweepFigure {
    /// PTQ against σ, one panel a network, one curve a resolution.
    Fig2,
    /// Methods against σ, one panel a task.
    Fig4,
    /// No figure.
    None,
}

/// Which accuracy is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shown {
    /// Errors drawn anew for each execution.
    Fresh,
    /// Errors drawn once a chip.
    Frozen,
}

/// σ at which ALoRA trains.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "toml::Value", into = "toml::Value")]
pub enum TrainSigma {
    /// The σ at which the cell is evaluated.
    Same,
    /// One σ for all cells, which then share their training.
    Fixed(Percent),
}

impl TryFrom<toml::Value> for TrainSigma {
    type Error = String;

    fn try_from(value: toml::Value) -> Result<Self, String> {
        match value {
            toml::Value::String(word) if word == "same" => Ok(Self::Same),
            toml::Value::Float(percent) => Ok(Self::Fixed(Percent(percent))),
            toml::Value::Integer(percent) => Ok(Self::Fixed(Percent(percent as f64))),
            other => Err(format!("found {other}, expected \"same\" or a number in per cent of full scale")),
        }
    }
}

impl From<TrainSigma> for toml::Value {
    fn from(sigma: TrainSigma) -> Self {
        match sigma {
            TrainSigma::Same => Self::String("same".to_owned()),
            TrainSigma::Fixed(percent) => Self::Float(percent.0),
        }
    }
}

/// Keys that the sweep itself decides, and the key that decides them.
const DECIDED: [(&str, &str); 6] = [
    ("seed", "sweep.seeds"),
    ("precision", "sweep.bits"),
    ("finetune.techniques", "sweep.methods"),
    ("figures", "sweep.figure"),
    ("deployment", "nothing, as a sweep deploys nothing"),
    ("sweep", "the section itself"),
];

/// Parts `table`, read from `path`: the configuration without its `[sweep]` section, and that section, checked.
///
/// # Errors
/// No `[sweep]`; in that section an unknown key, a value of the wrong type or one out of range.
pub fn split(mut table: toml::Table, path: &Path) -> Result<(toml::Table, SweepConfig), ConfigError> {
    let key = |key: String, reason: String| ConfigError::Key { path: path.to_owned(), key, reason };
    let section = table.remove("sweep").ok_or_else(|| {
        key("sweep".to_owned(), "there is no such section; add `[sweep]` with what to sweep".to_owned())
    })?;
    let sweep: SweepConfig = serde_path_to_error::deserialize(section).map_err(|error| {
        let reason = error.inner().message().lines().collect::<Vec<_>>().join(" ");
        key(format!("sweep.{}", error.path()), reason)
    })?;
    sweep.check().map_err(|(key, value, allowed)| ConfigError::Range {
        path: path.to_owned(),
        key: format!("sweep.{key}"),
        value,
        allowed,
    })?;
    Ok((table, sweep))
}

/// A value outside its range: key below `sweep`, value, allowed.
type OutOfRange = (String, String, String);

impl SweepConfig {
    fn check(&self) -> Result<(), OutOfRange> {
        let names = |variants: &[Variant]| variants.iter().map(|one| format!("\"{}\"", one.name)).collect();
        distinct("models (names)", names(&self.models))?;
        distinct("tasks (names)", names(&self.tasks))?;
        distinct("methods", self.methods.iter().map(|method| format!("\"{}\"", method.id())).collect())?;
        distinct("bits", self.bits.iter().map(ToString::to_string).collect())?;
        distinct("sigma_percent", self.sigma_percent.iter().map(ToString::to_string).collect())?;
        distinct("seeds", self.seeds.iter().map(ToString::to_string).collect())?;
        for (index, &bits) in self.bits.iter().enumerate() {
            within(&format!("bits[{index}]"), bits, 2..=16)?;
        }
        for (index, sigma) in self.sigma_percent.iter().enumerate() {
            within(&format!("sigma_percent[{index}]"), sigma.0, 0.0..=100.0)?;
        }
        if let TrainSigma::Fixed(sigma) = self.train_sigma {
            within("train_sigma", sigma.0, 0.0..=100.0)?;
        }
        for (index, &seed) in self.seeds.iter().enumerate() {
            // TOML holds no larger number.
            within(&format!("seeds[{index}]"), seed, 0..=i64::MAX as u64)?;
        }
        within("draws", self.draws, 1..=1000)?;
        within("chips", self.chips, 0..=1000)?;
        self.check_shown()?;
        check_variants("models", &self.models)?;
        check_variants("tasks", &self.tasks)
    }

    /// What is to be shown must be swept.
    fn check_shown(&self) -> Result<(), OutOfRange> {
        if self.figure == SweepFigure::Fig2 && !self.methods.contains(&Method::Ptq) {
            let allowed = "\"fig4\" or \"none\", as sweep.methods has no \"ptq\" to draw".to_owned();
            return Err(("figure".to_owned(), "\"fig2\"".to_owned(), allowed));
        }
        if self.shown == Shown::Frozen && self.chips == 0 {
            let allowed = "\"fresh\", as sweep.chips is 0".to_owned();
            return Err(("shown".to_owned(), "\"frozen\"".to_owned(), allowed));
        }
        Ok(())
    }
}

fn within<T: PartialOrd + Display>(key: &str, value: T, range: RangeInclusive<T>) -> Result<(), OutOfRange> {
    if range.contains(&value) {
        return Ok(());
    }
    Err((key.to_owned(), value.to_string(), format!("{} to {}", range.start(), range.end())))
}

/// At least one value, and none twice: a cell is run once.
fn distinct(key: &str, values: Vec<String>) -> Result<(), OutOfRange> {
    if values.is_empty() {
        return Err((key.to_owned(), "[]".to_owned(), "at least one".to_owned()));
    }
    match values.iter().enumerate().find(|(index, value)| values[..*index].contains(value)) {
        Some((index, value)) => {
            Err((format!("{key}[{index}]"), value.clone(), "each value once in the list".to_owned()))
        }
        None => Ok(()),
    }
}

fn check_variants(list: &str, variants: &[Variant]) -> Result<(), OutOfRange> {
    for (index, variant) in variants.iter().enumerate() {
        if variant.name.trim().is_empty() {
            return Err((format!("{list}[{index}].name"), "\"\"".to_owned(), "a name".to_owned()));
        }
        for (key, by) in DECIDED {
            let mut at = Some(&variant.set);
            let mut value = None;
            for part in key.split('.') {
                value = at.and_then(|table| table.get(part));
                at = value.and_then(toml::Value::as_table);
            }
            if let Some(value) = value {
                let key = format!("{list}[{index}].set.{key}");
                return Err((key, value.to_string(), format!("no such key here: it is decided by {by}")));
            }
        }
    }
    Ok(())
}
