//! Dark, amplitude of the inputs, and the curve of each input modulator.

use alora_drivers::{ActuatorFrame, Descriptor, InputCode, Readout};
use serde::{Deserialize, Serialize};

use super::{
    plan::IncoherentPlan,
    probe::{LOWEST_AMPLITUDE, one_hot, signals},
    solve::{Cholesky, median},
};
use crate::{
    characterise::{Bench, CharacteriseError, Question},
    statistics::moments::Estimate,
};

/// Zero vectors of the first questions.
const DARK_VECTORS: usize = 64;
/// Shares of the highest input code that are tried, until no detector is at its limit.
const AMPLITUDES: [f64; 5] = [1.0, 0.5, 0.25, 0.125, 0.0625];
/// Share of the data sheet's signal below which a row or an input is dark.
const DARKNESS: f64 = 0.1;
/// Terms of a curve beyond the straight line.
pub(super) const TERMS: usize = 3;
const CURVE_REPEATS: usize = 2;
const MOST_STEPS: usize = 12;
/// Steps over the amplitudes that readings are taken at.
const AMPLITUDE_STEPS: u32 = 32;

/// What was learned of one input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputCurve {
    /// Power at the highest code in use, relative to the mean input.
    pub power: Estimate,
    /// `a` of `f(x) = x + x(1 − x)(a0 + a1 (2x − 1) + a2 (2x − 1)²)`: power at code `x · limit` less that at 0,
    /// relative to the highest code in use.
    pub terms: [Estimate; TERMS],
}

impl InputCurve {
    /// `f(x)`.
    #[must_use]
    pub fn at(&self, x: f64) -> f64 {
        x + basis(x).iter().zip(&self.terms).map(|(basis, term)| basis * term.value).sum::<f64>()
    }
}

fn basis(x: f64) -> [f64; TERMS] {
    let bump = x * (1.0 - x);
    let odd = 2.0 * x - 1.0;
    [bump, bump * odd, bump * odd * odd]
}

/// What was learned of the inputs and rows before any heater is driven.
pub(super) struct Inputs {
    /// Highest code in use.
    pub(super) limit: InputCode,
    /// Counts of each row at rest.
    pub(super) dark: Vec<Estimate>,
    /// Weight of a ring far off resonance, in nominal weights: mean over rows and inputs.
    pub(super) level: f64,
    /// Responsivity of each row relative to the mean row.
    pub(super) responsivity: Vec<Estimate>,
    pub(super) curves: Vec<InputCurve>,
    /// Relative standard error that each curve brings to all weights of its input.
    pub(super) scale_errors: Vec<f64>,
}

impl Inputs {
    /// Size of the weight of a ring far off resonance, in nominal weights.
    pub(super) fn gain(&self, row: usize, input: usize) -> f64 {
        self.level * self.responsivity[row].value * self.curves[input].power.value
    }

    /// Power of `input` at `code`, less that at code 0.
    pub(super) fn power(&self, input: usize, code: InputCode) -> f64 {
        self.curves[input].at(f64::from(code) / f64::from(self.limit.max(1)))
    }
}

/// Measures dark, the amplitude that no detector is at its limit with, and the curves, with all heaters off.
pub(super) async fn measure(
    bench: &mut Bench<'_>,
    counts_per_unit: f64,
    plan: &IncoherentPlan,
) -> Result<Inputs, CharacteriseError> {
    let descriptor = bench.descriptor().clone();
    let (limit, dark) = amplitude(bench, &descriptor, counts_per_unit).await?;
    let codes = codes(limit, plan.curve_points);
    let lit: Vec<_> =
        (0..descriptor.inputs).flat_map(|input| codes.iter().map(move |&code| (input, code))).collect();
    let readout = ask_parked(bench, "input-curves", &lit, CURVE_REPEATS).await?;
    let signals = signals(&readout, DARK_VECTORS);
    let drives: Vec<f64> = codes.iter().map(|&code| f64::from(code) / f64::from(limit)).collect();
    let mut curves = Vec::new();
    let mut gains = Vec::new();
    let mut scale_errors = Vec::new();
    for input in 0..descriptor.inputs {
        let rows: Vec<Vec<(f64, f64)>> = (0..descriptor.outputs)
            .map(|row| {
                let points = drives.iter().enumerate();
                points
                    .filter_map(|(point, &x)| Some((x, signals[(input * codes.len() + point, row)]?)))
                    .collect()
            })
            .collect();
        let Curve { terms, gains: of_rows, scale_error } = fit_curve(&rows)
            .filter(|curve| rises(&curve.terms))
            .ok_or(CharacteriseError::InputCurve { input })?;
        curves.push(terms);
        gains.push(of_rows);
        scale_errors.push(scale_error);
    }
    let (counts, responsivity, powers) = by_rows_and_inputs(&gains);
    let level = counts / counts_per_unit;
    let curves = curves.into_iter().zip(powers).map(|(terms, power)| InputCurve { power, terms }).collect();
    Ok(Inputs { limit, dark, level, responsivity, curves, scale_errors })
}

/// The highest input code with which no detector is at its limit while all rings are far off resonance, and the dark
/// counts.
async fn amplitude(
    bench: &mut Bench<'_>,
    descriptor: &Descriptor,
    counts_per_unit: f64,
) -> Result<(InputCode, Vec<Estimate>), CharacteriseError> {
    let top = descriptor.input_range().1;
    let codes = AMPLITUDES.map(|share| ((share * f64::from(top)).round() as InputCode).max(1));
    let lit: Vec<_> =
        codes.iter().flat_map(|&code| (0..descriptor.inputs).map(move |input| (input, code))).collect();
    let readout = ask_parked(bench, "dark-and-gain", &lit, 1).await?;
    let found = signals(&readout, DARK_VECTORS);
    let of_code = |step: usize| step * descriptor.inputs..(step + 1) * descriptor.inputs;
    let free = |step: &usize| {
        of_code(*step).all(|vector| (0..descriptor.outputs).all(|row| found[(vector, row)].is_some()))
    };
    let Some(step) = (0..codes.len()).find(free) else {
        let row = (0..descriptor.outputs)
            .find(|&row| of_code(codes.len() - 1).any(|vector| found[(vector, row)].is_none()))
            .unwrap_or(0);
        return Err(CharacteriseError::RowAtLimit { row });
    };
    let expected = counts_per_unit * f64::from(codes[step]) / f64::from(top);
    let share = |vector: usize, row: usize| found[(vector, row)].unwrap_or(0.0).abs() / expected;
    for row in 0..descriptor.outputs {
        let typical = median(of_code(step).map(|vector| share(vector, row)).collect());
        if typical < DARKNESS {
            return Err(CharacteriseError::DarkRow { row, percent: 100.0 * typical });
        }
    }
    for (input, vector) in of_code(step).enumerate() {
        let typical = median((0..descriptor.outputs).map(|row| share(vector, row)).collect());
        if typical < DARKNESS {
            return Err(CharacteriseError::DarkInput { input, percent: 100.0 * typical });
        }
    }
    Ok((codes[step], dark(&readout)))
}

/// Mean counts of the zero vectors of each row.
fn dark(readout: &Readout) -> Vec<Estimate> {
    let n = DARK_VECTORS as f64;
    (0..readout.counts.dim().2)
        .map(|row| {
            let counts = || (0..DARK_VECTORS).map(|vector| f64::from(readout.counts[(0, vector, row)]));
            let mean = counts().sum::<f64>() / n;
            let variance = counts().map(|count| (count - mean).powi(2)).sum::<f64>() / (n - 1.0);
            // A count is rounded: a twelfth of a step's square even where all readings agree.
            Estimate { value: mean, std_error: ((variance + 1.0 / 12.0) / n).sqrt() }
        })
        .collect()
}

async fn ask_parked(
    bench: &mut Bench<'_>,
    name: &str,
    lit: &[(usize, InputCode)],
    repeats: usize,
) -> Result<Readout, CharacteriseError> {
    let descriptor = bench.descriptor();
    let question = Question {
        name: name.to_owned(),
        frames: vec![ActuatorFrame::zeros(descriptor.limits.len())],
        inputs: vec![one_hot(descriptor.inputs, DARK_VECTORS, lit)],
        repeats,
    };
    let mut readings = bench.ask(question).await?;
    readings.pop().ok_or_else(|| CharacteriseError::NotMeasured { question: name.to_owned() })
}

/// `points` codes from near 0 to `limit`.
fn codes(limit: InputCode, points: usize) -> Vec<InputCode> {
    let mut codes: Vec<InputCode> = (1..=points)
        .map(|point| (f64::from(limit) * point as f64 / points as f64).round() as InputCode)
        .filter(|&code| code > 0)
        .collect();
    codes.dedup();
    codes
}

/// A fitted curve.
struct Curve {
    terms: [Estimate; TERMS],
    /// Counts of each row at the highest code in use.
    gains: Vec<f64>,
    scale_error: f64,
}

/// Curve that all rows share, `s_i(x) = G_i f(x)`, and the gains `G_i`. `rows[i]` holds `(x, s_i)`.
///
/// Gauss–Newton with the gains projected out (variable projection; Golub & Pereyra, SIAM J. Numer. Anal. 10, 413
/// (1973)); standard errors from the residual's scatter.
fn fit_curve(rows: &[Vec<(f64, f64)>]) -> Option<Curve> {
    let mut terms = [0.0; TERMS];
    let curve = |terms: &[f64; TERMS], x: f64| {
        x + basis(x).iter().zip(terms).map(|(basis, term)| basis * term).sum::<f64>()
    };
    let gains = |terms: &[f64; TERMS]| -> Vec<f64> {
        let gain = |points: &Vec<(f64, f64)>| {
            let (product, square) = points.iter().fold((0.0, 0.0), |(product, square), &(x, signal)| {
                let f = curve(terms, x);
                (product + f * signal, square + f * f)
            });
            if square > 0.0 { product / square } else { 0.0 }
        };
        rows.iter().map(gain).collect()
    };
    let mut covariance = [[0.0; TERMS]; TERMS];
    for _ in 0..MOST_STEPS {
        let of_rows = gains(&terms);
        let mut normal = [[0.0; TERMS]; TERMS];
        let mut gradient = [0.0; TERMS];
        let (mut squares, mut count) = (0.0, 0.0);
        for (points, gain) in rows.iter().zip(&of_rows) {
            let mut along = [0.0; TERMS];
            let mut norm = 0.0;
            for &(x, _) in points {
                let f = curve(&terms, x);
                norm += f * f;
                along.iter_mut().zip(basis(x)).for_each(|(along, basis)| *along += basis * f);
            }
            for &(x, signal) in points {
                let f = curve(&terms, x);
                let residual = signal - gain * f;
                squares += residual * residual;
                count += 1.0;
                let own = basis(x);
                let across: [f64; TERMS] =
                    std::array::from_fn(|i| gain * (own[i] - along[i] * f / norm.max(f64::MIN_POSITIVE)));
                for i in 0..TERMS {
                    gradient[i] += across[i] * residual;
                    for j in 0..TERMS {
                        normal[i][j] += across[i] * across[j];
                    }
                }
            }
        }
        let cholesky = Cholesky::of(normal)?;
        let step = cholesky.solve(gradient);
        terms.iter_mut().zip(step).for_each(|(term, step)| *term += step);
        let freedom: f64 = count - rows.len() as f64 - TERMS as f64;
        let variance = squares / freedom.max(1.0);
        covariance = cholesky.inverse().map(|row| row.map(|entry| entry * variance));
    }
    // A weight read at the powers f is Σ f s / Σ f²: an error of the curve moves it by Σ f δf / Σ f².
    let mut along = [0.0; TERMS];
    let mut squares = 0.0;
    for step in 0..=AMPLITUDE_STEPS {
        let x = LOWEST_AMPLITUDE + (1.0 - LOWEST_AMPLITUDE) * f64::from(step) / f64::from(AMPLITUDE_STEPS);
        let f = curve(&terms, x);
        squares += f * f;
        along.iter_mut().zip(basis(x)).for_each(|(along, basis)| *along += f * basis);
    }
    let variance: f64 = (0..TERMS)
        .flat_map(|i| (0..TERMS).map(move |j| (i, j)))
        .map(|(i, j)| along[i] * covariance[i][j] * along[j])
        .sum();
    let terms_found =
        std::array::from_fn(|i| Estimate { value: terms[i], std_error: covariance[i][i].sqrt() });
    Some(Curve { terms: terms_found, gains: gains(&terms), scale_error: variance.max(0.0).sqrt() / squares })
}

/// Does the curve rise from 0 to 1 everywhere?
fn rises(terms: &[Estimate; TERMS]) -> bool {
    let at = |x: f64| x + basis(x).iter().zip(terms).map(|(basis, term)| basis * term.value).sum::<f64>();
    (0..100).all(|step| at(f64::from(step + 1) / 100.0) > at(f64::from(step) / 100.0))
}

/// Splits `gains[input][row]` into a level, rows and inputs, `|G_ij| = g R_i P_j`, `R` and `P` with mean 1: medians of the logarithms, so
/// that a defective ring moves nothing.
fn by_rows_and_inputs(gains: &[Vec<f64>]) -> (f64, Vec<Estimate>, Vec<Estimate>) {
    let rows = gains.first().map_or(0, Vec::len);
    let log = |input: usize, row: usize| gains[input][row].abs().max(f64::MIN_POSITIVE).ln();
    let mut of_inputs = vec![0.0; gains.len()];
    let mut of_rows = vec![0.0; rows];
    for _ in 0..MOST_STEPS {
        for (row, of_row) in of_rows.iter_mut().enumerate() {
            *of_row = median((0..gains.len()).map(|input| log(input, row) - of_inputs[input]).collect());
        }
        for (input, of_input) in of_inputs.iter_mut().enumerate() {
            *of_input = median((0..rows).map(|row| log(input, row) - of_rows[row]).collect());
        }
    }
    let residual = |input: usize, row: usize| (log(input, row) - of_inputs[input] - of_rows[row]).abs();
    let mean_of = |logs: &[f64]| logs.iter().map(|log| log.exp()).sum::<f64>() / logs.len().max(1) as f64;
    let relative = |logs: &[f64], spread: &dyn Fn(usize) -> f64| -> Vec<Estimate> {
        let mean = mean_of(logs);
        let estimate = |(index, log): (usize, &f64)| {
            let value = log.exp() / mean;
            Estimate { value, std_error: value * spread(index) }
        };
        logs.iter().enumerate().map(estimate).collect()
    };
    // Median of n Gaussian values: 1.4826 · MAD scatter, 1.2533/√n of it.
    let error = |deviations: Vec<f64>| {
        let n = deviations.len().max(1) as f64;
        1.4826 * 1.2533 * median(deviations) / n.sqrt()
    };
    let of_row = |row: usize| error((0..gains.len()).map(|input| residual(input, row)).collect());
    let of_input = |input: usize| error((0..rows).map(|row| residual(input, row)).collect());
    let level = mean_of(&of_rows) * mean_of(&of_inputs);
    (level, relative(&of_rows, &of_row), relative(&of_inputs, &of_input))
}
