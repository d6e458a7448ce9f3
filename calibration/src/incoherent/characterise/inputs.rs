//! Dark, amplitude of the inputs, and the curve of each input modulator.

use super::{
    curve::{Curve, InputCurve, fit_curve, rises},
    plan::IncoherentPlan,
    probe::{one_hot, signals},
    solve::median,
};
use crate::{
    characterise::{Bench, CharacteriseError, Question},
    statistics::moments::Estimate,
};
use alora_drivers::{ActuatorFrame, Descriptor, InputCode, Readout};

/// Zero vectors of the first questions.
const DARK_VECTORS: usize = 64;
/// Shares of the highest input code that are tried, until no detector is at its limit.
const AMPLITUDES: [f64; 5] = [1.0, 0.5, 0.25, 0.125, 0.0625];
/// Share of the data sheet's signal below which a row or an input is dark.
const DARKNESS: f64 = 0.1;
const CURVE_REPEATS: usize = 2;
const MOST_STEPS: usize = 12;

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
