//! Refinement of all parameters of the bank together, on all readings.
//!
//! Each step linearises every ring about the present model: its own parameters by Gauss–Newton with priors, with the
//! bank's own — the channels' spacing, and the mean of each class of parameters — solved for with all rings following
//! (Schur complement; Triggs et al., Bundle Adjustment, LNCS 1883, 298 (2000)), neighbours' heats from the step before,
//! and one phase and one gain for each group of settings that shares a temperature and a laser power.

mod linear;

use rayon::prelude::*;

use self::linear::{Normal, Trace};
use super::{
    bank::{BIAS, BankModel, FIRST_TAIL, PARAMETERS, QUARTIC, SPAN, Theta},
    noise::Noise,
    observations::Observations,
    prior::{ABSENT, CLASSES, Prior, hyperprior},
    solve::Cholesky,
};

/// Standardised residual beyond which a reading counts by its distance only (Huber, 1964).
const HUBER: f64 = 2.5;
/// Parameters of the bank: spacing of the channels, then the mean of each class.
const SHARED: usize = 1 + CLASSES;
const SPACING: usize = 0;
/// Mean of the quartic terms. Unlike the other means it is not seen in a ring's own readings alone: far from a ring's
/// resonance its heat shows in its neighbours only.
const MEAN_QUARTIC: usize = 1;
/// Prior standard deviations of a group's phase (radians; 50 mK) and gain.
const GROUP_PHASE: f64 = 1e-3;
const GROUP_GAIN: f64 = 0.01;
/// Tolerance of the spacing, in radians.
const SPACING_TOLERANCE: f64 = 0.1;

/// The state of a refinement.
pub(super) struct Refinement<'a> {
    pub(super) model: BankModel,
    pub(super) observations: &'a Observations,
    pub(super) priors: Vec<Prior>,
    /// Phase and relative gain of each group of settings, and what its readings know of them.
    pub(super) groups: Vec<Group>,
    pub(super) noise: Noise,
    /// Mean of each class of parameters.
    pub(super) means: [f64; CLASSES],
}

/// What the settings of a group share.
#[derive(Clone, Copy, Default)]
pub(super) struct Group {
    /// Phase of all rings, and relative gain of all readings.
    pub(super) shift: [f64; 2],
    /// Precision with which its readings know each.
    pub(super) known: [f64; 2],
}

/// Standard errors after the last step.
pub(super) struct Errors {
    pub(super) rings: Vec<Theta>,
    pub(super) spacing: f64,
}

impl Refinement<'_> {
    /// Improves the model by `steps` steps and returns the standard errors of the last.
    pub(super) fn run(&mut self, steps: usize) -> Errors {
        let mut errors = self.step();
        for _ in 1..steps {
            errors = self.step();
        }
        errors
    }

    fn step(&mut self) -> Errors {
        let scenes = self.scenes();
        let normals: Vec<Normal> =
            (0..self.model.rings.len()).into_par_iter().map(|ring| self.normal(&scenes, ring)).collect();
        let factors: Vec<Option<Cholesky<PARAMETERS>>> =
            normals.par_iter().map(|normal| Cholesky::of(normal.own)).collect();
        let (shared_step, shared_covariance) = self.shared_step(&normals, &factors);
        let updates: Vec<(Theta, Theta)> = normals
            .par_iter()
            .zip(&factors)
            .map(|(normal, factor)| ring_step(normal, factor.as_ref(), shared_step, shared_covariance))
            .collect();
        let half_width = self.model.line.half_width();
        let mut errors = Vec::with_capacity(updates.len());
        for (theta, (step, error)) in self.model.rings.iter_mut().zip(updates) {
            // One step at most moves a ring by its own width: the linearisation holds no further.
            let shift = (step[BIAS].abs() + step[SPAN].abs()) / half_width;
            let share = if shift > 1.0 { 1.0 / shift } else { 1.0 };
            theta.iter_mut().zip(step).for_each(|(value, step)| *value += share * step);
            theta[SPAN] = theta[SPAN].max(0.0);
            errors.push(error);
        }
        self.model.spacing += shared_step[SPACING];
        self.means.iter_mut().zip(&shared_step[SPACING + 1..]).for_each(|(mean, step)| *mean += step);
        for (prior, theta) in self.priors.iter_mut().zip(&mut self.model.rings) {
            if prior.class(QUARTIC).is_some() {
                theta[QUARTIC] += shared_step[MEAN_QUARTIC];
            }
            for (parameter, value) in theta.iter_mut().enumerate() {
                if let Some(class) = prior.class(parameter) {
                    prior.mean[parameter] = self.means[class];
                }
                if prior.sd[parameter] <= ABSENT {
                    *value = prior.mean[parameter];
                }
            }
        }
        // With the rings as they are now: a group and the rings of its readings would both take the whole of what they
        // share.
        let scenes = self.scenes();
        let traces: Vec<Vec<Trace>> =
            (0..self.model.rings.len()).into_par_iter().map(|ring| self.traces(&scenes, ring)).collect();
        self.regroup(&traces);
        self.noise = Noise::of(self.residuals(&traces));
        let spacing = shared_covariance[SPACING][SPACING].max(0.0).sqrt();
        Errors { rings: errors, spacing }
    }

    /// Gain in `χ²` when the nominal line's tails at the spacing `spacing` are added to a model without tails, from the
    /// rings `sample`, all of which follow.
    pub(super) fn gain_of_tails(&mut self, spacing: f64, sample: &[usize]) -> f64 {
        self.model.spacing = spacing;
        let scenes = self.scenes();
        let (mut curvature, mut gradient) = (0.0, 0.0);
        for terms in sample
            .par_iter()
            .filter_map(|&ring| {
                let normal = self.normal(&scenes, ring);
                let (before, after) = (FIRST_TAIL, FIRST_TAIL + 1);
                let own = |i: usize, j: usize| normal.own[i][j];
                let both = own(before, before) + own(after, after) + 2.0 * own(before, after)
                    - 2.0 * ABSENT.powi(-2);
                let mut cross: Theta = std::array::from_fn(|i| own(i, before) + own(i, after));
                cross[FIRST_TAIL..].fill(0.0);
                let solved = Cholesky::of(normal.own)?.solve(cross);
                let along = |vector: &Theta| solved.iter().zip(vector).map(|(a, b)| a * b).sum::<f64>();
                let gradient = normal.gradient[before] + normal.gradient[after];
                Some((both - along(&cross), gradient - along(&normal.gradient)))
            })
            .collect::<Vec<_>>()
        {
            curvature += terms.0;
            gradient += terms.1;
        }
        2.0 * gradient - curvature
    }

    /// Step of the bank's parameters with all rings following, and its covariance.
    fn shared_step(
        &self,
        normals: &[Normal],
        factors: &[Option<Cholesky<PARAMETERS>>],
    ) -> ([f64; SHARED], [[f64; SHARED]; SHARED]) {
        let mut own = [[0.0; SHARED]; SHARED];
        let mut gradient = [0.0; SHARED];
        own[SPACING][SPACING] = SPACING_TOLERANCE.powi(-2);
        for (class, (mean, tolerance)) in hyperprior().into_iter().enumerate() {
            own[1 + class][1 + class] = tolerance.powi(-2);
            gradient[1 + class] = (mean - self.means[class]) / tolerance.powi(2);
        }
        for (normal, factor) in normals.iter().zip(factors) {
            let Some(factor) = factor else { continue };
            for i in 0..SHARED {
                let solved = factor.solve(std::array::from_fn(|k| normal.cross[k][i]));
                let along: f64 = solved.iter().zip(&normal.gradient).map(|(a, b)| a * b).sum();
                gradient[i] += normal.shared_gradient[i] - along;
                for j in 0..SHARED {
                    let cross: f64 = solved.iter().zip(&normal.cross).map(|(a, b)| a * b[j]).sum();
                    own[i][j] += normal.shared[i][j] - cross;
                }
            }
        }
        let none = ([0.0; SHARED], [[0.0; SHARED]; SHARED]);
        // The rings follow this step: it is shortened before they do.
        let bound = self.model.line.half_width() / 2.0;
        let shortened = |step: [f64; SHARED]| {
            let share = (bound / step[SPACING].abs().max(bound)).min(1.0);
            step.map(|step| share * step)
        };
        Cholesky::of(own).map_or(none, |factor| (shortened(factor.solve(gradient)), factor.inverse()))
    }

    /// Phase and gain of each group from what its readings leave; the mean over the groups stays with the rings. Groups
    /// count in it by what they know, if they read the whole bank.
    fn regroup(&mut self, traces: &[Vec<Trace>]) {
        let mut sums = vec![[0.0; 5]; self.groups.len()];
        for trace in traces.iter().flatten() {
            let Trace { group, by_phase, value, residual, .. } = *trace;
            let precision = trace.weight();
            let terms =
                [by_phase * by_phase, by_phase * value, value * value, by_phase * residual, value * residual];
            sums[group].iter_mut().zip(terms).for_each(|(sum, term)| *sum += precision * term);
        }
        for ((group, conditions), [phase, both, gain, by_phase, by_gain]) in
            self.groups.iter_mut().zip(self.observations.groups()).zip(sums)
        {
            let Group { shift: group, known } = group;
            *known = if conditions.whole { [phase, gain] } else { [0.0; 2] };
            let own = [[phase + GROUP_PHASE.powi(-2), both], [both, gain + GROUP_GAIN.powi(-2)]];
            let gradient =
                [by_phase - group[0] * GROUP_PHASE.powi(-2), by_gain - group[1] * GROUP_GAIN.powi(-2)];
            if let Some(factor) = Cholesky::of(own) {
                let step = factor.solve(gradient);
                group.iter_mut().zip(step).for_each(|(value, step)| *value += step);
            }
        }
        for part in 0..2 {
            let (sum, known) = self.groups.iter().fold((0.0, f64::MIN_POSITIVE), |(sum, known), group| {
                (sum + group.known[part] * group.shift[part], known + group.known[part])
            });
            self.groups.iter_mut().for_each(|group| group.shift[part] -= sum / known);
        }
    }

    /// Current and standardised residual (noise of a reading of full power) of every reading.
    fn residuals(&self, traces: &[Vec<Trace>]) -> Vec<(f64, f64)> {
        let of_ring = |(ring, traces): (usize, &Vec<Trace>)| {
            let readings = self.observations.of(ring).iter().zip(traces);
            readings
                .map(|(reading, trace)| (reading.current, trace.residual * reading.worth.sqrt()))
                .collect::<Vec<_>>()
        };
        traces.iter().enumerate().flat_map(of_ring).collect()
    }
}

/// Step and standard errors of one ring, the bank's step and uncertainty carried through.
fn ring_step(
    normal: &Normal,
    factor: Option<&Cholesky<PARAMETERS>>,
    shared_step: [f64; SHARED],
    shared_covariance: [[f64; SHARED]; SHARED],
) -> (Theta, Theta) {
    let Some(factor) = factor else { return ([0.0; PARAMETERS], [f64::INFINITY; PARAMETERS]) };
    let right = std::array::from_fn(|i| {
        normal.gradient[i] - (0..SHARED).map(|j| normal.cross[i][j] * shared_step[j]).sum::<f64>()
    });
    let step = factor.solve(right);
    let inverse = factor.inverse();
    let by_shared: [Theta; SHARED] =
        std::array::from_fn(|j| factor.solve(std::array::from_fn(|i| normal.cross[i][j])));
    let error = std::array::from_fn(|i| {
        let through: f64 = (0..SHARED)
            .flat_map(|a| (0..SHARED).map(move |b| (a, b)))
            .map(|(a, b)| by_shared[a][i] * shared_covariance[a][b] * by_shared[b][i])
            .sum();
        (inverse[i][i] + through).max(0.0).sqrt()
    });
    (step, error)
}
