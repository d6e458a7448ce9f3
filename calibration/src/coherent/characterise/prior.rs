//! What is believed of a chip before it is measured, and what the chip itself teaches of its kind.

use alora_drivers::datasheet::CoherentDataSheet;

use crate::coherent::{
    characterisation::{ShifterDefect, ShifterFault},
    twin::{Layout, Prior, Ring, Twin},
};

/// Mean and standard deviation of one kind of parameter over the chip.
#[derive(Clone, Copy, Debug)]
struct Belief {
    mean: f64,
    sd: f64,
}

/// Beliefs by kind.
#[derive(Clone, Debug)]
pub(super) struct Beliefs {
    rings: Vec<Ring>,
    defects: Vec<ShifterDefect>,
    slope: Belief,
    quartic: Belief,
    first: Belief,
    second: Belief,
    splitter: Belief,
    loss: Belief,
    input: Belief,
    output: Belief,
    hybrid: Belief,
    offset: Belief,
}

/// Phases stay within so much of where they were found: only the gauge depends on it.
const PHASE_SD: f64 = 1.0;

impl Beliefs {
    /// Tolerances of a foundry: Vπ 7 %, splitters 30 mrad, crosstalk up to 2 %, heaters within 2 % of the V² law.
    pub(super) fn new(layout: &Layout, sheet: &CoherentDataSheet, defects: Vec<ShifterDefect>) -> Self {
        let belief = |mean, sd| Belief { mean, sd };
        let nepers = std::f64::consts::LN_10 / 20.0;
        Self {
            rings: layout.pairs.iter().map(|pair| pair.ring).collect(),
            defects,
            slope: belief(0.0, 0.12),
            quartic: belief(0.0, 0.01),
            first: belief(0.005, 0.005),
            second: belief(0.0, 0.001),
            splitter: belief(0.0, 0.03),
            loss: belief(-nepers * sheet.loss_db, nepers * (0.02 + 0.2 * sheet.loss_db)),
            input: belief(0.0, 0.12),
            output: belief(0.0, 0.15),
            hybrid: belief(0.0, 0.015),
            offset: belief(0.0, 1e-3),
        }
    }

    /// Phases, slopes and gains around `start`; everything else held where it is believed to be.
    pub(super) fn of_phases(&self, start: &Twin) -> Prior {
        let mut prior = self.of_all(start);
        let blocks = &start.blocks;
        for held in [
            &blocks.quartic,
            &blocks.crosstalk,
            &blocks.alpha,
            &blocks.beta,
            &blocks.loss,
            &blocks.imbalance,
            &blocks.skew,
            &blocks.offset_i,
            &blocks.offset_q,
        ] {
            prior.sd[held.clone()].fill(0.0);
        }
        prior
    }

    /// Everything free, phases around those of `start`.
    pub(super) fn of_all(&self, start: &Twin) -> Prior {
        let blocks = &start.blocks;
        let mut prior = Prior { mean: vec![0.0; blocks.len()], sd: vec![0.0; blocks.len()] };
        prior.mean[blocks.phase.clone()].copy_from_slice(start.of(|b| &b.phase));
        prior.sd[blocks.phase.clone()].fill(PHASE_SD);
        for (range, belief) in [
            (&blocks.slope, self.slope),
            (&blocks.quartic, self.quartic),
            (&blocks.alpha, self.splitter),
            (&blocks.beta, self.splitter),
            (&blocks.loss, self.loss),
            (&blocks.input, self.input),
            (&blocks.output, self.output),
            (&blocks.imbalance, self.hybrid),
            (&blocks.skew, self.hybrid),
            (&blocks.offset_i, self.offset),
            (&blocks.offset_q, self.offset),
        ] {
            prior.mean[range.clone()].fill(belief.mean);
            prior.sd[range.clone()].fill(belief.sd);
        }
        for (index, ring) in blocks.crosstalk.clone().zip(&self.rings) {
            let belief = match ring {
                Ring::First => self.first,
                Ring::Second => self.second,
            };
            (prior.mean[index], prior.sd[index]) = (belief.mean, belief.sd);
        }
        for defect in &self.defects {
            let (slope, quartic) =
                (blocks.slope.start + defect.actuator, blocks.quartic.start + defect.actuator);
            prior.mean[slope] = defect.share - 1.0;
            match defect.kind {
                ShifterFault::Stuck => (prior.sd[slope], prior.sd[quartic]) = (0.0, 0.0),
                // Half as much phase bends the V² law twice as much, relative to a phase of π.
                ShifterFault::Weak => {
                    prior.sd[slope] = 0.1;
                    prior.mean[quartic] = self.quartic.mean / defect.share;
                    prior.sd[quartic] = (self.quartic.sd + 0.5 * self.quartic.mean.abs()) / defect.share;
                }
            }
        }
        prior
    }

    /// Means and spreads of the kinds with many members, as this chip shows them: those of the estimates `twin`, and what
    /// their variances say is hidden by each estimate's leaning on its prior (empirical Bayes).
    pub(super) fn learn(&mut self, layout: &Layout, twin: &Twin, variances: &[f64]) {
        let blocks = &twin.blocks;
        let of = |indices: &mut dyn Iterator<Item = usize>| -> Vec<(f64, f64)> {
            indices.map(|index| (twin.values[index], variances[index])).collect()
        };
        let of_ring = |wanted: Ring| {
            let pairs = layout.pairs.iter().zip(blocks.crosstalk.clone());
            of(&mut pairs.filter(|(pair, _)| pair.ring == wanted).map(|(_, index)| index))
        };
        self.first = spread(&of_ring(Ring::First), 5e-4);
        self.second = spread(&of_ring(Ring::Second), 1e-4);
        let sound = |index: &usize| !self.defects.iter().any(|d| blocks.quartic.start + d.actuator == *index);
        self.quartic = spread(&of(&mut blocks.quartic.clone().filter(sound)), 5e-4);
        let splitters = spread(&of(&mut (blocks.alpha.start..blocks.beta.end)), 2e-3);
        self.splitter = Belief { mean: 0.0, ..splitters };
    }
}

/// Mean and standard deviation, at least `least`, of values with their variances; the farthest twentieth at each end does not
/// count for the mean, and no value for more than 5 standard deviations of the rest.
fn spread(values: &[(f64, f64)], least: f64) -> Belief {
    let mut sorted: Vec<f64> = values.iter().map(|(value, _)| *value).collect();
    sorted.sort_by(f64::total_cmp);
    let cut = sorted.len() / 20;
    let core = &sorted[cut..sorted.len() - cut];
    let n = core.len().max(1) as f64;
    let mean = core.iter().sum::<f64>() / n;
    let inner = core.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
    let count = values.len().max(1) as f64;
    let most = 25.0 * inner.max(least * least);
    let outer = values.iter().map(|(v, _)| (v - mean).powi(2).min(most)).sum::<f64>() / count;
    let hidden = values.iter().map(|(_, variance)| variance.min(most)).sum::<f64>() / count;
    Belief { mean, sd: (outer + hidden).sqrt().max(least) }
}
