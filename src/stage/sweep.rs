//! One cell of a sweep: a network adapted by one method for one chip, and what it is worth there.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use alora_calibration::{ErrorLaw, Observer, Provenance};

use super::{
    Context, Purpose, nominal,
    task::{Base, Task},
    train::{adapt, tile_of},
};
use crate::{
    config::{Config, ConfigError, resolve},
    error::Error,
    finetune::{
        AdapterUse, FinetuneOutcome, Subject, Trial, WithoutError, evaluate, evaluate_under_error,
        evaluate_without_error,
    },
    model::{ImportOptions, Model, ModelMetadata, read_model, write_model},
    photonic::{ChipModel, Sampling, TileChoice},
    run_folder::RunFolder,
    sweep::{CellResult, Draws, Percent, PlannedCell, SweepConfig, SweepPlan},
};

/// The plan of `sweep` over the configuration `table`, read from `path`.
///
/// # Errors
/// A cell whose configuration is refused.
pub fn plan_sweep(table: &toml::Table, sweep: SweepConfig, path: &Path) -> Result<SweepPlan, Error> {
    let checked = |table: &toml::Table| {
        let config = resolve(table.clone(), path)?;
        toml::Table::try_from(&config).map_err(|error| ConfigError::Key {
            path: path.to_owned(),
            key: "the resolved configuration".to_owned(),
            reason: error.to_string(),
        })
    };
    Ok(SweepPlan::new(table, sweep, &checked)?)
}

/// Runs cells, and keeps what several of them share.
pub struct SweepRunner {
    path: PathBuf,
    folder: RunFolder,
    created: String,
    /// The task and its digitally trained network, by base key.
    base: Option<(String, Shared)>,
}

/// What cells on one base share.
struct Shared {
    task: Task,
    model: Arc<Model>,
    /// Its accuracy in full precision.
    digital: Option<f64>,
    /// Trained networks, by training key.
    trained: HashMap<String, FinetuneOutcome>,
    /// What networks are worth without errors, by training key and chip.
    without_error: HashMap<String, WithoutError>,
}

impl Shared {
    fn new(task: Task, model: Arc<Model>) -> Self {
        Self { task, model, digital: None, trained: HashMap::new(), without_error: HashMap::new() }
    }
}

impl SweepRunner {
    /// For the sweep configured in `path`, with its results in `folder`.
    ///
    /// # Errors
    /// A folder that cannot be made.
    pub fn new(path: &Path, folder: &Path, created: &str) -> Result<Self, Error> {
        Ok(Self {
            path: path.to_owned(),
            folder: RunFolder::create(folder)?,
            created: created.to_owned(),
            base: None,
        })
    }

    /// Runs one cell.
    ///
    /// # Errors
    /// Training that diverges, files that cannot be read, or an interruption.
    pub fn run(&mut self, planned: &PlannedCell, observer: &mut dyn Observer) -> Result<CellResult, Error> {
        let started = Instant::now();
        let config = resolve(planned.config.clone(), &self.path)?;
        if self.base.as_ref().is_none_or(|(key, _)| *key != planned.base_key) {
            self.base = None;
            let shared = self.shared(&config, &planned.base_key, observer)?;
            self.base = Some((planned.base_key.clone(), shared));
        }
        let Some((_, shared)) = &mut self.base else { return Err(Error::Interrupted) };
        let mut context =
            Context { config: &config, folder: &mut self.folder, created: self.created.clone(), observer };
        // Fine-tuning may augment otherwise than the cell before.
        let task = shared.task.with_augment(config.finetune.augment);
        let base = Base::laid_out(&shared.model, config.mapping)?;
        let trained_for = chip(&config, planned.train_sigma.unwrap_or(Percent(0.0)))?;
        let training = planned.training_key.clone().unwrap_or_default();
        let outcome = match shared.trained.get(&training).filter(|_| !training.is_empty()) {
            Some(outcome) => outcome.clone(),
            None => {
                let outcome = adapt(&mut context, &task, &base, &trained_for, None)?;
                if !training.is_empty() {
                    shared.trained.insert(training.clone(), outcome.clone());
                }
                outcome
            }
        };
        let (model, adapters) = match &outcome.adapters {
            Some(adapters) => (&base.model, AdapterUse::Parallel(adapters)),
            None => (&outcome.merged, AdapterUse::None),
        };
        let subject = Subject {
            model: Arc::clone(model),
            adapters,
            ranges: outcome.ranges.clone(),
            input_scales: base.input_scales.clone(),
        };
        let trial =
            Trial { data: task.test(), pipeline: &task.pipeline, batch_size: config.evaluation.batch_size };
        let on = ChipModel { sampling: Sampling::PerExecution, ..chip(&config, planned.cell.sigma)? };
        let seed = context.seed(Purpose::Evaluate);
        // The same for every σ of a network that was not trained for one.
        let quiet = format!("{training} {:?}", ChipModel { error: None, ..on.clone() });
        let without = match shared.without_error.get(&quiet) {
            Some(without) => *without,
            None => {
                let without = evaluate_without_error(&subject, trial, &on, &mut *context.observer)?;
                *shared.without_error.entry(quiet).or_insert(without)
            }
        };
        let counts = [planned.draws, planned.chips];
        let [fresh, frozen] =
            evaluate_under_error(&subject, trial, &on, counts, seed, &mut *context.observer)?;
        let quantised = without.quantised.fraction();
        let digital = match shared.digital {
            Some(digital) => digital,
            None => {
                let base = Subject::new(Arc::clone(&shared.model), AdapterUse::None);
                *shared.digital.insert(evaluate(&base, trial, None, seed)?.fraction())
            }
        };
        // Without an error every draw is the quantised network.
        let fresh = fresh.map_or(vec![quantised], |fresh| fresh.values);
        let fresh = Draws::of(&fresh).unwrap_or(Draws {
            mean: quantised,
            p5: quantised,
            min: quantised,
            max: quantised,
            n: 1,
        });
        Ok(CellResult {
            digital,
            adapted: without.digital.fraction(),
            quantised,
            trainable: outcome.trainable as u64,
            total: outcome.total as u64,
            seconds: started.elapsed().as_secs_f64(),
            losses: outcome.losses,
            fresh,
            frozen: frozen.and_then(|frozen| Draws::of(&frozen.values)),
        })
    }

    /// Task and trained network, from the folder where an earlier run left it.
    fn shared(
        &mut self,
        config: &Config,
        base_key: &str,
        observer: &mut dyn Observer,
    ) -> Result<Shared, Error> {
        let path = self.folder.root().join("bases").join(format!("{base_key}.safetensors"));
        let created = self.created.clone();
        let mut context = Context { config, folder: &mut self.folder, created: created.clone(), observer };
        let task = Task::load(&mut context)?;
        if path.exists() {
            let model = read_model(&path, &ImportOptions::default())?.model;
            return Ok(Shared::new(task, Arc::new(model)));
        }
        let model = task.trained(&mut context)?;
        // A network that was brought as it is needs no copy.
        if !Arc::ptr_eq(&model, &task.model) {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)
                    .map_err(|source| Error::OutputFolder { path: folder.to_owned(), source })?;
            }
            let provenance = Provenance {
                tool: concat!("alora ", env!("CARGO_PKG_VERSION")).to_owned(),
                processor: None,
                kind: None,
                simulated: true,
                created,
                seed: config.seed,
            };
            write_model(&model, &path, &ModelMetadata::base(provenance))?;
        }
        Ok(Shared::new(task, model))
    }
}

/// The chip of `config` with a Gaussian error of `sigma`.
fn chip(config: &Config, sigma: Percent) -> Result<ChipModel, Error> {
    let tile = match config.mapping.tile {
        TileChoice::Layer => None,
        TileChoice::Processor => Some(tile_of(&nominal(config)?)?),
    };
    let sigma = sigma.fraction();
    Ok(ChipModel {
        tile,
        mapping: config.mapping,
        precision: Some(config.precision),
        error: (sigma > 0.0).then_some(ErrorLaw::Gaussian { sigma }),
        reference: config.error_model.reference,
        sampling: config.finetune.sampling,
    })
}
