//! `alora sweep`.

use std::path::{Path, PathBuf};

use alora_calibration::Observer;
use serde::Serialize;

use super::{TOOL, json, now};
use crate::{
    cli::{
        args::Sweep,
        table::{Sheet, line},
    },
    config::load_table,
    error::Error,
    stage::{SweepRunner, plan_sweep},
    sweep::{self, SweepPlan, SweepReport, SweepStore, draw_sweep, run_sweep, write_document},
};

pub(super) fn sweep(arguments: &Sweep, observer: &mut dyn Observer) -> Result<(), Error> {
    let path = &arguments.config;
    let (table, sweep) = sweep::split(load_table(path, &arguments.overrides.set)?, path)?;
    let plan = plan_sweep(&table, sweep, path)?;
    let folder = arguments
        .out
        .clone()
        .unwrap_or_else(|| PathBuf::from("runs").join(path.file_stem().unwrap_or_default()));
    let mut runner = SweepRunner::new(path, &folder, &now())?;
    let mut store = SweepStore::open(&folder)?;
    let report = run_sweep(&plan, &mut store, arguments.retry_failed, observer, &mut |cell, observer| {
        runner.run(cell, observer)
    })?;
    let document = folder.join("sweep.md");
    write_document(&document, &plan, &store)?;
    let mut files = vec![folder.join("sweep.csv"), document];
    files.extend(draw_sweep(&plan, &store)?);
    show(&plan, &report, &folder, &files, arguments.json)
}

fn show(
    plan: &SweepPlan,
    report: &SweepReport,
    folder: &Path,
    files: &[PathBuf],
    as_json: bool,
) -> Result<(), Error> {
    #[derive(Serialize)]
    struct Found<'a> {
        tool: &'static str,
        simulated: bool,
        cells: usize,
        ran: usize,
        reused: usize,
        failed: Vec<String>,
        files: &'a [PathBuf],
    }
    let failed: Vec<String> =
        report.failed.iter().map(|failure| format!("{}: {}", failure.cell, failure.reason)).collect();
    if as_json {
        let (ran, reused) = (report.ran, report.reused);
        let found = Found { tool: TOOL, simulated: true, cells: report.total, ran, reused, failed, files };
        return line(&json(&found, folder)?);
    }
    let mut sheet = Sheet::new(format!("sweep of {} cells on a SIMULATED processor", plan.cells().len()));
    sheet
        .row("ran", report.ran.to_string())
        .row("already there", report.reused.to_string())
        .row("failed", report.failed.len().to_string());
    for failure in failed {
        sheet.row("", failure);
    }
    for file in files {
        sheet.row("", file.display().to_string());
    }
    sheet.print()
}
