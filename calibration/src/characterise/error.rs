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
    /// The chip warmed or cooled.
    #[error(
        "the chip's temperature is {kelvin:+.2} K off the beginning after `{question}`, whose readings are set aside; let it settle, check its controller, and go on with --resume"
    )]
    TemperatureMoved {
        /// Question after which it was seen.
        question: String,
        /// Change in kelvin.
        kelvin: f64,
    },
    /// All outputs changed together.
    #[error(
        "all outputs show {percent:.0} % of the light of the beginning after `{question}`, whose readings are set aside; check the laser and the input fibre, and go on with --resume"
    )]
    LightChanged {
        /// Question after which it was seen.
        question: String,
        /// Light left, in percent.
        percent: f64,
    },
    /// One output went dark.
    #[error(
        "output {output} went dark during `{question}`, whose readings are set aside; check its detector and its fibre, and go on with --resume"
    )]
    OutputDark {
        /// Question after which it was seen.
        question: String,
        /// Output, counted from 0.
        output: usize,
    },
    /// The chip itself is another.
    #[error(
        "{outputs} of {of} outputs show another level than at the beginning after `{question}`, whose readings are set aside: a heater does not follow any more, or a coupling moved; begin a new run to characterise the chip as it is now"
    )]
    ChipChanged {
        /// Question after which it was seen.
        question: String,
        /// Outputs that changed.
        outputs: usize,
        /// Outputs of the chip.
        of: usize,
    },
    /// The plan's budget is spent.
    #[error(
        "`{question}` needs {vectors} vectors, {spent} of the {most} allowed are spent; what was measured is kept: raise `characterize.most_vectors` and go on with --resume, or ask for less"
    )]
    Budget {
        /// Question that was not begun.
        question: String,
        /// Vectors that it needs.
        vectors: u64,
        /// Vectors spent.
        spent: u64,
        /// Vectors allowed.
        most: u64,
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
    /// A key of the plan is out of range.
    #[error("`{key}` of the incoherent plan is {value}; {least} to {most} are allowed")]
    IncoherentPlan {
        /// Key.
        key: &'static str,
        /// What was found.
        value: usize,
        /// Least allowed.
        least: usize,
        /// Most allowed.
        most: usize,
    },
    /// A key of the plan of the readings is out of range.
    #[error("`{key}` of the reading plan is {value}; {least} to {most} are allowed")]
    ReadingPlan {
        /// Key.
        key: &'static str,
        /// What was found.
        value: f64,
        /// Least allowed.
        least: f64,
        /// Most allowed.
        most: f64,
    },
    /// Not a bank of rings.
    #[error(
        "{processor} is no bank of add-drop rings, the only incoherent kind that can be characterised; calibrate it from its data sheet with `alora calibrate`"
    )]
    NotABankOfRings {
        /// Processor.
        processor: ProcessorId,
    },
    /// A detector row is at its limit whatever is sent.
    #[error(
        "detector row {row} is at its limit even with one input at a sixteenth of its power; lower the laser power or the gain of its amplifier"
    )]
    RowAtLimit {
        /// Row.
        row: usize,
    },
    /// Most readings of a row were at a limit.
    #[error(
        "detector row {row} was at its limit in {missing} of {readings} readings; lower the laser power or the gain of its amplifier"
    )]
    ReadingsAtLimit {
        /// Row.
        row: usize,
        /// Readings at the limit.
        missing: usize,
        /// Readings taken.
        readings: usize,
    },
    /// A detector row sees too little.
    #[error(
        "detector row {row} sees {percent:.1} % of the light that the data sheet says; check its detector and amplifier"
    )]
    DarkRow {
        /// Row.
        row: usize,
        /// Share of the data sheet's signal, in percent.
        percent: f64,
    },
    /// An input brings too little.
    #[error(
        "input {input} brings {percent:.1} % of the light that the data sheet says; check its laser, its modulator and its fibre"
    )]
    DarkInput {
        /// Input.
        input: usize,
        /// Share of the data sheet's signal, in percent.
        percent: f64,
    },
    /// A modulator's curve does not rise.
    #[error(
        "the power of input {input} does not rise with its code everywhere; check the bias of its modulator"
    )]
    InputCurve {
        /// Input.
        input: usize,
    },
    /// No element of a row works.
    #[error(
        "no element of row {row} reaches both signs; check the heaters' supply and the laser's wavelengths"
    )]
    NoSoundElement {
        /// Row.
        row: usize,
    },
    /// Files.
    #[error(transparent)]
    Store(#[from] StoreError),
}
