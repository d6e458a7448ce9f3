//! A chip about which nothing is known: characterise, judge on hold-out matrices, certify.

use std::{collections::BTreeMap, io::Write as _, path::PathBuf, time::Instant};

use alora_calibration::{
    Calibration, Event, Learned, Provenance, StoreError,
    characterise::{Bench, HoldOut, Journal, ReadingStudy, Source, characterise, hold_out, study_reading},
    drift::{DriftRecord, observe_drift},
    fit,
};
use alora_drivers::{BackendErrorKind, DataSheet, PhotonicBackend, ProcessorId, ProcessorKind};
use serde::{Deserialize, Serialize};

use super::{Context, connect, fit_pairs};
use crate::{
    certificate::{Certificate, Evidence, page},
    config::Config,
    error::Error,
    examine::{DefectCount, Examination, examine},
};

/// What the operator is told when something ended a command early.
pub(super) const PARKED: &str = "the processor is parked: every actuator is at 0";

/// Where readings come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readings {
    /// A new journal in the run's folder.
    New,
    /// The journal in the run's folder, and the processor for what it lacks.
    Resume,
    /// The journal in another run's folder alone: nothing is measured.
    Replay(PathBuf),
}

/// Defects: found, and for a simulated chip also what it was made with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DefectReport {
    /// Elements that were made stuck or weak; absent for a real chip.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub injected: Option<usize>,
    /// Defects that are defects; for a real chip all that were found.
    pub found: usize,
    /// Sound elements called defective; absent for a real chip.
    #[serde(rename = "false", skip_serializing_if = "Option::is_none")]
    pub false_alarms: Option<usize>,
    /// Elements of the chip.
    pub elements: usize,
}

/// What is said of one chip.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChipReport {
    /// [`ChipReport::SCHEMA`].
    pub schema: String,
    /// True when no physical processor stands behind the numbers.
    pub simulated: bool,
    /// Serial number.
    pub processor: ProcessorId,
    /// Family.
    pub kind: ProcessorKind,
    /// Outputs.
    pub rows: usize,
    /// Inputs.
    pub cols: usize,
    /// Bits of the actuator DAC.
    pub actuator_bits: u8,
    /// True when every limit is kept.
    pub passed: bool,
    /// Noise of the readings, the basis that it asks for, superposition.
    pub reading: ReadingStudy,
    /// σ of the programming error on hold-out matrices, fractions of max|target|.
    pub holdout: HoldOut,
    /// Share of true parameters within their stated 95 % intervals; simulated chips only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coverage: Option<f64>,
    /// Coverage by kind; simulated chips only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub examination: Option<Examination>,
    /// Drift of one matrix held; absent where it was not observed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift: Option<DriftRecord>,
    /// Defects.
    pub defects: DefectReport,
    /// Input vectors of the characterisation.
    pub measurements: u64,
    /// Input vectors of the hold-out matrices and their closed loops.
    pub holdout_measurements: u64,
    /// Time of the characterisation by the processor's clock.
    pub bench_seconds: f64,
    /// Time that the characterisation took to compute (a simulated chip's own time included); not in files, which follow from the
    /// readings alone.
    #[serde(skip)]
    pub compute_seconds: f64,
}

impl ChipReport {
    /// Version of the file format.
    pub const SCHEMA: &'static str = "alora.chip/1";
}

/// Characterises the processor of the configuration and judges it on hold-out matrices. Writes the journal, `calibration.toml`
/// and `chip.toml`. The processor is parked after, also when this fails.
///
/// # Errors
/// A processor that cannot be characterised, the operator's wish to stop, or a folder that cannot be written.
pub async fn characterize(context: &mut Context<'_>, readings: Readings) -> Result<ChipReport, Error> {
    let (mut backend, sheet) = connect(context.config).await?;
    let root = context.folder.root().to_owned();
    let mut journal = match &readings {
        Readings::New => Journal::create(&root, backend.descriptor().clone())?,
        Readings::Resume => Journal::open(&root)?,
        Readings::Replay(from) => Journal::open(from)?,
    };
    let outcome = {
        let source = match &readings {
            Readings::Replay(_) => Source::Replay,
            Readings::New | Readings::Resume => Source::Live(&mut *backend),
        };
        learn(context, source, &mut journal, &sheet).await
    };
    if !matches!(readings, Readings::Replay(_)) {
        park(&mut *backend, &outcome).await?;
        if outcome.is_err() {
            context.observer.on(Event::Note(PARKED.to_owned()));
        }
    }
    let (calibration, report) = outcome?;
    calibration.write(&context.folder.file("calibration", "calibration.toml"))?;
    alora_calibration::write_toml(&context.folder.file("report", "chip.toml"), &report)?;
    certify(context, &calibration, &report, journal.hashes().clone())?;
    Ok(report)
}

/// Statistics and figures of the hold-out matrices, and the certificate of them.
fn certify(
    context: &mut Context<'_>,
    calibration: &Calibration,
    report: &ChipReport,
    raw: BTreeMap<String, String>,
) -> Result<(), Error> {
    let law = context.config.error_model.law;
    let provenance = calibration.provenance.clone();
    let verified = fit(&report.holdout.pairs(|readings| &readings.verified)?, provenance.clone());
    let pairs = report.holdout.pairs(|readings| &readings.open)?;
    let open_loop = fit_pairs(&pairs, provenance, law, context.folder)?.report;
    let certificate = Certificate::of(Evidence {
        calibration,
        reading: report.reading.clone(),
        holdout: &report.holdout,
        drift: report.drift.clone(),
        open_loop,
        verified,
        limits: context.config.characterize.limits,
        bench_seconds: report.bench_seconds,
        examination: report.examination.clone(),
        raw,
    });
    alora_calibration::write_toml(&context.folder.file("certificate", "certificate.toml"), &certificate)?;
    let mut figures = Vec::new();
    for (key, caption) in [
        ("figure_histogram", "Residuals of the hold-out matrices, open loop"),
        ("figure_map", "Mean residual of each cell, open loop"),
        ("figure_target_measured", "Target and measured, open loop"),
    ] {
        if let Some(path) = context.folder.files().get(key) {
            let png =
                std::fs::read(path).map_err(|source| StoreError::Read { path: path.clone(), source })?;
            figures.push((caption, png));
        }
    }
    let page = page(&certificate, &figures);
    let path = context.folder.file("certificate_page", "certificate.html");
    Ok(alora_calibration::write_atomically(&path, |writer| writer.write_all(page.as_bytes()))?)
}

/// A failure to park is told only when nothing else failed before.
pub(super) async fn park<T>(
    backend: &mut dyn PhotonicBackend,
    outcome: &Result<T, Error>,
) -> Result<(), Error> {
    match backend.park().await {
        Err(error) if outcome.is_ok() || !matches!(error.kind, BackendErrorKind::Disconnected) => {
            if outcome.is_ok() { Err(error.into()) } else { Ok(()) }
        }
        _ => Ok(()),
    }
}

async fn learn<'b>(
    context: &'b mut Context<'_>,
    source: Source<'b>,
    journal: &'b mut Journal,
    sheet: &DataSheet,
) -> Result<(Calibration, ChipReport), Error> {
    let plan = context.config.characterize;
    let provenance = Provenance::of(journal.descriptor(), context.created.clone(), plan.coherent.seed);
    let started = Instant::now();
    let config = context.config;
    let mut bench = Bench::new(source, journal, &mut *context.observer)?;
    bench.limit(Some(plan.most_vectors).filter(|&most| most > 0));
    let calibration = characterise(&mut bench, sheet, &plan.plan(), provenance).await?;
    let compute_seconds = started.elapsed().as_secs_f64();
    let (measurements, bench_seconds) = (bench.vectors(), bench.bench_time().as_secs_f64());
    bench.limit(None);
    let encoding = calibration.encoding();
    let reading = study_reading(&mut bench, &*encoding, &plan.reading).await?;
    let readout = reading.readout();
    let holdout = hold_out(&mut bench, &*encoding, &plan.holdout, &plan.verify, readout).await?;
    let holdout_measurements = bench.vectors() - measurements;
    let drift =
        observe_drift(&mut bench, &*encoding, &plan.drift, readout, holdout.verified, plan.limits.verified)
            .await?;
    let descriptor = bench.descriptor().clone();
    let examination = simulated_truth(config, &calibration);
    let found = defects_found(&calibration);
    let defects = match &examination {
        Some(Examination { defects: DefectCount { injected, found, false_alarms, elements }, .. }) => {
            DefectReport {
                injected: Some(*injected),
                found: *found,
                false_alarms: Some(*false_alarms),
                elements: *elements,
            }
        }
        None => DefectReport { injected: None, found, false_alarms: None, elements: descriptor.limits.len() },
    };
    let limits = plan.limits;
    let report = ChipReport {
        schema: ChipReport::SCHEMA.to_owned(),
        simulated: descriptor.simulated,
        processor: descriptor.id.clone(),
        kind: descriptor.kind,
        rows: descriptor.outputs,
        cols: descriptor.inputs,
        actuator_bits: descriptor.bits.actuator,
        passed: holdout.open_loop <= limits.open_loop && holdout.verified <= limits.verified,
        coverage: examination.as_ref().map(|examination| examination.coverage),
        examination,
        reading,
        holdout,
        drift,
        defects,
        measurements,
        holdout_measurements,
        bench_seconds,
        compute_seconds,
    };
    Ok((calibration, report))
}

fn simulated_truth(config: &Config, calibration: &Calibration) -> Option<Examination> {
    let spec = config.processor.spec().ok()?;
    examine(calibration, &spec, config.processor.chip_seed)
}

fn defects_found(calibration: &Calibration) -> usize {
    match &calibration.learned {
        Learned::CharacterisedCoherent(found) => found.defects.len(),
        Learned::CharacterisedIncoherent(found) => found.defects.len(),
        Learned::Incoherent(found) => found.defects.len(),
        Learned::Coherent(found) => found.defects.len(),
    }
}
