//! The common fit: all shifters and gains at once, to fields measured at random settings.
//!
//! Maximum a posteriori by Gauss–Newton with Levenberg–Marquardt damping. The normal equations are solved by
//! conjugate gradients with one tangent and one adjoint propagation a setting, so that no Jacobian is ever built. The
//! priors fix what the data cannot tell: the static gauge freedoms (phases of the attenuators against those of the
//! U mesh, common output phase, input against output gains) stay near their start, and any choice of them predicts
//! the same matrix.

use alora_drivers::Code;
use num_complex::Complex64;
use rayon::prelude::*;

use super::{
    conjugate::conjugate_gradients,
    model::{ChipModel, Parameters},
};
use crate::mesh::circuit::{Fields, Tape};

/// One measured setting.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) codes: Vec<Code>,
    /// Amplitudes sent, `[inputs, vectors]`.
    pub(super) inputs: Fields,
    /// Fields seen, `[outputs, vectors]`.
    pub(super) shown: Fields,
    /// False where a count was at a limit.
    pub(super) valid: Vec<bool>,
}

/// Standard deviations of the priors around the start values.
const PRIOR_PHASE: f64 = 0.3;
const PRIOR_SLOPE: f64 = 0.05;
const PRIOR_GAIN: f64 = 0.2;
const PRIOR_INPUT: f64 = 0.05;
const MAX_ROUNDS: usize = 25;
const LEAST_DAMPING: f64 = 1e-4;
/// A round that lowers the residual by less than this share is the last.
const ENOUGH: f64 = 1e-2;

/// The fit of one processor.
pub(super) struct Fit<'a> {
    pub(super) model: &'a ChipModel,
    pub(super) settings: &'a [Setting],
    /// Homodyne: only real parts are seen.
    pub(super) real_only: bool,
    /// Shifters that do not respond: their slope is not fitted.
    pub(super) silent: &'a [usize],
}

/// Result of the fit.
#[derive(Clone, Debug)]
pub(super) struct Fitted {
    pub(super) parameters: Parameters,
    /// Standard uncertainty of each `φ0`, the others held, radians.
    pub(super) phi0_sd: Vec<f64>,
    /// Standard uncertainty of each `ρ`, the others held.
    pub(super) rho_sd: Vec<f64>,
    pub(super) rounds: usize,
}

/// A setting linearised at the present parameters.
struct Linearised<'a> {
    setting: &'a Setting,
    turns: Vec<Complex64>,
    tape: Tape,
    /// Fields before the output gains.
    outputs: Fields,
}

impl Fit<'_> {
    /// Fits from `from`; the priors lie around `start`.
    pub(super) fn run(&self, from: &Parameters, start: &Parameters) -> Fitted {
        let mut parameters = from.clone();
        let mut residual = self.rms(&parameters);
        let mut damping = 1e-3;
        let mut rounds = 0;
        let mut small = 0;
        while rounds < MAX_ROUNDS && small < 1 {
            rounds += 1;
            let step = self.step(&parameters, start, residual, damping);
            let candidate = self.moved(&parameters, &step);
            let trial = self.rms(&candidate);
            if trial < residual {
                small = if trial > residual * (1.0 - ENOUGH) { small + 1 } else { 0 };
                parameters = candidate;
                residual = trial;
                damping = (damping / 10.0_f64).max(LEAST_DAMPING);
            } else {
                small = if damping > 1e2 { 1 } else { small };
                damping *= 30.0;
            }
        }
        let diagonal = self.diagonal(&self.linearise(&parameters), residual, 0.0);
        let sd: Vec<f64> = diagonal.iter().map(|precision| precision.sqrt().recip()).collect();
        let shifters = parameters.phi0.len();
        Fitted {
            phi0_sd: sd[..shifters].to_vec(),
            rho_sd: sd[shifters..2 * shifters].to_vec(),
            parameters,
            rounds,
        }
    }

    /// The one gain with which the predicted power, all settings together, is the measured one. Needs no phase.
    pub(super) fn common_gain(&self, parameters: &Parameters) -> f64 {
        let (mut shown, mut predicted) = (0.0, 0.0);
        for setting in self.settings {
            let mut fields = driven(setting, parameters);
            self.model.circuit.forward(&self.model.turns(parameters, &setting.codes), &mut fields);
            let mut seen = setting.shown.clone();
            self.mask(setting, &mut fields);
            self.mask(setting, &mut seen);
            shown += seen.entries.iter().map(Complex64::norm_sqr).sum::<f64>();
            predicted += fields.entries.iter().map(Complex64::norm_sqr).sum::<f64>();
        }
        (shown / predicted).sqrt()
    }

    /// Root mean square over valid quadratures of measured − predicted.
    pub(super) fn rms(&self, parameters: &Parameters) -> f64 {
        let sums: Vec<(f64, usize)> = self
            .settings
            .par_iter()
            .map(|setting| {
                let mut fields = driven(setting, parameters);
                self.model.circuit.forward(&self.model.turns(parameters, &setting.codes), &mut fields);
                let residual = self.residual(setting, parameters, &fields);
                (
                    residual.entries.iter().map(Complex64::norm_sqr).sum(),
                    setting.valid.iter().filter(|&&valid| valid).count(),
                )
            })
            .collect();
        let (square, count) =
            sums.into_iter().fold((0.0, 0), |(s, n), (square, count)| (s + square, n + count));
        let quadratures = if self.real_only { count } else { 2 * count };
        (square / quadratures.max(1) as f64).sqrt()
    }

    /// Measured − predicted, 0 where nothing was seen.
    fn residual(&self, setting: &Setting, parameters: &Parameters, outputs: &Fields) -> Fields {
        let mut residual = Fields::zeros(parameters.gain.len(), outputs.width);
        for (mode, gain) in parameters.gain.iter().enumerate() {
            let shown = setting.shown.row(mode).iter().zip(outputs.row(mode));
            for (entry, (shown, field)) in residual.row_mut(mode).iter_mut().zip(shown) {
                *entry = shown - field * *gain;
            }
        }
        self.mask(setting, &mut residual);
        residual
    }

    /// Zeroes what was not seen.
    fn mask(&self, setting: &Setting, fields: &mut Fields) {
        for (entry, &valid) in fields.entries.iter_mut().zip(&setting.valid) {
            if !valid {
                *entry = Complex64::ZERO;
            } else if self.real_only {
                entry.im = 0.0;
            }
        }
    }

    fn linearise(&self, parameters: &Parameters) -> Vec<Linearised<'_>> {
        self.settings
            .par_iter()
            .map(|setting| {
                let turns = self.model.turns(parameters, &setting.codes);
                let mut outputs = driven(setting, parameters);
                let tape = self.model.circuit.record(&turns, &mut outputs);
                Linearised { setting, turns, tape, outputs }
            })
            .collect()
    }

    /// Solves `(JᵀJ/s² + P⁻² + μ D) x = Jᵀr/s² − P⁻² (p − p₀)` by preconditioned conjugate gradients.
    fn step(&self, parameters: &Parameters, start: &Parameters, residual: f64, damping: f64) -> Vec<f64> {
        let lines = self.linearise(parameters);
        let weight = 1.0 / (residual * residual).max(1e-16);
        let prior = self.prior_precision(parameters);
        let away = difference(parameters, start);
        let seen: Vec<Fields> =
            lines.par_iter().map(|line| self.residual(line.setting, parameters, &line.outputs)).collect();
        let mut rhs = self.transpose(&lines, parameters, seen);
        rhs.iter_mut().zip(&prior).zip(&away).for_each(|((r, p), a)| *r = *r * weight - p * a);
        let diagonal = self.diagonal(&lines, residual, 0.0);
        let precondition: Vec<f64> =
            diagonal.iter().zip(&prior).map(|(d, p)| (1.0 + damping) * d + p).collect();
        let apply = |x: &[f64]| -> Vec<f64> {
            let images: Vec<Fields> = lines.par_iter().map(|line| self.image(line, parameters, x)).collect();
            let mut y = self.transpose(&lines, parameters, images);
            for (k, y) in y.iter_mut().enumerate() {
                *y = *y * weight + (prior[k] + damping * diagonal[k]) * x[k];
            }
            y
        };
        conjugate_gradients(apply, &rhs, &precondition)
    }

    /// `J x` of one setting.
    fn image(&self, line: &Linearised<'_>, parameters: &Parameters, x: &[f64]) -> Fields {
        let shifters = parameters.phi0.len();
        let modes = parameters.gain.len();
        let moves: Vec<f64> =
            (0..shifters).map(|k| x[k] + x[shifters + k] * self.model.drive(line.setting.codes[k])).collect();
        let mut change = driven(line.setting, parameters);
        for mode in 0..modes {
            change.scale_row(mode, Complex64::new(x[2 * shifters + modes + mode], 0.0));
        }
        self.model.circuit.tangent(&line.turns, &line.tape, &moves, &mut change);
        for mode in 0..modes {
            let (gain, relative) = (parameters.gain[mode], x[2 * shifters + mode]);
            let outputs = line.outputs.row(mode);
            for (entry, field) in change.row_mut(mode).iter_mut().zip(outputs) {
                *entry = (*entry + field * relative) * gain;
            }
        }
        self.mask(line.setting, &mut change);
        change
    }

    /// `Jᵀ r`, all settings together. The sum runs in the order of the settings, whatever the threads.
    fn transpose(&self, lines: &[Linearised<'_>], parameters: &Parameters, seen: Vec<Fields>) -> Vec<f64> {
        let shifters = parameters.phi0.len();
        let modes = parameters.gain.len();
        let parts: Vec<Vec<f64>> = lines
            .par_iter()
            .zip(seen)
            .map(|(line, mut back)| {
                let mut gradient = vec![0.0; 2 * (shifters + modes)];
                for mode in 0..modes {
                    back.scale_row(mode, Complex64::new(parameters.gain[mode], 0.0));
                    gradient[2 * shifters + mode] = along(back.row(mode), line.outputs.row(mode));
                }
                self.model.circuit.adjoint(&line.turns, &line.tape, &mut back, &mut gradient[..shifters]);
                for k in 0..shifters {
                    gradient[shifters + k] = gradient[k] * self.model.drive(line.setting.codes[k]);
                }
                for mode in 0..modes {
                    let sent = line.setting.inputs.row(mode);
                    gradient[2 * shifters + modes + mode] =
                        parameters.input[mode] * along(back.row(mode), sent);
                }
                gradient
            })
            .collect();
        let mut sum = vec![0.0; 2 * (shifters + modes)];
        for part in parts {
            sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
        }
        for &shifter in self.silent {
            sum[shifters + shifter] = 0.0;
        }
        sum
    }

    /// Diagonal of `JᵀJ/s²`: `Σ ‖u_k‖² ‖x_k‖²` of shifter `k`, with `x_k` the fields at it and `u_k` the way from it
    /// to the outputs, taken at its mean over random unit vectors: a mesh loses little, so `‖u_k‖² ≈` mean `g²`.
    fn diagonal(&self, lines: &[Linearised<'_>], residual: f64, floor: f64) -> Vec<f64> {
        let Some(first) = lines.first() else { return Vec::new() };
        let shifters = first.setting.codes.len();
        let modes = first.setting.inputs.entries.len() / first.setting.inputs.width;
        let weight = 1.0 / (residual * residual).max(1e-16);
        let mut sum = vec![floor; 2 * (shifters + modes)];
        let seen = if self.real_only { 0.5 } else { 1.0 };
        for line in lines {
            let width = line.outputs.width;
            for k in 0..shifters {
                let power: f64 =
                    line.tape[k * width..(k + 1) * width].iter().map(Complex64::norm_sqr).sum::<f64>() * seen;
                // From before the attenuators only about half of the power reaches the outputs.
                let way = if k < shifters / 2 { 0.5 } else { 1.0 };
                let drive = self.model.drive(line.setting.codes[k]);
                sum[k] += weight * power * way;
                sum[shifters + k] += weight * power * way * drive * drive;
            }
            for mode in 0..modes {
                let out: f64 = line.outputs.row(mode).iter().map(Complex64::norm_sqr).sum();
                let sent: f64 = line.setting.inputs.row(mode).iter().map(Complex64::norm_sqr).sum();
                sum[2 * shifters + mode] += weight * out * seen;
                sum[2 * shifters + modes + mode] += weight * 0.5 * sent * seen;
            }
        }
        sum.iter_mut().for_each(|d| *d = d.max(1e-12));
        sum
    }

    fn prior_precision(&self, parameters: &Parameters) -> Vec<f64> {
        let shifters = parameters.phi0.len();
        let modes = parameters.gain.len();
        let mut precision = vec![PRIOR_PHASE.powi(-2); shifters];
        precision.extend(std::iter::repeat_n(PRIOR_SLOPE.powi(-2), shifters));
        precision.extend(std::iter::repeat_n(PRIOR_GAIN.powi(-2), modes));
        precision.extend(std::iter::repeat_n(PRIOR_INPUT.powi(-2), modes));
        precision
    }

    fn moved(&self, parameters: &Parameters, step: &[f64]) -> Parameters {
        let shifters = parameters.phi0.len();
        let modes = parameters.gain.len();
        let mut moved = parameters.clone();
        for k in 0..shifters {
            moved.phi0[k] += step[k];
            if !self.silent.contains(&k) {
                moved.rho[k] += step[shifters + k];
            }
        }
        for mode in 0..modes {
            moved.gain[mode] *= step[2 * shifters + mode].exp();
            moved.input[mode] *= step[2 * shifters + modes + mode].exp();
        }
        moved
    }
}

/// Fields after the input modulators.
fn driven(setting: &Setting, parameters: &Parameters) -> Fields {
    let mut fields = setting.inputs.clone();
    for (mode, &input) in parameters.input.iter().enumerate() {
        fields.scale_row(mode, Complex64::new(input, 0.0));
    }
    fields
}

/// Steps from `start` to `parameters`, in the units of the fit.
fn difference(parameters: &Parameters, start: &Parameters) -> Vec<f64> {
    let minus = |a: &[f64], b: &[f64]| -> Vec<f64> { a.iter().zip(b).map(|(a, b)| a - b).collect() };
    let ratio = |a: &[f64], b: &[f64]| -> Vec<f64> { a.iter().zip(b).map(|(a, b)| (a / b).ln()).collect() };
    [
        minus(&parameters.phi0, &start.phi0),
        minus(&parameters.rho, &start.rho),
        ratio(&parameters.gain, &start.gain),
        ratio(&parameters.input, &start.input),
    ]
    .concat()
}

/// `Re Σ x̄ y`.
fn along(x: &[Complex64], y: &[Complex64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x.re * y.re + x.im * y.im).sum()
}
