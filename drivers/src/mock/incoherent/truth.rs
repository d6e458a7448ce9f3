//! The hidden truth of one chip.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::{Element, IncoherentSpec, element::Transfer};

/// Stream of the rings' couplings. Streams 0 to 2 of a chip's seed are its fabrication, its writes and its drift.
const COUPLINGS: u64 = 3;
/// Stream of the crosstalk of pairs.
pub(crate) const PAIRS: u64 = 4;
/// Stream of the defects.
const DEFECTS: u64 = 5;

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
    /// Transfer of each element.
    pub elements: Vec<Element>,
    /// Elements that do not work as the others, by index.
    pub defects: Vec<TrueDefect>,
    /// Share of the span that the `V⁴` term adds at full drive.
    pub heater_quartic: f64,
}

/// An element that does not work as the others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrueDefect {
    /// Index in the frame.
    pub actuator: usize,
    /// What is wrong.
    pub kind: TrueDefectKind,
}

/// What is wrong with an element.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TrueDefectKind {
    /// Its heater stays at this drive, 0 to 1.
    Stuck(f64),
    /// Its heater has this share of its efficiency.
    WeakHeater(f64),
    /// Its line has this share of its contrast.
    WeakLine(f64),
}

/// The generator of one of the streams of a chip's seed.
pub(crate) fn stream(seed: u64, number: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(number);
    rng
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
        let mut truth = Self {
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
            elements: transfers(spec, elements, &mut stream(seed, COUPLINGS)),
            defects: defects(spec, elements, &mut stream(seed, DEFECTS)),
            heater_quartic: p.heater_quartic,
        };
        for defect in &truth.defects {
            if let TrueDefectKind::WeakHeater(share) = defect.kind {
                truth.span_rad[defect.actuator] *= share;
            }
        }
        truth
    }

    /// Power of input `col` at the drive `x` (0 to 1), over unit power: `P (e + (1 − e) f(x))`.
    pub(crate) fn input(&self, col: usize, x: f64) -> f64 {
        let curve = x + 4.0 * self.input_curve[col] * x * (1.0 - x);
        self.input_power[col] * (self.input_leak[col] + (1.0 - self.input_leak[col]) * curve)
    }

    /// Phase that the drive `u` (0 to 1) brings to an element, in radians.
    pub(crate) fn drive_phase(&self, element: usize, u: f64) -> f64 {
        let power = u.powf(self.exponent[element]);
        self.span_rad[element] * power * (1.0 + self.heater_quartic * power)
    }

    /// Transmissions of an element at the phase `phase` (radians).
    pub(crate) fn transfer(&self, element: usize, phase: f64) -> Transfer {
        self.elements[element].transfer(phase)
    }
}

/// Transfer of each element: the spec's, with a spread of its own where rings differ.
fn transfers(spec: &IncoherentSpec, elements: usize, rng: &mut ChaCha8Rng) -> Vec<Element> {
    let sd = spec.physics.coupling_spread;
    let mut near = |nominal: f64| {
        let deviate: f64 = StandardNormal.sample(rng);
        (1.0 - (1.0 - nominal) * (1.0 + sd * deviate)).clamp(1e-3, 1.0)
    };
    match spec.element {
        Element::AddDropRing { input_coupling, drop_coupling, round_trip } if sd > 0.0 => (0..elements)
            .map(|_| Element::AddDropRing {
                input_coupling: near(input_coupling),
                drop_coupling: near(drop_coupling),
                round_trip: near(round_trip),
            })
            .collect(),
        element => vec![element; elements],
    }
}

/// Defects of a chip: every element draws the same numbers, so that a fraction changes no other element's fate.
fn defects(spec: &IncoherentSpec, elements: usize, rng: &mut ChaCha8Rng) -> Vec<TrueDefect> {
    let (stuck, weak) = (spec.physics.stuck_fraction, spec.physics.weak_fraction);
    let mut defects = Vec::new();
    for actuator in 0..elements {
        let [fate, size]: [f64; 2] = rng.random();
        let kind = if fate < stuck {
            TrueDefectKind::Stuck(size.sqrt())
        } else if fate < stuck + weak / 2.0 {
            TrueDefectKind::WeakHeater(0.1 + 0.2 * size)
        } else if fate < stuck + weak {
            TrueDefectKind::WeakLine(0.2 + 0.3 * size)
        } else {
            continue;
        };
        defects.push(TrueDefect { actuator, kind });
    }
    defects
}

fn spread(rng: &mut impl Rng, count: usize, mean: f64, sd: f64) -> Vec<f64> {
    (0..count)
        .map(|_| {
            let deviate: f64 = StandardNormal.sample(rng);
            mean + sd * deviate
        })
        .collect()
}
