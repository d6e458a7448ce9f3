//! How long a programmed matrix stays what it is: one matrix held, read over time.

use std::time::Duration;

use ndarray::{Array2, Axis};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::{
    characterise::{Bench, CharacteriseError, Question},
    encoding::Encoding,
    measure::MeasurementPlan,
    observer::Event,
    readout::{Probes, ReadOut},
    statistics::drift::{DriftLaw, DriftTest, drift_test, outlook, structure_function},
    verify::reachable,
};

/// How the drift of a processor is observed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DriftPlan {
    /// Time over which one matrix is held and read, in seconds, 0 (not observed) to 10⁶.
    pub duration_s: f64,
    /// Readings of the matrix in that time, evenly spaced, 8 to 1000.
    pub points: usize,
    /// Repeats of each, 2 to 10 000.
    pub repeats: usize,
    /// Seed of the matrix and of the probe vectors.
    pub seed: u64,
}

impl Default for DriftPlan {
    fn default() -> Self {
        Self { duration_s: 600.0, points: 41, repeats: 32, seed: 3001 }
    }
}

/// The structure function at one lag.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DriftPoint {
    /// Lag, seconds.
    pub lag_s: f64,
    /// rms change of a weight over that lag, read-out noise taken off, of the full scale.
    pub change: f64,
    /// Standard uncertainty of `change²` from the scatter over weights.
    pub square_std_error: f64,
}

/// What was seen of the drift. Weights are in units of the full scale.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DriftRecord {
    /// From the first reading to the last, seconds.
    pub duration_s: f64,
    /// Readings of the matrix.
    pub points: usize,
    /// Repeats of each.
    pub repeats: usize,
    /// What one reading of a weight differs from the next by whatever the time between them, the least of the structure function: its
    /// read-out noise, and what all repeats of one reading share.
    pub readout: f64,
    /// Lowest and highest temperature, °C.
    pub celsius: [f64; 2],
    /// Common gain of all weights, lowest and highest, the first reading = 1.
    pub gain: [f64; 2],
    /// Structure function.
    pub lags: Vec<DriftPoint>,
    /// Law that describes it.
    pub law: DriftLaw,
    /// Whether readings differ the more the more time lies between them.
    pub test: DriftTest,
    /// `(tr C)² / tr C²` of the covariance of the changes from reading to reading: how many weights drift independently. Absent where
    /// the changes are not told from the noise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub independent: Option<f64>,
    /// σ at the time of programming from which the validity is reckoned.
    pub sigma: f64,
    /// σ that may not be exceeded.
    pub budget: f64,
    /// For how long σ stays within the budget.
    pub validity: ValidFor,
}

/// Time after programming at which σ exceeds its budget, seconds; infinite where nothing that was seen leads there.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValidFor {
    /// Estimate; infinite where no drift was told from chance (`DriftRecord::test`, level 5 %).
    pub seconds: f64,
    /// Its 95 % interval. Where drift was seen it takes weights to drift independently, and is absent where that was not
    /// seen (`DriftRecord::independent` absent or below 8); where none was seen it begins where a drift just not seen would end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ci95: Option<[f64; 2]>,
    /// The estimate lies beyond the lags that were measured.
    pub extrapolated: bool,
}

/// Orders of the readings against which drift is tested, and the level of the test.
const PERMUTATIONS: usize = 999;
const LEVEL: f64 = 0.05;
/// Resamples of the interval of the validity.
const RESAMPLES: usize = 1000;
/// Bins of the structure function, even in ln τ.
const BINS: usize = 10;
/// Fewer independent weights than these make no interval by resampling weights.
const INDEPENDENT: f64 = 8.0;
/// Changes from reading to reading are told from the noise when their mean square is above this many times its own.
const SEEN: f64 = 0.2;

/// Holds one random matrix for `plan.duration_s` and reads it `plan.points` times in the basis of `readout`. `None` where the plan
/// says 0 s, or where the readings are too few for a law.
///
/// # Errors
/// As for [`Bench::observe`].
pub async fn observe_drift(
    bench: &mut Bench<'_>,
    encoding: &dyn Encoding,
    plan: &DriftPlan,
    readout: ReadOut,
    sigma: f64,
    budget: f64,
) -> Result<Option<DriftRecord>, CharacteriseError> {
    if plan.duration_s <= 0.0 {
        return Ok(None);
    }
    let (rows, cols) = (bench.descriptor().outputs, bench.descriptor().inputs);
    let target =
        &MeasurementPlan { programmings: 1, seed: plan.seed, ..Default::default() }.targets(rows, cols)?[0];
    let encoded = encoding.encode(target)?;
    let probes = Probes::new(
        encoding,
        &encoded,
        bench.descriptor().alphabet,
        readout.with_repeats(plan.repeats),
        plan.seed,
    );
    let question = Question {
        name: "drift".to_owned(),
        frames: vec![encoded.frame.clone(); plan.points],
        inputs: vec![probes.batch().clone()],
        repeats: 1,
    };
    let step = Duration::from_secs_f64(plan.duration_s / plan.points.saturating_sub(1).max(1) as f64);
    let mut pauses = vec![step; plan.points];
    pauses.iter_mut().take(1).for_each(|first| *first = Duration::ZERO);
    bench.tell(Event::Started { stage: "drift", steps: 1 });
    let readouts = bench.observe(question, &pauses).await?;
    bench.tell(Event::Finished);

    let kept = reachable(&encoded);
    let cells: Vec<(usize, usize)> =
        kept.indexed_iter().filter(|(_, kept)| **kept).map(|(cell, _)| cell).collect();
    let mut series = Array2::zeros((readouts.len(), cells.len()));
    let mut times = Vec::with_capacity(readouts.len());
    let mut variance = 0.0;
    for (readout, mut row) in readouts.iter().zip(series.rows_mut()) {
        let reading = probes.decode(encoding, &encoded, readout).values;
        let repeats = reading.len_of(Axis(0)) as f64;
        for (&(i, j), mean) in cells.iter().zip(&mut row) {
            let values = reading.slice(ndarray::s![.., i, j]);
            *mean = values.sum() / repeats;
            variance += values.iter().map(|y| (y - *mean).powi(2)).sum::<f64>() / (repeats - 1.0) / repeats;
        }
        times.push((readout.taken_at.0 - readouts[0].taken_at.0).as_secs_f64());
    }
    variance /= series.len().max(1) as f64;
    let celsius = readouts.iter().fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], readout| {
        [low.min(readout.temperature.0), high.max(readout.temperature.0)]
    });
    let Some(function) = structure_function(&times, series.view(), BINS) else { return Ok(None) };
    let rng = &mut ChaCha8Rng::seed_from_u64(plan.seed);
    let Some(outlook) = outlook(&function, None, RESAMPLES, rng) else { return Ok(None) };
    let variance = variance.max(outlook.fit.readout_variance);
    let independent = independent(&series, variance);
    let Some(test) = drift_test(&times, series.view(), PERMUTATIONS, rng) else { return Ok(None) };
    let until = outlook.time_until(sigma, budget);
    let together = independent.is_none_or(|count| count < INDEPENDENT);
    let room = (budget * budget - sigma * sigma).max(0.0);
    let validity = if test.p_value > LEVEL {
        let [least, seconds] = if room > 0.0 { [room / test.most, f64::INFINITY] } else { [0.0, 0.0] };
        ValidFor { seconds, ci95: Some([least, f64::INFINITY]), extrapolated: true }
    } else {
        ValidFor {
            seconds: until.time.unwrap_or(f64::INFINITY),
            ci95: (!together).then(|| until.ci95.map(|end| end.unwrap_or(f64::INFINITY))),
            extrapolated: until.extrapolated,
        }
    };
    let lags = function
        .without_noise(variance)
        .into_iter()
        .map(|point| DriftPoint {
            lag_s: point.lag,
            change: point.mean.sqrt(),
            square_std_error: point.std_error,
        })
        .collect();
    Ok(Some(DriftRecord {
        duration_s: times.last().copied().unwrap_or(0.0),
        points: readouts.len(),
        repeats: plan.repeats,
        readout: variance.sqrt(),
        celsius,
        gain: gains(&series),
        lags,
        law: outlook.fit.law,
        test,
        independent,
        sigma,
        budget,
        validity,
    }))
}

/// Least-squares factor of each row of `series` to its first: lowest and highest.
fn gains(series: &Array2<f64>) -> [f64; 2] {
    let first = series.row(0);
    let norm = first.dot(&first).max(f64::MIN_POSITIVE);
    series
        .rows()
        .into_iter()
        .map(|row| row.dot(&first) / norm)
        .fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], gain| [low.min(gain), high.max(gain)])
}

/// Fewest changes from which something is said.
const CHANGES: usize = 5;

/// How many weights drift independently, by the changes over as few readings as show any.
fn independent(series: &Array2<f64>, variance: f64) -> Option<f64> {
    (0..)
        .map(|power| 1 << power)
        .take_while(|stride| series.nrows().saturating_sub(1) / stride >= CHANGES)
        .find_map(|stride| independent_over(series, variance, stride))
}

/// `(tr C)² / tr C²` of the changes of `series` over `stride` rows, from their Gram matrix, whose noise (`2σ²` a change, `−σ²` between
/// neighbours, a weight) is taken off.
fn independent_over(series: &Array2<f64>, variance: f64, stride: usize) -> Option<f64> {
    let count = (series.nrows() - 1) / stride;
    let changes = Array2::from_shape_fn((count, series.ncols()), |(t, e)| {
        series[((t + 1) * stride, e)] - series[(t * stride, e)]
    });
    let noise = variance * series.ncols() as f64;
    let mut gram = changes.dot(&changes.t());
    for ((a, b), value) in gram.indexed_iter_mut() {
        *value -= match a.abs_diff(b) {
            0 => 2.0 * noise,
            1 => -noise,
            _ => 0.0,
        };
    }
    let trace = gram.diag().sum();
    let square: f64 = gram.iter().map(|value| value * value).sum();
    (trace > SEEN * 2.0 * noise * count as f64).then(|| trace * trace / square)
}

#[cfg(test)]
mod tests {
    use rand_distr::{Distribution, StandardNormal};

    use super::*;

    fn walks(elements: usize, common: bool) -> Array2<f64> {
        let rng = &mut ChaCha8Rng::seed_from_u64(5);
        let mut series = Array2::<f64>::zeros((41, elements));
        let pattern: Vec<f64> = (0..elements).map(|e| 1.0 + (e % 3) as f64).collect();
        for t in 1..41 {
            let shared: f64 = StandardNormal.sample(rng);
            for e in 0..elements {
                let own: f64 = StandardNormal.sample(rng);
                series[(t, e)] = series[(t - 1, e)] + if common { shared * pattern[e] } else { own };
            }
        }
        series
    }

    #[test]
    fn weights_that_drift_together_count_as_one_and_others_as_many() {
        let together = independent(&walks(64, true), 0.0).unwrap_or(0.0);
        assert!((together - 1.0).abs() < 1e-9, "{together}");
        // 64 weights seen in 40 changes: 1/n = 1/64 + 1/40.
        let apart = independent(&walks(64, false), 0.0).unwrap_or(0.0);
        assert!((apart - 24.6).abs() < 3.0, "{apart}");
    }

    #[test]
    fn nothing_is_said_of_weights_that_show_noise_alone() {
        let rng = &mut ChaCha8Rng::seed_from_u64(6);
        let noise = Array2::from_shape_simple_fn((41, 64), || StandardNormal.sample(rng));
        assert_eq!(independent(&noise, 1.0), None);
    }
}
