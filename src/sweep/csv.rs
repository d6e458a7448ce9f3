//! The tidy table of a sweep: one row a finished cell.

use std::{io, path::Path};

use alora_calibration::{StoreError, write_atomically};

use super::{
    plan::{PlannedCell, SweepPlan},
    result::{Draws, Outcome},
    store::SweepStore,
};

/// Columns of `sweep.csv`. Accuracies are fractions; what does not apply is empty.
///
/// * `model`, `task`, `method` (`ptq`, `qat`, `qat+lora`, `alora`), `bits`, `sigma_percent` (of full scale, in evaluation),
///   `train_sigma_percent` (in training), `seed`: the cell.
/// * `status`: `done` or `failed`; `failure`: why.
/// * `digital`: the base in full precision; `adapted`: the network after training in full precision; `quantised`: it through the
///   converters at σ = 0.
/// * `fresh_…`: over draws with errors drawn anew for each execution: mean, 5th percentile, least, greatest, number.
/// * `frozen_…`: the same over chips with frozen errors.
/// * `trainable`, `total`: parameters; `seconds`: wall time; `key`: name of what decided the result.
pub const HEADER: [&str; 26] = [
    "model",
    "task",
    "method",
    "bits",
    "sigma_percent",
    "train_sigma_percent",
    "seed",
    "status",
    "digital",
    "adapted",
    "quantised",
    "fresh_mean",
    "fresh_p5",
    "fresh_min",
    "fresh_max",
    "fresh_draws",
    "frozen_mean",
    "frozen_p5",
    "frozen_min",
    "frozen_max",
    "frozen_chips",
    "trainable",
    "total",
    "seconds",
    "key",
    "failure",
];

/// Writes the finished cells of `plan`, in its order, with the columns of [`HEADER`].
///
/// # Errors
/// A file that cannot be written.
pub fn write_csv(path: &Path, plan: &SweepPlan, store: &SweepStore) -> Result<(), StoreError> {
    write_atomically(path, |file| {
        let mut table = csv::Writer::from_writer(file);
        table.write_record(HEADER).map_err(io::Error::from)?;
        for planned in plan.cells() {
            if let Some(record) = store.record(planned) {
                table.write_record(row(planned, &record.outcome)).map_err(io::Error::from)?;
            }
        }
        table.flush()
    })
}

fn row(planned: &PlannedCell, outcome: &Outcome) -> Vec<String> {
    let cell = &planned.cell;
    let mut row = vec![
        cell.model.clone(),
        cell.task.clone(),
        cell.method.id().to_owned(),
        cell.bits.to_string(),
        cell.sigma.to_string(),
        planned.train_sigma.map_or_else(String::new, |sigma| sigma.to_string()),
        cell.seed.to_string(),
    ];
    let failure = match outcome {
        Outcome::Done { result } => {
            row.push("done".to_owned());
            row.extend([result.digital, result.adapted, result.quantised].map(|value| value.to_string()));
            row.extend(draws(Some(result.fresh)));
            row.extend(draws(result.frozen));
            row.extend([result.trainable.to_string(), result.total.to_string(), result.seconds.to_string()]);
            String::new()
        }
        Outcome::Failed { reason } => {
            row.push("failed".to_owned());
            row.resize(HEADER.len() - 2, String::new());
            reason.clone()
        }
    };
    row.extend([planned.key.clone(), failure]);
    row
}

fn draws(draws: Option<Draws>) -> [String; 5] {
    draws.map_or_else(Default::default, |Draws { mean, p5, min, max, n }| {
        [mean.to_string(), p5.to_string(), min.to_string(), max.to_string(), n.to_string()]
    })
}
