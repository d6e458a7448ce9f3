//! Derivatives of the readings of one ring, and its normal equations.

use rayon::prelude::*;

use super::{HUBER, MEAN_QUARTIC, Refinement, SHARED, SPACING};
use crate::incoherent::characterise::{
    bank::{BIAS, FIRST_PAIR, FIRST_TAIL, OFF, PAIRS, PARAMETERS, QUARTIC, SPAN, SWING, Theta},
    observations::Drive,
    probe::Reading,
};

type Square = [[f64; PARAMETERS]; PARAMETERS];

/// Heats and phases of the bank at one setting, without the group's phase.
pub(super) struct Scene {
    heats: Vec<f64>,
    phases: Vec<f64>,
}

/// Normal equations of one ring.
pub(super) struct Normal {
    pub(super) own: Square,
    pub(super) gradient: Theta,
    pub(super) cross: [[f64; SHARED]; PARAMETERS],
    pub(super) shared: [[f64; SHARED]; SHARED],
    pub(super) shared_gradient: [f64; SHARED],
}

/// What one reading says of its group, and its residual.
#[derive(Clone, Copy)]
pub(super) struct Trace {
    pub(super) group: usize,
    pub(super) by_phase: f64,
    pub(super) value: f64,
    pub(super) residual: f64,
    pub(super) precision: f64,
}

impl Trace {
    /// Precision, less for outliers.
    pub(super) fn weight(&self) -> f64 {
        let sigmas = self.residual.abs() * self.precision.sqrt();
        if sigmas > HUBER { HUBER / sigmas * self.precision } else { self.precision }
    }
}

impl Refinement<'_> {
    pub(super) fn scenes(&self) -> Vec<Option<Scene>> {
        (0..self.observations.settings())
            .into_par_iter()
            .map(|setting| match &self.observations.setting(setting).drive {
                Drive::All(powers) => {
                    let heats: Vec<f64> = powers
                        .iter()
                        .enumerate()
                        .map(|(ring, &power)| self.model.heat(ring, power))
                        .collect();
                    let phases = self.model.phases(&heats);
                    Some(Scene { heats, phases })
                }
                Drive::Column { .. } | Drive::One { .. } => None,
            })
            .collect()
    }

    fn heat(&self, scene: Option<&Scene>, ring: usize, setting: usize) -> f64 {
        match scene {
            Some(scene) => scene.heats[ring],
            None => self.model.heat(ring, self.observations.own_power(ring, setting)),
        }
    }

    fn phase(&self, scene: Option<&Scene>, ring: usize, setting: usize) -> f64 {
        match scene {
            Some(scene) => scene.phases[ring],
            None => {
                let heat = |ring: usize| self.heat(None, ring, setting);
                self.model.rings[ring][BIAS] + heat(ring) + self.model.disturbance(ring, heat)
            }
        }
    }

    pub(super) fn traces(&self, scenes: &[Option<Scene>], ring: usize) -> Vec<Trace> {
        let readings = self.observations.of(ring).iter();
        readings.map(|reading| self.linearise(scenes, ring, reading).2).collect()
    }

    pub(super) fn normal(&self, scenes: &[Option<Scene>], ring: usize) -> Normal {
        let theta = &self.model.rings[ring];
        let prior = &self.priors[ring];
        let mut normal = Normal {
            own: [[0.0; PARAMETERS]; PARAMETERS],
            gradient: [0.0; PARAMETERS],
            cross: [[0.0; SHARED]; PARAMETERS],
            shared: [[0.0; SHARED]; SHARED],
            shared_gradient: [0.0; SHARED],
        };
        for reading in self.observations.of(ring) {
            let (jacobian, shared, trace) = self.linearise(scenes, ring, reading);
            let weight = trace.weight();
            for i in 0..PARAMETERS {
                let weighted = weight * jacobian[i];
                normal.gradient[i] += weighted * trace.residual;
                for (entry, other) in normal.own[i][..=i].iter_mut().zip(&jacobian) {
                    *entry += weighted * other;
                }
                for (entry, shared) in normal.cross[i].iter_mut().zip(shared) {
                    *entry += weighted * shared;
                }
            }
            for i in [SPACING, MEAN_QUARTIC] {
                normal.shared_gradient[i] += weight * shared[i] * trace.residual;
                for j in [SPACING, MEAN_QUARTIC] {
                    normal.shared[i][j] += weight * shared[i] * shared[j];
                }
            }
        }
        for (i, value) in theta.iter().enumerate() {
            let precision = prior.sd[i].powi(-2);
            normal.own[i][i] += precision;
            normal.gradient[i] += precision * (prior.mean[i] - value);
            let mean = prior.class(i).map(|class| SPACING + 1 + class);
            if let Some(mean) = mean.filter(|&mean| mean != MEAN_QUARTIC) {
                normal.cross[i][mean] -= precision;
                normal.shared[mean][mean] += precision;
                normal.shared_gradient[mean] += precision * (value - prior.mean[i]);
            }
            for j in 0..i {
                normal.own[j][i] = normal.own[i][j];
            }
        }
        normal
    }

    /// Derivatives of one reading by the ring's parameters (its quartic term as a deviation from their mean), by the
    /// channels' spacing and the mean quartic term, and its residual.
    fn linearise(
        &self,
        scenes: &[Option<Scene>],
        ring: usize,
        reading: &Reading,
    ) -> (Theta, [f64; 2], Trace) {
        let model = &self.model;
        let theta = &model.rings[ring];
        let setting = reading.setting;
        let scene = scenes[setting].as_ref();
        let group = self.observations.setting(setting).group;
        let [warmth, gain] = self.groups[group].shift;
        let power = self.observations.own_power(ring, setting);
        let phase = self.phase(scene, ring, setting) + warmth;
        let (level, slope) = model.line.level_and_slope(phase);
        let tail = model.tail(ring, |neighbour| self.phase(scene, neighbour, setting) + warmth);
        let taken = 2.0 * tail.taken;
        let rest = 1.0 - model.line.dip * level;
        let factor = 1.0 + gain;
        let value = factor * (theta[OFF] + theta[SWING] * level - taken * theta[OFF] * rest);
        let by_phase = factor * (theta[SWING] + taken * theta[OFF] * model.line.dip) * slope;
        let mut jacobian = [0.0; PARAMETERS];
        jacobian[OFF] = factor * (1.0 - taken * rest);
        jacobian[SWING] = factor * level;
        jacobian[BIAS] = by_phase;
        jacobian[SPAN] = by_phase * power * (1.0 + theta[QUARTIC] * power);
        jacobian[QUARTIC] = by_phase * theta[SPAN] * power * power;
        for pair in 0..PAIRS {
            if let Some(neighbour) = model.neighbour(ring, pair) {
                jacobian[FIRST_PAIR + pair] = by_phase * self.heat(scene, neighbour, setting);
            }
        }
        let by_taken = -2.0 * factor * theta[OFF] * rest;
        for (side, part) in tail.parts.iter().enumerate() {
            jacobian[FIRST_TAIL + side] = by_taken * part;
        }
        let quartic = |ring: usize| {
            let has = self.priors[ring].class(QUARTIC).is_some();
            let power = self.observations.own_power(ring, setting);
            if has { model.rings[ring][SPAN] * power * power } else { 0.0 }
        };
        let shared =
            [by_taken * tail.by_spacing, by_phase * (quartic(ring) + model.disturbance(ring, quartic))];
        let precision = reading.worth / self.noise.variance(reading.current);
        let trace = Trace { group, by_phase, value, residual: reading.weight - value, precision };
        (jacobian, shared, trace)
    }
}
