//! The global refinement: every parameter of the twin at once, to raw fields at random settings.
//!
//! Maximum a posteriori by Gauss–Newton with Levenberg–Marquardt damping. The oscillator's phase of each vector is free
//! within what the reference says of it, and projected out. No Jacobian is ever built: the normal equations are solved by
//! conjugate gradients with one tangent and one adjoint propagation a setting, preconditioned by one block a victim
//! shifter (its own law and the heat it takes from its neighbours, which random settings tell apart slowly) and the
//! diagonal of everything else. The priors fix what the data cannot tell (`docs/decisions/mesh-characterisation.md`).

use ndarray::Array2;
use ndarray_linalg::{Cholesky, UPLO};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::{
    layout::Layout,
    optics::{Changes, Chip, Fields, Part},
    parameters::Twin,
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

/// The problem at one point.
pub(super) struct Point<'a> {
    twin: &'a Twin,
    parts: &'a [Part],
    pub(super) seen: Vec<Seen>,
    noise: Noise,
}

/// One block a victim shifter, and the diagonal of the rest, all in units of the prior.
pub(super) struct Preconditioner {
    blocks: Vec<(Vec<usize>, Array2<f64>)>,
    diagonal: Vec<f64>,
}

impl Fit<'_> {
    /// Fits from `start`.
    pub(in crate::coherent) fn run(&self, start: &Twin) -> Fitted {
        let mut twin = start.clone();
        let mut quadrature = self.rms(&twin).max(self.noise.quadrature);
        let mut damping = 1e-3;
        let (mut rounds, mut steps) = (0, 0);
        let free = self.prior.sd.iter().filter(|&&sd| sd > 0.0).count() as f64;
        while rounds < self.rounds {
            rounds += 1;
            let noise = Noise { quadrature, ..self.noise };
            let (step, used) = self.step(&twin, noise, damping);
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
        let (square, freedom) = self.squares(twin, self.noise);
        (square / freedom.max(1.0)).sqrt()
    }

    pub(super) fn squares(&self, twin: &Twin, noise: Noise) -> (f64, f64) {
        let parts = twin.parts();
        let sums: Vec<(f64, f64)> = self
            .settings
            .par_iter()
            .map(|setting| {
                let seen = on_vectors(|| setting.seen(self.layout, twin, &parts, Some(noise)));
                (seen.square, seen.freedom)
            })
            .collect();
        sums.into_iter().fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    /// `Σ r² / s² + Σ ((p − m) / σ)²`.
    fn objective(&self, twin: &Twin, noise: Noise) -> f64 {
        let (square, _) = self.squares(twin, noise);
        let away: f64 = self.away(twin).iter().map(|t| t * t).sum();
        square / noise.quadrature.powi(2) + away
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

    /// Solves `(S JᵀWJ S + 1 + μ D) t = S JᵀW r − (p − m)/σ`, `S` the standard deviations of the prior; the step is `S t`.
    fn step(&self, twin: &Twin, noise: Noise, damping: f64) -> (Vec<f64>, usize) {
        let parts = twin.parts();
        let point = self.at(twin, &parts, noise);
        let precondition = self.preconditioner(&point, damping);
        let residuals = |index: usize| point.seen[index].residual.clone();
        let mut rhs = self.transpose(&point, &residuals);
        rhs.iter_mut().zip(self.away(twin)).for_each(|(r, away)| *r -= away);
        self.solve(&point, &precondition, damping, &rhs, SOLVER_GOAL)
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

    /// Diagonal of `S JᵀWJ S` from one random vector of signs a setting (Hutchinson), the oscillator's projection left out.
    fn diagonal(&self, point: &Point<'_>) -> Vec<f64> {
        let modes = self.layout.modes();
        let count = self.prior.sd.len();
        let weight = point.noise.quadrature.powi(-2);
        let parts: Vec<Vec<f64>> = (0..self.settings.len().div_ceil(CHUNK))
            .into_par_iter()
            .map(|chunk| {
                let mut rng = ChaCha8Rng::seed_from_u64(chunk as u64);
                let mut sum = vec![0.0; count];
                let end = ((chunk + 1) * CHUNK).min(self.settings.len());
                for index in chunk * CHUNK..end {
                    let setting = &self.settings[index];
                    let mut signs = setting.valid.clone();
                    for mode in 0..modes {
                        signs.row_mut(mode).iter_mut().for_each(|entry| {
                            if rng.random::<bool>() {
                                *entry = -*entry;
                            }
                        });
                    }
                    let mut one = vec![0.0; count];
                    on_vectors(|| self.add_transpose(point, index, signs.clone(), &mut one));
                    sum.iter_mut().zip(&one).for_each(|(sum, one)| *sum += one * one / weight);
                }
                sum
            })
            .collect();
        let mut sum = vec![0.0; count];
        for part in parts {
            sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
        }
        sum.iter_mut().zip(&self.prior.sd).for_each(|(sum, sd)| *sum *= sd * sd);
        sum
    }

    pub(super) fn preconditioner(&self, point: &Point<'_>, damping: f64) -> Preconditioner {
        let diagonal = self.diagonal(point);
        let b = &point.twin.blocks;
        let sd = &self.prior.sd;
        let settings = point.seen.len() as f64;
        let blocks: Vec<(Vec<usize>, Array2<f64>)> = (0..self.layout.shifters())
            .into_par_iter()
            .filter_map(|victim| {
                let mut indices =
                    vec![b.phase.start + victim, b.slope.start + victim, b.quartic.start + victim];
                indices.extend(self.layout.around(victim).map(|(index, _)| b.crosstalk.start + index));
                let size = indices.len();
                let mut gram = Array2::<f64>::zeros((size, size));
                for seen in &point.seen {
                    let mut regressors =
                        vec![1.0, seen.phases.by_slope[victim], seen.phases.by_quartic[victim]];
                    regressors
                        .extend(self.layout.around(victim).map(|(_, pair)| seen.phases.heat[pair.aggressor]));
                    for i in 0..size {
                        for j in 0..=i {
                            gram[(i, j)] += regressors[i] * regressors[j];
                        }
                    }
                }
                let phase_sd = sd[b.phase.start + victim];
                let power = if phase_sd > 0.0 {
                    diagonal[b.phase.start + victim] / (phase_sd * phase_sd) / settings
                } else {
                    0.0
                };
                for i in 0..size {
                    for j in 0..=i {
                        gram[(i, j)] *= power * sd[indices[i]] * sd[indices[j]];
                        gram[(j, i)] = gram[(i, j)];
                    }
                }
                for i in 0..size {
                    gram[(i, i)] = gram[(i, i)] * (1.0 + damping) + 1.0;
                }
                gram.cholesky(UPLO::Lower).ok().map(|lower| (indices, lower))
            })
            .collect();
        Preconditioner { blocks, diagonal }
    }
}

impl Preconditioner {
    /// Diagonal of its inverse.
    pub(super) fn variances(&self) -> Vec<f64> {
        let mut variances: Vec<f64> = self.diagonal.iter().map(|d| 1.0 / (d + 1.0)).collect();
        for (indices, lower) in &self.blocks {
            let size = indices.len();
            for column in 0..size {
                // Column of L⁻¹; (L Lᵀ)⁻¹_kk = Σ_i (L⁻¹)_ik².
                let mut x = vec![0.0; size];
                x[column] = 1.0 / lower[(column, column)];
                for i in column + 1..size {
                    let dot: f64 = (column..i).map(|k| lower[(i, k)] * x[k]).sum();
                    x[i] = -dot / lower[(i, i)];
                }
                variances[indices[column]] = x.iter().map(|x| x * x).sum();
            }
        }
        variances
    }

    fn solve(&self, r: &[f64]) -> Vec<f64> {
        let mut z: Vec<f64> = r.iter().zip(&self.diagonal).map(|(r, d)| r / (d + 1.0)).collect();
        for (indices, lower) in &self.blocks {
            let size = indices.len();
            let mut x: Vec<f64> = indices.iter().map(|&index| r[index]).collect();
            for i in 0..size {
                let dot: f64 = (0..i).map(|k| lower[(i, k)] * x[k]).sum();
                x[i] = (x[i] - dot) / lower[(i, i)];
            }
            for i in (0..size).rev() {
                let dot: f64 = (i + 1..size).map(|k| lower[(k, i)] * x[k]).sum();
                x[i] = (x[i] - dot) / lower[(i, i)];
            }
            indices.iter().zip(x).for_each(|(&index, x)| z[index] = x);
        }
        z
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
mod tests {
    use super::*;

    fn wave(k: usize, step: f64) -> f64 {
        (k as f64 * step + 0.3).sin()
    }

    /// A chip of every kind of imperfection, and two settings that it did not make.
    fn problem(modes: usize) -> (Layout, Twin, Vec<Setting>) {
        let layout = Layout::new(modes);
        let mut twin = Twin::zeros(&layout);
        let blocks = twin.blocks.clone();
        for (k, value) in twin.values.iter_mut().enumerate() {
            *value = if blocks.phase.contains(&k) { 3.0 * wave(k, 1.7) } else { 0.05 * wave(k, 1.1) };
        }
        let width = 3;
        let settings = (0..2)
            .map(|setting| {
                let mut inputs = Fields::dark(modes, width);
                let mut shown = Fields::dark(modes, width);
                let mut valid = Fields::dark(modes, width);
                for mode in 0..modes {
                    for vector in 0..width {
                        inputs.row_mut(mode)[vector] = wave(mode + 5 * vector + setting, 2.3);
                    }
                    shown
                        .row_mut(mode)
                        .iter_mut()
                        .enumerate()
                        .for_each(|(k, v)| *v = 0.3 * wave(k + mode, 0.9));
                    valid.row_mut(mode).fill(1.0);
                }
                valid.row_mut(1)[2] = 0.0;
                Setting {
                    drive: (0..layout.shifters()).map(|k| 3.0 + 3.0 * wave(k + setting, 0.7)).collect(),
                    inputs,
                    shown,
                    valid,
                    oscillator: vec![0.4, 2.0, -1.0],
                }
            })
            .collect();
        (layout, twin, settings)
    }

    fn flat(fields: &Fields, modes: usize) -> Vec<f64> {
        (0..modes).flat_map(|mode| fields.row(mode).to_vec()).collect()
    }

    #[test]
    fn the_image_is_the_derivative_of_what_the_twin_shows_and_the_transpose_its_adjoint() {
        let modes = 5;
        let (layout, twin, settings) = problem(modes);
        let prior = Prior { mean: vec![0.0; twin.values.len()], sd: vec![1.0; twin.values.len()] };
        let noise = Noise { quadrature: 1.0, oscillator: 1e-9 };
        let fit = Fit { layout: &layout, settings: &settings, noise, prior: &prior, rounds: 1 };
        let step: Vec<f64> = (0..twin.values.len()).map(|k| wave(k, 3.1)).collect();
        let parts = twin.parts();
        let seen = settings.iter().map(|setting| setting.seen(&layout, &twin, &parts, None)).collect();
        let point = Point { twin: &twin, parts: &parts, seen, noise };
        for (index, setting) in settings.iter().enumerate() {
            let image = flat(&fit.image(&point, index, &step), modes);
            let h = 1e-6;
            let moved = |sign: f64| {
                let mut moved = twin.clone();
                moved.values.iter_mut().zip(&step).for_each(|(value, step)| *value += sign * h * step);
                flat(&setting.seen(&layout, &moved, &moved.parts(), None).residual, modes)
            };
            let (ahead, behind) = (moved(1.0), moved(-1.0));
            for (k, image) in image.iter().enumerate() {
                let numeric = (behind[k] - ahead[k]) / (2.0 * h);
                assert!((numeric - image).abs() < 1e-7 * (1.0 + image.abs()), "{numeric} against {image}");
            }
            let mut back = Fields::dark(modes, 3);
            (0..modes).for_each(|m| {
                back.row_mut(m).iter_mut().enumerate().for_each(|(k, v)| *v = wave(k + 7 * m, 1.9));
            });
            let direct: f64 = flat(&back, modes).iter().zip(&image).map(|(l, j)| l * j).sum();
            // An unlocked entry is masked in the image only, so mask it here too.
            for mode in 0..modes {
                let valid = setting.valid.row(mode).to_vec();
                back.row_mut(mode).iter_mut().zip(valid).for_each(|(b, v)| *b *= v);
            }
            let mut sum = vec![0.0; step.len()];
            fit.add_transpose(&point, index, back, &mut sum);
            let adjoint: f64 = sum.iter().zip(&step).map(|(g, x)| g * x).sum();
            assert!((direct - adjoint).abs() < 1e-9 * direct.abs().max(1.0), "{direct} against {adjoint}");
        }
    }
}
