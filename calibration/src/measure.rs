//! Measuring how programmed weights differ from what was asked.

use alora_drivers::ProcessorId;
use ndarray::{Array2, Array3, Array4, ArrayView3, Axis};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::{
    observer::{Event, Observer},
    processor::{Probe, Processor, ProcessorError},
    provenance::Provenance,
    record::{MeasurementRecord, ProgrammingLog},
    weights::{Cell, WeightError, WeightMatrix},
};

/// How much to measure: random matrices, and readings of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MeasurementPlan {
    /// Random matrices programmed one after the other, at least 1. From 3 on stuck elements can be told.
    pub programmings: usize,
    /// Readings of each, at least 1. From 2 on the read-out noise can be told from the programming error.
    pub repeats: usize,
    /// Input vectors by which weights are read.
    pub probe: Probe,
    /// Seed of the random matrices.
    pub seed: u64,
}

impl Default for MeasurementPlan {
    fn default() -> Self {
        Self { programmings: 10, repeats: 3, probe: Probe::default(), seed: 0 }
    }
}

impl MeasurementPlan {
    /// The random target matrices: entries uniform in `[−1, 1]`, each matrix divided by its largest magnitude, so
    /// that every programming spans the full scale (`max|w| = 1` exactly). The same seed gives the same targets.
    ///
    /// # Errors
    /// An empty shape.
    pub fn targets(&self, rows: usize, cols: usize) -> Result<Vec<WeightMatrix>, WeightError> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        (0..self.programmings)
            .map(|_| {
                let mut weights = Array2::from_shape_simple_fn((rows, cols), || rng.random_range(-1.0..=1.0));
                let largest = weights.iter().fold(0.0_f64, |max, w: &f64| max.max(w.abs()));
                // All entries exactly 0 has probability 0, but must not become NaN.
                if largest > 0.0 {
                    weights.mapv_inplace(|w| w / largest);
                }
                WeightMatrix::new(weights)
            })
            .collect()
    }

    fn check(&self) -> Result<(), MeasureError> {
        let zero = |key| MeasureError::Plan { key };
        if self.programmings == 0 {
            return Err(zero("programmings"));
        }
        if self.repeats == 0 {
            return Err(zero("repeats"));
        }
        Ok(())
    }
}

/// Why a measurement did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// The plan asks for nothing.
    #[error("the measurement plan has `{key} = 0`; give at least 1")]
    Plan {
        /// Key of the plan.
        key: &'static str,
    },
    /// The processor has no rows or columns.
    #[error(transparent)]
    Targets(#[from] WeightError),
    /// The processor did not do what was asked.
    #[error(transparent)]
    Processor(#[from] ProcessorError),
    /// The operator wants to stop; nothing was recorded.
    #[error("interrupted")]
    Interrupted,
    /// A reading is not a number.
    #[error(
        "{processor}: programming {programming}, repeat {repeat}: the weight read at {cell} is {value}; nothing was recorded. Calibrate the processor again and look for a dead input or detector"
    )]
    NotFinite {
        /// Processor.
        processor: ProcessorId,
        /// Programming, from 0.
        programming: usize,
        /// Repeat, from 0.
        repeat: usize,
        /// Where.
        cell: Cell,
        /// What was read.
        value: f64,
    },
}

/// Programs each target of `plan`, reads it `plan.repeats` times, and keeps every reading. The processor is parked
/// after. Not cancel-safe, like [`Processor::program`].
///
/// # Errors
/// A plan that asks for nothing, a processor error, or a reading that is no number. The processor is then as the
/// failed operation left it.
pub async fn measure(
    processor: &mut Processor,
    plan: &MeasurementPlan,
    provenance: Provenance,
    observer: &mut dyn Observer,
) -> Result<MeasurementRecord, MeasureError> {
    plan.check()?;
    let (rows, cols) = (processor.descriptor().outputs, processor.descriptor().inputs);
    let mut record = begin(plan, rows, cols, provenance);
    observer.on(Event::Started { stage: "programmings", steps: plan.programmings as u64 });
    for (index, target) in plan.targets(rows, cols)?.iter().enumerate() {
        let programmed = processor.program(target).await?;
        let readings = processor.read_weights(plan.probe, plan.repeats).await?;
        refuse_not_finite(processor, index, readings.values.view())?;
        record.targets.index_axis_mut(Axis(0), index).assign(&target.view());
        record.expected.index_axis_mut(Axis(0), index).assign(&programmed.expected);
        record.measured.index_axis_mut(Axis(0), index).assign(&readings.values);
        record.programmings.push(ProgrammingLog {
            taken_at: readings.taken_at,
            temperature: readings.temperature,
            saturated: readings.saturated,
            verified: programmed.verified,
            unreachable: programmed.unreachable,
        });
        observer.on(Event::Step);
        if observer.interrupted() {
            return Err(MeasureError::Interrupted);
        }
    }
    processor.park().await?;
    notes(&record, observer);
    observer.on(Event::Finished);
    Ok(record)
}

fn begin(plan: &MeasurementPlan, rows: usize, cols: usize, provenance: Provenance) -> MeasurementRecord {
    MeasurementRecord {
        provenance,
        plan: *plan,
        targets: Array3::zeros((plan.programmings, rows, cols)),
        measured: Array4::zeros((plan.programmings, plan.repeats, rows, cols)),
        expected: Array3::zeros((plan.programmings, rows, cols)),
        programmings: Vec::with_capacity(plan.programmings),
    }
}

fn refuse_not_finite(
    processor: &Processor,
    programming: usize,
    readings: ArrayView3<'_, f64>,
) -> Result<(), MeasureError> {
    match readings.indexed_iter().find(|(_, value)| !value.is_finite()) {
        None => Ok(()),
        Some(((repeat, row, col), &value)) => Err(MeasureError::NotFinite {
            processor: processor.descriptor().id.clone(),
            programming,
            repeat,
            cell: Cell { row, col },
            value,
        }),
    }
}

fn notes(record: &MeasurementRecord, observer: &mut dyn Observer) {
    let saturated: usize = record.programmings.iter().map(|log| log.saturated).sum();
    if saturated > 0 {
        observer.on(Event::Note(format!("{saturated} counts were at a limit of amplifier or ADC")));
    }
    let unverified = record.programmings.iter().filter(|log| !log.verified).count();
    if unverified > 0 {
        let all = record.programmings.len();
        observer.on(Event::Note(format!("{unverified} of {all} programmings were not read back equal")));
    }
}
