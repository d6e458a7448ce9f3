//! Everything that the twin can learn, as one vector.

use std::{f64::consts::PI, ops::Range};

use super::{
    layout::Layout,
    optics::{Changes, Part},
};

/// Where each kind of parameter sits in the vector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::coherent) struct Blocks {
    /// `φ0_k`, radians.
    pub(in crate::coherent) phase: Range<usize>,
    /// `ρ_k`.
    pub(in crate::coherent) slope: Range<usize>,
    /// `q_k`.
    pub(in crate::coherent) quartic: Range<usize>,
    /// `X_kj`, in the order of [`Layout::pairs`].
    pub(in crate::coherent) crosstalk: Range<usize>,
    /// Angle of the first splitter from π/4, of each interferometer.
    pub(in crate::coherent) alpha: Range<usize>,
    /// Angle of the second.
    pub(in crate::coherent) beta: Range<usize>,
    /// Logarithm of the field transmission of each interferometer.
    pub(in crate::coherent) loss: Range<usize>,
    /// Logarithm of `g_in`, relative to nominal.
    pub(in crate::coherent) input: Range<usize>,
    /// Logarithm of `g_out`, fraction of the ADC's full scale a unit field.
    pub(in crate::coherent) output: Range<usize>,
    /// `a` of each hybrid.
    pub(in crate::coherent) imbalance: Range<usize>,
    /// `b` of each hybrid.
    pub(in crate::coherent) skew: Range<usize>,
    /// Real part of each offset.
    pub(in crate::coherent) offset_i: Range<usize>,
    /// Imaginary part.
    pub(in crate::coherent) offset_q: Range<usize>,
}

impl Blocks {
    pub(in crate::coherent) fn new(layout: &Layout) -> Self {
        let mut end = 0;
        let mut next = |count: usize| {
            let start = end;
            end += count;
            start..end
        };
        let (shifters, elements, modes) = (layout.shifters(), layout.elements.len(), layout.modes());
        Self {
            phase: next(shifters),
            slope: next(shifters),
            quartic: next(shifters),
            crosstalk: next(layout.pairs.len()),
            alpha: next(elements),
            beta: next(elements),
            loss: next(elements),
            input: next(modes),
            output: next(modes),
            imbalance: next(modes),
            skew: next(modes),
            offset_i: next(modes),
            offset_q: next(modes),
        }
    }

    pub(in crate::coherent) fn len(&self) -> usize {
        self.offset_q.end
    }
}

/// One set of parameters.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::coherent) struct Twin {
    pub(in crate::coherent) blocks: Blocks,
    pub(in crate::coherent) values: Vec<f64>,
}

/// Phases of all shifters at one setting, with their derivatives by the heaters' own parameters.
#[derive(Clone, Debug)]
pub(in crate::coherent) struct Phases {
    pub(in crate::coherent) phases: Vec<f64>,
    /// `d_k`.
    pub(in crate::coherent) heat: Vec<f64>,
    /// `∂d_k/∂ρ_k` and `∂d_k/∂q_k`.
    pub(in crate::coherent) by_slope: Vec<f64>,
    pub(in crate::coherent) by_quartic: Vec<f64>,
}

impl Twin {
    pub(in crate::coherent) fn zeros(layout: &Layout) -> Self {
        let blocks = Blocks::new(layout);
        Self { values: vec![0.0; blocks.len()], blocks }
    }

    pub(in crate::coherent) fn of(&self, block: impl Fn(&Blocks) -> &Range<usize>) -> &[f64] {
        &self.values[block(&self.blocks).clone()]
    }

    pub(in crate::coherent) fn of_mut(&mut self, block: impl Fn(&Blocks) -> &Range<usize>) -> &mut [f64] {
        let range = block(&self.blocks).clone();
        &mut self.values[range]
    }

    /// Splitters and losses, as the optics take them.
    pub(in crate::coherent) fn parts(&self) -> Vec<Part> {
        let (alpha, beta, loss) = (self.of(|b| &b.alpha), self.of(|b| &b.beta), self.of(|b| &b.loss));
        (0..alpha.len()).map(|k| Part::new(alpha[k], beta[k], loss[k])).collect()
    }

    /// `d` of shifter `k` when the data sheet's law gives `drive`.
    pub(in crate::coherent) fn heat(&self, shifter: usize, drive: f64) -> f64 {
        let own = (1.0 + self.of(|b| &b.slope)[shifter]) * drive;
        own * (1.0 + self.of(|b| &b.quartic)[shifter] * own / PI)
    }

    /// Phases with the drives `drive` (data-sheet phases, radians).
    #[inline(always)]
    pub(in crate::coherent) fn phases(&self, layout: &Layout, drive: &[f64]) -> Phases {
        let (slope, quartic) = (self.of(|b| &b.slope), self.of(|b| &b.quartic));
        let count = drive.len();
        let mut heat = Vec::with_capacity(count);
        let mut by_slope = Vec::with_capacity(count);
        let mut by_quartic = Vec::with_capacity(count);
        for k in 0..count {
            let own = (1.0 + slope[k]) * drive[k];
            heat.push(own * (1.0 + quartic[k] * own / PI));
            by_slope.push(drive[k] * (1.0 + 2.0 * quartic[k] * own / PI));
            by_quartic.push(own * own / PI);
        }
        let crosstalk = self.of(|b| &b.crosstalk);
        let phases = self
            .of(|b| &b.phase)
            .iter()
            .enumerate()
            .map(|(k, zero)| {
                let around: f64 =
                    layout.around(k).map(|(index, pair)| crosstalk[index] * heat[pair.aggressor]).sum();
                zero + heat[k] + around
            })
            .collect();
        Phases { phases, heat, by_slope, by_quartic }
    }

    /// Changes of the chip when the parameters move by `step`.
    #[inline(always)]
    pub(in crate::coherent) fn changes(&self, layout: &Layout, at: &Phases, step: &[f64]) -> Changes {
        let block = |range: &Range<usize>| &step[range.clone()];
        let b = &self.blocks;
        let (zero, slope, quartic, crosstalk) =
            (block(&b.phase), block(&b.slope), block(&b.quartic), block(&b.crosstalk));
        let held = self.of(|b| &b.crosstalk);
        let heat: Vec<f64> =
            (0..zero.len()).map(|k| at.by_slope[k] * slope[k] + at.by_quartic[k] * quartic[k]).collect();
        let phases = (0..zero.len())
            .map(|k| {
                let around: f64 = layout
                    .around(k)
                    .map(|(index, pair)| {
                        held[index] * heat[pair.aggressor] + crosstalk[index] * at.heat[pair.aggressor]
                    })
                    .sum();
                zero[k] + heat[k] + around
            })
            .collect();
        Changes {
            phases,
            alpha: block(&b.alpha).to_vec(),
            beta: block(&b.beta).to_vec(),
            loss: block(&b.loss).to_vec(),
        }
    }

    /// Adjoint of [`Self::changes`]: adds to `gradient`, which has the length of the vector.
    #[inline(always)]
    pub(in crate::coherent) fn changes_adjoint(
        &self,
        layout: &Layout,
        at: &Phases,
        changes: &Changes,
        gradient: &mut [f64],
    ) {
        let b = &self.blocks;
        let held = self.of(|b| &b.crosstalk);
        let mut heat = changes.phases.clone();
        for (index, pair) in layout.pairs.iter().enumerate() {
            let victim = changes.phases[pair.victim];
            heat[pair.aggressor] += held[index] * victim;
            gradient[b.crosstalk.start + index] += at.heat[pair.aggressor] * victim;
        }
        for (k, heat) in heat.iter().enumerate() {
            gradient[b.phase.start + k] += changes.phases[k];
            gradient[b.slope.start + k] += at.by_slope[k] * heat;
            gradient[b.quartic.start + k] += at.by_quartic[k] * heat;
        }
        for (range, values) in
            [(&b.alpha, &changes.alpha), (&b.beta, &changes.beta), (&b.loss, &changes.loss)]
        {
            gradient[range.clone()].iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        }
    }
}
