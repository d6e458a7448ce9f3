//! From a matrix to codes on a known chip.
//!
//! Singular values and Clements meshes, each interferometer set so that it splits as the ideal one would in spite of its
//! splitters, the phases that this costs carried on to the next (Bandyopadhyay, Hamerly & Englund, Optica 8, 1247 (2021));
//! the heat of the neighbours taken out in the power domain; then Levenberg–Marquardt on the twin, which also knows the
//! unequal losses; then whole codes, by single steps on the linearised twin.

mod local;
mod solve;

use std::f64::consts::{PI, TAU};

use alora_drivers::Code;
use ndarray::{Array2, ArrayView2};
use num_complex::Complex64;
use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use self::{local::Screen, solve::Solver};
use super::twin::{Chip, Fields, Layout, Part, Twin};
use crate::{
    encoding::EncodeError,
    mesh::{MeshSettings, SingularValues, Splitters},
};

/// Share of the largest singular value of an open chip that a matrix may use.
const CEILING: f64 = 0.9;
/// Share of the ADC's range that inputs of one sign may reach.
const HEADROOM: f64 = 0.98;
/// Turns of the balance of heat.
const HEAT_TURNS: usize = 30;

/// A miss that ends the search for a better start, with 12 bits.
const GOOD: f64 = 1e-3;
/// Starts that are tried, and how many before the matrix is made weaker by a factor.
const ATTEMPTS: usize = 12;
const ATTEMPTS_A_SCALE: usize = 6;
const WEAKER: f64 = 0.7;
/// Seed of the starts.
const RESTARTS: u64 = 0x5157;

/// A known chip, ready to be programmed.
#[derive(Clone, Debug)]
pub(super) struct Programmer {
    pub(super) layout: Layout,
    pub(super) twin: Twin,
    parts: Vec<Part>,
    /// Data-sheet phase at code 1.
    unit_phase: f64,
    limits: Vec<Code>,
    /// Relative amplitude of each input.
    input: Vec<f64>,
    /// Weight of the imaginary part: without one the phase of the outputs would be undefined.
    imaginary: f64,
    /// Shifters that cannot be moved.
    held: Vec<bool>,
}

/// Codes, and what the twin expects of them.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) codes: Vec<Code>,
    /// Real part of the matrix in units of a fully driven input, `outputs × inputs`.
    pub(super) expected: Array2<f64>,
    /// The same before codes were whole: what the chip could hold.
    pub(super) reach: Array2<f64>,
    /// Chip units of one weight unit.
    pub(super) scale: f64,
}

impl Programmer {
    pub(super) fn new(layout: Layout, twin: Twin, unit_phase: f64, limits: Vec<Code>) -> Self {
        let input = twin.of(|b| &b.input).iter().map(|gain| gain.exp()).collect();
        let top = limits.iter().copied().max().unwrap_or(0);
        // The coarser the codes, the more phase error there is to be kept out of the real part.
        let imaginary = if top >= 2047 {
            0.03
        } else if top >= 511 {
            0.06
        } else {
            0.1
        };
        let held = twin.of(|b| &b.slope).iter().map(|&slope| slope <= -1.0).collect();
        Self { parts: twin.parts(), layout, twin, unit_phase, limits, input, imaginary, held }
    }

    /// Some shifter cannot be moved.
    pub(super) fn has_dead(&self) -> bool {
        self.held.contains(&true)
    }

    fn modes(&self) -> usize {
        self.layout.modes()
    }

    fn drive(&self, code: Code) -> f64 {
        self.unit_phase * f64::from(code) * f64::from(code)
    }

    fn drives(&self, codes: &[Code]) -> Vec<f64> {
        codes.iter().map(|&code| self.drive(code)).collect()
    }

    fn code(&self, shifter: usize, drive: f64) -> Code {
        ((drive.max(0.0) / self.unit_phase).sqrt().round() as Code).min(self.limits[shifter])
    }

    fn most(&self, shifter: usize) -> f64 {
        self.drive(self.limits[shifter])
    }

    /// The matrix with these drives, input gains included, `outputs × inputs`.
    pub(super) fn matrix(&self, drives: &[f64]) -> Array2<Complex64> {
        let phases = self.twin.phases(&self.layout, drives).phases;
        let mut fields = Fields::identity(self.modes());
        Chip::new(&self.layout, &self.parts, &phases).forward(&mut fields);
        Array2::from_shape_fn((self.modes(), self.modes()), |(i, j)| fields.at(i, j) * self.input[j])
    }

    pub(super) fn expected(&self, codes: &[Code]) -> Array2<f64> {
        self.matrix(&self.drives(codes)).mapv(|entry| entry.re)
    }

    /// Codes for `weights`, `outputs × inputs`.
    pub(super) fn program(&self, weights: ArrayView2<'_, f64>) -> Result<Program, EncodeError> {
        let mut wanted = weights.to_owned();
        for (mut column, gain) in wanted.columns_mut().into_iter().zip(&self.input) {
            column.mapv_inplace(|weight| weight / gain);
        }
        let values = SingularValues::of(wanted.view()).ok_or(EncodeError::Svd)?;
        let through = self.through();
        let largest = if values.largest() > 0.0 { values.largest() } else { 1.0 };
        let full = (CEILING * through / largest).min(self.headroom(weights));
        let peak = weights.iter().fold(0.0, |peak: f64, weight| peak.max(weight.abs()));
        let rng = &mut ChaCha8Rng::seed_from_u64(RESTARTS);
        let mut best: Option<(f64, Program)> = None;
        for attempt in 0..ATTEMPTS {
            // A chip with dead elements may hold a matrix only weaker, or with its singular values elsewhere.
            let scale = full * WEAKER.powi((attempt / ATTEMPTS_A_SCALE) as i32);
            let arranged = if attempt == 0 { values.clone() } else { shuffled(&values, rng) };
            let mut parts = arranged.factorised();
            parts.transmissions.iter_mut().for_each(|t| *t *= scale * largest / through);
            let start = self.drives_for(&self.phases(&parts.vh, &parts.transmissions, &parts.u));
            let target = weights.mapv(|weight| weight * scale);
            let solver = Solver { programmer: self, target: target.view() };
            let drives = solver.relax(start);
            let reach = self.matrix(&drives).mapv(|entry| entry.re);
            let codes = solver.codes(&drives);
            let program = Program { expected: self.expected(&codes), reach, codes, scale };
            let missed = rms(&program.expected, &target) / (scale * peak.max(f64::MIN_POSITIVE));
            if best.as_ref().is_none_or(|(least, _)| missed < *least) {
                best = Some((missed, program));
            }
            if missed < self.good() {
                break;
            }
        }
        best.map(|(_, program)| program).ok_or(EncodeError::Svd)
    }

    /// Share of the largest weight that a good program may miss: what whole codes leave, with room. A turn of phase takes
    /// `c` codes of which the upper ones count most; 12 bits leave 0.03 %, each bit less twice as much.
    fn good(&self) -> f64 {
        let top = self.limits.iter().copied().max().unwrap_or(1);
        (GOOD * 4095.0 / f64::from(top.max(1))).min(0.05)
    }

    /// Codes near `codes` whose matrix is that of `codes` moved by `change`, in chip units.
    pub(super) fn moved(&self, codes: &[Code], change: ArrayView2<'_, f64>) -> Vec<Code> {
        let target = self.expected(codes) + change;
        let solver = Solver { programmer: self, target: target.view() };
        solver.codes(&solver.touch_up(self.drives(codes)))
    }

    /// Field that passes an open chip, root mean square.
    fn through(&self) -> f64 {
        let modes = self.modes();
        let mut phases = vec![0.0; self.layout.shifters()];
        for (k, phase) in phases.iter_mut().enumerate() {
            *phase = 2.4 * k as f64;
        }
        for mode in 0..modes {
            phases[self.layout.topology.attenuator_theta(mode)] = PI;
        }
        let mut fields = Fields::identity(modes);
        Chip::new(&self.layout, &self.parts, &phases).forward(&mut fields);
        let power: f64 = (0..modes).flat_map(|mode| fields.row(mode)).map(|x| x * x).sum();
        (power / modes as f64).sqrt()
    }

    /// Largest scale that keeps every output within the ADC for all inputs of one sign.
    fn headroom(&self, weights: ArrayView2<'_, f64>) -> f64 {
        let rows = weights.rows().into_iter().zip(self.twin.of(|b| &b.output));
        let largest = rows
            .map(|(row, gain)| {
                let up: f64 = row.iter().filter(|w| **w > 0.0).sum();
                let down: f64 = row.iter().filter(|w| **w < 0.0).sum();
                gain.exp() * up.max(-down)
            })
            .fold(0.0, f64::max);
        if largest > 0.0 { HEADROOM / largest } else { f64::INFINITY }
    }

    /// Phases of all shifters for two meshes with attenuators between them.
    fn phases(&self, vh: &MeshSettings, transmissions: &[f64], u: &MeshSettings) -> Vec<f64> {
        let topology = &self.layout.topology;
        let modes = self.modes();
        let splitters = |index: usize| Splitters {
            alpha: self.twin.of(|b| &b.alpha)[index],
            beta: self.twin.of(|b| &b.beta)[index],
        };
        let mut phases = vec![0.0; topology.shifters()];
        let mut screen = Screen::new(modes);
        for (position, (site, &ideal)) in topology.sites().iter().zip(&vh.mzis).enumerate() {
            let mzi = screen.mzi(site.upper, ideal, splitters(position));
            let theta = topology.v_theta(position);
            (phases[theta], phases[theta + 1]) = (mzi.theta, mzi.phi);
        }
        for (mode, &transmission) in transmissions.iter().enumerate() {
            screen.turn(mode, -vh.outputs[mode]);
            let theta = topology.attenuator_theta(mode);
            let mzi = screen.attenuator(mode, transmission, splitters(theta / 2));
            (phases[theta], phases[theta + 1]) = (mzi.theta, mzi.phi);
        }
        for (position, (site, &ideal)) in topology.sites().iter().zip(&u.mzis).enumerate() {
            let theta = topology.u_theta(position);
            let mzi = screen.mzi(site.upper, ideal, splitters(theta / 2));
            (phases[theta], phases[theta + 1]) = (mzi.theta, mzi.phi);
        }
        for mode in 0..modes {
            phases[topology.output_phase(mode)] = u.outputs[mode] - screen.of(mode);
        }
        phases
    }

    /// Drives for wanted phases: each shifter's own phase is what is left after its neighbours' heat, modulo a turn, at the
    /// lowest power; powers are never negative.
    fn drives_for(&self, phases: &[f64]) -> Vec<f64> {
        let crosstalk = self.twin.of(|b| &b.crosstalk);
        let zero = self.twin.of(|b| &b.phase);
        let mut heat = vec![0.0; phases.len()];
        for turn in 0..HEAT_TURNS {
            for k in 0..phases.len() {
                let around: f64 = (self.layout.around(k))
                    .map(|(index, pair)| crosstalk[index] * heat[pair.aggressor])
                    .sum();
                let wanted = phases[k] - zero[k] - around;
                heat[k] = if turn < 2 {
                    wanted.rem_euclid(TAU)
                } else {
                    // The wrap is settled: a shifter near 0 must not jump from one end to the other for ever.
                    (heat[k] + (wanted - heat[k] + PI).rem_euclid(TAU) - PI).max(0.0)
                };
            }
        }
        (0..phases.len()).map(|k| self.drive_of(k, heat[k])).collect()
    }

    /// The drive that gives shifter `k` the phase `heat`, within its range.
    fn drive_of(&self, k: usize, heat: f64) -> f64 {
        let (slope, quartic) = (self.twin.of(|b| &b.slope)[k], self.twin.of(|b| &b.quartic)[k]);
        if slope <= -0.99 {
            return 0.0;
        }
        let mut own = heat;
        for _ in 0..6 {
            own = heat / (1.0 + quartic * own / PI);
        }
        (own / (1.0 + slope)).clamp(0.0, self.most(k))
    }
}

/// Singular values at other attenuators, vectors with other signs: another point of the same matrix to start from.
fn shuffled(values: &SingularValues, rng: &mut ChaCha8Rng) -> SingularValues {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.shuffle(rng);
    let signs: Vec<f64> = order.iter().map(|_| if rng.random::<bool>() { 1.0 } else { -1.0 }).collect();
    values.arranged(&order, &signs)
}

fn rms(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
    let square: f64 = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum();
    (square / a.len().max(1) as f64).sqrt()
}
