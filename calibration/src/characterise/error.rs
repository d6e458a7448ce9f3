//! Why a characterisation stops.

use std::path::PathBuf;

use alora_drivers::{BackendError, ProcessorId, ProcessorKind};

use crate::{coherent::CoherentError, encoding::EncodeError, store::StoreError, weights::WeightError};

/// A characterisation that did not reach its end. What was measured is in the journal.
#[derive(Debug, thiserror::Error)]
pub enum CharacteriseError {
    /// The journal is of another processor.
    #[error(
        "the readings are of processor {journal}, but {connected} is connected; connect that one, or begin a new run"
    )]
    OtherProcessor {
        /// Processor in the journal.
        journal: ProcessorId,
        /// Processor that answered.
        connected: ProcessorId,
    },
    /// The journal was made with another plan.
    #[error(
        "{} answers another question than this configuration asks; resume with the configuration of that run, or begin a new run",
        path.display()
    )]
    OtherQuestion {
        /// File.
        path: PathBuf,
    },
    /// Two questions of one name.
    #[error("the question `{question}` is asked twice; this is a defect of alora, please report it")]
    AskedTwice {
        /// Name.
        question: String,
    },
    /// A replay came to a question that was never measured.
    #[error("`{question}` was not measured to its end; finish the run with `alora characterize --resume`")]
    NotMeasured {
        /// Name.
        question: String,
    },
    /// The driver failed.
    #[error("measuring stopped in `{question}` at point {point} of {points}; what was measured is kept")]
    Backend {
        /// Name.
        question: String,
        /// Point, counted from 0.
        point: usize,
        /// Points of the question.
        points: usize,
        /// What the driver said.
        #[source]
        source: BackendError,
    },
    /// The operator wants to stop.
    #[error("interrupted in `{question}` at point {point}; what was measured is kept, go on with --resume")]
    Interrupted {
        /// Name.
        question: String,
        /// Point, counted from 0.
        point: usize,
    },
    /// A coherent processor with another receiver.
    #[error(
        "a coherent processor is characterised by both quadratures of its outputs and their reference, but this one reports one quadrature; calibrate it from its data sheet with `alora calibrate`"
    )]
    Detection,
    /// The coherent processor cannot be characterised as it is.
    #[error(transparent)]
    Coherent(#[from] CoherentError),
    /// The matrix cannot be encoded.
    #[error("the matrix cannot be encoded")]
    Encode(#[from] EncodeError),
    /// The data sheet is of the other family.
    #[error(
        "the data sheet is of another family than the connected processor, which is {connected}; give the data sheet of this processor"
    )]
    Family {
        /// Family that answered.
        connected: ProcessorKind,
    },
    /// The processor has no rows or columns.
    #[error(transparent)]
    Targets(#[from] WeightError),
    /// Files.
    #[error(transparent)]
    Store(#[from] StoreError),
}
