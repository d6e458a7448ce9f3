//! Sweeps: one column of rings at a time, all others at rest, and again ring by ring where that did not do.

use super::{
    bank::{BIAS, FIRST_PAIR, OFF, PAIRS, PARAMETERS, QUARTIC, SPAN, SWING, Theta},
    line::Line,
    observations::{Drive, Observations},
    plan::IncoherentPlan,
    probe::{Reading, Receiver, frame_of, generator, power_of, stream},
    solve::{Cholesky, median},
};
use alora_drivers::datasheet::IncoherentDataSheet;

use crate::{
    characterise::{Bench, CharacteriseError, Question},
    observer::Event,
};

/// Scatter about the fit beyond which a sweep is not taken, as a share of the swing.
const TOO_ROUGH: f64 = 0.04;
/// Standard errors below which a change over a sweep is none.
const NO_RESPONSE: f64 = 6.0;
/// Tolerances of the data sheet within which a phase law is taken for plausible, and the least relative one.
const PLAUSIBLE_TOLERANCES: f64 = 6.0;
const LEAST_TOLERANCE: f64 = 0.25;
/// Relative tolerance of the swing, and the noise of a reading that it is weighed against.
const SWING_TOLERANCE: f64 = 0.1;
const PRIOR_NOISE: f64 = 0.005;
const MOST_STEPS: usize = 40;

/// What a sweep says of a ring.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Swept {
    /// Levels, bias and span; the neighbours' heat is in them.
    Sound(Theta),
    /// It does not change with its heater.
    Still,
    /// It follows, but not as the data sheet says.
    Odd(Theta),
}

impl Swept {
    pub(super) fn is_sound(&self) -> bool {
        matches!(self, Self::Sound(_))
    }
}

/// Sweeps all columns, then once more each ring that was not sound. Readings go to `observations`.
pub(super) async fn sweep(
    bench: &mut Bench<'_>,
    receiver: &Receiver<'_>,
    sheet: &IncoherentDataSheet,
    line: Line,
    plan: &IncoherentPlan,
    observations: &mut Observations,
) -> Result<Vec<Swept>, CharacteriseError> {
    let (rows, cols) = (receiver.descriptor.outputs, receiver.descriptor.inputs);
    let mut found = vec![Swept::Still; rows * cols];
    bench.tell(Event::Started { stage: "element sweeps", steps: cols as u64 });
    for col in 0..cols {
        let series = Series {
            name: format!("sweep-column-{col:04}"),
            points: plan.sweep_points,
            readings: plan.sweep_readings,
            stream: stream::SWEEPS + col as u64,
            input: col,
        };
        let driven = |power| Drive::Column { col, power };
        let drives = |ring: usize| ring % cols == col;
        let first = observations.settings();
        ask(bench, receiver, sheet, plan, &series, drives, driven, observations).await?;
        for row in 0..rows {
            let ring = row * cols + col;
            found[ring] = fit(sheet, line, receiver, ring, &sweep_of(observations, ring, first));
        }
        bench.tell(Event::Step);
    }
    bench.tell(Event::Finished);
    for ring in (0..rows * cols).filter(|&ring| !found[ring].is_sound()).collect::<Vec<_>>() {
        let series = Series {
            name: format!("sweep-ring-{:04}-{:04}", ring / cols, ring % cols),
            points: plan.retry_points,
            readings: plan.sweep_readings,
            stream: stream::RETRIES + ring as u64,
            input: ring % cols,
        };
        let first = observations.settings();
        let driven = |power| Drive::One { ring, power };
        ask(bench, receiver, sheet, plan, &series, |other| other == ring, driven, observations).await?;
        found[ring] = fit(sheet, line, receiver, ring, &sweep_of(observations, ring, first));
    }
    Ok(found)
}

struct Series {
    name: String,
    points: usize,
    readings: usize,
    stream: u64,
    input: usize,
}

#[expect(clippy::too_many_arguments, reason = "one call for two kinds of sweep")]
async fn ask(
    bench: &mut Bench<'_>,
    receiver: &Receiver<'_>,
    sheet: &IncoherentDataSheet,
    plan: &IncoherentPlan,
    series: &Series,
    drives: impl Fn(usize) -> bool,
    driven: impl Fn(f64) -> Drive,
    observations: &mut Observations,
) -> Result<(), CharacteriseError> {
    let descriptor = receiver.descriptor;
    let exponent = sheet.drive.exponent;
    let rng = &mut generator(plan.seed, series.stream);
    let powers: Vec<f64> =
        (0..series.points).map(|point| point as f64 / (series.points - 1) as f64).collect();
    let frames: Vec<_> = powers
        .iter()
        .map(|&power| frame_of(descriptor, exponent, |ring| if drives(ring) { power } else { 0.0 }))
        .collect();
    let inputs: Vec<_> =
        powers.iter().map(|_| receiver.one_input(series.input, series.readings, rng)).collect();
    let question =
        Question { name: series.name.clone(), frames: frames.clone(), inputs: inputs.clone(), repeats: 1 };
    let readouts = bench.ask(question).await?;
    let group = observations.new_group(&readouts, false);
    for ((readout, frame), batch) in readouts.iter().zip(&frames).zip(&inputs) {
        let at = frame.0.iter().position(|&code| code > 0);
        // All codes are made of the same power; limits may differ, and the exact power is that of the code.
        let power = at.map_or(0.0, |ring| power_of(frame.0[ring], descriptor.limits[ring], exponent));
        let setting = observations.add_setting(driven(power), group);
        let taken = receiver.readings(readout, batch, setting);
        observations.take(taken.into_iter().filter(|&(ring, _)| drives(ring)));
    }
    Ok(())
}

/// Power and reading of a ring's points from setting `first` on.
fn sweep_of(observations: &Observations, ring: usize, first: usize) -> Vec<(f64, Reading)> {
    let points = observations.of(ring).iter().filter(|reading| reading.setting >= first);
    points.map(|reading| (observations.own_power(ring, reading.setting), *reading)).collect()
}

/// Fits one sweep from several starts: resonances at the highest readings, with the data sheet's span and others.
fn fit(
    sheet: &IncoherentDataSheet,
    line: Line,
    receiver: &Receiver<'_>,
    ring: usize,
    points: &[(f64, Reading)],
) -> Swept {
    let cols = receiver.descriptor.inputs;
    let gain = receiver.inputs.gain(ring / cols, ring % cols);
    let swing = gain * (line.peak + line.dip);
    if points.len() < 8 {
        return Swept::Still;
    }
    if response(points) < NO_RESPONSE {
        return Swept::Still;
    }
    let span = sheet.drive.span_rad;
    let mut best: Option<(f64, [f64; 4])> = None;
    for resonance in highest(points, 2) {
        for factor in [1.0, 0.75, 1.3, 0.3, 0.15] {
            let start = [-gain, swing, -factor * span * resonance, factor * span];
            let reached = descend(line, points, start, swing);
            if let Some(reached) =
                reached.filter(|(scatter, _)| best.is_none_or(|(least, _)| *scatter < least))
            {
                best = Some(reached);
            }
        }
    }
    let Some((scatter, [off, reached, bias, found])) = best else { return Swept::Still };
    let mut theta = [0.0; PARAMETERS];
    (theta[OFF], theta[SWING], theta[BIAS], theta[SPAN], theta[QUARTIC]) = (off, reached, bias, found, 0.0);
    theta[FIRST_PAIR..FIRST_PAIR + PAIRS].fill(0.0);
    let near = |value: f64, nominal: f64, tolerance: f64| {
        let allowed = (PLAUSIBLE_TOLERANCES * tolerance).max(LEAST_TOLERANCE * nominal.abs());
        (value - nominal).abs() <= allowed
    };
    let crosses = bias < 0.0 && bias + found > 0.0;
    let sound = scatter <= TOO_ROUGH * swing
        && near(found, span, sheet.drive_tolerance.span_rad)
        && near(bias, sheet.drive.bias_rad, sheet.drive_tolerance.bias_rad)
        && near(reached, swing, 0.0)
        && crosses;
    if sound { Swept::Sound(theta) } else { Swept::Odd(theta) }
}

/// Largest change of the mean between any two eighths of a sweep, in standard errors; the noise is that between
/// neighbouring points, at least that of a converter's step ([`PRIOR_NOISE`]).
fn response(points: &[(f64, Reading)]) -> f64 {
    let steps = points.windows(2).map(|pair| (pair[1].1.weight - pair[0].1.weight).abs()).collect();
    // Median of |difference| of two Gaussian values: 0.954 standard deviations.
    let readings = median(points.iter().map(|(_, reading)| reading.worth).collect()).max(1.0);
    let noise = (median(steps) / 0.954).max(PRIOR_NOISE / readings.sqrt());
    let size = points.len().div_ceil(8);
    let means = points
        .chunks(size)
        .map(|chunk| chunk.iter().map(|(_, reading)| reading.weight).sum::<f64>() / chunk.len() as f64);
    let (lowest, highest) =
        means.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), mean| (mean.min(low), mean.max(high)));
    (highest - lowest) / (noise * (2.0 / size as f64).sqrt())
}

/// Powers of the `count` highest local maxima of a sweep.
fn highest(points: &[(f64, Reading)], count: usize) -> Vec<f64> {
    let weight = |index: usize| points[index].1.weight;
    let mut peaks: Vec<usize> = (0..points.len())
        .filter(|&index| {
            (index == 0 || weight(index) >= weight(index - 1))
                && (index + 1 == points.len() || weight(index) >= weight(index + 1))
        })
        .collect();
    peaks.sort_by(|&a, &b| weight(b).total_cmp(&weight(a)));
    peaks.iter().take(count).map(|&index| points[index].0.max(0.02)).collect()
}

/// Levenberg–Marquardt for levels, bias and span on one sweep; the scatter is a robust one. The nominal swing counts as
/// a reading: a heater that does not reach the resonance says nothing of it.
fn descend(line: Line, points: &[(f64, Reading)], start: [f64; 4], swing: f64) -> Option<(f64, [f64; 4])> {
    let prior = (PRIOR_NOISE / (SWING_TOLERANCE * swing)).powi(2);
    let model = |theta: &[f64; 4], power: f64| {
        let (level, slope) = line.level_and_slope(theta[2] + theta[3] * power);
        let by_phase = theta[1] * slope;
        (theta[0] + theta[1] * level, [1.0, level, by_phase, by_phase * power])
    };
    let residual =
        |theta: &[f64; 4], (power, reading): &(f64, Reading)| reading.weight - model(theta, *power).0;
    // Least squares at first; later, readings beyond 3 robust deviations count by their distance only (Huber).
    let mut theta = start;
    let mut bound = f64::INFINITY;
    for round in 0..2 {
        let cost = |theta: &[f64; 4]| -> f64 {
            let readings: f64 = points
                .iter()
                .map(|point| {
                    let size = residual(theta, point).abs();
                    if size <= bound { size * size } else { 2.0 * bound * size - bound * bound }
                })
                .sum();
            readings + prior * (theta[1] - swing).powi(2)
        };
        let mut least = cost(&theta);
        let mut damping = 1e-3;
        for _ in 0..MOST_STEPS {
            let mut normal = [[0.0; 4]; 4];
            let mut gradient = [0.0; 4];
            for point in points {
                let (value, jacobian) = model(&theta, point.0);
                let error = point.1.weight - value;
                let weight = if error.abs() <= bound { 1.0 } else { bound / error.abs() };
                for i in 0..4 {
                    gradient[i] += weight * jacobian[i] * error;
                    for j in 0..4 {
                        normal[i][j] += weight * jacobian[i] * jacobian[j];
                    }
                }
            }
            normal[1][1] += prior;
            gradient[1] += prior * (swing - theta[1]);
            for (index, row) in normal.iter_mut().enumerate() {
                row[index] = row[index] * (1.0 + damping) + 1e-12;
            }
            let step = Cholesky::of(normal)?.solve(gradient);
            let trial: [f64; 4] = std::array::from_fn(|i| theta[i] + step[i]);
            let reached = cost(&trial);
            if reached < least && trial[3] > 0.0 {
                let gained = least - reached;
                (theta, least) = (trial, reached);
                damping = (damping / 5.0).max(1e-9);
                if gained < 1e-9 * least {
                    break;
                }
            } else {
                damping *= 6.0;
                if damping > 1e8 {
                    break;
                }
            }
        }
        if round == 0 {
            bound = 3.0 * scatter(points, |point| residual(&theta, point));
        }
    }
    Some((scatter(points, |point| residual(&theta, point)), theta))
}

/// Robust standard deviation about 0.
fn scatter(points: &[(f64, Reading)], residual: impl Fn(&(f64, Reading)) -> f64) -> f64 {
    1.4826 * median(points.iter().map(|point| residual(point).abs()).collect())
}
