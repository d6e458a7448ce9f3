//! Pre-training, fine-tuning against an error model, and what it is worth in simulation.

use std::{path::Path, sync::Arc, time::Instant};

use alora_calibration::{ErrorLaw, ErrorModel, Event, Provenance, SigmaReference};
use alora_drivers::Descriptor;

use super::{
    Context, ParameterReport, Purpose,
    fit::subject,
    task::{Base, Task},
};
use crate::{
    config::Config,
    dataset::Resample,
    error::Error,
    figures::{Convergence, LossCurve, SeriesStyle, draw_convergence},
    finetune::{
        AdapterUse, Evaluation, FinetuneOutcome, Job, Subject, Trial, evaluate, evaluate_all, finetune,
        full_scale_law, reestimate_norms,
    },
    model::{
        Architecture, Model, ModelMetadata, PeftOptions, Preprocessor, write_hf, write_model, write_peft,
    },
    network::ConverterRanges,
    photonic::{ChipModel, Sampling, TileChoice, TileShape},
};

/// A base network and its adaptation.
pub struct Trained {
    /// The network before, with channels evened out.
    pub base: Base,
    /// Adapters and merged weights.
    pub outcome: FinetuneOutcome,
    /// Share of test images that the base classifies right in f32.
    pub digital: f64,
    /// Size of the network and of what was trained.
    pub parameters: ParameterReport,
    /// Seconds that fine-tuning took.
    pub seconds: f64,
}

impl Trained {
    /// The base alone: post-training quantisation.
    #[must_use]
    pub fn before(&self) -> Subject<'_> {
        Subject {
            model: Arc::clone(&self.base.model),
            adapters: AdapterUse::None,
            ranges: self.outcome.ranges.clone(),
            input_scales: self.base.input_scales.clone(),
        }
    }

    /// As trained: adapters beside the processor, or the trained base.
    #[must_use]
    pub fn after(&self) -> Subject<'_> {
        let (model, adapters) = match &self.outcome.adapters {
            Some(adapters) => (&self.base.model, AdapterUse::Parallel(adapters)),
            None => (&self.outcome.merged, AdapterUse::None),
        };
        Subject {
            model: Arc::clone(model),
            adapters,
            ranges: self.outcome.ranges.clone(),
            input_scales: self.base.input_scales.clone(),
        }
    }
}

/// The chip that `config` simulates, with tiles of `processor`'s shape and the law of `error`.
///
/// # Errors
/// A law with another reference than full scale.
pub fn chip_model(config: &Config, tile: TileShape, error: &ErrorModel) -> Result<ChipModel, Error> {
    Ok(ChipModel {
        tile: (config.mapping.tile == TileChoice::Processor).then_some(tile),
        mapping: config.mapping,
        precision: Some(config.precision),
        error: Some(full_scale_law(error)?),
        reference: config.error_model.reference,
        sampling: config.finetune.sampling,
    })
}

/// A Gaussian error model that was not measured: `error_model.assumed_sigma`.
#[must_use]
pub fn assumed_error(sigma: f64, created: &str, seed: u64) -> ErrorModel {
    ErrorModel {
        schema: ErrorModel::SCHEMA.to_owned(),
        reference: SigmaReference::FullScale,
        sigma,
        provenance: Provenance {
            tool: concat!("alora ", env!("CARGO_PKG_VERSION")).to_owned(),
            processor: None,
            kind: None,
            simulated: true,
            created: created.to_owned(),
            seed,
        },
        law: ErrorLaw::Gaussian { sigma },
    }
}

/// Fine-tunes `base` on the training images of `task` for `chip`.
///
/// # Errors
/// Training that diverges, or an interruption.
pub fn adapt(
    context: &mut Context<'_>,
    task: &Task,
    base: &Base,
    chip: &ChipModel,
    checkpoint: Option<&Path>,
) -> Result<FinetuneOutcome, Error> {
    let config = &context.config.finetune;
    if !config.techniques.train() {
        return Ok(FinetuneOutcome {
            adapters: None,
            merged: Arc::clone(&base.model),
            ranges: static_ranges(task, base, chip)?,
            losses: vec![],
            held_out: vec![],
            trainable: 0,
            total: base.model.architecture().parameters(),
        });
    }
    let job = Job {
        model: Arc::clone(&base.model),
        adapters: task.adapters.as_ref(),
        data: &task.data.train,
        pipeline: &task.pipeline,
        chip,
        input_scales: base.input_scales.clone(),
        config,
        seed: context.seed(Purpose::Finetune),
        checkpoint,
    };
    Ok(finetune(&job, &mut *context.observer)?)
}

fn static_ranges(task: &Task, base: &Base, chip: &ChipModel) -> Result<ConverterRanges, Error> {
    let (data, pipeline) = (&task.data.train, &task.pipeline);
    Ok(crate::finetune::static_ranges(&base.model, chip, &base.input_scales, data, pipeline)?)
}

/// Pre-trains the network of `task` where that is needed and fine-tunes it against `error` for `chip`.
///
/// Writes `base`, `merged` and the adapters (in our own form, and as folders of transformers and peft for a vision transformer),
/// and `convergence.png`.
///
/// # Errors
/// Training that diverges, an interruption, or a folder that cannot be written.
pub fn train(
    context: &mut Context<'_>,
    task: &Task,
    chip: &ChipModel,
    error: &ErrorModel,
) -> Result<Trained, Error> {
    let base = task.base(context)?;
    let digital =
        evaluate(&Subject::new(Arc::clone(&base.model), AdapterUse::None), trial(context, task), None, 0)?;
    let fraction = digital.fraction();
    let note = format!("digital accuracy {:.2} % on {} test images", 100.0 * fraction, digital.n);
    context.observer.on(Event::Note(note));
    context.go_on()?;
    let provenance = Provenance {
        created: context.created.clone(),
        seed: context.config.seed,
        ..error.provenance.clone()
    };
    write_network(context, "base", &base.model, &provenance, (false, preprocessor(task)))?;
    let checkpoint = context.folder.file("checkpoint", "checkpoint.safetensors");
    let started = Instant::now();
    let mut outcome = adapt(context, task, &base, chip, Some(&checkpoint))?;
    let seconds = started.elapsed().as_secs_f64();
    let parameters = ParameterReport {
        total: outcome.total,
        trainable: outcome.trainable,
        share: outcome.trainable as f64 / outcome.total.max(1) as f64,
    };
    let mut base = base;
    if context.config.finetune.norm_batches > 0 {
        reestimate(context, task, &mut base, &mut outcome, chip)?;
    }
    let trained = Trained { base, outcome, digital: fraction, parameters, seconds };
    write_outcome(context, task, &trained, &provenance)?;
    draw_losses(context, &provenance, &trained.outcome)?;
    context.go_on()?;
    Ok(trained)
}

/// Estimates the statistics of batch norms again on the chip, of base and merged network alike.
fn reestimate(
    context: &mut Context<'_>,
    task: &Task,
    base: &mut Base,
    outcome: &mut FinetuneOutcome,
    chip: &ChipModel,
) -> Result<(), Error> {
    let batches = context.config.finetune.norm_batches;
    let seed = context.seed(Purpose::Evaluate);
    let trial = Trial {
        data: &task.data.train,
        pipeline: &task.pipeline,
        batch_size: context.config.evaluation.batch_size,
    };
    let subject = |model: &Arc<Model>, adapters| Subject {
        model: Arc::clone(model),
        adapters,
        ranges: outcome.ranges.clone(),
        input_scales: base.input_scales.clone(),
    };
    let adapters = outcome.adapters.as_ref().map_or(AdapterUse::None, AdapterUse::Parallel);
    let again = reestimate_norms(&subject(&base.model, adapters), trial, Some(chip), batches, seed)?;
    let merged =
        reestimate_norms(&subject(&outcome.merged, AdapterUse::None), trial, Some(chip), batches, seed)?;
    base.model = Arc::new(again);
    outcome.merged = Arc::new(merged);
    Ok(())
}

fn trial<'a>(context: &Context<'_>, task: &'a Task) -> Trial<'a> {
    Trial {
        data: &task.data.test,
        pipeline: &task.pipeline,
        batch_size: context.config.evaluation.batch_size,
    }
}

/// What base and adapted network are worth on `chip`, in simulation.
///
/// # Errors
/// An error law that cannot be sampled, or an interruption.
pub fn evaluate_trained(
    context: &mut Context<'_>,
    task: &Task,
    trained: &Trained,
    chip: &ChipModel,
) -> Result<[Evaluation; 2], Error> {
    let section = context.config.evaluation;
    let seed = context.seed(Purpose::Evaluate);
    let trial = trial(context, task);
    let chip = ChipModel { sampling: Sampling::PerExecution, ..chip.clone() };
    let mut run = |subject: &Subject<'_>| {
        evaluate_all(subject, trial, &chip, section.draws, section.chips, seed, &mut *context.observer)
    };
    Ok([run(&trained.before())?, run(&trained.after())?])
}

/// `NAME.safetensors`, and for a vision transformer the folder `NAME` that transformers reads.
fn write_network(
    context: &mut Context<'_>,
    name: &str,
    model: &Model,
    provenance: &Provenance,
    (merged, preprocessor): (bool, Option<Preprocessor>),
) -> Result<(), Error> {
    let metadata = ModelMetadata { merged, preprocessor, ..ModelMetadata::base(provenance.clone()) };
    if let Some(mlp) = model.to_mlp() {
        // The form that deployment reads.
        let path = context.folder.file(name, &format!("{name}.safetensors"));
        return Ok(if merged { mlp.write_merged(&path, provenance) } else { mlp.write(&path, provenance) }?);
    }
    if matches!(model.architecture(), Architecture::Vit(_)) {
        let folder = context.folder.file(&format!("{name}_hf"), name);
        return Ok(write_hf(model, &folder, &metadata)?);
    }
    let path = context.folder.file(name, &format!("{name}.safetensors"));
    Ok(write_model(model, &path, &metadata)?)
}

/// How the pipeline of `task` makes inputs, in transformers' words.
fn preprocessor(task: &Task) -> Option<Preprocessor> {
    let made = task.pipeline.preprocess();
    Some(Preprocessor {
        size: [made.shape.height, made.shape.width],
        resample: match made.resample {
            Resample::Nearest => 0,
            Resample::Bilinear => 2,
            Resample::Bicubic => 3,
        },
        do_rescale: true,
        rescale_factor: made.rescale,
        do_normalize: true,
        mean: made.mean.clone(),
        std: made.std.clone(),
    })
}

fn write_outcome(
    context: &mut Context<'_>,
    task: &Task,
    trained: &Trained,
    provenance: &Provenance,
) -> Result<(), Error> {
    let outcome = &trained.outcome;
    let about = (outcome.adapters.is_some(), preprocessor(task));
    write_network(context, "merged", &outcome.merged, provenance, about)?;
    let Some(adapters) = &outcome.adapters else { return Ok(()) };
    adapters.write(&context.folder.file("adapters", "adapters.safetensors"), provenance)?;
    if matches!(trained.base.model.architecture(), Architecture::Vit(_)) {
        let folder = context.folder.file("peft", "peft");
        let base = context.folder.root().join("base").display().to_string();
        let options = PeftOptions { base: Some(base), ..PeftOptions::default() };
        write_peft(adapters, trained.base.model.architecture(), &folder, &options)?;
    }
    Ok(())
}

/// Shape of the processor as a tile.
///
/// # Errors
/// A processor without inputs or outputs.
pub fn tile_of(descriptor: &Descriptor) -> Result<TileShape, Error> {
    TileShape::new(descriptor.outputs, descriptor.inputs)
        .map_err(|error| Error::Input { path: descriptor.id.to_string().into(), reason: error.to_string() })
}

fn draw_losses(
    context: &mut Context<'_>,
    provenance: &Provenance,
    outcome: &FinetuneOutcome,
) -> Result<(), Error> {
    if outcome.losses.is_empty() {
        return Ok(());
    }
    let curve = |name: &str, losses: &[f64], index| LossCurve {
        name: name.to_owned(),
        losses: losses.to_vec(),
        style: SeriesStyle::nth(index),
    };
    let mut curves = vec![curve("fine-tuning", &outcome.losses, 0)];
    if !outcome.held_out.is_empty() {
        curves.push(curve("images kept aside", &outcome.held_out, 1));
    }
    let data = Convergence { subject: subject(provenance), loss: "cross-entropy".to_owned(), curves };
    draw_convergence(&context.folder.file("figure_convergence", "convergence.png"), &data)?;
    Ok(())
}
