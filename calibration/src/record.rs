//! The measurement record: every reading, and what is needed to understand it without the tool at hand.

mod files;

use alora_drivers::{Celsius, Timestamp};
use ndarray::{Array3, Array4};
use serde::{Deserialize, Serialize};

use crate::{
    measure::MeasurementPlan,
    pairs::{Pairs, PairsError},
    provenance::Provenance,
    weights::Cell,
};

/// What happened at one programming.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProgrammingLog {
    /// When the first reading was taken.
    pub taken_at: Timestamp,
    /// Chip temperature then.
    pub temperature: Celsius,
    /// Counts at a limit of amplifier or ADC, over all repeats.
    pub saturated: usize,
    /// True when every code was read back equal.
    pub verified: bool,
    /// Cells whose target the chip cannot reach.
    pub unreachable: Vec<Cell>,
}

/// Raw readings of `P` programmings × `R` repeats on one processor.
///
/// On disk: `<name>.npz` with the arrays `target`, `measured`, `expected` (stored, float64, for `numpy.load`) and
/// `<name>.toml` with the rest and the SHA-256 of the npz. The σ that [`crate::fit`] reports is, with numpy:
///
/// ```python
/// z = numpy.load("record.npz")
/// r = z["measured"].mean(axis=1) - z["target"]       # [P, rows, cols], full scale = 1
/// sigma = numpy.sqrt((r**2).mean() )                  # r[:, ~stuck] when the report lists stuck cells
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct MeasurementRecord {
    /// Origin.
    pub provenance: Provenance,
    /// What was asked.
    pub plan: MeasurementPlan,
    /// Asked weights, `[P, rows, cols]`, full scale = 1.
    pub targets: Array3<f64>,
    /// Weights read, `[P, R, rows, cols]`, full scale = 1; never averaged.
    pub measured: Array4<f64>,
    /// What the calibrated model expects with the codes that were written, `[P, rows, cols]`.
    pub expected: Array3<f64>,
    /// One entry a programming.
    pub programmings: Vec<ProgrammingLog>,
}

impl MeasurementRecord {
    /// Version of the file format.
    pub const SCHEMA: &'static str = "alora.record/1";

    /// Targets and readings, as the fit takes them.
    ///
    /// # Errors
    /// Readings that no error can be fitted to: fewer than [`Pairs::MINIMUM`], not finite, or all targets 0.
    pub fn pairs(&self) -> Result<Pairs, PairsError> {
        Pairs::new(self.targets.clone(), self.measured.clone())
    }

    /// Counts at a limit of amplifier or ADC, over all programmings.
    #[must_use]
    pub fn saturated(&self) -> usize {
        self.programmings.iter().map(|log| log.saturated).sum()
    }

    /// True when every programming was read back equal.
    #[must_use]
    pub fn verified(&self) -> bool {
        self.programmings.iter().all(|log| log.verified)
    }
}
