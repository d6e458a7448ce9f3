//! From a configuration to its cells, each with all that it runs under.

use toml::{Table, Value};

use super::{
    SweepError,
    cell::{Cell, Method, Percent},
    config::{SweepConfig, TrainSigma, Variant},
    key::{SHOWN_ONLY, deciding, deciding_base, key, merge},
};
use crate::config::ConfigError;

/// All cells of a sweep, those that share a base and a training next to each other.
///
/// Files that a configuration names count by their path: one that is replaced is not noticed.
#[derive(Clone, Debug)]
pub struct SweepPlan {
    config: SweepConfig,
    cells: Vec<PlannedCell>,
}

/// A cell and all that decides its result.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedCell {
    /// Which one.
    pub cell: Cell,
    /// Configuration of this cell, complete: the file's with what network and task set, and with `seed`, `precision` and
    /// `finetune.techniques` of the cell.
    pub config: Table,
    /// σ in the training forward pass; `None` when nothing is trained.
    pub train_sigma: Option<Percent>,
    /// Evaluations with fresh errors.
    pub draws: usize,
    /// Chips with frozen errors.
    pub chips: usize,
    /// Equal for cells whose digitally trained base is the same; fit for a file name.
    pub base_key: String,
    /// Equal for cells whose fine-tuning is the same, as for QAT at every σ; `None` when nothing is trained.
    pub training_key: Option<String>,
    /// Changes with everything that decides the result.
    pub key: String,
    /// Everything that decides the result, beside the cell itself.
    pub determined_by: Table,
}

impl SweepPlan {
    /// Plans every cell of `config` over `base`, the rest of the configuration file.
    ///
    /// `complete` checks the configuration of a cell and returns it with every default in place, so that a default that
    /// changes is seen as a change.
    ///
    /// # Errors
    /// A combination of network and task that `complete` refuses.
    pub fn new(
        base: &Table,
        config: SweepConfig,
        complete: &dyn Fn(&Table) -> Result<Table, ConfigError>,
    ) -> Result<Self, SweepError> {
        let mut cells = Vec::new();
        for (model, task) in pairs(&config) {
            let common = common(base, model, task);
            let refused = |source| {
                let (model, task) = (model.name.clone(), task.name.clone());
                SweepError::Combination { model, task, source: Box::new(source) }
            };
            for cell in cells_of(&config, model, task) {
                let resolved = complete(&resolved(&common, &cell)).map_err(refused)?;
                cells.push(PlannedCell::new(cell, resolved, &config));
            }
        }
        Ok(Self { config, cells })
    }

    /// What was asked.
    #[must_use]
    pub fn config(&self) -> &SweepConfig {
        &self.config
    }

    /// Cells in the order in which they run.
    #[must_use]
    pub fn cells(&self) -> &[PlannedCell] {
        &self.cells
    }
}

fn pairs(config: &SweepConfig) -> impl Iterator<Item = (&Variant, &Variant)> {
    config.models.iter().flat_map(|model| config.tasks.iter().map(move |task| (model, task)))
}

/// Cells of one network and task. A seed has one base, a method at some bits may have one training: σ runs fastest.
fn cells_of(config: &SweepConfig, model: &Variant, task: &Variant) -> Vec<Cell> {
    let mut cells = Vec::new();
    for &seed in &config.seeds {
        for &method in &config.methods {
            for &bits in &config.bits {
                cells.extend(config.sigma_percent.iter().map(|&sigma| {
                    let (model, task) = (model.name.clone(), task.name.clone());
                    Cell { model, task, bits, sigma, method, seed }
                }));
            }
        }
    }
    cells
}

/// The file's configuration for one network and task, without what no cell depends on.
fn common(base: &Table, model: &Variant, task: &Variant) -> Table {
    let mut table = base.clone();
    for section in SHOWN_ONLY {
        table.remove(section);
    }
    merge(&mut table, &model.set);
    merge(&mut table, &task.set);
    table
}

/// `common` with what the cell decides.
fn resolved(common: &Table, cell: &Cell) -> Table {
    let mut table = common.clone();
    let bits = Value::Integer(cell.bits.into());
    let precision = ["weight_bits", "input_bits", "output_bits"].map(|key| (key.to_owned(), bits.clone()));
    let method = cell.method;
    let techniques = [("qat", method.qat()), ("nat", method.nat()), ("lora", method.lora())];
    let techniques = techniques.map(|(key, on)| (key.to_owned(), Value::Boolean(on)));
    let finetune = [("techniques".to_owned(), Value::Table(Table::from_iter(techniques)))];
    let decided = [
        // Checked to fit: a seed is read from TOML.
        ("seed".to_owned(), Value::Integer(cell.seed as i64)),
        ("precision".to_owned(), Value::Table(Table::from_iter(precision))),
        ("finetune".to_owned(), Value::Table(Table::from_iter(finetune))),
    ];
    merge(&mut table, &Table::from_iter(decided));
    table
}

impl PlannedCell {
    fn new(cell: Cell, config: Table, sweep: &SweepConfig) -> Self {
        let train_sigma = match (cell.method, sweep.train_sigma) {
            (Method::Ptq, _) => None,
            (Method::Qat | Method::QatLora, _) => Some(Percent(0.0)),
            (Method::Alora, TrainSigma::Same) => Some(cell.sigma),
            (Method::Alora, TrainSigma::Fixed(sigma)) => Some(sigma),
        };
        let mut determined_by = deciding(&config, cell.method);
        let training_key = train_sigma.map(|sigma| {
            determined_by.insert("train_sigma_percent".to_owned(), Value::Float(sigma.0));
            key(&determined_by)
        });
        let counts = [("draws", sweep.draws), ("chips", sweep.chips)];
        let counts = counts.map(|(key, count)| (key.to_owned(), Value::Integer(count as i64)));
        let evaluation = ("evaluation".to_owned(), Value::Table(Table::from_iter(counts)));
        merge(&mut determined_by, &Table::from_iter([evaluation]));
        Self {
            base_key: key(&deciding_base(&config)),
            key: key_of(&cell, &determined_by),
            train_sigma,
            draws: sweep.draws,
            chips: sweep.chips,
            training_key,
            determined_by,
            cell,
            config,
        }
    }
}

/// Key of a cell and what decides it.
pub(super) fn key_of(cell: &Cell, determined_by: &Table) -> String {
    let Cell { model, task, bits, sigma, method, seed } = cell;
    let name = [model.as_str(), task, &bits.to_string(), &sigma.to_string(), method.id(), &seed.to_string()];
    let name = name.map(|part| Value::String(part.to_owned())).to_vec();
    let all = [
        ("cell".to_owned(), Value::Array(name)),
        ("determined_by".to_owned(), Value::Table(determined_by.clone())),
    ];
    key(&Table::from_iter(all))
}
