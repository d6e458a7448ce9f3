//! A calibrated processor under watch: a cheap check again and again, until a recalibration is due.

use std::{
    fs::{File, OpenOptions},
    io::Write as _,
    path::Path,
    time::Duration,
};

use alora_calibration::{
    Calibration, Event, Provenance, StoreError, WeightMatrix,
    characterise::{Bench, CharacteriseError, Journal, Source},
    monitor::{Check, Monitor, MonitorPlan},
};
use alora_drivers::{PhotonicBackend, ProcessorId};
use ndarray::Array2;
use serde::{Deserialize, Serialize};

use super::{
    Context,
    characterize::{PARKED, park},
    connect,
    fit::FULL_SCALE,
};
use crate::{
    error::Error,
    figures::{SigmaOverTime, Subject, WatchPoint, draw_sigma_over_time},
};

/// Why a watch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// The time asked for is over.
    TimeOver,
    /// A recalibration is due.
    Due,
    /// The operator stopped it.
    Stopped,
}

/// What a watch saw. σ in units of max|target|.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WatchReport {
    /// [`WatchReport::SCHEMA`].
    pub schema: String,
    /// True when no physical processor stands behind the numbers.
    pub simulated: bool,
    /// Serial number.
    pub processor: ProcessorId,
    /// How it was watched.
    pub plan: MonitorPlan,
    /// Why it ended.
    pub ended: Ended,
    /// σ of the matrix when it was programmed, the whole of it read.
    pub sigma_at_first: f64,
    /// Checks made.
    pub checks: usize,
    /// The last of them.
    pub last: Check,
    /// Largest σ of all checks.
    pub largest_sigma: f64,
}

impl WatchReport {
    /// Version of the file format.
    pub const SCHEMA: &'static str = "alora.watch/1";
}

/// Programs a matrix (`matrix`, or a random one) by `calibration` and checks it every `watch.every_s` for `seconds` (0: without
/// end), or until a recalibration is due. Writes each check to `watch.csv` at once, then `watch.toml`, `watch.png` and `calibration.toml`, in
/// which the common gain of the last check is corrected. The processor is parked after, also when this fails.
///
/// # Errors
/// A calibration of another processor, a matrix of another shape, a device error, or a folder that cannot be written.
pub async fn watch(
    context: &mut Context<'_>,
    calibration: &Calibration,
    matrix: Option<WeightMatrix>,
    seconds: f64,
) -> Result<WatchReport, Error> {
    let (mut backend, _) = connect(context.config).await?;
    if backend.descriptor().id != calibration.descriptor.id {
        return Err(CharacteriseError::OtherProcessor {
            journal: calibration.descriptor.id.clone(),
            connected: backend.descriptor().id.clone(),
        }
        .into());
    }
    let outcome = checks(context, &mut *backend, calibration, matrix, seconds).await;
    park(&mut *backend, &outcome).await?;
    if outcome.is_err() {
        context.observer.on(Event::Note(PARKED.to_owned()));
    }
    let (report, points) = outcome?;
    alora_calibration::write_toml(&context.folder.file("watch", "watch.toml"), &report)?;
    let figure = SigmaOverTime {
        subject: Subject { name: report.processor.to_string(), simulated: report.simulated },
        points,
        budget: report.plan.budget,
        reference: FULL_SCALE.to_owned(),
    };
    draw_sigma_over_time(&context.folder.file("figure", "watch.png"), &figure)?;
    let mut corrected = calibration.clone().with_light(report.last.gain);
    corrected.provenance = Provenance { created: context.created.clone(), ..corrected.provenance };
    corrected.write(&context.folder.file("calibration", "calibration.toml"))?;
    Ok(report)
}

async fn checks(
    context: &mut Context<'_>,
    backend: &mut dyn PhotonicBackend,
    calibration: &Calibration,
    matrix: Option<WeightMatrix>,
    seconds: f64,
) -> Result<(WatchReport, Vec<WatchPoint>), Error> {
    let plan = context.config.watch;
    let mut table = Table::create(&context.folder.file("checks", "watch.csv"))?;
    let descriptor = backend.descriptor().clone();
    let mut journal = Journal::create(context.folder.root(), descriptor.clone())?;
    let mut bench = Bench::new(Source::Live(backend), &mut journal, &mut *context.observer)?;
    let encoding = calibration.encoding();
    let verify = context.config.characterize.verify;
    let (mut monitor, first) = Monitor::begin(&mut bench, &*encoding, matrix, &plan, &verify).await?;
    let (mut last, mut points) = (first, vec![point(&first)]);
    table.add(&first)?;
    bench.tell(Event::Note(sentence(&first, &plan)));
    let ended = loop {
        if last.due {
            break Ended::Due;
        }
        if seconds > 0.0 && last.at_s + 0.5 * plan.every_s > seconds {
            break Ended::TimeOver;
        }
        match monitor.next(&mut bench).await {
            Ok(check) => last = check,
            Err(CharacteriseError::Interrupted { .. }) => break Ended::Stopped,
            Err(error) => return Err(error.into()),
        }
        points.push(point(&last));
        table.add(&last)?;
        bench.tell(Event::Note(sentence(&last, &plan)));
    };
    let report = WatchReport {
        schema: WatchReport::SCHEMA.to_owned(),
        simulated: descriptor.simulated,
        processor: descriptor.id,
        plan,
        ended,
        sigma_at_first: monitor.sigma(),
        checks: points.len(),
        last,
        largest_sigma: points.iter().map(|point| point.sigma).fold(0.0, f64::max),
    };
    Ok((report, points))
}

fn point(check: &Check) -> WatchPoint {
    WatchPoint { at_s: check.at_s, sigma: check.sigma, foreseen: check.foreseen }
}

/// One check, for the operator's screen.
fn sentence(check: &Check, plan: &MonitorPlan) -> String {
    let percent = |sigma: f64| format!("{:.3} %", 100.0 * sigma);
    let due = if check.due { " — RECALIBRATION IS DUE" } else { "" };
    format!(
        "{}: σ {}, at the next check at most {} of {}; gain {:.4}, {:.3} °C{due}",
        clock(check.at_s),
        percent(check.sigma),
        percent(check.foreseen),
        percent(plan.budget),
        check.gain,
        check.celsius
    )
}

fn clock(seconds: f64) -> String {
    let whole = Duration::from_secs_f64(seconds.max(0.0)).as_secs();
    format!("{:02}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60)
}

/// `watch.csv`: every check is on disk before the next begins.
struct Table {
    path: std::path::PathBuf,
    file: File,
}

impl Table {
    fn create(path: &Path) -> Result<Self, StoreError> {
        let failed = |source| StoreError::Write { path: path.to_owned(), source };
        let mut file =
            OpenOptions::new().create(true).write(true).truncate(true).open(path).map_err(failed)?;
        writeln!(file, "at_s,celsius,gain,sigma,foreseen,worst_row,worst_share,due").map_err(failed)?;
        Ok(Self { path: path.to_owned(), file })
    }

    fn add(&mut self, check: &Check) -> Result<(), StoreError> {
        let Check { at_s, celsius, gain, sigma, foreseen, worst_row, worst_share, due } = check;
        writeln!(
            self.file,
            "{at_s:.3},{celsius:.4},{gain:.6},{sigma:.7},{foreseen:.7},{worst_row},{worst_share:.3},{due}"
        )
        .and_then(|()| self.file.sync_data())
        .map_err(|source| StoreError::Write { path: self.path.clone(), source })
    }
}

/// A matrix from a file of numpy's format, `float64`, in units of its largest magnitude.
///
/// # Errors
/// A file that cannot be read, is no matrix, or is beyond ±1.
pub fn read_matrix(path: &Path) -> Result<WeightMatrix, Error> {
    let bad = |reason: String| Error::Input { path: path.to_owned(), reason };
    let matrix: Array2<f64> = ndarray_npy::read_npy(path)
        .map_err(|error| bad(format!("cannot be read as a matrix of float64 (numpy.save): {error}")))?;
    WeightMatrix::new(matrix).map_err(|error| bad(error.to_string()))
}
