//! The loop: calibrate → measure → fit → fine-tune → write back → verify on the processor.

use alora_calibration::{Event, FitReport};

use super::{
    AccuracyReport, Context, DeploymentReport, ProcessorReport, RunReport, accuracy_figure,
    calibrate_and_measure, deploy, fit_record, load_data, train, train::tile_of,
};
use crate::{
    config::{AdapterMode, Config},
    deploy::vanished_deltas,
    error::Error,
    model::{AdapterSet, Mlp},
};

/// Runs the whole loop of the configuration; the report's `files` and `seconds` are the caller's to fill.
///
/// What a stage has written stays, also when a later stage fails. The processor is parked at the end and on any error.
///
/// # Errors
/// The first error of any stage.
pub async fn run(context: &mut Context<'_>) -> Result<RunReport, Error> {
    let data = load_data(context.config)?;
    let labels = data.train.labels.iter().chain(&data.test.labels);
    let classes = labels.max().map_or(0, |&label| usize::from(label) + 1);
    refuse_unfit_weights(context.config, data.train.images.ncols(), classes)?;

    let mut measured = calibrate_and_measure(context).await?;
    let fitted = fit_record(context, &measured.record)?;
    let sigma = fitted.report.sigma;
    context.observer.on(Event::Note(format!("σ = {:.3} % of full scale", 100.0 * sigma.rms)));
    note_what_stands_out(context, &fitted.report);

    let descriptor = measured.processor.descriptor().clone();
    let trained = train(context, &data, &fitted.model, &descriptor)?;

    let processor = &mut measured.processor;
    let before = deploy(
        context,
        processor,
        &trained.base,
        None,
        &data.test,
        "deployment-ptq",
        "as trained, on the processor",
    )
    .await?;
    context.go_on()?;
    let digital = digital_adapters(context.config, trained.outcome.adapters.as_ref());
    let written: &Mlp = if digital.is_some() { &trained.base } else { &trained.outcome.merged };
    let after =
        deploy(context, processor, written, digital, &data.test, "deployment", "adapted, on the processor")
            .await?;

    accuracy_figure(context, &data, &trained, &fitted.model, &descriptor)?;

    let config = context.config;
    let deltas = digital.is_none().then(|| {
        let scaling = config.mapping.scaling;
        tile_of(&descriptor)
            .map(|tile| vanished_deltas(&trained.base, written, scaling, tile, config.precision))
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
            images: data.test.len(),
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

/// Weights that do not fit the images are refused before a device is opened.
fn refuse_unfit_weights(config: &Config, pixels: usize, classes: usize) -> Result<(), Error> {
    let Some(path) = &config.model.weights else { return Ok(()) };
    let (base, _) = Mlp::read(path)?;
    let inputs = base.layers().first().map_or(0, |layer| layer.weight.ncols());
    let outputs = base.layers().last().map_or(0, |layer| layer.weight.nrows());
    if inputs == pixels && outputs >= classes {
        return Ok(());
    }
    let reason = format!(
        "the network takes {inputs} inputs and has {outputs} outputs, the images have {pixels} pixels and {classes} \
         classes; bring weights for these images"
    );
    Err(Error::Input { path: path.clone(), reason })
}
