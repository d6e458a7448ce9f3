//! What a phase, a splitter, a loss or a gain does to the fields on the average of random settings.
//!
//! `C = ⟨Jᵀ P J⟩` over some of the settings, `J` the derivatives of all fields of a setting by everything that does not
//! depend on its drives, `P` the projection by which the oscillator's phase is taken out. Each column of `J` has rank one or
//! two: the fields at a place (from the tape) times the way from there to the outputs (one propagation back).

use ndarray::{Array2, ArrayView2, Axis, s};
use num_complex::Complex64;
use rayon::prelude::*;

use super::{
    fit::Fit,
    optics::{Chip, Part, Sides},
    parameters::Twin,
    setting::{Noise, Seen, Setting},
};

/// Settings that are looked at, at most.
const LOOKED_AT: usize = 48;
/// Settings whose columns are held at once.
const BATCH: usize = 8;
/// Rows of a tile of `C`.
const TILE: usize = 176;

/// Mean curvature a setting, without the weight of the noise.
#[derive(Clone, Debug)]
pub(in crate::coherent) struct Curvature {
    /// Parameters it is about, ascending; phases are the first.
    pub(super) parameters: Vec<usize>,
    /// `C`, symmetric.
    pub(super) matrix: Array2<f64>,
}

/// A share of one column of `J`: fields at a place, and the way from there.
type Term<'a> = (&'a [Complex64], &'a [Complex64]);

impl Fit<'_> {
    /// The curvature at `twin`, of all phases and of whatever else is free and does not depend on the drives.
    pub(in crate::coherent) fn curvature(&self, twin: &Twin) -> Curvature {
        let parts = twin.parts();
        let noise = Noise { quadrature: self.rms(twin).max(self.noise.quadrature), ..self.noise };
        let b = &twin.blocks;
        let parameters: Vec<usize> = (b.phase.clone())
            .chain((b.alpha.start..b.offset_q.end).filter(|&index| self.prior.sd[index] > 0.0))
            .collect();
        let count = parameters.len();
        let looked_at: Vec<usize> = {
            let settings = self.settings.len().min(LOOKED_AT);
            (0..settings).map(|k| k * self.settings.len() / settings).collect()
        };
        let tiles: Vec<(usize, usize)> = {
            let tiles = count.div_ceil(TILE);
            (0..tiles).flat_map(|i| (0..=i).map(move |j| (i, j))).collect()
        };
        let range = |tile: usize| tile * TILE..((tile + 1) * TILE).min(count);
        let mut sums: Vec<Array2<f64>> =
            tiles.iter().map(|&(i, j)| Array2::zeros((range(i).len(), range(j).len()))).collect();
        for batch in looked_at.chunks(BATCH) {
            let columns: Vec<Array2<f64>> = (batch.par_iter())
                .map(|&index| {
                    let setting = &self.settings[index];
                    let seen = setting.seen(self.layout, twin, &parts, Some(noise));
                    let receiver = Receiver::new(twin, setting, &seen, noise);
                    self.columns(&receiver, &parts, &parameters)
                })
                .collect();
            let views: Vec<ArrayView2<'_, f64>> = columns.iter().map(|columns| columns.view()).collect();
            let Ok(all) = ndarray::concatenate(Axis(1), &views) else { continue };
            sums.par_iter_mut().zip(&tiles).for_each(|(sum, &(i, j))| {
                let (left, right) = (all.slice(s![range(i), ..]), all.slice(s![range(j), ..]));
                ndarray::linalg::general_mat_mul(1.0, &left, &right.t(), 1.0, sum);
            });
        }
        let mut matrix = Array2::zeros((count, count));
        for (sum, &(i, j)) in sums.iter().zip(&tiles) {
            let mean = sum / looked_at.len().max(1) as f64;
            matrix.slice_mut(s![range(i), range(j)]).assign(&mean);
            matrix.slice_mut(s![range(j), range(i)]).assign(&mean.t());
        }
        Curvature { parameters, matrix }
    }

    /// `(P^½ J)ᵀ` of one setting, `[parameters, quadratures]`.
    fn columns(&self, receiver: &Receiver<'_>, parts: &[Part], parameters: &[usize]) -> Array2<f64> {
        let Receiver { twin, setting, seen, modes, width, .. } = *receiver;
        let b = &twin.blocks;
        let sides = Chip::turned(self.layout, parts, &seen.shifted).sides(&seen.tape, width);
        let Sides { fields, ways } = &sides;
        let sent = setting.driven(twin, modes);
        let i = Complex64::i();
        let mut columns = Array2::zeros((parameters.len(), 2 * width * modes));
        for (mut column, &parameter) in columns.rows_mut().into_iter().zip(parameters) {
            let Some(column) = column.as_slice_mut() else { continue };
            let local = |range: &std::ops::Range<usize>| parameter - range.start;
            if b.phase.contains(&parameter) {
                let shifter = local(&b.phase);
                receiver.through(column, i, &[(&fields.shifters[shifter], &ways.shifters[shifter])]);
            } else if b.alpha.contains(&parameter) {
                let element = local(&b.alpha);
                let (upper, lower) = &fields.between[element];
                let way = &ways.between[element];
                receiver.through(column, i, &[(upper, &way.0), (lower, &way.1)]);
            } else if b.beta.contains(&parameter) {
                let element = local(&b.beta);
                let ((upper, lower), way) = (&fields.ends[element], &ways.ends[element]);
                receiver.through(column, i, &[(lower, &way.0), (upper, &way.1)]);
            } else if b.loss.contains(&parameter) {
                let element = local(&b.loss);
                let ((upper, lower), way) = (&fields.ends[element], &ways.ends[element]);
                receiver.through(column, Complex64::ONE, &[(upper, &way.0), (lower, &way.1)]);
            } else if b.input.contains(&parameter) {
                let mode = local(&b.input);
                let row: Vec<Complex64> = (0..width).map(|vector| sent.at(mode, vector)).collect();
                receiver.through(column, Complex64::ONE, &[(&row, &ways.inputs[mode])]);
            } else {
                receiver.own(column, parameter);
            }
            receiver.project(column);
        }
        columns
    }
}

/// From fields at the outputs to quadratures without the oscillator's phase.
struct Receiver<'a> {
    twin: &'a Twin,
    setting: &'a Setting,
    seen: &'a Seen,
    modes: usize,
    width: usize,
    gains: Vec<f64>,
    /// `(1 − √(1 − κ)) / |u|²` of each vector.
    shares: Vec<f64>,
}

impl<'a> Receiver<'a> {
    fn new(twin: &'a Twin, setting: &'a Setting, seen: &'a Seen, noise: Noise) -> Self {
        let gains: Vec<f64> = twin.of(|b| &b.output).iter().map(|gain| gain.exp()).collect();
        let (modes, width) = (gains.len(), setting.inputs.width);
        let weight = noise.quadrature.powi(-2);
        let prior = noise.oscillator.powi(-2);
        let shares = (0..width)
            .map(|vector| {
                let norm: f64 = (0..modes).map(|mode| seen.by_oscillator.at(mode, vector).norm_sqr()).sum();
                let unknown = norm * weight / (norm * weight + prior);
                if norm > 0.0 { (1.0 - (1.0 - unknown).sqrt()) / norm } else { 0.0 }
            })
            .collect();
        Self { twin, setting, seen, modes, width, gains, shares }
    }

    /// `factor Σ way ⊗ fields`, through gains, oscillator and hybrids.
    fn through(&self, column: &mut [f64], factor: Complex64, terms: &[Term<'_>]) {
        let (twin, seen) = (self.twin, self.seen);
        let (imbalance, skew) = (twin.of(|b| &b.imbalance), twin.of(|b| &b.skew));
        for mode in 0..self.modes {
            let (a, b, gain) = (1.0 + imbalance[mode], skew[mode], self.gains[mode] * factor);
            let valid = self.setting.valid.row(mode);
            let (re, im) =
                column[2 * self.width * mode..2 * self.width * (mode + 1)].split_at_mut(self.width);
            for vector in 0..self.width {
                let field: Complex64 = terms.iter().map(|(fields, way)| way[mode] * fields[vector]).sum();
                let (c, s) = seen.turns[vector];
                let d = gain * field * Complex64::new(c, s);
                re[vector] = valid[vector] * d.re;
                im[vector] = valid[self.width + vector] * (a * d.im + b * d.re);
            }
        }
    }

    /// Of what belongs to one output.
    fn own(&self, column: &mut [f64], parameter: usize) {
        let (twin, seen) = (self.twin, self.seen);
        let b = &twin.blocks;
        let at = |range: &std::ops::Range<usize>| range.contains(&parameter).then(|| parameter - range.start);
        let kinds = [&b.output, &b.imbalance, &b.skew, &b.offset_i, &b.offset_q];
        let Some((kind, mode)) = kinds.iter().enumerate().find_map(|(kind, range)| Some((kind, at(range)?)))
        else {
            return;
        };
        let (imbalance, skew) = (1.0 + twin.of(|b| &b.imbalance)[mode], twin.of(|b| &b.skew)[mode]);
        let valid = self.setting.valid.row(mode);
        let (re, im) = column[2 * self.width * mode..2 * self.width * (mode + 1)].split_at_mut(self.width);
        for vector in 0..self.width {
            let (c, s) = seen.turns[vector];
            let w = seen.fields.at(mode, vector) * Complex64::new(c, s);
            let (i, q) = match kind {
                0 => (w.re, imbalance * w.im + skew * w.re),
                1 => (0.0, w.im),
                2 => (0.0, w.re),
                3 => (1.0, 0.0),
                _ => (0.0, 1.0),
            };
            re[vector] = valid[vector] * i;
            im[vector] = valid[self.width + vector] * q;
        }
    }

    fn project(&self, column: &mut [f64]) {
        let by_oscillator = &self.seen.by_oscillator;
        let size = 2 * self.width;
        let mut along = vec![0.0; size];
        for (mode, row) in column.chunks_exact(size).enumerate() {
            let u = by_oscillator.row(mode);
            along.iter_mut().zip(row.iter().zip(u)).for_each(|(sum, (v, u))| *sum += u * v);
        }
        for vector in 0..self.width {
            let share = self.shares[vector] * (along[vector] + along[self.width + vector]);
            (along[vector], along[self.width + vector]) = (share, share);
        }
        for (mode, row) in column.chunks_exact_mut(size).enumerate() {
            let u = by_oscillator.row(mode);
            row.iter_mut().zip(along.iter().zip(u)).for_each(|(v, (share, u))| *v -= share * u);
        }
    }
}
