//! Results on standard output: a table for people, or one JSON object.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use alora_calibration::{FitReport, Observer, Sigma};
use serde::Serialize;

use super::{super::args::Validate, stage_report};
use crate::{
    cli::table::{Sheet, line, percent, percent_or_dash},
    config::Config,
    deploy::{DeploymentRecord, VerificationOutcome},
    error::Error,
    finetune::Evaluation,
    model::{AdapterShape, Architecture, ParameterTable, Trained as TrainedPart},
    run_folder::RunFolder,
    stage::{self, Deployed, Fitted, Measured, ProcessorReport, RunReport, Trained},
    validate,
};

/// Said once at the head of every table.
fn origin(simulated: bool) -> &'static str {
    if simulated { "SIMULATED processor" } else { "processor" }
}

pub(super) fn run(report: &RunReport, folder: &Path, json: Option<&str>) -> Result<(), Error> {
    if let Some(text) = json {
        return line(text);
    }
    let processor = &report.processor;
    let mut sheet = Sheet::new(format!(
        "{} {} ({}, {} × {}, {} bit)",
        origin(report.simulated),
        processor.id,
        processor.kind,
        processor.outputs,
        processor.inputs,
        processor.bits.actuator
    ));
    sigma_rows(&mut sheet, &report.sigma);
    sheet.print()?;

    let accuracy = &report.accuracy;
    let points = |value: f64| format!("{:+.2} points", 100.0 * (value - accuracy.digital));
    let mut sheet = Sheet::new(format!("accuracy on {} test images", accuracy.images));
    sheet
        .columns("digital (f32)", &[percent(accuracy.digital, 2)])
        .columns("PTQ on the processor", &[percent(accuracy.ptq_on_chip, 2), points(accuracy.ptq_on_chip)])
        .columns(
            &format!("{} on the processor", report.method),
            &[percent(accuracy.alora_on_chip, 2), points(accuracy.alora_on_chip)],
        );
    sheet.print()?;

    let deployment = &report.deployment;
    let parameters = &report.parameters;
    let mut sheet = Sheet::new("adapted weights");
    sheet
        .row(
            "parameters trained",
            format!("{} of {} ({})", parameters.trainable, parameters.total, percent(parameters.share, 2)),
        )
        .row("tiles verified", format!("{} of {}", deployment.verified, deployment.tiles))
        .row("largest residual", percent(deployment.worst_residual, 2) + " of full scale")
        .row("saturated counts", format!("{} in {} products", deployment.saturated, deployment.vectors));
    if let Some(deltas) = deployment.deltas {
        sheet.row(
            "deltas below half an LSB",
            format!("{} of {} changed weights keep their code", deltas.vanished, deltas.changed),
        );
    }
    sheet.row("results", format!("{} ({:.0} s)", folder.display(), report.seconds));
    sheet.print()
}

fn sigma_rows(sheet: &mut Sheet, sigma: &Sigma) {
    let reference = format!("of {}", crate::stage::FULL_SCALE);
    sheet
        .row(
            "σ of the weight error (rms)",
            format!(
                "{} {reference}   95 % interval {} to {}   n = {}",
                percent(sigma.rms, 3),
                percent(sigma.ci95[0], 3),
                percent(sigma.ci95[1], 3),
                sigma.n
            ),
        )
        .row("  programming / read-out", {
            format!("{} / {}", percent_or_dash(sigma.programming, 3), percent_or_dash(sigma.readout, 3))
        })
        .row("  Gaussian, maximum likelihood", percent(sigma.gaussian_mle, 3))
        .row("  Gaussian, fit to the histogram", percent_or_dash(sigma.gaussian_histogram, 3))
        .row("  median absolute deviation", percent(sigma.mad, 3));
}

pub(super) fn calibration(measured: &Measured, folder: &RunFolder, json: bool) -> Result<(), Error> {
    #[derive(Serialize)]
    struct Found {
        processor: ProcessorReport,
        measurements: u64,
        programmings: usize,
        repeats: usize,
        saturated: usize,
    }
    let descriptor = measured.processor.descriptor();
    let found = Found {
        processor: ProcessorReport::of(descriptor),
        measurements: measured.calibration.measurements,
        programmings: measured.record.plan.programmings,
        repeats: measured.record.plan.repeats,
        saturated: measured.record.saturated(),
    };
    if json {
        return line(&stage_report(descriptor.simulated, found, folder)?);
    }
    let mut sheet =
        Sheet::new(format!("{} {} ({})", origin(descriptor.simulated), descriptor.id, descriptor.kind));
    sheet
        .row("input vectors to calibrate", found.measurements.to_string())
        .row("random matrices measured", format!("{} × {} reads", found.programmings, found.repeats))
        .row("saturated counts", found.saturated.to_string())
        .row("results", folder.root().display().to_string());
    sheet.print()
}

pub(super) fn fit(fitted: &Fitted, folder: &RunFolder, json: bool) -> Result<(), Error> {
    let simulated = fitted.report.provenance.simulated;
    if json {
        #[derive(Serialize)]
        struct Found<'a> {
            tool: &'static str,
            #[serde(flatten)]
            report: &'a FitReport,
            files: &'a BTreeMap<String, PathBuf>,
        }
        // The report says itself whether it is simulated: a key must not come twice.
        let found = Found { tool: super::TOOL, report: &fitted.report, files: folder.files() };
        return line(&super::json(&found, folder.root())?);
    }
    let of = fitted.report.provenance.processor.as_ref();
    let heading = of.map_or_else(|| "your pairs".to_owned(), |id| format!("{} {id}", origin(simulated)));
    let mut sheet = Sheet::new(heading);
    sigma_rows(&mut sheet, &fitted.report.sigma);
    fitted_rows(&mut sheet, fitted);
    sheet.row("results", folder.root().display().to_string());
    sheet.print()
}

/// What `alora finetune --dry-run` says: parameters by role.
pub(super) fn parameters(config: &Config, json: bool) -> Result<(), Error> {
    #[derive(Serialize)]
    struct Found {
        tool: &'static str,
        architecture: Architecture,
        method: String,
        parameters: ParameterTable,
    }
    let architecture = stage::planned_architecture(config)?;
    let finetune = &config.finetune;
    let adapters = AdapterShape { rank: finetune.adapter.rank, bias: finetune.adapter.bias, layers: None };
    let trained = if finetune.techniques.lora { TrainedPart::Adapters(adapters) } else { TrainedPart::Base };
    let parameters = ParameterTable::new(&architecture, &trained);
    let method = finetune.techniques.name();
    if json {
        let found = Found { tool: super::TOOL, architecture, method, parameters };
        return line(&super::json(&found, Path::new("the parameters"))?);
    }
    let mut sheet = Sheet::new(format!("{method} of {}", architecture.what()));
    for row in &parameters.rows {
        let name = row.role.map_or_else(|| "digital rest".to_owned(), |role| words(&format!("{role:?}")));
        let shape = row.shape.map_or_else(String::new, |[out, inputs]| format!("{out} × {inputs}"));
        sheet.row(
            format!("{name}, {} of {shape}", row.count).trim_end_matches(" of "),
            format!("{:>11} parameters, {:>9} trained", row.base, row.trainable),
        );
    }
    sheet
        .row("all", format!("{:>11} parameters, {:>9} trained", parameters.total, parameters.trainable))
        .row("share trained", percent(parameters.share, 2));
    sheet.print()
}

/// `AttentionOutput` as `attention output`.
fn words(name: &str) -> String {
    let mut text = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !text.is_empty() {
            text.push(' ');
        }
        text.extend(letter.to_lowercase());
    }
    text
}

pub(super) fn training(
    trained: &Trained,
    evaluations: Option<&[Evaluation; 2]>,
    simulated: bool,
    folder: &RunFolder,
    json: bool,
) -> Result<(), Error> {
    #[derive(Serialize)]
    struct Found<'a> {
        parameters: crate::stage::ParameterReport,
        digital: f64,
        losses: &'a [f64],
        held_out: &'a [f64],
        seconds: f64,
        before: Option<&'a Evaluation>,
        after: Option<&'a Evaluation>,
    }
    let found = Found {
        parameters: trained.parameters,
        digital: trained.digital,
        losses: &trained.outcome.losses,
        held_out: &trained.outcome.held_out,
        seconds: trained.seconds,
        before: evaluations.map(|pair| &pair[0]),
        after: evaluations.map(|pair| &pair[1]),
    };
    if json {
        return line(&stage_report(simulated, found, folder)?);
    }
    let mut sheet = Sheet::new(format!("fine-tuning against the error of a {}", origin(simulated)));
    let losses: Vec<String> = found.losses.iter().map(|loss| format!("{loss:.4}")).collect();
    sheet
        .row("digital accuracy before", percent(found.digital, 2))
        .row("parameters trained", {
            let parameters = found.parameters;
            format!("{} of {} ({})", parameters.trainable, parameters.total, percent(parameters.share, 2))
        })
        .row("loss, epoch by epoch", losses.join("  "));
    for (name, evaluation) in [("before (PTQ)", found.before), ("after", found.after)] {
        let Some(evaluation) = evaluation else { continue };
        sheet.row(&format!("{name}: digital, quantised"), {
            format!("{}  {}", percent(evaluation.digital, 2), percent(evaluation.quantised, 2))
        });
        if let Some(fresh) = &evaluation.fresh {
            let draws = fresh.values.len();
            sheet.row(&format!("{name}: fresh errors, {draws} draws"), percent(fresh.mean, 2));
        }
        if let Some(frozen) = &evaluation.frozen {
            let text = format!(
                "{}  5th percentile {}  worst {}",
                percent(frozen.mean, 2),
                percent(frozen.p5, 2),
                percent(frozen.min, 2)
            );
            sheet.row(&format!("{name}: {} frozen chips", frozen.values.len()), text);
        }
    }
    sheet.row("results", folder.root().display().to_string());
    sheet.print()
}

pub(super) fn deployment(
    deployed: &Deployed,
    images: usize,
    folder: &RunFolder,
    json: bool,
) -> Result<(), Error> {
    #[derive(Serialize)]
    struct Found<'a> {
        accuracy: f64,
        images: usize,
        tiles: usize,
        verified: usize,
        worst_residual: f64,
        layers: &'a [crate::deploy::LayerSummary],
    }
    let record = &deployed.record;
    let simulated = record.provenance.simulated;
    if json {
        let found = Found {
            accuracy: deployed.accuracy,
            images,
            tiles: record.tiles(),
            verified: record.verified(),
            worst_residual: record.worst_residual(),
            layers: &record.layers,
        };
        return line(&stage_report(simulated, found, folder)?);
    }
    let mut sheet = Sheet::new(format!("deployment on a {}", origin(simulated)));
    let text = |words: &str| words.to_owned();
    sheet
        .columns("layer", &[text("tiles"), text("verified"), text("rms residual"), text("largest residual")]);
    for layer in &record.layers {
        let figures = [
            layer.tiles.to_string(),
            layer.verified.to_string(),
            percent(layer.residual_rms, 2),
            percent(layer.worst_residual, 2),
        ];
        sheet.columns(&layer.name, &figures);
    }
    sheet.print()?;
    let mut sheet = Sheet::new(format!("{images} test images on the processor"));
    sheet.row("accuracy", percent(deployed.accuracy, 2)).row("results", folder.root().display().to_string());
    sheet.print()
}

pub(super) fn verification(
    outcome: &VerificationOutcome,
    record: &DeploymentRecord,
    simulated: bool,
    json: bool,
) -> Result<(), Error> {
    if json {
        #[derive(Serialize)]
        struct Found<'a> {
            simulated: bool,
            #[serde(flatten)]
            outcome: &'a VerificationOutcome,
        }
        let text = serde_json::to_string_pretty(&Found { simulated, outcome })
            .map_err(|error| Error::Input { path: "verification".into(), reason: error.to_string() })?;
        return line(&text);
    }
    let mut sheet = Sheet::new(format!("verification on a {}", origin(simulated)));
    sheet
        .row("tiles verified", format!("{} of {}", outcome.verified, outcome.tiles))
        .row("codes that differ from the deployment", format!("{} tiles", outcome.recoded))
        .row("rms residual", percent(outcome.residual_rms, 2) + " of full scale")
        .row("largest residual", format!("{} at {}", percent(outcome.worst_residual, 2), outcome.worst_at))
        .row("limit", percent(record.limits.residual, 2));
    sheet.print()
}

fn fitted_rows(sheet: &mut Sheet, fitted: &Fitted) {
    let report = &fitted.report;
    let [low, high] = report.mean.ci95;
    sheet.row(
        "mean residual",
        format!(
            "{}   95 % interval {} to {}",
            percent(report.mean.value, 3),
            percent(low, 3),
            percent(high, 3)
        ),
    );
    if let Some(test) = &report.normality.anderson_darling {
        sheet.row("normality (Anderson–Darling)", format!("p = {:.3}", test.p_value));
    }
    if let Some(kurtosis) = &report.normality.excess_kurtosis {
        sheet.row("excess kurtosis", format!("{:+.2}", kurtosis.value));
    }
    let stuck = report.defects.stuck.as_ref().map_or("–".to_owned(), |cells| cells.len().to_string());
    sheet.row("outliers / stuck elements", format!("{} / {stuck}", report.defects.outliers));
}

/// Computes every case; writes the page, or with `--check` only compares it with the stored one.
pub(super) async fn validate(arguments: &Validate, observer: &mut dyn Observer) -> Result<(), Error> {
    let sections = validate::run(observer).await?;
    let page = validate::document(&sections);
    let failed: Vec<String> = sections
        .iter()
        .flat_map(|section| &section.cases)
        .filter(|case| !case.passed())
        .map(|case| format!("«{}» measured {}, expected {}", case.claim, case.measured, case.expected))
        .collect();
    let count: usize = sections.iter().map(|section| section.cases.len()).sum();
    if arguments.check {
        let stored = std::fs::read_to_string(&arguments.out)
            .map_err(|error| Error::Input { path: arguments.out.clone(), reason: error.to_string() })?;
        if let Some(reason) = validate::out_of_date(&stored, &sections) {
            return Err(Error::OutOfSpec(format!(
                "{} is out of date: {reason}; run `alora validate` and look at what changed",
                arguments.out.display()
            )));
        }
    } else {
        alora_calibration::write_atomically(&arguments.out, |writer| {
            std::io::Write::write_all(writer, page.as_bytes())
        })?;
    }
    if !failed.is_empty() {
        let failed = failed.join("; ");
        return Err(Error::OutOfSpec(format!("{count} cases, failed: {failed}")));
    }
    line(&format!("{count} cases pass ({})", arguments.out.display()))
}
