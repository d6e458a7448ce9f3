//! Program and verify: the closed loop on measured weights.
//!
//! With `b` the difference between what is measured and what the encoding expects of the codes that were set, its mean over
//! all turns is taken off the target and the matrix is encoded anew. The mean of `K` turns has the noise of one over `√K`, so that
//!
//! ```text
//! σ²_floor = σ²_codes + (s²_n + s²_b) / K + s²_b
//! ```
//!
//! with `σ_codes` what whole codes leave by the encoding's own account, `s_n` the standard error of one turn's reading, and `s_b` the
//! spread of `b` from one writing to the next beyond that noise. A loop of constant damping `η` has `η / (2 − η)` in place of `1 / K`
//! (`σ² = σ²_codes + η s²_n / (2 − η)`).

use ndarray::{Array2, ArrayView3, Axis};
use serde::{Deserialize, Serialize};

use crate::{
    characterise::{Bench, CharacteriseError},
    encoding::{Encoded, Encoding},
    readout::{ReadOut, read},
    weights::WeightMatrix,
};

/// How a closed loop proceeds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VerifyPlan {
    /// Most turns of the loop, at least 1.
    pub turns: usize,
    /// Readings of the whole matrix a turn, 2 or more; 0: as many as reach the uncertainty that is asked of a reading.
    pub repeats: usize,
    /// Seed of the probe vectors.
    pub seed: u64,
}

impl Default for VerifyPlan {
    fn default() -> Self {
        Self { turns: 4, repeats: 0, seed: 1 }
    }
}

/// A matrix as it was read, against its target, over the cells that can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deviation {
    /// rms of (mean reading − target): programming error and what is left of the noise.
    pub rms: f64,
    /// rms standard error of the mean reading.
    pub noise: f64,
    /// `√(rms² − noise²)`, not below 0: programming error alone.
    pub programming: f64,
    /// Cells.
    pub cells: usize,
}

/// One turn of the loop.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Turn {
    /// What was measured.
    pub measured: Deviation,
    /// What whole codes leave, by the encoding's account.
    pub codes: f64,
}

/// Result of the loop: the best set that was *measured*.
#[derive(Clone, Debug)]
pub struct Verified {
    /// Codes and expectations of the best set.
    pub encoded: Encoded,
    /// What was wanted of its codes: the target less what the chip was seen to add.
    pub wanted: Array2<f64>,
    /// Which turn it was, from 0: turn 0 is the open loop.
    pub best: usize,
    /// All turns.
    pub turns: Vec<Turn>,
    /// `σ_floor` after these turns.
    pub predicted_floor: f64,
}

impl Deviation {
    /// Of readings `[repeats, rows, cols]`, at least 2, from their target, where `kept`.
    #[must_use]
    pub fn of(values: ArrayView3<'_, f64>, target: &WeightMatrix, kept: &Array2<bool>) -> Self {
        let repeats = values.len_of(Axis(0)) as f64;
        let (mut square, mut noise, mut cells) = (0.0, 0.0, 0);
        for ((row, col), target) in target.view().indexed_iter() {
            if !kept[(row, col)] {
                continue;
            }
            let readings = values.slice(ndarray::s![.., row, col]);
            let mean = readings.sum() / repeats;
            let spread: f64 = readings.iter().map(|y| (y - mean).powi(2)).sum();
            square += (mean - target).powi(2);
            noise += spread / (repeats - 1.0).max(1.0) / repeats;
            cells += 1;
        }
        let n = cells.max(1) as f64;
        let (square, noise) = (square / n, noise / n);
        Self { rms: square.sqrt(), noise: noise.sqrt(), programming: (square - noise).max(0.0).sqrt(), cells }
    }
}

impl Verified {
    /// The set for the chip's temperature at the last reading, where it is known how the chip moves with it.
    #[must_use]
    pub fn at(&self, bench: &Bench<'_>, encoding: &dyn Encoding) -> Encoded {
        let moved = || {
            let now = encoding.at(bench.celsius()?)?;
            let expected = now.expected(&self.encoded.frame)?;
            let correction = &self.wanted - &expected;
            now.refine(&Encoded { expected, ..self.encoded.clone() }, correction.view())
        };
        moved().unwrap_or_else(|| self.encoded.clone())
    }
}

/// Cells of `encoded` that can be reached.
#[must_use]
pub fn reachable(encoded: &Encoded) -> Array2<bool> {
    let mut kept = Array2::from_elem(encoded.expected.dim(), true);
    encoded.unreachable.iter().for_each(|cell| kept[(cell.row, cell.col)] = false);
    kept
}

/// Programs `target` and corrects it by what is measured, at most `plan.turns` times. Returns the set that was *measured* best.
/// The matrix is read in the basis of `readout`, `plan.repeats` times a turn, or as often as `readout` says.
///
/// Where it is known how the chip moves with its temperature, codes are for that of the last reading, and a deviation is from what was
/// expected at the temperature at which it was read.
///
/// The loop ends early when a turn's deviation is its noise alone, or when whole codes cannot follow the correction. An
/// encoding that cannot be refined is measured once.
///
/// # Errors
/// A target that cannot be encoded, and those of [`Bench::ask`].
pub async fn program_and_verify(
    bench: &mut Bench<'_>,
    encoding: &dyn Encoding,
    target: &WeightMatrix,
    name: &str,
    plan: &VerifyPlan,
    readout: ReadOut,
) -> Result<Verified, CharacteriseError> {
    let readout = readout.with_repeats(plan.repeats);
    let warm = bench.celsius().and_then(|chip| encoding.at(chip));
    let mut encoded = warm.as_deref().unwrap_or(encoding).encode(target)?;
    let kept = reachable(&encoded);
    let mut bias = Array2::<f64>::zeros(encoded.expected.dim());
    let mut turns: Vec<Turn> = Vec::new();
    let mut biases: Vec<Array2<f64>> = Vec::new();
    let mut wanted = target.view().to_owned();
    let mut best = (f64::INFINITY, 0, encoded.clone(), wanted.clone());
    for turn in 0..plan.turns.max(1) {
        let seed = plan.seed.wrapping_add(turn as u64 * 0x9E37_79B9);
        let question = format!("{name}-turn-{turn:02}");
        let reading = read(bench, encoding, &encoded, &question, readout, seed).await?;
        let measured = Deviation::of(reading.values.view(), target, &kept);
        let codes = rms_of(&(&encoded.expected + &bias - target.view()), &kept);
        turns.push(Turn { measured, codes });
        if measured.rms < best.0 {
            best = (measured.rms, turn, encoded.clone(), wanted.clone());
        }
        // The chip as it was when it was read.
        let warm = bench.celsius().and_then(|chip| encoding.at(chip));
        let now = warm.as_deref().unwrap_or(encoding);
        if let Some(expected) = now.expected(&encoded.frame) {
            encoded.expected = expected;
        }
        let mean = reading.values.mean_axis(Axis(0)).unwrap_or_else(|| encoded.expected.clone());
        let share = 1.0 / (turn + 1) as f64;
        let one = &mean - &encoded.expected;
        bias = &bias * (1.0 - share) + &(&one * share);
        biases.push(one);
        wanted = &target.view() - &bias;
        let Some(next) = now.refine(&encoded, (&wanted - &encoded.expected).view()) else { break };
        let left = |expected: &Array2<f64>| rms_of(&(expected - &wanted), &kept);
        if left(&next.expected) >= left(&encoded.expected) || next.frame == encoded.frame {
            break;
        }
        encoded = next;
    }
    let predicted_floor = floor(&turns, &biases, &bias, &kept);
    let (_, best, encoded, wanted) = best;
    Ok(Verified { encoded, wanted, best, turns, predicted_floor })
}

/// `σ_floor` of the last turn, whose correction is the mean of those before it.
fn floor(turns: &[Turn], biases: &[Array2<f64>], mean: &Array2<f64>, kept: &Array2<bool>) -> f64 {
    let count = turns.len() as f64;
    let noise = turns.iter().map(|turn| turn.measured.noise.powi(2)).sum::<f64>() / count;
    let scatter = biases.iter().map(|bias| rms_of(&(bias - mean), kept).powi(2)).sum::<f64>();
    let between = (scatter / (count - 1.0).max(1.0) - noise).max(0.0);
    let codes = turns.last().map_or(0.0, |turn| turn.codes);
    (codes * codes + (noise + between) / (count - 1.0).max(1.0) + between).sqrt()
}

fn rms_of(difference: &Array2<f64>, kept: &Array2<bool>) -> f64 {
    let (mut square, mut count) = (0.0, 0usize);
    for (value, &kept) in difference.iter().zip(kept) {
        if kept {
            square += value * value;
            count += 1;
        }
    }
    (square / count.max(1) as f64).sqrt()
}
