//! The command line.

use std::path::PathBuf;

use alora_calibration::LawChoice;
use alora_drivers::{link::Port, safety::WatchedDevice};
use clap::{Args, Parser, Subcommand};

use crate::config::Override;

/// Calibrate a photonic processor, fine-tune a network against its error, write it back and verify.
#[derive(Debug, Parser)]
#[command(name = "alora", version, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done, 2 what was given cannot be used, 3 device limit, 4 link, 5 device fault, \
                        6 out of specification, 7 another program has the device, 130 interrupted."
)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The whole loop: calibrate, measure, fit, fine-tune, write back, verify on the processor.
    Run(Stage),
    /// Calibrate the processor and measure its weight error → calibration.toml, record.toml + record.npz.
    Calibrate(Stage),
    /// Learn everything about a chip of which nothing is known, judge it on hold-out matrices → calibration.toml, chip.toml, raw data.
    Characterize(Characterize),
    /// Watch a calibrated processor: a cheap set of vectors again and again, and a word before σ leaves its budget → watch.csv, watch.toml.
    Watch(Watch),
    /// Statistics, error model and figures of a record, or of your own target–measured pairs.
    Fit(Fit),
    /// Fine-tune the network against an error model → adapters and merged weights (safetensors).
    Finetune(Finetune),
    /// Run every cell of a grid over models, tasks, bits, σ, methods and seeds → CSV, table, figures. Goes on where it stopped.
    Sweep(Sweep),
    /// Write weights to the processor tile by tile and run the test set on it.
    Deploy(Deploy),
    /// Program a deployment again, measure it and compare with what was asked.
    Verify(Verify),
    /// Play the devices of a station: each on a pseudo-terminal or TCP port, in front of simulated physics. Prints where, then serves until Ctrl-C.
    Emulate(Emulate),
    /// The cable test: set random in-range values on a device, read each back, and log what became of it.
    Soak(Soak),
    /// Zero every output that a station file names, even when the file is broken or its devices are not as they should be.
    Safe(Safe),
    /// Zero the devices when the command that started this ends without parking them.
    #[command(hide = true)]
    Supervise(Supervise),
    /// How a station stands: who has its devices, what their outputs are, what the last programming came to. Only reads.
    Status(Status),
    /// The records of a station: check, show, raw bytes, play again.
    Log(Log),
    /// List serial ports with their USB serial numbers, and the devices of a station.
    Devices(Devices),
    /// Check what keeps devices from working: rights, latency timers, locks, answers.
    Doctor(Devices),
    /// Check every claim of physics and statistics and write docs/validation.md.
    Validate(Validate),
}

/// A stage that is described by a configuration.
#[derive(Debug, Args)]
pub(crate) struct Stage {
    /// Run configuration (TOML).
    pub(crate) config: PathBuf,
    #[command(flatten)]
    pub(crate) output: Output,
    /// Master seed, in place of the configuration's.
    #[arg(long, value_parser = seed, allow_negative_numbers = true)]
    pub(crate) seed: Option<u64>,
    #[command(flatten)]
    pub(crate) overrides: Overrides,
}

/// `alora characterize`.
#[derive(Debug, Args)]
pub(crate) struct Characterize {
    /// Run configurations (TOML), one or more.
    #[arg(required = true)]
    pub(crate) configs: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) output: Output,
    /// Chips of each configuration, `processor.chip_seed` and those after it.
    #[arg(long, default_value_t = 1)]
    pub(crate) chips: u64,
    /// Go on in the folder of an interrupted run: nothing that was measured is measured again.
    #[arg(long, value_name = "RUN", conflicts_with = "out")]
    pub(crate) resume: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) overrides: Overrides,
}

/// `alora watch`.
#[derive(Debug, Args)]
pub(crate) struct Watch {
    #[command(flatten)]
    pub(crate) stage: Stage,
    /// What is known of the processor (calibration.toml of `alora calibrate` or `alora characterize`).
    #[arg(long)]
    pub(crate) calibration: PathBuf,
    /// Matrix to watch (.npy, outputs × inputs, the largest magnitude 1) [default: a random one].
    #[arg(long)]
    pub(crate) matrix: Option<PathBuf>,
    /// Seconds to watch; 0: until Ctrl-C or until a recalibration is due.
    #[arg(long = "for", value_name = "SECONDS", default_value_t = 0.0, value_parser = seconds)]
    pub(crate) seconds: f64,
}

/// Keys in place of the configuration's.
#[derive(Debug, Args)]
pub(crate) struct Overrides {
    /// A key in place of the configuration's, e.g. `--set finetune.epochs=3`; may be given again.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<Override>,
}

/// `alora sweep`.
#[derive(Debug, Args)]
pub(crate) struct Sweep {
    /// Run configuration with a section `[sweep]` (TOML).
    pub(crate) config: PathBuf,
    /// Folder for cells and results; made if it is not there [default: runs/NAME]. A sweep goes on in its folder.
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
    /// Print one JSON object on standard output instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
    /// Run cells again that failed.
    #[arg(long)]
    pub(crate) retry_failed: bool,
    #[command(flatten)]
    pub(crate) overrides: Overrides,
}

/// Where results go.
#[derive(Debug, Args)]
pub(crate) struct Output {
    /// Folder for the results; made if it is not there [default: runs/NAME-TIME].
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
    /// Print one JSON object on standard output instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `alora fit`.
#[derive(Debug, Args)]
pub(crate) struct Fit {
    /// A record (record.toml), or pairs: .npz with `target` and `measured`, or CSV with the header
    /// `target,measured`.
    #[arg(required_unless_present = "from")]
    pub(crate) file: Option<PathBuf>,
    /// The folder of an `alora characterize` run: everything is derived again from its raw readings, bit by bit.
    #[arg(long, value_name = "RUN", conflicts_with = "file")]
    pub(crate) from: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: Output,
    /// Law of δW written to error-model.toml.
    #[arg(long, value_parser = law, default_value = "gaussian")]
    pub(crate) law: LawChoice,
}

/// `alora finetune`.
#[derive(Debug, Args)]
pub(crate) struct Finetune {
    #[command(flatten)]
    pub(crate) stage: Stage,
    /// Error model to train against (from `alora fit` or `alora run`). Without one, `error_model.assumed_sigma` is taken.
    #[arg(long)]
    pub(crate) error_model: Option<PathBuf>,
    /// Print what would be trained, without reading weights or training.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Leave out the evaluation after training.
    #[arg(long)]
    pub(crate) no_evaluation: bool,
}

/// `alora deploy`.
#[derive(Debug, Args)]
pub(crate) struct Deploy {
    #[command(flatten)]
    pub(crate) stage: Stage,
    /// Calibration of the connected processor (from `alora calibrate`).
    #[arg(long)]
    pub(crate) calibration: PathBuf,
    /// Weights to write (safetensors): merged.safetensors, or base.safetensors together with --adapters.
    #[arg(long)]
    pub(crate) weights: PathBuf,
    /// Adapters (safetensors), merged or kept digital as `deployment.adapters` says.
    #[arg(long)]
    pub(crate) adapters: Option<PathBuf>,
    /// Print every write with its unit, limits checked, without opening a device.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// `alora verify`.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Run configuration (TOML).
    pub(crate) config: PathBuf,
    /// Print one JSON object on standard output instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
    /// Calibration of the connected processor.
    #[arg(long)]
    pub(crate) calibration: PathBuf,
    /// The deployment to verify (deployment.toml).
    #[arg(long)]
    pub(crate) deployment: PathBuf,
    /// Print every write with its unit, limits checked, without opening a device.
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) overrides: Overrides,
}

/// `alora emulate`.
#[derive(Debug, Args)]
pub(crate) struct Emulate {
    /// Station file (TOML).
    pub(crate) station: PathBuf,
    /// Modules of each Qontrol chain, in place of the station's: so many Q8iv.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=32))]
    pub(crate) modules: Option<u8>,
    /// A fault plan (TOML) for every device, in place of the station's.
    #[arg(long, value_name = "PLAN")]
    pub(crate) faults: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) overrides: Overrides,
}

/// `alora soak`.
#[derive(Debug, Args)]
pub(crate) struct Soak {
    /// Station file (TOML).
    pub(crate) station: PathBuf,
    /// The device, by its name in the station file.
    #[arg(long)]
    pub(crate) device: String,
    /// Values to set and read back.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) pairs: u64,
    /// File for one line a value: pair,channel,set,reported,outcome.
    #[arg(long, value_name = "FILE.csv")]
    pub(crate) log: Option<PathBuf>,
    /// Seed of channels and values.
    #[arg(long, value_parser = seed, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Print one JSON object on standard output instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) overrides: Overrides,
}

/// `alora safe`.
#[derive(Debug, Args)]
pub(crate) struct Safe {
    /// Station file; one that does not parse is searched for ports line by line.
    #[arg(required_unless_present = "port")]
    pub(crate) station: Option<PathBuf>,
    /// A port to zero, with or without a station file; may be given again.
    #[arg(long)]
    pub(crate) port: Vec<Port>,
    /// Print one JSON object on standard output instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) overrides: Overrides,
}

/// `alora supervise`.
#[derive(Debug, Args)]
pub(crate) struct Supervise {
    /// Devices: a JSON list of objects with `name`, `protocol` and `port`.
    #[arg(value_parser = watched)]
    pub(crate) devices: Watched,
}

/// Devices to watch over.
#[derive(Clone, Debug)]
pub(crate) struct Watched(pub(crate) Vec<WatchedDevice>);
/// `alora status`.
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Station file (TOML).
    pub(crate) station: PathBuf,
    /// Lines of the audit log, from the end.
    #[arg(long, default_value_t = 5)]
    pub(crate) lines: usize,
    /// Print one JSON object on standard output instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) overrides: Overrides,
}

/// `alora log`.
#[derive(Debug, Args)]
pub(crate) struct Log {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: LogCommand,
}

/// What to do with records.
#[derive(Debug, Subcommand)]
pub(crate) enum LogCommand {
    /// Check that no line was altered, left out or put in, and say which is the first.
    Verify(LogOf),
    /// The audit log: who changed what, when and why.
    Show(LogOf),
    /// The raw log: every byte on the wires, with what it says.
    Raw(LogOf),
    /// Send what the host sent to the emulated device, and say where its answers differ first.
    Replay(LogOf),
}

/// Records of a station.
#[derive(Debug, Args)]
pub(crate) struct LogOf {
    /// Station file (TOML).
    pub(crate) station: PathBuf,
    /// Only this device, by its name in the station file.
    #[arg(long)]
    pub(crate) device: Option<String>,
    /// Only so many entries, from the end.
    #[arg(long, value_name = "N")]
    pub(crate) last: Option<usize>,
    /// Print JSON on standard output instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) overrides: Overrides,
}

/// `alora devices`, `alora doctor`.
#[derive(Debug, Args)]
pub(crate) struct Devices {
    /// Station file (TOML).
    pub(crate) station: Option<PathBuf>,
    /// Print one JSON object on standard output instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) overrides: Overrides,
}

/// `alora validate`.
#[derive(Debug, Args)]
pub(crate) struct Validate {
    /// The document to write.
    #[arg(long, default_value = "docs/validation.md")]
    pub(crate) out: PathBuf,
    /// Write nothing; fail when a case fails or the document is out of date.
    #[arg(long)]
    pub(crate) check: bool,
}

/// TOML holds integers up to 2⁶³ − 1, and the manifest keeps the seed.
fn seconds(text: &str) -> Result<f64, String> {
    text.parse::<f64>()
        .ok()
        .filter(|seconds| (0.0..=1e9).contains(seconds))
        .ok_or_else(|| "a time is a number of seconds from 0 to 1e9".to_owned())
}

fn seed(text: &str) -> Result<u64, String> {
    text.parse::<u64>()
        .ok()
        .filter(|seed| *seed <= i64::MAX as u64)
        .ok_or_else(|| format!("a seed is a whole number from 0 to {}", i64::MAX))
}

fn watched(text: &str) -> Result<Watched, String> {
    serde_json::from_str(text).map(Watched).map_err(|error| error.to_string())
}

fn law(name: &str) -> Result<LawChoice, String> {
    match name {
        "gaussian" => Ok(LawChoice::Gaussian),
        "state_dependent" => Ok(LawChoice::StateDependent),
        "empirical" => Ok(LawChoice::Empirical),
        "map" => Ok(LawChoice::Map),
        _ => Err("the laws are gaussian, state_dependent, empirical and map".to_owned()),
    }
}
