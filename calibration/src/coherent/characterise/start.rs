//! A first twin from sweeps: good enough for the global refinement to find its way.

use std::f64::consts::{PI, TAU};

use alora_drivers::{ActuatorFrame, Code, datasheet::CoherentDataSheet};
use ndarray::{Array1, Array2};
use num_complex::Complex64;
use rand::seq::SliceRandom;

use super::{
    Work,
    acceptance::{self, Trial, Trials},
    recursion::Views,
    sweep::Series,
};
use crate::{
    characterise::{CharacteriseError, Question},
    coherent::{
        characterisation::{ShifterDefect, ShifterFault},
        twin::{Chip, Layout, Twin},
    },
    observer::Event,
};

/// Where the global refinement begins.
pub(super) struct Start {
    pub(super) twin: Twin,
    /// Shifters that do not work as the others, in frame order.
    pub(super) defects: Vec<ShifterDefect>,
    /// Codes at which all but the attenuators were swept.
    pub(super) background: Vec<Code>,
    pub(super) trials: Trials,
}

/// Settings of open attenuators by which the gains are found.
const OPEN_SETTINGS: usize = 4;
/// Turns of the balance of gains.
const BALANCE: usize = 50;
/// Share of the median response below which a shifter shows nothing.
pub(super) const SILENT: f64 = 0.1;
/// Share of the nominal phase below which a shifter is weak.
const WEAK: f64 = 0.65;

/// Shifters that are swept at once.
pub(super) struct Group {
    pub(super) name: String,
    pub(super) shifters: Vec<usize>,
}

impl Start {
    pub(super) async fn find(
        work: &mut Work<'_, '_>,
        sheet: &CoherentDataSheet,
        settings: usize,
    ) -> Result<Self, CharacteriseError> {
        let mut trials = Trials::new(settings);
        let modes = work.layout.modes();
        let mut twin = Twin::zeros(&work.layout);
        let loss = -std::f64::consts::LN_10 / 20.0 * sheet.loss_db;
        twin.of_mut(|b| &b.loss).fill(loss);
        let groups = groups(&work.layout);
        work.bench.tell(Event::Started { stage: "phase sweeps", steps: 1 + groups.len() as u64 });

        let background = work.random_codes();
        let attenuators = Group {
            name: "attenuators".to_owned(),
            shifters: (0..modes).map(|mode| work.layout.topology.attenuator_theta(mode)).collect(),
        };
        let trial = sweep(work, &attenuators, &background).await?;
        let usual = acceptance::usual(&trial.swept);
        let swept = trials.settle(work, trial, &background, usual).await?;
        work.bench.tell(Event::Step);
        let mut slopes = vec![0.0; work.layout.shifters()];
        let mut responses = vec![0.0; work.layout.shifters()];
        let mut at_zero = vec![0.0; modes];
        for (mode, response) in swept.responses.iter().enumerate() {
            let shifter = attenuators.shifters[mode];
            slopes[shifter] = response.slope;
            responses[shifter] = response.strength;
            let conjugate = response.way_in.mapv(|entry| entry.conj());
            let (a, b) = (swept.constant.dot(&conjugate), response.modulation.dot(&conjugate));
            at_zero[mode] = (-product(&a, &b)).arg();
        }
        let open: Vec<Code> = (0..modes)
            .map(|mode| {
                let shifter = attenuators.shifters[mode];
                let heat = (PI - at_zero[mode]).rem_euclid(TAU);
                work.front.code(shifter, heat / (1.0 + slopes[shifter]))
            })
            .collect();
        let set_open = |codes: &mut Vec<Code>| {
            attenuators.shifters.iter().zip(&open).for_each(|(&shifter, &code)| codes[shifter] = code);
        };
        let mut background = background;
        set_open(&mut background);

        let (matrix, gains) = open_matrix(work, &background, &set_open).await?;
        let mut ways_in: Vec<Option<Array1<Complex64>>> = vec![None; work.layout.shifters()];
        let mut first = Vec::with_capacity(groups.len());
        for group in &groups {
            first.push(sweep(work, group, &background).await?);
            work.bench.tell(Event::Step);
        }
        let usual = {
            let all = first.iter().flat_map(|trial| &trial.swept.responses);
            median(&all.map(|response| response.strength).collect::<Vec<_>>())
        };
        for trial in first {
            let group = trial.group;
            let swept = trials.settle(work, trial, &background, usual).await?;
            for (&shifter, response) in group.shifters.iter().zip(swept.responses) {
                slopes[shifter] = response.slope;
                responses[shifter] = response.strength;
                let way = &response.way_in / &gains.input;
                let length = way.iter().map(Complex64::norm_sqr).sum::<f64>().sqrt();
                ways_in[shifter] = Some(way.mapv(|entry| entry / length));
            }
        }
        work.bench.tell(Event::Finished);
        let defects = defects(&work.layout, &responses, &slopes);
        for defect in &defects {
            if defect.kind == ShifterFault::Stuck {
                ways_in[defect.actuator] = None;
                slopes[defect.actuator] = -1.0;
            }
        }

        twin.of_mut(|b| &b.slope).copy_from_slice(&slopes);
        let total = Views { layout: &work.layout, ways_in: &ways_in, matrix: &matrix }.phases();
        let heat: Vec<f64> = (background.iter().enumerate())
            .map(|(shifter, &code)| twin.heat(shifter, work.front.drive(code)))
            .collect();
        for (shifter, phase) in twin.of_mut(|b| &b.phase).iter_mut().enumerate() {
            *phase = total[shifter] - heat[shifter];
        }
        for (mode, &phase) in at_zero.iter().enumerate() {
            twin.of_mut(|b| &b.phase)[attenuators.shifters[mode]] = phase;
        }
        for mode in 0..modes {
            twin.of_mut(|b| &b.input)[mode] = gains.input[mode].re.ln();
            // What passes an open chip is its loss times the gain.
            let through = -loss * (2 * modes + 1) as f64;
            twin.of_mut(|b| &b.output)[mode] = gains.output[mode].ln() + through;
        }
        Ok(Self { twin, defects, background, trials })
    }
}

/// Gains around a chip that is open.
struct Gains {
    /// Of the inputs, mean logarithm 0; as complex numbers for the sake of the arithmetic.
    input: Array1<Complex64>,
    output: Vec<f64>,
}

/// The matrix at `background`, gains taken out, and the gains: with open attenuators the chip is nearly unitary but for
/// a factor, so that all rows and all columns have one length (Sinkhorn's balance of the squared moduli).
async fn open_matrix(
    work: &mut Work<'_, '_>,
    background: &[Code],
    set_open: &dyn Fn(&mut Vec<Code>),
) -> Result<(Array2<Complex64>, Gains), CharacteriseError> {
    let modes = work.layout.modes();
    let mut frames = vec![ActuatorFrame(background.to_vec())];
    for _ in 1..OPEN_SETTINGS {
        let mut codes = work.random_codes();
        set_open(&mut codes);
        frames.push(ActuatorFrame(codes));
    }
    let inputs = work.vectors();
    let question = Question { name: "open".to_owned(), frames, inputs: vec![inputs.clone()], repeats: 1 };
    let matrices: Vec<_> =
        work.bench.ask(question).await?.iter().map(|readout| work.front.matrix(&inputs, readout)).collect();
    let mut power = Array2::<f64>::zeros((modes, modes));
    for matrix in &matrices {
        power += &matrix.mapv(|entry| entry.norm_sqr() / OPEN_SETTINGS as f64);
    }
    let mut output = vec![1.0; modes];
    let mut input = vec![1.0; modes];
    for _ in 0..BALANCE {
        for (row, gain) in power.rows().into_iter().zip(&mut output) {
            *gain = row.iter().zip(&input).map(|(p, input)| p / input).sum::<f64>();
        }
        for (column, gain) in power.columns().into_iter().zip(&mut input) {
            *gain = column.iter().zip(&output).map(|(p, output)| p / output).sum::<f64>();
        }
    }
    let common = (input.iter().map(|gain| gain.ln()).sum::<f64>() / modes as f64).exp();
    let input: Vec<f64> = input.iter().map(|gain| (gain / common).sqrt()).collect();
    let output: Vec<f64> = output.iter().map(|gain| (gain * common).sqrt()).collect();
    let matrix = Array2::from_shape_fn((modes, modes), |(i, j)| matrices[0][(i, j)] / (output[i] * input[j]));
    let input = input.into_iter().map(|gain| Complex64::new(gain, 0.0)).collect();
    Ok((matrix, Gains { input, output }))
}

/// Everything but the attenuators' θ, in the order of the light.
fn groups(layout: &Layout) -> Vec<Group> {
    let topology = &layout.topology;
    let modes = topology.modes();
    let mut groups = Vec::new();
    let mut mesh = |name: &str, theta_of: &dyn Fn(usize) -> usize| {
        for column in 0..modes {
            let thetas: Vec<usize> = topology
                .sites()
                .iter()
                .filter(|site| site.column == column)
                .map(|&site| theta_of(topology.position(site)))
                .collect();
            if thetas.is_empty() {
                continue;
            }
            groups.push(Group {
                name: format!("{name}-{column:02}-phi"),
                shifters: thetas.iter().map(|theta| theta + 1).collect(),
            });
            groups.push(Group { name: format!("{name}-{column:02}-theta"), shifters: thetas });
        }
    };
    mesh("v", &|position| topology.v_theta(position));
    mesh("u", &|position| topology.u_theta(position));
    groups.push(Group {
        name: "attenuators-phi".to_owned(),
        shifters: (0..modes).map(|mode| topology.attenuator_theta(mode) + 1).collect(),
    });
    groups.push(Group {
        name: "outputs".to_owned(),
        shifters: (0..modes).map(|mode| topology.output_phase(mode)).collect(),
    });
    groups
}

/// The first sweep of a group.
async fn sweep<'a>(
    work: &mut Work<'_, '_>,
    group: &'a Group,
    background: &[Code],
) -> Result<Trial<'a>, CharacteriseError> {
    let points = work.plan.sweep_points + 2 * group.shifters.len();
    let series = measure(work, &group.name, group, background, points).await?;
    let swept = series.take_apart(work.layout.modes());
    Ok(Trial { group, series, swept })
}

/// The question `name`: all of `group` at `points` levels each, in an order of its own.
pub(super) async fn measure(
    work: &mut Work<'_, '_>,
    name: &str,
    group: &Group,
    background: &[Code],
    points: usize,
) -> Result<Series, CharacteriseError> {
    let count = group.shifters.len();
    let mut drives = Array2::zeros((points, count));
    let mut frames = vec![ActuatorFrame(background.to_vec()); points];
    for (k, &shifter) in group.shifters.iter().enumerate() {
        let most = work.front.most(shifter);
        let mut levels: Vec<f64> =
            (0..points).map(|point| most * point as f64 / (points - 1) as f64).collect();
        levels.shuffle(&mut work.rng);
        for (point, level) in levels.into_iter().enumerate() {
            let code = work.front.code(shifter, level);
            frames[point].0[shifter] = code;
            drives[(point, k)] = work.front.drive(code);
        }
    }
    let inputs = work.vectors();
    let question = Question { name: name.to_owned(), frames, inputs: vec![inputs.clone()], repeats: 1 };
    let readings = work.bench.ask(question).await?;
    let modes = work.layout.modes();
    let mut matrices = Array2::zeros((points, modes * modes));
    for (mut row, readout) in matrices.rows_mut().into_iter().zip(&readings) {
        let matrix = work.front.matrix(&inputs, readout);
        row.iter_mut().zip(&matrix).for_each(|(entry, value)| *entry = *value);
    }
    Ok(Series { drives, matrices })
}

/// `Σ x̄ y`.
fn product(x: &Array1<Complex64>, y: &Array1<Complex64>) -> Complex64 {
    x.iter().zip(y).map(|(x, y)| x.conj() * y).sum()
}

/// Shifters that respond less, or with less phase, than others of their kind. With open attenuators all light passes every
/// column, so that sound shifters of one kind respond alike: attenuators with half of what the others have.
fn defects(layout: &Layout, responses: &[f64], slopes: &[f64]) -> Vec<ShifterDefect> {
    let first = layout.topology.attenuator_theta(0);
    let attenuator =
        |shifter: usize| (first..first + 2 * layout.modes()).contains(&shifter) && shifter.is_multiple_of(2);
    let usual = |kind: bool| {
        let of_kind = responses.iter().enumerate().filter(|(shifter, _)| attenuator(*shifter) == kind);
        median(&of_kind.map(|(_, &response)| response).collect::<Vec<_>>())
    };
    let usual = [usual(false), usual(true)];
    (0..responses.len())
        .filter_map(|actuator| {
            let share = 1.0 + slopes[actuator];
            let silent = responses[actuator] < SILENT * usual[usize::from(attenuator(actuator))];
            let kind = match (silent, share < WEAK) {
                (true, _) => ShifterFault::Stuck,
                (false, true) => ShifterFault::Weak,
                (false, false) => return None,
            };
            Some(ShifterDefect { actuator, kind, share: if silent { 0.0 } else { share } })
        })
        .collect()
}

/// Shifters that light does not reach, or leaves by no output, at `background`, by what the twin says: as the response of a
/// shifter, below twice what is called silent. That they do not respond says nothing of them.
pub(super) fn unlit(layout: &Layout, twin: &Twin, drives: &[f64]) -> Vec<bool> {
    let parts = twin.parts();
    let ways = Chip::new(layout, &parts, &twin.phases(layout, drives).phases).ways();
    let length = |way: &[Complex64]| way.iter().map(Complex64::norm_sqr).sum::<f64>().sqrt();
    let light: Vec<f64> = ways
        .inward
        .iter()
        .zip(&ways.outward)
        .map(|(inward, outward)| length(inward) * length(outward))
        .collect();
    let usual = median(&light);
    light.into_iter().map(|light| light < 2.0 * SILENT * usual).collect()
}

pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}
