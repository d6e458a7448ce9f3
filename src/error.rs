//! Everything that can end a command, by class of what to do about it.

use std::path::PathBuf;

use alora_calibration::{
    CalibrateError, ErrorModelError, MeasureError, PairsError, ProcessorError, StoreError,
    characterise::CharacteriseError,
};
use alora_drivers::{
    BackendError, BackendErrorKind, FaultClass, link::LinkError, qontrol::ChainError, recorded::RecordsError,
    safety::GuardError,
};

use crate::{
    config::ConfigError, dataset::DatasetError, deploy::DeployError, figures::FigureError,
    finetune::FinetuneError, model::ModelError, sweep::SweepError,
};

/// Why a command did not succeed.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant is the error of the part it names")]
pub enum Error {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Pairs(#[from] PairsError),
    #[error(transparent)]
    ErrorModel(#[from] ErrorModelError),
    #[error(transparent)]
    Figure(#[from] FigureError),
    #[error(transparent)]
    Finetune(FinetuneError),
    #[error("calibration failed")]
    Calibrate(#[source] CalibrateError),
    #[error(transparent)]
    Characterise(#[from] CharacteriseError),
    #[error("measurement failed")]
    Measure(#[source] MeasureError),
    #[error(transparent)]
    Processor(#[from] ProcessorError),
    #[error(transparent)]
    Backend(#[from] BackendError),
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error(transparent)]
    Chain(#[from] ChainError),
    #[error(transparent)]
    Guard(#[from] GuardError),
    #[error(transparent)]
    Records(#[from] RecordsError),
    #[error(transparent)]
    Deploy(#[from] DeployError),
    #[error(transparent)]
    Sweep(SweepError),
    /// The output folder cannot be made.
    #[error("cannot make the output folder {}; choose a writable one with --out", path.display())]
    OutputFolder {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// A file given on the command line does not fit.
    #[error("{}: {reason}", path.display())]
    Input { path: PathBuf, reason: String },
    /// A device did not do what was needed.
    #[error("{device}: {reason}")]
    Device { device: String, reason: String, class: ExitCode },
    /// A measured figure is outside its limit.
    #[error("{0}")]
    OutOfSpec(String),
    /// The operator pressed Ctrl-C.
    #[error("interrupted; the processor is parked, and the files written so far are whole")]
    Interrupted,
}

impl From<FinetuneError> for Error {
    fn from(error: FinetuneError) -> Self {
        match error {
            FinetuneError::Interrupted => Self::Interrupted,
            other => Self::Finetune(other),
        }
    }
}

impl From<SweepError> for Error {
    fn from(error: SweepError) -> Self {
        match error {
            SweepError::Interrupted { .. } => Self::Interrupted,
            other => Self::Sweep(other),
        }
    }
}

impl From<CalibrateError> for Error {
    fn from(error: CalibrateError) -> Self {
        match error {
            CalibrateError::Interrupted => Self::Interrupted,
            other => Self::Calibrate(other),
        }
    }
}

impl From<MeasureError> for Error {
    fn from(error: MeasureError) -> Self {
        match error {
            MeasureError::Interrupted => Self::Interrupted,
            other => Self::Measure(other),
        }
    }
}

/// Exit codes of the `alora` command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// What was given (command, configuration, file, folder) cannot be used.
    Usage = 2,
    /// A limit of the device would have been exceeded; nothing was applied.
    Limit = 3,
    /// The link to the device is gone or silent.
    Link = 4,
    /// The device answers but does not work as it should.
    DeviceFault = 5,
    /// It works, but a measured figure is outside its limit.
    OutOfSpec = 6,
    /// Another program has the device.
    LockHeld = 7,
    /// Interrupted by the operator.
    Interrupted = 130,
}

impl Error {
    /// Class of the error.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        if matches!(self, Self::Interrupted) {
            return ExitCode::Interrupted;
        }
        if matches!(self, Self::OutOfSpec(_)) {
            return ExitCode::OutOfSpec;
        }
        match self {
            Self::Device { class, .. } => return *class,
            Self::Link(error) => return link_class(error),
            Self::Chain(error) => return chain_class(error),
            Self::Guard(_) => return ExitCode::DeviceFault,
            _ => {}
        }
        // Transparent: its causes are the error's own.
        if let Self::Characterise(error) = self
            && let Some(code) = characterisation_class(error)
        {
            return code;
        }
        let mut source: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(error) = source {
            if let Some(kind) = error.downcast_ref::<BackendErrorKind>() {
                return backend_class(kind);
            }
            match error.downcast_ref::<CalibrateError>() {
                None | Some(CalibrateError::Backend(_)) => {}
                Some(CalibrateError::Family { .. } | CalibrateError::Plan { .. }) => return ExitCode::Usage,
                Some(_) => return ExitCode::DeviceFault,
            }
            source = error.source();
        }
        ExitCode::Usage
    }
}

/// `None` where a cause decides.
fn characterisation_class(error: &CharacteriseError) -> Option<ExitCode> {
    use CharacteriseError as E;
    match error {
        E::TemperatureMoved { .. }
        | E::LightChanged { .. }
        | E::OutputDark { .. }
        | E::ChipChanged { .. }
        | E::RowAtLimit { .. }
        | E::ReadingsAtLimit { .. }
        | E::DarkRow { .. }
        | E::DarkInput { .. }
        | E::InputCurve { .. }
        | E::NoSoundElement { .. } => Some(ExitCode::DeviceFault),
        E::Interrupted { .. } => Some(ExitCode::Interrupted),
        _ => None,
    }
}

fn link_class(error: &LinkError) -> ExitCode {
    if matches!(error, LinkError::Held { .. }) { ExitCode::LockHeld } else { ExitCode::Link }
}

fn chain_class(error: &ChainError) -> ExitCode {
    match error {
        ChainError::Link(error) => link_class(error),
        ChainError::Unreadable { .. } => ExitCode::Link,
        ChainError::OverLimit { .. } => ExitCode::Limit,
        ChainError::Mismatch { .. } | ChainError::NoOutput { .. } => ExitCode::Usage,
        _ => ExitCode::DeviceFault,
    }
}

fn backend_class(kind: &BackendErrorKind) -> ExitCode {
    match kind {
        BackendErrorKind::Link(error) => link_class(error),
        BackendErrorKind::OverLimit { .. } | BackendErrorKind::Interlock { .. } => ExitCode::Limit,
        BackendErrorKind::Timeout(_) | BackendErrorKind::Disconnected => ExitCode::Link,
        BackendErrorKind::Instrument(fault) => match fault.class {
            FaultClass::Limit => ExitCode::Limit,
            FaultClass::Link => ExitCode::Link,
            FaultClass::Device => ExitCode::DeviceFault,
        },
        BackendErrorKind::OutputsUnknown
        | BackendErrorKind::Refused { .. }
        | BackendErrorKind::NotHeld { .. }
        | BackendErrorKind::Rebooted { .. }
        | BackendErrorKind::Unwatched
        | BackendErrorKind::Tripped { .. } => ExitCode::DeviceFault,
        BackendErrorKind::Version { .. }
        | BackendErrorKind::Mismatch(_)
        | BackendErrorKind::FrameLength { .. }
        | BackendErrorKind::InputWidth { .. }
        | BackendErrorKind::InputCode { .. }
        | BackendErrorKind::Unrecorded { .. }
        | BackendErrorKind::NoRepeats => ExitCode::Usage,
    }
}
