//! `alora watch`.

use alora_calibration::{Calibration, Observer};

use super::{super::args::Watch, Prepared, stage_report};
use crate::{
    cli::table::{Sheet, line, percent},
    error::Error,
    run_folder::RunFolder,
    stage::{self, Ended, WatchReport},
};

pub(super) async fn watch(arguments: &Watch, observer: &mut dyn Observer) -> Result<(), Error> {
    let config = Prepared::config(&arguments.stage)?;
    let calibration = Calibration::read(&arguments.calibration)?;
    let matrix = arguments.matrix.as_deref().map(stage::read_matrix).transpose()?;
    let mut prepared = Prepared::open(&arguments.stage, config)?;
    let report =
        stage::watch(&mut prepared.context(observer), &calibration, matrix, arguments.seconds).await?;
    show(&report, &prepared.folder, arguments.stage.output.json)?;
    match report.ended {
        Ended::TimeOver => Ok(()),
        Ended::Stopped => Err(Error::Interrupted),
        Ended::Due => Err(Error::OutOfSpec(due(&report))),
    }
}

fn due(report: &WatchReport) -> String {
    let check = &report.last;
    let row = if check.worst_share > 0.7 {
        format!("; {:.0} % of it in row {}: look at its detector", 100.0 * check.worst_share, check.worst_row)
    } else {
        String::new()
    };
    format!(
        "a recalibration is due after {:.0} s: σ is {}, and {} is to be reckoned with at the next check, the budget is {}{row}. \
         Characterise or calibrate again, then go on watching with the new calibration.toml",
        check.at_s,
        percent(check.sigma, 3),
        percent(check.foreseen, 3),
        percent(report.plan.budget, 3)
    )
}

fn show(report: &WatchReport, folder: &RunFolder, json: bool) -> Result<(), Error> {
    if json {
        return line(&stage_report(report.simulated, report, folder)?);
    }
    let origin = if report.simulated { "SIMULATED processor" } else { "processor" };
    let ended = match report.ended {
        Ended::TimeOver => "good",
        Ended::Stopped => "stopped by the operator",
        Ended::Due => "RECALIBRATION IS DUE",
    };
    let sigma = |value: f64| percent(value, 3) + " of " + stage::FULL_SCALE;
    let mut sheet = Sheet::new(format!("{origin} {}: {ended}", report.processor));
    sheet
        .row("σ when programmed", sigma(report.sigma_at_first))
        .row("σ now", sigma(report.last.sigma))
        .row("σ, largest", sigma(report.largest_sigma))
        .row("budget", sigma(report.plan.budget))
        .row("common gain, corrected", format!("{:.4}", report.last.gain))
        .row("checks", format!("{} in {:.0} s", report.checks, report.last.at_s));
    for (name, path) in folder.files() {
        sheet.row(name, path.display().to_string());
    }
    sheet.print()
}
