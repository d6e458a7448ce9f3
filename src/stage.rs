//! The stages of the loop. Each takes artefacts and leaves artefacts, so that stages can run on different machines;
//! [`run`] is their sequence.

mod characterize;
mod curve;
mod deploy;
mod dry_run;
mod fit;
mod measure;
mod report;
mod run;
mod sweep;
mod task;
mod train;
mod watch;

pub use characterize::{ChipReport, DefectReport, Readings, characterize};
pub use curve::accuracy_figure;
pub use deploy::{Deployed, deploy, processor_from};
pub use dry_run::{DryRun, PlannedWrite, Wiring, dry_run, dry_run_of_tiles};
pub use fit::FULL_SCALE;
pub use fit::{Fitted, fit_pairs, fit_record};
pub use measure::{Measured, calibrate_and_measure, connect, nominal};
pub use report::{
    AccuracyReport, DeltaReport, DeploymentReport, ParameterReport, ProcessorReport, RunReport, StageReport,
};
pub use run::run;
pub use sweep::{SweepRunner, plan_sweep};
pub use task::{
    Base, Task, Untrained, architecture, load_data, perceptron_on, perceptron_pipeline, planned_architecture,
};
pub use train::{Trained, adapt, assumed_error, chip_model, evaluate_trained, tile_of, train};
pub use watch::{Ended, WatchReport, read_matrix, watch};

use alora_calibration::Observer;

use crate::{config::Config, error::Error, run_folder::RunFolder};

/// What every stage is given.
pub struct Context<'a> {
    /// The checked configuration.
    pub config: &'a Config,
    /// Where results go.
    pub folder: &'a mut RunFolder,
    /// Time of the run, RFC 3339; libraries read no clock.
    pub created: String,
    /// Receives progress.
    pub observer: &'a mut dyn Observer,
}

impl Context<'_> {
    /// An error when the operator wants to stop.
    pub(crate) fn go_on(&self) -> Result<(), Error> {
        if self.observer.interrupted() { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// A seed for one purpose, from the master seed: different purposes do not share random numbers.
    pub(crate) fn seed(&self, purpose: Purpose) -> u64 {
        // Distinct odd multiples of the golden ratio keep neighbouring master seeds apart (Steele et al., OOPSLA 2014).
        // TOML holds integers up to 2⁶³ − 1.
        let seed = self.config.seed.wrapping_add((purpose as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        seed & i64::MAX as u64
    }
}

/// What a seed is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    /// Random target matrices.
    Targets = 1,
    /// Initial weights and shuffling of pre-training.
    Pretrain = 2,
    /// Initial adapters, shuffling and noise of fine-tuning.
    Finetune = 3,
    /// Noise of simulated evaluation.
    Evaluate = 4,
}
