//! `alora characterize`.

use std::path::{Path, PathBuf};

use alora_calibration::{Event, Observer};
use serde::Serialize;

use super::{
    super::args::{Characterize, Output},
    folder_for, json, now,
};
use crate::{
    certificate::validity,
    cli::table::{Sheet, line, percent},
    config::{self, Config},
    error::Error,
    run_folder::{Manifest, RunFolder},
    stage::{self, ChipReport, Context, Readings},
};

/// One chip's end.
#[derive(Serialize)]
struct Chip {
    config: String,
    preset: String,
    chip_seed: u64,
    folder: PathBuf,
    compute_seconds: f64,
    #[serde(flatten)]
    report: ChipReport,
}

pub(super) async fn characterize(arguments: &Characterize, observer: &mut dyn Observer) -> Result<(), Error> {
    let created = now();
    let configs: Vec<(PathBuf, Config)> = arguments
        .configs
        .iter()
        .map(|path| Ok((path.clone(), config::load(path, &arguments.overrides.set)?)))
        .collect::<Result<_, Error>>()?;
    let root = match &arguments.resume {
        Some(folder) => folder.clone(),
        None => folder_for(&arguments.output, &arguments.configs[0], &created),
    };
    let many = configs.len() > 1 || arguments.chips > 1;
    let mut chips = Vec::new();
    for (path, config) in &configs {
        for offset in 0..arguments.chips {
            let mut config = config.clone();
            config.processor.chip_seed += offset;
            let seed = config.processor.chip_seed;
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let folder = if many { root.join(format!("{name}-{seed:04}")) } else { root.clone() };
            if many {
                observer.on(Event::Note(format!("{name}, chip {seed}")));
            }
            let report = one(arguments, &folder, &config, &created, observer).await?;
            chips.push(Chip {
                config: name,
                preset: config.processor.preset.clone(),
                chip_seed: seed,
                folder,
                compute_seconds: report.compute_seconds,
                report,
            });
        }
    }
    let failed = chips.iter().filter(|chip| !chip.report.passed).count();
    if arguments.output.json {
        line(&text(&chips, &root)?)?;
    } else {
        show(&chips)?;
    }
    if failed > 0 {
        return Err(Error::OutOfSpec(format!(
            "{failed} of {} chips are beyond the limits of `characterize.limits`; everything was written, see chip.toml of each",
            chips.len()
        )));
    }
    Ok(())
}

/// Derives everything again from the raw readings of `run`; nothing is measured.
pub(super) async fn again(run: &Path, output: &Output, observer: &mut dyn Observer) -> Result<(), Error> {
    let config = config::load(&run.join("config.toml"), &[])?;
    let manifest: Manifest = alora_calibration::read_toml(&run.join("manifest.toml"), Manifest::SCHEMA)?;
    let root = folder_for(output, run, &now());
    let mut folder = RunFolder::create(&root)?;
    let created = manifest.created;
    let mut context = Context { config: &config, folder: &mut folder, created, observer };
    let report = stage::characterize(&mut context, Readings::Replay(run.to_owned())).await?;
    let chip = Chip {
        config: run.display().to_string(),
        preset: config.processor.preset.clone(),
        chip_seed: config.processor.chip_seed,
        folder: root.clone(),
        compute_seconds: report.compute_seconds,
        report,
    };
    if output.json { line(&text(&[chip], &root)?) } else { show(&[chip]) }
}

fn text(chips: &[Chip], path: &Path) -> Result<String, Error> {
    #[derive(Serialize)]
    struct All<'a> {
        reference: &'static str,
        chips: &'a [Chip],
    }
    json(&All { reference: stage::FULL_SCALE, chips }, path)
}

async fn one(
    arguments: &Characterize,
    root: &Path,
    config: &Config,
    created: &str,
    observer: &mut dyn Observer,
) -> Result<ChipReport, Error> {
    let resumed = arguments.resume.is_some() && root.join("journal.toml").exists();
    let mut folder = RunFolder::create(root)?;
    // A run that goes on keeps its time: its files follow from configuration and readings.
    let created = if resumed {
        let manifest: Manifest = alora_calibration::read_toml(&root.join("manifest.toml"), Manifest::SCHEMA)?;
        manifest.created
    } else {
        folder.begin(config, &Manifest::of(config, std::env::args().collect(), created))?;
        created.to_owned()
    };
    let mut context = Context { config, folder: &mut folder, created, observer };
    stage::characterize(&mut context, if resumed { Readings::Resume } else { Readings::New }).await
}

fn show(chips: &[Chip]) -> Result<(), Error> {
    for chip in chips {
        let report = &chip.report;
        let origin = if report.simulated { "SIMULATED processor" } else { "processor" };
        let mut sheet = Sheet::new(format!(
            "{origin} {} ({} × {}, {} bit): {}",
            report.processor,
            report.rows,
            report.cols,
            report.actuator_bits,
            if report.passed { "passed" } else { "FAILED" }
        ));
        let sigma = |value: f64| percent(value, 3) + " of " + stage::FULL_SCALE;
        sheet
            .row("σ, open loop", sigma(report.holdout.open_loop))
            .row("σ, verified", sigma(report.holdout.verified))
            .row("floor predicted", sigma(report.holdout.predicted_floor));
        if let Some(drift) = &report.drift {
            sheet.row("valid until", validity(drift));
        }
        if let Some(coverage) = report.coverage {
            sheet.row("true values within their 95 % intervals", percent(coverage, 1));
        }
        let defects = &report.defects;
        let made = match (defects.injected, defects.false_alarms) {
            (Some(injected), Some(wrong)) => format!(" of {injected}, {wrong} false"),
            _ => String::new(),
        };
        sheet
            .row("defects found", format!("{}{made}, {} elements", defects.found, defects.elements))
            .row(
                "measured",
                format!(
                    "{} vectors in {:.2} s of bench time (hold-out: {} more)",
                    report.measurements, report.bench_seconds, report.holdout_measurements
                ),
            )
            .row("computed", format!("{:.1} s", report.compute_seconds))
            .row("results", chip.folder.display().to_string());
        sheet.print()?;
    }
    Ok(())
}
