//! A characterised mesh against what the simulated chip was made with.

use std::{
    collections::{BTreeMap, HashMap},
    f64::consts::{PI, TAU},
};

use alora_calibration::{CoherentCharacterisation, mesh::Topology};
use alora_drivers::mock::coherent::CoherentAnswers;

/// Errors with their standard uncertainties, one kind of parameter.
#[derive(Clone, Copy, Default)]
pub(crate) struct Tally {
    pub(crate) n: usize,
    pub(crate) inside: usize,
    pub(crate) square: f64,
}

impl Tally {
    /// Parameters that are held (uncertainty 0) are not compared.
    fn of(errors: impl Iterator<Item = (f64, f64)>) -> Self {
        let known = errors.filter(|(_, sd)| *sd > 0.0);
        known.fold(Self::default(), |tally, (error, sd)| Self {
            n: tally.n + 1,
            inside: tally.inside + usize::from(error.abs() <= 1.96 * sd),
            square: tally.square + error * error,
        })
    }

    pub(crate) fn with(self, other: &Self) -> Self {
        Self { n: self.n + other.n, inside: self.inside + other.inside, square: self.square + other.square }
    }

    /// Share of the true values within their 95 % intervals.
    pub(crate) fn share(&self) -> f64 {
        self.inside as f64 / self.n.max(1) as f64
    }

    pub(crate) fn rms(&self) -> f64 {
        (self.square / self.n.max(1) as f64).sqrt()
    }
}

/// By kind of parameter.
pub(crate) fn coverage(
    found: &CoherentCharacterisation,
    answers: &CoherentAnswers,
) -> BTreeMap<&'static str, Tally> {
    let phases = phase_errors(found, answers);
    let slopes = found.slope.value.iter().zip(&answers.slope).map(|(found, truth)| 1.0 + found - truth);
    let quartics = found.quartic.value.iter().zip(&answers.quartic).map(|(found, truth)| found - truth);
    let truth: HashMap<(usize, usize), f64> =
        answers.crosstalk.iter().map(|&(victim, aggressor, x)| ((victim, aggressor), x)).collect();
    let paths = &found.crosstalk;
    let crosstalk = paths.victim.iter().zip(&paths.aggressor).zip(&paths.coefficient.value).map(
        |((&victim, &aggressor), found)| found - truth.get(&(victim, aggressor)).copied().unwrap_or(0.0),
    );
    BTreeMap::from([
        ("phase_at_zero_rad", Tally::of(phases.into_iter().zip(found.phase_at_zero.sd.iter().copied()))),
        ("slope", Tally::of(slopes.zip(found.slope.sd.iter().copied()))),
        ("quartic", Tally::of(quartics.zip(found.quartic.sd.iter().copied()))),
        ("splitter_rad", Tally::of(splitter_errors(found, answers))),
        ("crosstalk", Tally::of(crosstalk.zip(paths.coefficient.sd.iter().copied()))),
    ])
}

/// Errors of φ0, the truth taken to the gauge of the characterisation; those of the outputs about their mean.
fn phase_errors(found: &CoherentCharacterisation, answers: &CoherentAnswers) -> Vec<f64> {
    let topology = Topology::new(found.modes);
    let mut truth = answers.phase_at_zero.clone();
    let mut screen: Vec<f64> = (0..found.modes)
        .map(|mode| std::mem::take(&mut truth[topology.attenuator_theta(mode) + 1]))
        .collect();
    for (position, site) in topology.sites().iter().enumerate() {
        truth[topology.u_theta(position) + 1] += screen[site.upper] - screen[site.upper + 1];
        screen[site.upper] = screen[site.upper + 1];
    }
    let first = topology.output_phase(0);
    truth[first..].iter_mut().zip(screen).for_each(|(phase, ahead)| *phase += ahead);
    let mut errors: Vec<f64> =
        found.phase_at_zero.value.iter().zip(truth).map(|(found, truth)| wrap(found - truth)).collect();
    let (s, c) = errors[first..].iter().fold((0.0, 0.0), |(s, c), error| (s + error.sin(), c + error.cos()));
    let mean = f64::atan2(s, c);
    errors[first..].iter_mut().for_each(|error| *error = wrap(*error - mean));
    errors
}

/// Of an attenuator only α + β is seen.
fn splitter_errors(
    found: &CoherentCharacterisation,
    answers: &CoherentAnswers,
) -> impl Iterator<Item = (f64, f64)> {
    let mesh = found.modes * (found.modes - 1) / 2;
    let attenuators = mesh..mesh + found.modes;
    let meshes = (0..answers.splitters.len()).filter(move |k| !attenuators.contains(k));
    meshes.flat_map(|k| {
        let (alpha, beta) = answers.splitters[k];
        [(found.alpha.value[k] - alpha, found.alpha.sd[k]), (found.beta.value[k] - beta, found.beta.sd[k])]
    })
}

fn wrap(angle: f64) -> f64 {
    (angle + PI).rem_euclid(TAU) - PI
}
