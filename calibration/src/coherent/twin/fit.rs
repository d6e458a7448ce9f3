//! The global refinement: every parameter of the twin at once, to raw fields at random settings.
//!
//! Maximum a posteriori by Gauss–Newton with Levenberg–Marquardt damping. The oscillator's phase of each vector is free
//! within what the reference says of it, and projected out. No Jacobian is ever built: the normal equations are solved by
//! conjugate gradients with one tangent and one adjoint propagation a setting, preconditioned by what random settings make of
//! the Hessian on the average (`super::preconditioner`). The priors fix what the data cannot tell (`docs/decisions/mesh-characterisation.md`).

use rayon::prelude::*;

use super::{
    curvature::Curvature,
    layout::Layout,
    optics::{Changes, Chip, Fields, Part},
    parameters::Twin,
    preconditioner::Preconditioner,
    setting::{Noise, Seen, Setting},
};

/// Settings that share one sum: results do not depend on the number of threads.
const CHUNK: usize = 8;
/// Steps of the linear solver in one round, and the share of the initial squared residual at which it stops.
const SOLVER_STEPS: usize = 80;
const SOLVER_GOAL: f64 = 1e-4;
/// A round that lowers the objective by less than this a free parameter is the last: the step is then a tenth of an uncertainty.
const ENOUGH: f64 = 0.01;

/// Gaussian prior of every parameter; a standard deviation of 0 holds it.
#[derive(Clone, Debug)]
pub(in crate::coherent) struct Prior {
    pub(in crate::coherent) mean: Vec<f64>,
    pub(in crate::coherent) sd: Vec<f64>,
}

/// The fit of one chip.
pub(in crate::coherent) struct Fit<'a> {
    pub(in crate::coherent) layout: &'a Layout,
    pub(in crate::coherent) settings: &'a [Setting],
    /// Least noise of a quadrature: a fit is never taken for better than that.
    pub(in crate::coherent) noise: Noise,
    pub(in crate::coherent) prior: &'a Prior,
    pub(in crate::coherent) rounds: usize,
}

/// Result of a fit.
#[derive(Clone, Debug)]
pub(in crate::coherent) struct Fitted {
    pub(in crate::coherent) twin: Twin,
    /// Root mean square of the residual of a quadrature, fraction of full scale.
    pub(in crate::coherent) rms: f64,
}

/// Sums over all settings.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Squares {
    /// `Σ r²`.
    pub(super) residual: f64,
    /// Quadratures behind it.
    pub(super) freedom: f64,
    /// Squared distances of the oscillator's phases from the reference's.
    astray: f64,
}

impl Squares {
    fn plus(self, other: Self) -> Self {
        Self {
            residual: self.residual + other.residual,
            freedom: self.freedom + other.freedom,
            astray: self.astray + other.astray,
        }
    }
}

/// The problem at one point.
pub(super) struct Point<'a> {
    pub(super) twin: &'a Twin,
    parts: &'a [Part],
    pub(super) seen: Vec<Seen>,
    pub(super) noise: Noise,
}

impl Fit<'_> {
    /// Fits from `start`; `curvature` as of a twin like it.
    pub(in crate::coherent) fn run(&self, start: &Twin, curvature: &Curvature) -> Fitted {
        let mut twin = start.clone();
        let mut quadrature = self.rms(&twin).max(self.noise.quadrature);
        let mut damping = 1e-3;
        let (mut rounds, mut steps) = (0, 0);
        let free = self.prior.sd.iter().filter(|&&sd| sd > 0.0).count() as f64;
        while rounds < self.rounds {
            rounds += 1;
            let noise = Noise { quadrature, ..self.noise };
            let (step, used) = self.step(&twin, curvature, noise, damping);
            steps += used;
            let mut candidate = twin.clone();
            candidate.values.iter_mut().zip(&step).for_each(|(value, step)| *value += step);
            let (now, next) = (self.objective(&twin, noise), self.objective(&candidate, noise));
            tracing::debug!(rounds, used, quadrature, now, next, damping, "fit");
            if next < now {
                twin = candidate;
                quadrature = self.rms(&twin).max(self.noise.quadrature);
                damping = (damping / 10.0_f64).max(1e-6);
                if now - next < ENOUGH * free {
                    break;
                }
            } else if damping > 1e3 {
                break;
            } else {
                damping *= 30.0;
            }
        }
        let rms = self.rms(&twin);
        tracing::info!(rms, rounds, steps, settings = self.settings.len(), free, "fitted");
        Fitted { rms, twin }
    }

    /// Root mean square residual, the oscillator's phases at their best.
    pub(in crate::coherent) fn rms(&self, twin: &Twin) -> f64 {
        let squares = self.squares(twin, self.noise);
        (squares.residual / squares.freedom.max(1.0)).sqrt()
    }

    pub(super) fn squares(&self, twin: &Twin, noise: Noise) -> Squares {
        let parts = twin.parts();
        let sums: Vec<Squares> = self
            .settings
            .par_iter()
            .map(|setting| {
                let seen = on_vectors(|| setting.seen(self.layout, twin, &parts, Some(noise)));
                let astray = seen.astray.iter().map(|phase| phase * phase).sum();
                Squares { residual: seen.square, freedom: seen.freedom, astray }
            })
            .collect();
        sums.into_iter().fold(Squares::default(), Squares::plus)
    }

    /// `Σ r² / s² + Σ (ψ − ψ_ref)² / σ_ref² + Σ ((p − m) / σ)²`.
    fn objective(&self, twin: &Twin, noise: Noise) -> f64 {
        let squares = self.squares(twin, noise);
        let away: f64 = self.away(twin).iter().map(|t| t * t).sum();
        squares.residual / noise.quadrature.powi(2) + squares.astray / noise.oscillator.powi(2) + away
    }

    /// Distance from the prior in its units; 0 for what is held.
    fn away(&self, twin: &Twin) -> Vec<f64> {
        let of =
            |((value, mean), sd): ((&f64, &f64), &f64)| if *sd > 0.0 { (value - mean) / sd } else { 0.0 };
        twin.values.iter().zip(&self.prior.mean).zip(&self.prior.sd).map(of).collect()
    }

    pub(super) fn at<'b>(&self, twin: &'b Twin, parts: &'b [Part], noise: Noise) -> Point<'b> {
        let seen = self
            .settings
            .par_iter()
            .map(|setting| on_vectors(|| setting.seen(self.layout, twin, parts, Some(noise))))
            .collect();
        Point { twin, parts, seen, noise }
    }

    /// Solves `(S JᵀWJ S + 1 + μ D) t = S Jᵀr/s² − (p − m)/σ`, `S` the standard deviations of the prior; the step is `S t`.
    fn step(&self, twin: &Twin, curvature: &Curvature, noise: Noise, damping: f64) -> (Vec<f64>, usize) {
        let parts = twin.parts();
        let point = self.at(twin, &parts, noise);
        let precondition = self.preconditioner(&point, curvature, damping);
        let rhs = self.gradient(&point);
        self.solve(&point, &precondition, damping, &rhs, SOLVER_GOAL)
    }

    /// `S Jᵀ r / s² − (p − m)/σ`, minus half the gradient of the objective in units of the prior.
    fn gradient(&self, point: &Point<'_>) -> Vec<f64> {
        let modes = self.layout.modes();
        let mut gradient = self.transpose(point, &|index| point.seen[index].residual_at_reference(modes));
        gradient.iter_mut().zip(self.away(point.twin)).for_each(|(g, away)| *g -= away);
        gradient
    }

    /// `S t` with `(S JᵀWJ S + 1 + μ D) t = rhs`, and the steps that the solver took.
    pub(super) fn solve(
        &self,
        point: &Point<'_>,
        precondition: &Preconditioner,
        damping: f64,
        rhs: &[f64],
        goal: f64,
    ) -> (Vec<f64>, usize) {
        let apply = |t: &[f64]| -> Vec<f64> {
            let step: Vec<f64> = t.iter().zip(&self.prior.sd).map(|(t, sd)| t * sd).collect();
            let mut y = self.normal(point, &step);
            for (k, y) in y.iter_mut().enumerate() {
                *y += t[k] + damping * precondition.diagonal[k] * t[k];
            }
            y
        };
        let (t, steps) = conjugate_gradients(apply, rhs, |r| precondition.solve(r), SOLVER_STEPS, goal);
        (t.iter().zip(&self.prior.sd).map(|(t, sd)| t * sd).collect(), steps)
    }

    /// `S JᵀWJ x`.
    fn normal(&self, point: &Point<'_>, step: &[f64]) -> Vec<f64> {
        self.chunks(|index, sum| {
            on_vectors(|| {
                let image = self.image(point, index, step);
                self.add_transpose(point, index, image, sum);
            });
        })
    }

    /// `S JᵀW v` with `v(index)` of each setting.
    pub(super) fn transpose(&self, point: &Point<'_>, fields: &(dyn Fn(usize) -> Fields + Sync)) -> Vec<f64> {
        self.chunks(|index, sum| on_vectors(|| self.add_transpose(point, index, fields(index), sum)))
    }

    /// Sums over settings in an order that does not depend on the threads; scaled by the prior.
    fn chunks(&self, add: impl Fn(usize, &mut [f64]) + Sync) -> Vec<f64> {
        let count = self.prior.sd.len();
        let parts: Vec<Vec<f64>> = (0..self.settings.len().div_ceil(CHUNK))
            .into_par_iter()
            .map(|chunk| {
                let mut sum = vec![0.0; count];
                let end = ((chunk + 1) * CHUNK).min(self.settings.len());
                (chunk * CHUNK..end).for_each(|index| add(index, &mut sum));
                sum
            })
            .collect();
        let mut sum = vec![0.0; count];
        for part in parts {
            sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
        }
        sum.iter_mut().zip(&self.prior.sd).for_each(|(sum, sd)| *sum *= sd);
        sum
    }

    /// `J x` of one setting, 0 where nothing valid was seen.
    #[inline(always)]
    fn image(&self, point: &Point<'_>, index: usize, step: &[f64]) -> Fields {
        let (setting, seen, twin) = (&self.settings[index], &point.seen[index], point.twin);
        let modes = self.layout.modes();
        let width = setting.inputs.width;
        let blocks = &twin.blocks;
        let changes = twin.changes(self.layout, &seen.phases, step);
        let mut fields = setting.driven(twin, modes);
        for mode in 0..modes {
            let relative = step[blocks.input.start + mode];
            fields.row_mut(mode).iter_mut().for_each(|entry| *entry *= relative);
        }
        Chip::turned(self.layout, point.parts, &seen.shifted).tangent(&seen.tape, &changes, &mut fields);
        let output = twin.of(|b| &b.output);
        let (imbalance, skew) = (twin.of(|b| &b.imbalance), twin.of(|b| &b.skew));
        for mode in 0..modes {
            let gain = output[mode].exp();
            let relative = step[blocks.output.start + mode];
            let (da, db) = (step[blocks.imbalance.start + mode], step[blocks.skew.start + mode]);
            let (oi, oq) = (step[blocks.offset_i.start + mode], step[blocks.offset_q.start + mode]);
            let (a, b) = (1.0 + imbalance[mode], skew[mode]);
            let w = seen.fields.row(mode);
            let valid = setting.valid.row(mode);
            let row = fields.row_mut(mode);
            for vector in 0..width {
                let (c, s) = seen.turns[vector];
                let (zr, zi) = (
                    gain * row[vector] + relative * w[vector],
                    gain * row[width + vector] + relative * w[width + vector],
                );
                let (dr, di) = (c * zr - s * zi, s * zr + c * zi);
                let (wr, wi) = (c * w[vector] - s * w[width + vector], s * w[vector] + c * w[width + vector]);
                row[vector] = valid[vector] * (dr + oi);
                row[width + vector] = valid[width + vector] * (a * di + b * dr + da * wi + db * wr + oq);
            }
        }
        fields
    }

    /// Adds `JᵀW v` of one setting.
    #[inline(always)]
    fn add_transpose(&self, point: &Point<'_>, index: usize, mut back: Fields, sum: &mut [f64]) {
        let (setting, seen, twin) = (&self.settings[index], &point.seen[index], point.twin);
        self.weigh(point, seen, &mut back);
        let modes = self.layout.modes();
        let width = setting.inputs.width;
        let blocks = &twin.blocks;
        let output = twin.of(|b| &b.output);
        let (imbalance, skew) = (twin.of(|b| &b.imbalance), twin.of(|b| &b.skew));
        for mode in 0..modes {
            let gain = output[mode].exp();
            let (a, b) = (1.0 + imbalance[mode], skew[mode]);
            let w = seen.fields.row(mode);
            let row = back.row_mut(mode);
            for vector in 0..width {
                let (c, s) = seen.turns[vector];
                let (lr, li) = (row[vector], row[width + vector]);
                let (wr, wi) = (c * w[vector] - s * w[width + vector], s * w[vector] + c * w[width + vector]);
                let (xr, xi) = (lr + b * li, a * li);
                sum[blocks.output.start + mode] += xr * wr + xi * wi;
                sum[blocks.imbalance.start + mode] += li * wi;
                sum[blocks.skew.start + mode] += li * wr;
                sum[blocks.offset_i.start + mode] += lr;
                sum[blocks.offset_q.start + mode] += li;
                row[vector] = gain * (c * xr + s * xi);
                row[width + vector] = gain * (c * xi - s * xr);
            }
        }
        let mut changes = Changes::none(self.layout);
        Chip::turned(self.layout, point.parts, &seen.shifted).adjoint(&seen.tape, &mut back, &mut changes);
        let input = twin.of(|b| &b.input);
        for mode in 0..modes {
            let gain = input[mode].exp();
            let sent = setting.inputs.row(mode).iter().zip(back.row(mode));
            sum[blocks.input.start + mode] += gain * sent.map(|(x, l)| x * l).sum::<f64>();
        }
        twin.changes_adjoint(self.layout, &seen.phases, &changes, sum);
    }

    /// `W v = (v − u κ (u·v)) / s²` vector by vector: the oscillator's phase projected out as far as it is unknown.
    #[inline(always)]
    fn weigh(&self, point: &Point<'_>, seen: &Seen, fields: &mut Fields) {
        let modes = self.layout.modes();
        let width = fields.width;
        let weight = point.noise.quadrature.powi(-2);
        let prior = point.noise.oscillator.powi(-2);
        for vector in 0..width {
            let (mut along, mut norm) = (0.0, 0.0);
            for mode in 0..modes {
                let (u, v) = (seen.by_oscillator.row(mode), fields.row(mode));
                along += u[vector] * v[vector] + u[width + vector] * v[width + vector];
                norm += u[vector] * u[vector] + u[width + vector] * u[width + vector];
            }
            let share = along * weight / (norm * weight + prior);
            for mode in 0..modes {
                let u = seen.by_oscillator.row(mode);
                let row = fields.row_mut(mode);
                row[vector] = weight * (row[vector] - share * u[vector]);
                row[width + vector] = weight * (row[width + vector] - share * u[width + vector]);
            }
        }
    }
}

/// Preconditioned conjugate gradients for a positive definite map; the solution and the steps taken.
pub(in crate::coherent) fn conjugate_gradients(
    apply: impl Fn(&[f64]) -> Vec<f64>,
    rhs: &[f64],
    precondition: impl Fn(&[f64]) -> Vec<f64>,
    most: usize,
    goal: f64,
) -> (Vec<f64>, usize) {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let mut x = vec![0.0; rhs.len()];
    let mut r = rhs.to_vec();
    let mut z = precondition(&r);
    let mut p = z.clone();
    let mut rz = dot(&r, &z);
    let goal = goal * rz;
    let mut steps = 0;
    while steps < most && rz > goal && rz > 0.0 {
        steps += 1;
        let image = apply(&p);
        let alpha = rz / dot(&p, &image);
        x.iter_mut().zip(&p).for_each(|(x, p)| *x += alpha * p);
        r.iter_mut().zip(&image).for_each(|(r, image)| *r -= alpha * image);
        z = precondition(&r);
        let next = dot(&r, &z);
        let beta = next / rz;
        p.iter_mut().zip(&z).for_each(|(p, z)| *p = z + beta * *p);
        rz = next;
    }
    (x, steps)
}

/// Runs `work` with the widest vector instructions of this machine.
#[inline(always)]
fn on_vectors<T>(work: impl FnOnce() -> T) -> T {
    pulp::Arch::new().dispatch(work)
}

#[cfg(test)]
mod tests;
