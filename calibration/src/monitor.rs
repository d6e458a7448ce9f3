//! Is a calibration still good? A cheap set of vectors, read again and again on one matrix that is held.
//!
//! With `r = y/g − W x` the residual of the readings `y` of vector `x`, after the common gain `g` of all outputs is taken off,
//!
//! ```text
//! σ²(t) = σ₀² + ⟨r²(t)/|x|²⟩ − ⟨r²(0)/|x|²⟩        read-out noise taken off each
//! ```
//!
//! is the programming error now, `σ₀` that of a full reading at the beginning: for vectors of random signs `⟨r²⟩/|x|²` is the mean
//! square error of a weight, and its change is seen far better than its size. A recalibration is due before the next check could find
//! the budget exceeded:
//!
//! ```text
//! √(σ₀² + (√(σ²(t) − σ₀²) + 3 √D)²) ≥ budget
//! ```
//!
//! with `D` the mean square change of a weight from one check to the next so far, the structure function at that lag. Changes are
//! added to what has drifted as if they had its direction, which is the worst that they can do.
//!
//! Where it is known how the chip moves with its temperature (ring banks), the matrix is written for the present temperature before
//! each check: what is watched is what such a correction leaves. Written anew, a matrix is rounded anew, so that not weights but σ itself
//! is compared from check to check: due when `σ(t) + 3 s ≥ budget`, `s` the rms change of σ from one check to the next.

use std::time::Duration;

use alora_drivers::{InputBatch, Readout};
use ndarray::{Array2, Axis};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::{
    characterise::{Bench, CharacteriseError, Question},
    encoding::{Encoded, EncodedInputs, Encoding},
    measure::MeasurementPlan,
    readout::{ReadOut, beyond_range, read},
    vectors::orthogonal,
    verify::{Deviation, Verified, VerifyPlan, program_and_verify, reachable},
    weights::WeightMatrix,
};

/// How a processor is watched.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MonitorPlan {
    /// Seconds from one check to the next, 10⁻³ to 10⁶.
    pub every_s: f64,
    /// Vectors of a check, 1 to 4096; no more are sent than there are inputs.
    pub vectors: usize,
    /// Repeats of each, 2 to 10 000; 0: as many as bring the read-out noise of a weight to a twentieth of the budget.
    pub repeats: usize,
    /// Largest σ of the programming error, of max|target|, 10⁻⁶ to 1.
    pub budget: f64,
    /// Seed of the matrix and of the vectors.
    pub seed: u64,
}

impl Default for MonitorPlan {
    fn default() -> Self {
        Self { every_s: 60.0, vectors: 8, repeats: 0, budget: 0.005, seed: 4001 }
    }
}

/// One check. σ in units of max|target|.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// Time since the beginning, seconds.
    pub at_s: f64,
    /// Chip temperature, °C.
    pub celsius: f64,
    /// Common gain of the outputs, 1 at the beginning; it is taken off.
    pub gain: f64,
    /// Programming error now.
    pub sigma: f64,
    /// What it is foreseen not to exceed at the next check.
    pub foreseen: f64,
    /// Row whose residual is largest.
    pub worst_row: usize,
    /// Its share of the whole mean square residual.
    pub worst_share: f64,
    /// A recalibration is due.
    pub due: bool,
}

/// A processor under watch.
pub struct Monitor<'a> {
    encoding: &'a dyn Encoding,
    plan: MonitorPlan,
    encoded: Encoded,
    verified: Verified,
    vectors: Array2<f64>,
    kept_rows: Vec<bool>,
    target: Array2<f64>,
    reference: Array2<f64>,
    inputs: EncodedInputs,
    sigma: f64,
    checks: usize,
    first: Option<Seen>,
    last: Option<(Seen, f64)>,
    follows: bool,
    steps: (f64, u32),
}

/// What one check saw.
#[derive(Clone, Debug)]
struct Seen {
    at: Duration,
    /// `r/|x|`, `[vectors, rows]`.
    residual: Array2<f64>,
    /// Mean square of its read-out noise.
    noise: f64,
    gain: f64,
    celsius: f64,
}

impl Seen {
    fn square(&self) -> f64 {
        self.residual.iter().map(|r| r * r).sum::<f64>() / self.residual.len().max(1) as f64 - self.noise
    }
}

/// Standard deviations of a step that are reckoned with.
const REACH: f64 = 3.0;
/// Repeats of the full reading at the beginning.
const REFERENCE_REPEATS: usize = 64;
/// Read-out noise of a check, of the budget, where repeats are not given; and the fewest and most repeats then.
const NOISE_SHARE: f64 = 0.05;
const REPEATS: [usize; 2] = [8, 4096];

impl<'a> Monitor<'a> {
    /// Programs and verifies `target`, or a random matrix, reads the whole of it, and makes the first check.
    ///
    /// # Errors
    /// As for [`program_and_verify`].
    pub async fn begin(
        bench: &mut Bench<'_>,
        encoding: &'a dyn Encoding,
        target: Option<WeightMatrix>,
        plan: &MonitorPlan,
        verify: &VerifyPlan,
    ) -> Result<(Self, Check), CharacteriseError> {
        let (rows, cols) = (bench.descriptor().outputs, bench.descriptor().inputs);
        let target = match target {
            Some(target) => target,
            None => MeasurementPlan { programmings: 1, seed: plan.seed, ..Default::default() }
                .targets(rows, cols)?
                .remove(0),
        };
        let readout = ReadOut { repeats: REFERENCE_REPEATS, ..ReadOut::default() };
        let verified = program_and_verify(bench, encoding, &target, "reference", verify, readout).await?;
        let encoded = verified.at(bench, encoding);
        let whole = read(bench, encoding, &encoded, "reference", readout, plan.seed).await?;
        let kept = reachable(&encoded);
        let deviation = Deviation::of(whole.values.view(), &target, &kept);
        let sigma = deviation.programming;
        let reference = whole.values.mean_axis(Axis(0)).unwrap_or_else(|| encoded.expected.clone());
        // Cells out of reach are no error of the programming: what they hold is what they should.
        let mut wanted = target.view().to_owned();
        for ((cell, kept), wanted) in kept.indexed_iter().zip(wanted.iter_mut()) {
            if !kept {
                *wanted = reference[cell];
            }
        }

        let rng = &mut ChaCha8Rng::seed_from_u64(plan.seed);
        let vectors = orthogonal(cols, rng).slice(ndarray::s![..plan.vectors.clamp(1, cols), ..]).to_owned();
        let repeats = match plan.repeats {
            0 => {
                let one = deviation.noise * (REFERENCE_REPEATS as f64).sqrt();
                let asked = (one / (NOISE_SHARE * plan.budget)).powi(2).ceil() as usize;
                asked.clamp(REPEATS[0], REPEATS[1])
            }
            given => given.max(2),
        };
        let views = vec![vectors.view(); repeats];
        let stacked = ndarray::concatenate(Axis(0), &views).unwrap_or_else(|_| vectors.clone());
        let mut inputs = encoding.encode_inputs(stacked.view());
        for (v, over) in beyond_range(encoding, &encoded, stacked.view()).into_iter().enumerate() {
            inputs.weaken(v, over);
        }
        let mut monitor = Self {
            encoding,
            plan: *plan,
            kept_rows: kept.rows().into_iter().map(|row| row.iter().any(|&kept| kept)).collect(),
            encoded,
            verified,
            vectors,
            target: wanted,
            reference,
            inputs,
            sigma,
            checks: 0,
            first: None,
            last: None,
            follows: false,
            steps: (0.0, 0),
        };
        let check = monitor.check(bench, Duration::ZERO).await?;
        Ok((monitor, check))
    }

    /// σ of the full reading at the beginning.
    #[must_use]
    pub fn sigma(&self) -> f64 {
        self.sigma
    }

    /// Waits until `plan.every_s` after the last check and makes the next.
    ///
    /// # Errors
    /// As for [`Bench::observe`].
    pub async fn next(&mut self, bench: &mut Bench<'_>) -> Result<Check, CharacteriseError> {
        self.check(bench, Duration::from_secs_f64(self.plan.every_s)).await
    }

    async fn check(&mut self, bench: &mut Bench<'_>, pause: Duration) -> Result<Check, CharacteriseError> {
        let pause = self.follow(bench, pause).await?;
        let question = Question {
            name: format!("check-{:06}", self.checks),
            frames: vec![self.encoded.frame.clone()],
            inputs: vec![self.inputs.batch.clone()],
            repeats: 1,
        };
        let readouts = bench.observe(question, &[pause]).await?;
        self.checks += 1;
        let seen = self.see(&readouts[0]);
        Ok(self.judge(seen))
    }

    /// Where it is known how the chip moves with its temperature, waits, reads it and has the matrix written for it. The pause that
    /// is left.
    async fn follow(
        &mut self,
        bench: &mut Bench<'_>,
        pause: Duration,
    ) -> Result<Duration, CharacteriseError> {
        if bench.celsius().and_then(|chip| self.encoding.at(chip)).is_none() {
            return Ok(pause);
        }
        let question = Question {
            name: format!("celsius-{:06}", self.checks),
            frames: vec![self.encoded.frame.clone()],
            inputs: vec![InputBatch(Array2::zeros((1, self.inputs.batch.0.ncols())))],
            repeats: 1,
        };
        bench.observe(question, &[pause]).await?;
        self.encoded = self.verified.at(bench, self.encoding);
        self.follows = true;
        Ok(Duration::ZERO)
    }

    fn see(&self, readout: &Readout) -> Seen {
        let outputs = self.encoding.decode(readout, &self.inputs, self.encoded.output_scale);
        let outputs = outputs.index_axis(Axis(0), 0);
        let (count, rows) = (self.vectors.nrows(), self.target.nrows());
        let repeats = outputs.nrows() / count;
        let mut mean = Array2::<f64>::zeros((count, rows));
        for set in outputs.axis_chunks_iter(Axis(0), count) {
            mean += &set;
        }
        mean /= repeats as f64;
        let expected = self.vectors.dot(&self.reference.t());
        let norm = expected.iter().map(|e| e * e).sum::<f64>().max(f64::MIN_POSITIVE);
        let gain = mean.iter().zip(&expected).map(|(y, e)| y * e).sum::<f64>() / norm;
        let wanted = self.vectors.dot(&self.target.t());
        let mut residual = Array2::zeros((count, rows));
        let mut noise = 0.0;
        for ((k, i), r) in residual.indexed_iter_mut() {
            if !self.kept_rows[i] {
                continue;
            }
            let energy = self.vectors.row(k).iter().map(|x| x * x).sum::<f64>();
            *r = (mean[(k, i)] / gain - wanted[(k, i)]) / energy.sqrt();
            let spread: f64 =
                (0..repeats).map(|m| (outputs[(m * count + k, i)] - mean[(k, i)]).powi(2)).sum();
            noise += spread / (repeats as f64 - 1.0) / repeats as f64 / energy / (gain * gain);
        }
        noise /= residual.len().max(1) as f64;
        Seen { at: readout.taken_at.0, residual, noise, gain, celsius: readout.temperature.0 }
    }

    fn judge(&mut self, seen: Seen) -> Check {
        let first = self.first.get_or_insert_with(|| seen.clone());
        let start = self.sigma * self.sigma;
        let square = (start + seen.square() - first.square()).max(0.0);
        let sigma = square.sqrt();
        if let Some((last, before)) = &self.last {
            self.steps.0 += if self.follows {
                (sigma - before).powi(2)
            } else {
                let change = &seen.residual - &last.residual;
                let change = change.iter().map(|d| d * d).sum::<f64>() / change.len().max(1) as f64;
                change - seen.noise - last.noise
            };
            self.steps.1 += 1;
        }
        let step = (self.steps.0 / f64::from(self.steps.1.max(1))).max(0.0).sqrt();
        let foreseen = if self.follows {
            sigma + REACH * step
        } else {
            let drifted = (square - start).max(0.0).sqrt();
            (start + (drifted + REACH * step).powi(2)).sqrt()
        };
        let by_row: Vec<f64> = seen.residual.columns().into_iter().map(|row| row.dot(&row)).collect();
        let (worst_row, most) = by_row
            .iter()
            .copied()
            .enumerate()
            .fold((0, 0.0), |best, now| if now.1 > best.1 { now } else { best });
        let check = Check {
            at_s: seen.at.saturating_sub(first.at).as_secs_f64(),
            celsius: seen.celsius,
            gain: seen.gain / first.gain,
            sigma,
            foreseen,
            worst_row,
            worst_share: most / by_row.iter().sum::<f64>().max(f64::MIN_POSITIVE),
            due: foreseen >= self.plan.budget,
        };
        self.last = Some((seen, sigma));
        check
    }
}
