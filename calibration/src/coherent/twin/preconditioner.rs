//! An approximate inverse of the normal equations, good enough that few steps of conjugate gradients are left.
//!
//! At random settings the drives of different heaters are independent of each other and nearly so of what a phase does to
//! the fields. With `f_k` what the drives make of the phase of shifter `k` by each of its parameters `c` (its own law, the heat
//! it takes), and `C` the mean curvature by phases ([`Curvature`]), the Hessian is about
//!
//! ```text
//! H[(k, c), (l, d)] = C_kl ⟨f_kc f_ld⟩
//! ```
//!
//! With the phase at the mean drive as a parameter in place of the phase at 0 V, `f − f̄` in place of `f`, it falls apart: one
//! dense block of everything that does not depend on the drives, and one block for each heater of what its drive moves:
//! its own law, and the heat that it gives. What no output tells (`super::gauge`) is in `C`, so that it costs no steps.

use ndarray::Array2;
use ndarray_linalg::{Cholesky, UPLO};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

use super::{
    curvature::Curvature,
    fit::{Fit, Point},
};

/// Draws by which the diagonal of the inverse is found.
const DRAWS: usize = 400;

/// See the module; everything in units of the prior.
#[derive(Clone, Debug)]
pub(super) struct Preconditioner {
    blocks: Vec<Block>,
    /// `(p, q, s)`: the phase at 0 V `q` is that at the mean drive less `s` times parameter `p`.
    means: Vec<(usize, usize, f64)>,
    /// Diagonal of `S JᵀWJ S`, nearly.
    pub(super) diagonal: Vec<f64>,
}

/// Parameters that are solved for together.
#[derive(Clone, Debug)]
struct Block {
    indices: Vec<usize>,
    /// `L` with `L Lᵀ` the block.
    lower: Array2<f64>,
}

/// A parameter that acts through one heater's drive: on which phase, and how much at each setting.
struct Driven {
    parameter: usize,
    victim: usize,
    effect: Vec<f64>,
    mean: f64,
}

impl Fit<'_> {
    pub(super) fn preconditioner(
        &self,
        point: &Point<'_>,
        curvature: &Curvature,
        damping: f64,
    ) -> Preconditioner {
        let sd = &self.prior.sd;
        let phases = point.twin.blocks.phase.start;
        let weight = point.seen.len() as f64 * point.noise.quadrature.powi(-2);
        let free: Vec<usize> = (0..curvature.parameters.len())
            .filter(|&position| sd[curvature.parameters[position]] > 0.0)
            .collect();
        let statics: Vec<usize> = free.iter().map(|&position| curvature.parameters[position]).collect();
        let matrix = Array2::from_shape_fn((free.len(), free.len()), |(i, j)| {
            weight * curvature.matrix[(free[i], free[j])] * sd[statics[i]] * sd[statics[j]]
        });
        let driven: Vec<(Vec<Driven>, Array2<f64>)> = (0..self.layout.shifters())
            .into_par_iter()
            .map(|aggressor| {
                let members = self.driven(point, aggressor);
                let settings = point.seen.len().max(1) as f64;
                let block = Array2::from_shape_fn((members.len(), members.len()), |(i, j)| {
                    let (a, b) = (&members[i], &members[j]);
                    let covariance: f64 =
                        a.effect.iter().zip(&b.effect).map(|(x, y)| x * y).sum::<f64>() / settings;
                    let alike = curvature.matrix[(a.victim, b.victim)];
                    weight * alike * covariance * sd[a.parameter] * sd[b.parameter]
                });
                (members, block)
            })
            .collect();

        let mut means = Vec::new();
        for member in driven.iter().flat_map(|(members, _)| members) {
            let phase = phases + member.victim;
            if sd[phase] > 0.0 {
                means.push((member.parameter, phase, member.mean * sd[member.parameter] / sd[phase]));
            }
        }
        let mut diagonal = vec![0.0; sd.len()];
        let all = std::iter::once((statics, matrix)).chain(driven.into_iter().map(|(members, block)| {
            (members.into_iter().map(|member| member.parameter).collect::<Vec<_>>(), block)
        }));
        let all: Vec<_> = all.collect();
        for (indices, block) in &all {
            indices.iter().zip(block.diag()).for_each(|(&index, &entry)| diagonal[index] = entry);
        }
        let blocks =
            all.into_par_iter().filter_map(|(indices, block)| Block::new(indices, block, damping)).collect();
        Preconditioner { blocks, means, diagonal }
    }

    /// What the drive of `aggressor` acts through: its own law and the heat it gives; nothing that is held.
    fn driven(&self, point: &Point<'_>, aggressor: usize) -> Vec<Driven> {
        let b = &point.twin.blocks;
        let settings = point.seen.len().max(1) as f64;
        let centred = |parameter: usize, victim: usize, of: &dyn Fn(&super::parameters::Phases) -> f64| {
            let effect: Vec<f64> = point.seen.iter().map(|seen| of(&seen.phases)).collect();
            let mean = effect.iter().sum::<f64>() / settings;
            let effect = effect.into_iter().map(|value| value - mean).collect();
            Driven { parameter, victim, effect, mean }
        };
        let mut members = vec![
            centred(b.slope.start + aggressor, aggressor, &|phases| phases.by_slope[aggressor]),
            centred(b.quartic.start + aggressor, aggressor, &|phases| phases.by_quartic[aggressor]),
        ];
        let given = self.layout.pairs.iter().enumerate().filter(|(_, pair)| pair.aggressor == aggressor);
        members.extend(given.map(|(index, pair)| {
            centred(b.crosstalk.start + index, pair.victim, &|phases| phases.heat[aggressor])
        }));
        members.retain(|member| self.prior.sd[member.parameter] > 0.0);
        members
    }
}

impl Block {
    /// `None` where nothing is free, or rounding has made it indefinite.
    fn new(indices: Vec<usize>, mut block: Array2<f64>, damping: f64) -> Option<Self> {
        if indices.is_empty() {
            return None;
        }
        block.diag_mut().mapv_inplace(|entry| entry * (1.0 + damping) + 1.0);
        block.cholesky(UPLO::Lower).ok().map(|lower| Self { indices, lower })
    }

    /// `L⁻¹ x`.
    fn forward(&self, x: &mut [f64]) {
        for i in 0..x.len() {
            let row = self.lower.row(i);
            let row = row.as_slice().unwrap_or_default();
            let dot: f64 = super::optics::dot(&row[..i], &x[..i]);
            x[i] = (x[i] - dot) / row[i];
        }
    }

    /// `L⁻ᵀ x`.
    fn backward(&self, x: &mut [f64]) {
        for i in (0..x.len()).rev() {
            let row = self.lower.row(i);
            let row = row.as_slice().unwrap_or_default();
            let (known, rest) = x.split_at_mut(i);
            rest[0] /= row[i];
            known.iter_mut().zip(row).for_each(|(x, l)| *x -= l * rest[0]);
        }
    }
}

impl Preconditioner {
    /// `M⁻¹ r`.
    pub(super) fn solve(&self, r: &[f64]) -> Vec<f64> {
        let mut shifted = r.to_vec();
        self.means.iter().for_each(|&(parameter, phase, mean)| shifted[parameter] -= mean * r[phase]);
        let mut z: Vec<f64> = shifted.iter().zip(&self.diagonal).map(|(r, d)| r / (d + 1.0)).collect();
        for block in &self.blocks {
            let mut x: Vec<f64> = block.indices.iter().map(|&index| shifted[index]).collect();
            block.forward(&mut x);
            block.backward(&mut x);
            block.indices.iter().zip(x).for_each(|(&index, x)| z[index] = x);
        }
        self.means.iter().for_each(|&(parameter, phase, mean)| z[phase] -= mean * z[parameter]);
        z
    }

    /// Diagonal of `S M⁻¹ S`, `sd` the diagonal of `S`, by draws of a Gaussian with that covariance, each taken through `fix`.
    pub(super) fn variances(&self, sd: &[f64], fix: impl Fn(&mut [f64]) + Sync) -> Vec<f64> {
        let count = self.diagonal.len();
        let draws: Vec<Vec<f64>> = (0..DRAWS as u64)
            .into_par_iter()
            .map(|draw| {
                let mut rng = ChaCha8Rng::seed_from_u64(0x626c_6f63_6b00 + draw);
                let mut z: Vec<f64> = (self.diagonal.iter())
                    .map(|d| {
                        let unit: f64 = StandardNormal.sample(&mut rng);
                        unit / (d + 1.0).sqrt()
                    })
                    .collect();
                for block in &self.blocks {
                    let mut x: Vec<f64> =
                        block.indices.iter().map(|_| StandardNormal.sample(&mut rng)).collect();
                    block.backward(&mut x);
                    block.indices.iter().zip(x).for_each(|(&index, x)| z[index] = x);
                }
                self.means.iter().for_each(|&(parameter, phase, mean)| z[phase] -= mean * z[parameter]);
                z.iter_mut().zip(sd).for_each(|(z, sd)| *z *= sd);
                fix(&mut z);
                z
            })
            .collect();
        let mut squares = vec![0.0; count];
        for draw in draws {
            squares.iter_mut().zip(draw).for_each(|(sum, z)| *sum += z * z / DRAWS as f64);
        }
        squares
    }
}
