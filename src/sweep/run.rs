//! Runs what a store does not hold.

use std::{collections::BTreeMap, error::Error as StdError, fmt};

use alora_calibration::{Event, Observer};

use super::{
    SweepError,
    cell::Cell,
    csv::write_csv,
    eta::{remaining_seconds, spoken},
    plan::{PlannedCell, SweepPlan},
    result::{CellResult, Outcome},
    store::SweepStore,
};

/// How a sweep ended.
#[derive(Clone, Debug, PartialEq)]
pub struct SweepReport {
    /// Cells of the plan.
    pub total: usize,
    /// Cells run now.
    pub ran: usize,
    /// Cells that were there already.
    pub reused: usize,
    /// Cells without a result, whether they failed now or earlier.
    pub failed: Vec<Failure>,
}

/// A cell without a result.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// Which one.
    pub cell: Cell,
    /// Why.
    pub reason: String,
}

/// Where a sweep stands after a cell; its text is the note that the observer gets.
#[derive(Clone, Debug, PartialEq)]
pub struct SweepProgress {
    /// Cells with a record.
    pub done: usize,
    /// Cells of the plan.
    pub total: usize,
    /// Seconds that the rest will take, judged by the cells that are done.
    pub remaining_seconds: Option<f64>,
    /// The cell that ended.
    pub cell: Cell,
    /// How it ended.
    pub outcome: Outcome,
}

impl fmt::Display for SweepProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} cells", self.done, self.total)?;
        match self.remaining_seconds {
            Some(seconds) if self.done < self.total => write!(f, ", about {} left", spoken(seconds))?,
            _ => {}
        }
        match &self.outcome {
            Outcome::Done { result } => {
                let (fresh, seconds) = (result.fresh.mean * 100.0, spoken(result.seconds));
                write!(f, ": {}: {fresh:.1} % in {seconds}", self.cell)
            }
            Outcome::Failed { reason } => write!(f, ": {} failed: {reason}", self.cell),
        }
    }
}

/// Runs every cell of `plan` that `store` does not hold, in order, and keeps each as soon as it ends; failed ones are run
/// again if `retry_failed`. After each cell `sweep.csv` is written anew and the observer gets a [`SweepProgress`] as note.
///
/// `run_cell` gets the observer for its own progress. An error of it is recorded as a failure of the cell and the sweep
/// goes on, unless the observer is interrupted: then the cell is not recorded. So is a result with impossible numbers.
///
/// # Errors
/// A file that cannot be written, or an interruption; the cells that ended are kept.
pub fn run_sweep<E: StdError>(
    plan: &SweepPlan,
    store: &mut SweepStore,
    retry_failed: bool,
    observer: &mut dyn Observer,
    run_cell: &mut dyn FnMut(&PlannedCell, &mut dyn Observer) -> Result<CellResult, E>,
) -> Result<SweepReport, SweepError> {
    let due = due(plan, store, retry_failed);
    announce(plan, store, &due, observer);
    let table = store.folder().join("sweep.csv");
    write_csv(&table, plan, store)?;
    for (index, planned) in due.iter().enumerate() {
        if observer.interrupted() {
            return Err(interrupted(plan, store));
        }
        let outcome = match run_cell(planned, observer) {
            Ok(result) => match result.impossible() {
                Some(reason) => Outcome::Failed { reason },
                None => Outcome::Done { result },
            },
            Err(_) if observer.interrupted() => return Err(interrupted(plan, store)),
            Err(error) => Outcome::Failed { reason: with_causes(&error) },
        };
        store.keep(planned, outcome.clone())?;
        write_csv(&table, plan, store)?;
        let open = &due[index + 1..];
        let progress = SweepProgress {
            done: plan.cells().len() - open.len(),
            total: plan.cells().len(),
            remaining_seconds: remaining_seconds(plan, store, open),
            cell: planned.cell.clone(),
            outcome,
        };
        observer.on(Event::Note(progress.to_string()));
    }
    let failed = failures(plan, store);
    list(&failed, plan.cells().len(), observer);
    Ok(SweepReport {
        total: plan.cells().len(),
        ran: due.len(),
        reused: plan.cells().len() - due.len(),
        failed,
    })
}

fn due<'a>(plan: &'a SweepPlan, store: &SweepStore, retry_failed: bool) -> Vec<&'a PlannedCell> {
    let is_due = |planned: &&PlannedCell| match store.record(planned) {
        None => true,
        Some(record) => retry_failed && record.outcome.result().is_none(),
    };
    plan.cells().iter().filter(is_due).collect()
}

fn recorded(plan: &SweepPlan, store: &SweepStore) -> usize {
    plan.cells().iter().filter(|planned| store.record(planned).is_some()).count()
}

fn interrupted(plan: &SweepPlan, store: &SweepStore) -> SweepError {
    SweepError::Interrupted { done: recorded(plan, store), total: plan.cells().len() }
}

/// How much is there already, and why cells that were run before are run again.
fn announce(plan: &SweepPlan, store: &SweepStore, due: &[&PlannedCell], observer: &mut dyn Observer) {
    let left = remaining_seconds(plan, store, due).filter(|_| !due.is_empty());
    let left = left.map_or_else(String::new, |seconds| format!(", about {}", spoken(seconds)));
    let (there, total, due) = (recorded(plan, store), plan.cells().len(), due.len());
    observer.on(Event::Note(format!("{there} of {total} cells are there; {due} to run{left}")));
    let mut stale: BTreeMap<String, usize> = BTreeMap::new();
    for planned in plan.cells().iter().filter(|planned| store.record(planned).is_none()) {
        if let Some(changes) = store.changes_since(planned) {
            *stale.entry(changes.join("; ")).or_default() += 1;
        }
    }
    for (changes, cells) in stale {
        observer.on(Event::Note(format!("{cells} of them were run under another configuration: {changes}")));
    }
}

fn failures(plan: &SweepPlan, store: &SweepStore) -> Vec<Failure> {
    let failure = |planned: &PlannedCell| match &store.record(planned)?.outcome {
        Outcome::Done { .. } => None,
        Outcome::Failed { reason } => Some(Failure { cell: planned.cell.clone(), reason: reason.clone() }),
    };
    plan.cells().iter().filter_map(failure).collect()
}

fn list(failed: &[Failure], total: usize, observer: &mut dyn Observer) {
    if failed.is_empty() {
        return;
    }
    let count = failed.len();
    observer
        .on(Event::Note(format!("{count} of {total} cells failed and are run again only when asked for:")));
    for Failure { cell, reason } in failed {
        observer.on(Event::Note(format!("  {cell}: {reason}")));
    }
}

/// The error and its causes in one line.
fn with_causes(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    text
}
