//! The hidden truth of one chip.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::IncoherentSpec;

/// What fabrication gave one chip: drawn once from its seed, never seen by calibration.
#[derive(Clone, Debug, PartialEq)]
pub struct Truth {
    /// Power of each input at its highest code.
    pub input_power: Vec<f64>,
    /// Leak of each input at code 0, over its full power.
    pub input_leak: Vec<f64>,
    /// Curve error of each input, `c` of `f(x) = x + 4c·x(1 − x)`.
    pub input_curve: Vec<f64>,
    /// Phase of each element at zero drive, in radians.
    pub bias_rad: Vec<f64>,
    /// Phase span of each element, in radians.
    pub span_rad: Vec<f64>,
    /// Drive exponent of each element.
    pub exponent: Vec<f64>,
    /// Responsivity of the positive diode of each row.
    pub gain_plus: Vec<f64>,
    /// Responsivity of the negative diode of each row.
    pub gain_minus: Vec<f64>,
    /// Dark offset of each row.
    pub dark: Vec<f64>,
}

impl Truth {
    pub(crate) fn draw(spec: &IncoherentSpec, seed: u64) -> Self {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let p = &spec.physics;
        let elements = spec.layout().actuators();
        let gain = spread(rng, spec.rows, 1.0, p.row_gain_spread);
        let imbalance = spread(rng, spec.rows, 0.0, p.diode_imbalance);
        let diode = |sign: f64| {
            let pairs = gain.iter().zip(&imbalance);
            pairs.map(|(gain, imbalance)| gain * (1.0 + sign * imbalance / 2.0)).collect()
        };
        Self {
            gain_plus: diode(1.0),
            gain_minus: diode(-1.0),
            dark: spread(rng, spec.rows, 0.0, p.dark_offset),
            input_power: spread(rng, spec.cols, 1.0, p.input_power_spread),
            input_leak: spread(rng, spec.cols, p.input_leak, p.input_leak * p.input_leak_spread)
                .into_iter()
                .map(|leak| leak.max(0.0))
                .collect(),
            input_curve: spread(rng, spec.cols, 0.0, p.input_curve_spread),
            bias_rad: spread(rng, elements, spec.drive.bias_rad, p.bias_spread_rad),
            span_rad: spread(rng, elements, spec.drive.span_rad, spec.drive.span_rad * p.span_spread),
            exponent: spread(rng, elements, spec.drive.exponent, p.exponent_spread),
        }
    }

    /// Power of input `col` at the drive `x` (0 to 1), over unit power: `P (e + (1 − e) f(x))`.
    pub(crate) fn input(&self, col: usize, x: f64) -> f64 {
        let curve = x + 4.0 * self.input_curve[col] * x * (1.0 - x);
        self.input_power[col] * (self.input_leak[col] + (1.0 - self.input_leak[col]) * curve)
    }

    /// Phase that the drive `u` (0 to 1) brings to an element, in radians.
    pub(crate) fn drive_phase(&self, element: usize, u: f64) -> f64 {
        self.span_rad[element] * u.powf(self.exponent[element])
    }
}

fn spread(rng: &mut impl Rng, count: usize, mean: f64, sd: f64) -> Vec<f64> {
    (0..count)
        .map(|_| {
            let deviate: f64 = StandardNormal.sample(rng);
            mean + sd * deviate
        })
        .collect()
}
