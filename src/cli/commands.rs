//! What each subcommand does: resolve its arguments, call a stage, show the result.

mod characterize;
mod devices;
mod dry_run;
mod emulate;
mod log;
mod safe;
mod show;
mod soak;
mod status;
mod supervise;
mod sweep;
mod watch;

use std::path::{Path, PathBuf};

use alora_calibration::{Calibration, ErrorModel, Observer, Provenance, read_pairs};
use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::args::{Command, Deploy, Finetune, Fit, Output, Stage, Verify};
use crate::{
    config::{self, AdapterMode, Config},
    deploy::{self, DeployError, DeploymentRecord},
    error::Error,
    model::{Mlp, read_adapters},
    run_folder::{Manifest, RunFolder},
    stage::{self, Context, StageReport},
};

const TOOL: &str = concat!("alora ", env!("CARGO_PKG_VERSION"));

pub(super) async fn execute(command: Command, observer: &mut dyn Observer) -> Result<(), Error> {
    match command {
        Command::Run(stage) => run(&stage, observer).await,
        Command::Calibrate(stage) => calibrate(&stage, observer).await,
        Command::Characterize(arguments) => characterize::characterize(&arguments, observer).await,
        Command::Watch(arguments) => watch::watch(&arguments, observer).await,
        Command::Fit(arguments) => match (&arguments.from, &arguments.file) {
            (Some(run), _) => characterize::again(run, &arguments.output, observer).await,
            (None, file) => fit(&arguments, file.as_deref().unwrap_or(Path::new("record.toml"))),
        },
        Command::Finetune(arguments) => finetune(&arguments, observer),
        Command::Sweep(arguments) => sweep::sweep(&arguments, observer),
        Command::Deploy(arguments) => deploy_weights(&arguments, observer).await,
        Command::Verify(arguments) => verify(&arguments, observer).await,
        Command::Emulate(arguments) => emulate::emulate(&arguments).await,
        Command::Soak(arguments) => soak::soak(&arguments, observer).await,
        Command::Safe(arguments) => safe::safe(&arguments).await,
        Command::Supervise(arguments) => supervise::supervise(&arguments).await,
        Command::Status(arguments) => status::status(&arguments).await,
        Command::Log(arguments) => log::log(&arguments),
        Command::Devices(arguments) => devices::devices(&arguments),
        Command::Doctor(arguments) => devices::doctor(&arguments).await,
        Command::Validate(arguments) => show::validate(&arguments, observer).await,
    }
}

/// A configuration with its folder, ready for a stage.
struct Prepared {
    config: Config,
    folder: RunFolder,
    created: String,
}

impl Prepared {
    fn new(stage: &Stage) -> Result<Self, Error> {
        let config = Self::config(stage)?;
        Self::open(stage, config)
    }

    fn config(stage: &Stage) -> Result<Config, Error> {
        let mut config = config::load(&stage.config, &stage.overrides.set)?;
        if let Some(seed) = stage.seed {
            config.seed = seed;
        }
        Ok(config)
    }

    /// Makes the folder: to be called once everything that was given has been read and fits.
    fn open(stage: &Stage, config: Config) -> Result<Self, Error> {
        let created = now();
        let mut folder = RunFolder::create(&folder_for(&stage.output, &stage.config, &created))?;
        let command = std::env::args().collect();
        folder.begin(&config, &Manifest::of(&config, command, &created))?;
        Ok(Self { config, folder, created })
    }

    fn context<'a>(&'a mut self, observer: &'a mut dyn Observer) -> Context<'a> {
        Context { config: &self.config, folder: &mut self.folder, created: self.created.clone(), observer }
    }
}

async fn run(arguments: &Stage, observer: &mut dyn Observer) -> Result<(), Error> {
    let started = std::time::Instant::now();
    let mut prepared = Prepared::new(arguments)?;
    let mut report = stage::run(&mut prepared.context(observer)).await?;
    report.seconds = started.elapsed().as_secs_f64();
    let path = prepared.folder.file("report", "run.json");
    report.files = prepared.folder.files().clone();
    let text = json(&report, &path)?;
    alora_calibration::write_atomically(&path, |writer| std::io::Write::write_all(writer, text.as_bytes()))?;
    show::run(&report, prepared.folder.root(), arguments.output.json.then_some(text.as_str()))?;
    let deployment = &report.deployment;
    within_specification(
        deployment.tiles,
        deployment.verified,
        deployment.worst_residual,
        prepared.config.deployment.residual_limit,
    )
}

/// Everything is written and shown by now; a script must still not take unverified weights for good ones.
fn within_specification(tiles: usize, verified: usize, worst: f64, limit: f64) -> Result<(), Error> {
    if verified == tiles {
        return Ok(());
    }
    Err(Error::OutOfSpec(format!(
        "{} of {tiles} tiles are out of specification: the largest residual is {:.2} % of full scale, the limit is \
         {:.2} %; all files were written. Look at fit.toml for stuck elements, calibrate again, then deploy again",
        tiles - verified,
        100.0 * worst,
        100.0 * limit
    )))
}

async fn calibrate(arguments: &Stage, observer: &mut dyn Observer) -> Result<(), Error> {
    let mut prepared = Prepared::new(arguments)?;
    let measured = stage::calibrate_and_measure(&mut prepared.context(observer)).await?;
    show::calibration(&measured, &prepared.folder, arguments.output.json)
}

fn fit(arguments: &Fit, file: &Path) -> Result<(), Error> {
    let created = now();
    let (pairs, provenance) = read_pairs(file)?;
    let provenance = provenance.unwrap_or_else(|| Provenance {
        tool: TOOL.to_owned(),
        processor: None,
        kind: None,
        simulated: false,
        created: created.clone(),
        seed: 0,
    });
    let mut folder = RunFolder::create(&folder_for(&arguments.output, file, &created))?;
    let fitted = stage::fit_pairs(&pairs, provenance, arguments.law, &mut folder)?;
    show::fit(&fitted, &folder, arguments.output.json)
}

fn finetune(arguments: &Finetune, observer: &mut dyn Observer) -> Result<(), Error> {
    let config = Prepared::config(&arguments.stage)?;
    if arguments.dry_run {
        return show::parameters(&config, arguments.stage.output.json);
    }
    let model = match &arguments.error_model {
        Some(path) => ErrorModel::read(path)?,
        None if config.error_model.assumed_sigma > 0.0 => {
            stage::assumed_error(config.error_model.assumed_sigma, &now(), config.seed)
        }
        None if !config.finetune.techniques.nat => stage::assumed_error(0.0, &now(), config.seed),
        None => {
            let reason = "there is no error model to train against; give --error-model, or set \
                          `error_model.assumed_sigma` (0.012 is the paper's incoherent processor)";
            return Err(Error::Input { path: arguments.stage.config.clone(), reason: reason.to_owned() });
        }
    };
    let (descriptor, simulated) = (stage::nominal(&config)?, model.provenance.simulated);
    let chip = stage::chip_model(&config, stage::tile_of(&descriptor)?, &model)?;
    let mut prepared = Prepared::open(&arguments.stage, config)?;
    let mut context = prepared.context(observer);
    let task = stage::Task::load(&mut context)?;
    let trained = stage::train(&mut context, &task, &chip, &model)?;
    let evaluations = if arguments.no_evaluation {
        None
    } else {
        Some(stage::evaluate_trained(&mut context, &task, &trained, &chip)?)
    };
    show::training(&trained, evaluations.as_ref(), simulated, &prepared.folder, arguments.stage.output.json)
}

async fn deploy_weights(arguments: &Deploy, observer: &mut dyn Observer) -> Result<(), Error> {
    let config = Prepared::config(&arguments.stage)?;
    let data = stage::load_data(&config)?;
    let (base, adapters) = match &arguments.adapters {
        Some(path) => {
            let (base, _) = Mlp::read_base(&arguments.weights)?;
            let model = stage::perceptron_on(&base, &data.test, &arguments.weights)?;
            let adapters = read_adapters(path, model.architecture())?;
            (base, Some((adapters, model)))
        }
        None => (Mlp::read(&arguments.weights)?.0, None),
    };
    let merging = config.deployment.adapters == AdapterMode::Merged;
    let (model, digital) = match adapters {
        Some((adapters, model)) if merging => (adapters.merged(&model)?.to_mlp().unwrap_or(base), None),
        other => (base, other.map(|(adapters, _)| adapters)),
    };
    if arguments.dry_run {
        let calibration = Calibration::read(&arguments.calibration)?;
        let plan = stage::dry_run(&config, &calibration, &model, digital.as_ref())?;
        return dry_run::show(&plan, arguments.stage.output.json);
    }
    let mut processor = stage::processor_from(&config, &arguments.calibration).await?;
    let pipeline = stage::perceptron_pipeline(&config, &data.test)?;
    let mut prepared = Prepared::open(&arguments.stage, config)?;
    let mut context = prepared.context(observer);
    let deployed = stage::deploy(
        &mut context,
        &mut processor,
        &model,
        digital.as_ref(),
        (&data.test, &pipeline),
        "deployment",
        "on the processor",
    )
    .await?;
    show::deployment(&deployed, data.test.len(), &prepared.folder, arguments.stage.output.json)?;
    let record = &deployed.record;
    within_specification(record.tiles(), record.verified(), record.worst_residual(), record.limits.residual)
}

async fn verify(arguments: &Verify, observer: &mut dyn Observer) -> Result<(), Error> {
    let config = config::load(&arguments.config, &arguments.overrides.set)?;
    let (record, layers) = DeploymentRecord::read(&arguments.deployment)?;
    if arguments.dry_run {
        let calibration = Calibration::read(&arguments.calibration)?;
        let tiles = layers.iter().flat_map(|layer| {
            layer.targets.outer_iter().map(|target| (layer.name.as_str(), target.to_owned()))
        });
        let plan = stage::dry_run_of_tiles(&config, &calibration, tiles)?;
        return dry_run::show(&plan, arguments.json);
    }
    let mut processor = stage::processor_from(&config, &arguments.calibration).await?;
    let descriptor = processor.descriptor().clone();
    if (record.tile_rows, record.tile_cols) != (descriptor.outputs, descriptor.inputs) {
        return Err(Error::Deploy(DeployError::TileShape {
            path: arguments.deployment.clone(),
            found_rows: record.tile_rows,
            found_cols: record.tile_cols,
            rows: descriptor.outputs,
            cols: descriptor.inputs,
        }));
    }
    let outcome = deploy::verify(&mut processor, &layers, record.limits, observer).await;
    processor.park().await?;
    let outcome = outcome.map_err(|error| match error {
        DeployError::Interrupted => Error::Interrupted,
        other => other.into(),
    })?;
    show::verification(&outcome, &record, descriptor.simulated, arguments.json)?;
    if outcome.verified < outcome.tiles {
        return Err(Error::OutOfSpec(format!(
            "{} of {} tiles are out of specification: the largest residual is {:.2} % of full scale at {}, the limit \
             is {:.2} %; calibrate again, then deploy again",
            outcome.tiles - outcome.verified,
            outcome.tiles,
            100.0 * outcome.worst_residual,
            outcome.worst_at,
            100.0 * record.limits.residual
        )));
    }
    Ok(())
}

fn now() -> String {
    OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default()
}

/// The folder asked for, or `runs/NAME-TIME`: a run never overwrites another by default.
fn folder_for(output: &Output, source: &Path, created: &str) -> PathBuf {
    output.out.clone().unwrap_or_else(|| {
        let name = source.file_stem().unwrap_or_default().to_string_lossy();
        let time: String = created.chars().take(19).filter(|c| c.is_ascii_alphanumeric()).collect();
        PathBuf::from("runs").join(format!("{name}-{time}"))
    })
}

fn json(value: &impl Serialize, path: &Path) -> Result<String, Error> {
    serde_json::to_string_pretty(value)
        .map_err(|error| Error::Input { path: path.to_owned(), reason: error.to_string() })
}

fn stage_report<T: Serialize>(simulated: bool, result: T, folder: &RunFolder) -> Result<String, Error> {
    json(&StageReport { tool: TOOL, simulated, result, files: folder.files().clone() }, folder.root())
}
