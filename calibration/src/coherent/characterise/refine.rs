//! From a first twin to the last: what no light passes, attenuators that cannot be moved, the global refinement.

use alora_drivers::datasheet::CoherentDataSheet;

use super::{prior::Beliefs, start::unlit};
use crate::coherent::{
    characterisation::{ShifterDefect, ShifterFault},
    twin::{Curvature, Fit, Fitted, Layout, Noise, Prior, Setting, Twin},
};

/// Settings by which the θ of a stuck attenuator is found, and parts of a turn that are tried.
const FEW: usize = 48;
const PARTS: usize = 12;

/// What the refinement takes for given.
#[derive(Clone, Copy)]
pub(super) struct Task<'a> {
    pub(super) layout: &'a Layout,
    pub(super) sheet: &'a CoherentDataSheet,
    pub(super) settings: &'a [Setting],
    pub(super) noise: Noise,
}

/// A finished refinement.
pub(super) struct Refined {
    pub(super) fitted: Fitted,
    /// What was believed in its last part.
    pub(super) prior: Prior,
    pub(super) curvature: Curvature,
}

impl Task<'_> {
    /// An attenuator that cannot be moved was swept by nobody: its θ is the one of a turn's parts with which the twin misses the
    /// fewest fields.
    pub(super) fn with_stuck_attenuators(&self, mut twin: Twin, defects: &[ShifterDefect]) -> Twin {
        let thetas = thetas(self.layout);
        let few = &self.settings[..self.settings.len().min(FEW)];
        let miss = |twin: &Twin| {
            let prior = Beliefs::new(self.layout, self.sheet, defects.to_vec()).of_phases(twin);
            Fit { layout: self.layout, settings: few, noise: self.noise, prior: &prior, rounds: 1 }.rms(twin)
        };
        for defect in defects {
            if defect.kind != ShifterFault::Stuck || !thetas.contains(&defect.actuator) {
                continue;
            }
            let at = |part: usize| {
                let mut twin = twin.clone();
                twin.of_mut(|b| &b.phase)[defect.actuator] =
                    std::f64::consts::TAU * part as f64 / PARTS as f64;
                (miss(&twin), twin)
            };
            let first = at(0);
            twin = (1..PARTS).map(at).fold(first, |best, this| if this.0 < best.0 { this } else { best }).1;
        }
        twin
    }

    /// The global refinement. Nothing tells at first whether what no light passes, `unseen`, gives heat to its neighbours: both are
    /// tried, and what leaves less over is kept.
    pub(super) fn refine(&self, begun: &Twin, defects: &[ShifterDefect], unseen: &[usize]) -> Refined {
        let with = |share: f64| {
            let mut twin = begun.clone();
            unseen.iter().for_each(|&shifter| twin.of_mut(|b| &b.slope)[shifter] = share - 1.0);
            let dead = unseen.iter().filter(|_| share == 0.0);
            let dead = dead.map(|&actuator| ShifterDefect { actuator, kind: ShifterFault::Stuck, share });
            let defects = defects.iter().copied().chain(dead).collect();
            self.refine_with(&twin, &mut Beliefs::new(self.layout, self.sheet, defects))
        };
        let sound = with(1.0);
        if unseen.is_empty() {
            return sound;
        }
        let dead = with(0.0);
        if dead.fitted.rms < sound.fitted.rms { dead } else { sound }
    }

    /// From few parameters and settings to all of them.
    fn refine_with(&self, start: &Twin, beliefs: &mut Beliefs) -> Refined {
        let Task { layout, settings, noise, .. } = *self;
        let first = settings.len().min(8 * layout.modes().max(8));
        let prior = beliefs.of_phases(start);
        let fit = Fit { layout, settings: &settings[..first], noise, prior: &prior, rounds: 25 };
        let rough = fit.run(start, &fit.curvature(start));
        let prior = beliefs.of_all(&rough.twin);
        let more = settings.len().min(2 * first);
        let fit = Fit { layout, settings: &settings[..more], noise, prior: &prior, rounds: 12 };
        let curvature = fit.curvature(&rough.twin);
        let better = fit.run(&rough.twin, &curvature);
        beliefs.learn(layout, &better.twin, &fit.nearly(&better.twin, &curvature));
        let prior = beliefs.of_all(&better.twin);
        let fit = Fit { layout, settings, noise, prior: &prior, rounds: 12 };
        let fitted = fit.run(&better.twin, &curvature);
        beliefs.learn(layout, &fitted.twin, &fit.nearly(&fitted.twin, &curvature));
        let prior = beliefs.of_all(&fitted.twin);
        let last = Fit { layout, settings, noise, prior: &prior, rounds: 4 }.run(&fitted.twin, &curvature);
        Refined { fitted: last, prior, curvature }
    }
}

/// Takes what no light passes at `drives` out of the silent among `defects`; such shifters, in frame
/// order. The attenuators' θ were swept before, when the V mesh let light to all of them.
pub(super) fn take_unseen(
    layout: &Layout,
    twin: &Twin,
    defects: &mut Vec<ShifterDefect>,
    drives: &[f64],
) -> Vec<usize> {
    let unlit = unlit(layout, twin, drives);
    let thetas = thetas(layout);
    let unseen: Vec<usize> = defects
        .iter()
        .filter(|defect| defect.kind == ShifterFault::Stuck && unlit[defect.actuator])
        .map(|defect| defect.actuator)
        .filter(|actuator| !thetas.contains(actuator))
        .collect();
    defects.retain(|defect| !unseen.contains(&defect.actuator));
    unseen
}

/// The attenuators' θ.
fn thetas(layout: &Layout) -> Vec<usize> {
    (0..layout.modes()).map(|mode| layout.topology.attenuator_theta(mode)).collect()
}
