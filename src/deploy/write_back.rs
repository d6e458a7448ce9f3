//! One tile: program, read back, measure, compare with what was asked.

use alora_calibration::{Cell, Probe, Processor, ProcessorError, WeightMatrix};
use ndarray::{Array2, Axis};
use serde::{Deserialize, Serialize};

/// When a written tile counts as verified.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct VerificationLimits {
    /// Reads of the weights of each tile.
    pub repeats: usize,
    /// Largest |measured − target| allowed, in units of full scale.
    pub residual: f64,
}

/// What became of one tile.
#[derive(Clone, Debug)]
pub struct TileOutcome {
    /// Codes that the device holds.
    pub codes: Vec<u16>,
    /// Weights measured after writing, mean over the repeats, `rows × cols`, full scale = 1.
    pub measured: Array2<f64>,
    /// rms of measured − target over the tile, full scale = 1.
    pub residual_rms: f64,
    /// Largest |measured − target|, full scale = 1.
    pub worst_residual: f64,
    /// Where the largest residual is.
    pub worst_cell: Cell,
    /// Cells that the chip cannot reach.
    pub unreachable: usize,
    /// Codes read back equal and residual within the limit.
    pub verified: bool,
}

/// Writes `target` and measures what the processor then holds.
pub(super) async fn write_tile(
    processor: &mut Processor,
    target: &WeightMatrix,
    limits: VerificationLimits,
) -> Result<TileOutcome, ProcessorError> {
    let programmed = processor.program(target).await?;
    let readings = processor.read_weights(Probe::OneHot, limits.repeats).await?;
    let measured = mean_over_repeats(&readings.values);
    let (worst_cell, worst_residual) = worst(&measured, target);
    let squares: f64 = measured.iter().zip(target.view()).map(|(m, t)| (m - t).powi(2)).sum();
    Ok(TileOutcome {
        codes: programmed.codes.0,
        residual_rms: (squares / measured.len() as f64).sqrt(),
        measured,
        worst_residual,
        worst_cell,
        unreachable: programmed.unreachable.len(),
        verified: programmed.verified && worst_residual <= limits.residual,
    })
}

fn mean_over_repeats(values: &ndarray::Array3<f64>) -> Array2<f64> {
    values.sum_axis(Axis(0)) / values.len_of(Axis(0)).max(1) as f64
}

fn worst(measured: &Array2<f64>, target: &WeightMatrix) -> (Cell, f64) {
    let mut worst = (Cell { row: 0, col: 0 }, 0.0);
    for (((row, col), m), t) in measured.indexed_iter().zip(target.view()) {
        let residual = (m - t).abs();
        if residual > worst.1 {
            worst = (Cell { row, col }, residual);
        }
    }
    worst
}
