//! Drives and codes that bring the twin nearest to a matrix.

use alora_drivers::Code;
use ndarray::{Array1, Array2, ArrayView2, Axis};
use ndarray_linalg::{FactorizeC, SolveC, UPLO};

use super::Programmer;
use crate::coherent::twin::{Chip, Ways};

/// Rounds from a start by decomposition, and from codes that are nearly right.
const ROUNDS: usize = 15;
const TOUCHES: usize = 4;
/// A round that lowers the objective by less than this share is the last.
const ENOUGH: f64 = 1e-3;
/// Times the twin is linearised for rounding.
const LINEARISATIONS: usize = 3;

/// The objective `Σ (Re M − W)² + w² Σ (Im M)²`.
pub(super) struct Solver<'a> {
    pub(super) programmer: &'a Programmer,
    pub(super) target: ArrayView2<'a, f64>,
}

/// The objective at one point: residuals, and their derivatives by every drive.
struct Linear {
    residual: Array1<f64>,
    jacobian: Array2<f64>,
}

impl Solver<'_> {
    fn residual_of(&self, drives: &[f64]) -> Array1<f64> {
        let matrix = self.programmer.matrix(drives);
        let weight = self.programmer.imaginary;
        let real = matrix.iter().zip(self.target).map(|(m, w)| m.re - w);
        real.chain(matrix.iter().map(|m| weight * m.im)).collect()
    }

    fn cost(&self, drives: &[f64]) -> f64 {
        self.residual_of(drives).iter().map(|r| r * r).sum()
    }

    fn linear(&self, drives: &[f64]) -> Linear {
        let programmer = self.programmer;
        let (layout, twin) = (&programmer.layout, &programmer.twin);
        let modes = programmer.modes();
        let at = twin.phases(layout, drives);
        let Ways { matrix, inward, outward } = Chip::new(layout, &programmer.parts, &at.phases).ways();
        let weight = programmer.imaginary;
        let size = modes * modes;
        // One row a shifter: what its phase does.
        let mut by_phase = Array2::zeros((layout.shifters(), 2 * size));
        for (k, mut row) in by_phase.rows_mut().into_iter().enumerate() {
            for i in 0..modes {
                let l = outward[k][i];
                for j in 0..modes {
                    let moved = l * inward[k][j] * programmer.input[j];
                    row[i * modes + j] = -moved.im;
                    row[size + i * modes + j] = weight * moved.re;
                }
            }
        }
        let crosstalk = twin.of(|b| &b.crosstalk);
        let mut by_drive = by_phase.clone();
        for (index, pair) in layout.pairs.iter().enumerate() {
            by_drive.row_mut(pair.aggressor).scaled_add(crosstalk[index], &by_phase.row(pair.victim));
        }
        let slope = twin.of(|b| &b.slope);
        let quartic = twin.of(|b| &b.quartic);
        for (k, mut row) in by_drive.rows_mut().into_iter().enumerate() {
            let steep = 1.0 + slope[k];
            let bend = 1.0 + 2.0 * quartic[k] * steep * drives[k] / std::f64::consts::PI;
            row *= if programmer.held[k] { 0.0 } else { steep * bend };
        }
        let mut residual = Array1::zeros(2 * size);
        for i in 0..modes {
            for j in 0..modes {
                let entry = matrix.at(i, j) * programmer.input[j];
                residual[i * modes + j] = entry.re - self.target[(i, j)];
                residual[size + i * modes + j] = weight * entry.im;
            }
        }
        Linear { residual, jacobian: by_drive }
    }

    /// Levenberg–Marquardt from a start by decomposition.
    pub(super) fn relax(&self, start: Vec<f64>) -> Vec<f64> {
        self.descend(start, ROUNDS, 1e-3)
    }

    /// The same from drives that are nearly right: the change stays as small as it can be.
    pub(super) fn touch_up(&self, start: Vec<f64>) -> Vec<f64> {
        self.descend(start, TOUCHES, 1e-4)
    }

    fn descend(&self, mut drives: Vec<f64>, rounds: usize, mut damping: f64) -> Vec<f64> {
        let mut cost = self.cost(&drives);
        for _ in 0..rounds {
            let Linear { residual, jacobian } = self.linear(&drives);
            let gradient = jacobian.dot(&residual);
            let normal = jacobian.dot(&jacobian.t());
            let mean = normal.diag().sum() / normal.nrows() as f64;
            let mut better = false;
            for _ in 0..6 {
                let Some(step) = damped(&normal, &gradient, damping * mean) else {
                    damping *= 10.0;
                    continue;
                };
                let candidate: Vec<f64> = drives
                    .iter()
                    .zip(&step)
                    .enumerate()
                    .map(|(k, (drive, step))| (drive - step).clamp(0.0, self.programmer.most(k)))
                    .collect();
                let trial = self.cost(&candidate);
                if trial < cost {
                    better = trial < cost * (1.0 - ENOUGH);
                    (drives, cost) = (candidate, trial);
                    damping = (damping / 5.0).max(1e-9);
                    break;
                }
                damping *= 5.0;
            }
            if !better {
                break;
            }
        }
        drives
    }

    /// Whole codes: the nearest, then single steps of one code each while the linearised objective falls.
    pub(super) fn codes(&self, drives: &[f64]) -> Vec<Code> {
        let programmer = self.programmer;
        let mut codes: Vec<Code> =
            drives.iter().enumerate().map(|(k, &drive)| programmer.code(k, drive)).collect();
        let mut best = (self.cost(&programmer.drives(&codes)), codes.clone());
        for _ in 0..LINEARISATIONS {
            let linear = self.linear(&programmer.drives(&codes));
            self.step_codes(&linear, &mut codes);
            let cost = self.cost(&programmer.drives(&codes));
            if cost >= best.0 * (1.0 - ENOUGH) {
                if cost < best.0 {
                    best = (cost, codes);
                }
                break;
            }
            best = (cost, codes.clone());
        }
        best.1
    }

    fn step_codes(&self, linear: &Linear, codes: &mut [Code]) {
        let programmer = self.programmer;
        let gram = linear.jacobian.dot(&linear.jacobian.t());
        let mut gradient = linear.jacobian.dot(&linear.residual);
        for _ in 0..8 * codes.len() {
            let mut best = (0.0, 0, 0);
            for k in 0..codes.len() {
                if programmer.held[k] {
                    continue;
                }
                for step in [-1i32, 1] {
                    let Some(code) = stepped(codes[k], step, programmer.limits[k]) else { continue };
                    let change = programmer.drive(code) - programmer.drive(codes[k]);
                    let gain = change * (2.0 * gradient[k] + change * gram[(k, k)]);
                    if gain < best.0 {
                        best = (gain, k, step);
                    }
                }
            }
            let (gain, k, step) = best;
            if gain >= 0.0 {
                break;
            }
            let Some(code) = stepped(codes[k], step, programmer.limits[k]) else { break };
            let change = programmer.drive(code) - programmer.drive(codes[k]);
            gradient.scaled_add(change, &gram.index_axis(Axis(0), k));
            codes[k] = code;
        }
    }
}

fn stepped(code: Code, step: i32, limit: Code) -> Option<Code> {
    let next = i32::from(code) + step;
    (0..=i32::from(limit)).contains(&next).then_some(next as Code)
}

/// `(A + λ)⁻¹ b`.
fn damped(normal: &Array2<f64>, gradient: &Array1<f64>, damping: f64) -> Option<Array1<f64>> {
    let mut damped = normal.clone();
    damped.diag_mut().mapv_inplace(|entry| entry + damping.max(f64::MIN_POSITIVE));
    let factor = damped.factorizec(UPLO::Lower).ok()?;
    factor.solvec(gradient).ok().filter(|step| step.iter().all(|value| value.is_finite()))
}
