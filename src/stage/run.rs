//! The loop: calibrate → measure → fit → fine-tune → write back → verify on the processor.

use alora_calibration::{Event, FitReport};

use super::{
    AccuracyReport, Context, DeploymentReport, ProcessorReport, RunReport, Task, accuracy_figure,
    calibrate_and_measure, chip_model, deploy, fit_record, train, train::tile_of,
};
use crate::{
    config::{AdapterMode, Config},
    deploy::vanished_deltas,
    error::Error,
    model::{AdapterSet, Mlp, Model},
    photonic::{Equalise, Mapping},
};

/// Runs the whole loop of the configuration; the report's `files` and `seconds` are the caller's to fill.
///
/// What a stage has written stays, also when a later stage fails. The processor is parked at the end and on any error.
///
/// # Errors
/// The first error of any stage.
pub async fn run(context: &mut Context<'_>) -> Result<RunReport, Error> {
    refuse_what_no_processor_runs(context.config)?;
    let task = Task::load(context)?;
    refuse_other_families(&task)?;

    let mut measured = calibrate_and_measure(context).await?;
    let fitted = fit_record(context, &measured.record)?;
    let sigma = fitted.report.sigma;
    context.observer.on(Event::Note(format!("σ = {:.3} % of full scale", 100.0 * sigma.rms)));
    note_what_stands_out(context, &fitted.report);

    let descriptor = measured.processor.descriptor().clone();
    let chip = chip_model(context.config, tile_of(&descriptor)?, &fitted.model)?;
    let trained = train(context, &task, &chip, &fitted.model)?;
    let base = perceptron(&trained.base.model)?;
    let merged = perceptron(&trained.outcome.merged)?;

    let processor = &mut measured.processor;
    let images = (task.test(), &task.pipeline);
    let before =
        deploy(context, processor, &base, None, images, "deployment-ptq", "as trained, on the processor")
            .await?;
    context.go_on()?;
    let digital = digital_adapters(context.config, trained.outcome.adapters.as_ref());
    let written: &Mlp = if digital.is_some() { &base } else { &merged };
    let after =
        deploy(context, processor, written, digital, images, "deployment", "adapted, on the processor")
            .await?;

    accuracy_figure(context, &task, &trained, &fitted.model, &descriptor)?;

    let config = context.config;
    let deltas = digital.is_none().then(|| {
        let scaling = config.mapping.scaling;
        tile_of(&descriptor)
            .map(|tile| vanished_deltas(&base, written, scaling, tile, config.precision))
            .unwrap_or_default()
    });
    Ok(RunReport {
        schema: RunReport::SCHEMA,
        tool: concat!("alora ", env!("CARGO_PKG_VERSION")),
        created: context.created.clone(),
        simulated: descriptor.simulated,
        seed: config.seed,
        processor: ProcessorReport::of(&descriptor),
        sigma,
        method: config.finetune.techniques.name(),
        accuracy: AccuracyReport {
            digital: trained.digital,
            ptq_on_chip: before.accuracy,
            alora_on_chip: after.accuracy,
            images: task.test().len(),
        },
        parameters: trained.parameters,
        deployment: DeploymentReport::of(&after, deltas),
        files: std::collections::BTreeMap::new(),
        seconds: 0.0,
    })
}

/// σ from which on an operator should look at the chip before trusting it, full scale = 1: four times the paper's.
const LARGE_SIGMA: f64 = 0.05;

/// What an operator should look at before going on.
fn note_what_stands_out(context: &mut Context<'_>, report: &FitReport) {
    if report.sigma.rms > LARGE_SIGMA {
        let text = "σ is large: look at residual-map.png for a row, a column or an element that went wrong, and calibrate again";
        context.observer.on(Event::Note(text.to_owned()));
    }
    for cell in report.defects.stuck.iter().flatten() {
        context
            .observer
            .on(Event::Note(format!("the weight at {cell} does not respond; it is left out of σ")));
    }
}

/// The adapters, where the configuration keeps them beside the processor.
fn digital_adapters<'a>(config: &Config, adapters: Option<&'a AdapterSet>) -> Option<&'a AdapterSet> {
    match config.deployment.adapters {
        AdapterMode::Digital => adapters,
        AdapterMode::Merged => None,
    }
}

/// What the processor does not do yet is refused before a device is opened.
fn refuse_what_no_processor_runs(config: &Config) -> Result<(), Error> {
    let mapping = config.mapping;
    let plain = Mapping { scaling: mapping.scaling, equalise: mapping.equalise, ..Mapping::default() };
    if mapping == plain && mapping.equalise != Equalise::All {
        return Ok(());
    }
    let reason = "the processor itself runs the scales `matrix`, `tile` and `row` with dynamic ranges, and folded \
                  equalisation; clipping, other ranges, tiles as large as a layer and digital factors on inputs are for \
                  `alora finetune` and `alora sweep`";
    Err(Error::Input { path: "mapping".into(), reason: reason.to_owned() })
}

/// The processor runs perceptrons; other families are simulated.
fn refuse_other_families(task: &Task) -> Result<(), Error> {
    perceptron(&task.model).map(|_| ())
}

fn perceptron(model: &Model) -> Result<Mlp, Error> {
    model.to_mlp().ok_or_else(|| Error::Input {
        path: "model".into(),
        reason: format!(
            "this is {}; the whole loop runs multi-layer perceptrons on the processor: use `alora finetune` for others",
            model.architecture().what()
        ),
    })
}
