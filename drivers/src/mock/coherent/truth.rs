//! The hidden truth of one simulated chip, drawn from its seed.

use std::f64::consts::PI;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::{
    geometry::{light_path, neighbours, second_neighbours},
    spec::{CoherentDetection, CoherentPhysics, CoherentSpec},
};

/// One coefficient of thermal crosstalk: phase at `victim` per phase of `aggressor`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crosstalk {
    pub(super) victim: usize,
    pub(super) aggressor: usize,
    pub(super) coefficient: f64,
}

/// Everything about the chip that a calibration must not see.
#[derive(Clone, Debug)]
pub(super) struct Truth {
    /// Phase at 0 V of each shifter, radians.
    pub(super) phase_at_zero: Vec<f64>,
    /// `π / Vπ²` of each shifter, radians per square volt.
    pub(super) gamma: Vec<f64>,
    /// Relative V⁴ term at a phase of π of each shifter.
    pub(super) quartic: Vec<f64>,
    /// Shifters whose heater is open, in frame order.
    pub(super) stuck: Vec<usize>,
    /// Shifters whose heater is weak, in frame order; `gamma` and `quartic` have it already.
    #[cfg_attr(not(feature = "answer-key"), expect(dead_code, reason = "an answer only"))]
    pub(super) weak: Vec<usize>,
    /// Phase change per kelvin of each shifter.
    pub(super) phase_per_kelvin: Vec<f64>,
    /// Angles (α, β) by which the two splitters of each interferometer miss π/4.
    pub(super) splitters: Vec<(f64, f64)>,
    /// Field transmission of each interferometer.
    pub(super) transmission: Vec<f64>,
    /// Thermal crosstalk.
    pub(super) crosstalk: Vec<Crosstalk>,
    /// Amplitude of each input modulator.
    pub(super) input_gain: Vec<f64>,
    /// Gain of each output's detectors, then of the reference.
    pub(super) output_gain: Vec<f64>,
    /// Dark offset of each channel, fraction of full scale.
    pub(super) dark: Vec<f64>,
    /// Relative gain of Q, and departure from 90°, of each output's hybrid, then of the reference.
    pub(super) hybrid: Vec<(f64, f64)>,
    /// Phase of the local oscillator at the start.
    pub(super) lo_start: f64,
}

impl Truth {
    /// Draws a chip. Each source has its own random stream: switching one off leaves the others as they are.
    pub(super) fn draw(spec: &CoherentSpec, seed: u64) -> Self {
        let physics = &spec.physics;
        let modes = spec.modes;
        let shifters = 2 * modes * modes + modes;
        let path = light_path(modes);
        let gamma0 = PI / (spec.v_pi.0 * spec.v_pi.0);
        let spread = |source: u64, count: usize, sd: f64| -> Vec<f64> {
            let mut rng = stream(seed, source);
            (0..count).map(|_| sd * normal(&mut rng)).collect()
        };
        let pairs = |source: u64, count: usize, first: f64, second: f64| -> Vec<(f64, f64)> {
            spread(source, 2 * count, 1.0).chunks(2).map(|pair| (first * pair[0], second * pair[1])).collect()
        };
        let channels = match spec.detection {
            CoherentDetection::Homodyne => modes,
            CoherentDetection::Iq => 2 * modes + 2,
        };
        let mut lo = stream(seed, 10);
        let mut uniform = stream(seed, 12);
        let condition = conditions(physics, seed, shifters);
        let weakness = |condition: &Condition| match condition {
            Condition::Weak(share) => *share,
            Condition::Sound | Condition::Stuck => 1.0,
        };
        let those = |wanted: fn(&Condition) -> bool| -> Vec<usize> {
            condition.iter().enumerate().filter(|(_, c)| wanted(c)).map(|(shifter, _)| shifter).collect()
        };
        Self {
            phase_at_zero: spread(0, shifters, physics.static_phase)
                .into_iter()
                .map(|phase| match physics.static_phase_range {
                    0.0 => phase,
                    range => phase + uniform.random_range(0.0..range),
                })
                .collect(),
            gamma: spread(1, shifters, physics.v_pi_spread)
                .into_iter()
                .zip(&condition)
                .map(|(error, condition)| gamma0 * weakness(condition) / ((1.0 + error) * (1.0 + error)))
                .collect(),
            quartic: spread(13, shifters, physics.quartic_spread)
                .into_iter()
                .zip(&condition)
                .map(|(error, condition)| physics.quartic * (1.0 + error) / weakness(condition))
                .collect(),
            stuck: those(|condition| matches!(condition, Condition::Stuck)),
            weak: those(|condition| matches!(condition, Condition::Weak(_))),
            phase_per_kelvin: spread(2, shifters, physics.phase_per_kelvin),
            splitters: pairs(3, path.len(), physics.splitter, physics.splitter),
            transmission: spread(4, path.len(), physics.loss_spread_db)
                .into_iter()
                .map(|error| 10f64.powf(-(physics.loss_db + error).max(0.0) / 20.0))
                .collect(),
            crosstalk: [
                crosstalk(neighbours(modes), physics.crosstalk, stream(seed, 11)),
                crosstalk(second_neighbours(modes), physics.second_crosstalk, stream(seed, 14)),
            ]
            .concat(),
            input_gain: spread(5, modes, physics.input_gain_spread).into_iter().map(|e| 1.0 + e).collect(),
            output_gain: spread(6, modes + 1, physics.gain_spread).into_iter().map(|e| 1.0 + e).collect(),
            dark: spread(7, channels, physics.dark),
            hybrid: pairs(8, modes + 1, physics.iq_gain, physics.iq_phase)
                .into_iter()
                .map(|(gain, phase)| (1.0 + gain, phase))
                .collect(),
            lo_start: match spec.detection {
                CoherentDetection::Iq if physics.lo_phase > 0.0 => lo.random_range(0.0..2.0 * PI),
                _ => 0.0,
            },
        }
    }
}

/// Coefficients of `pairs`, uniform in 0.5 to 1.5 times `mean`.
fn crosstalk(pairs: Vec<(usize, usize)>, mean: f64, mut rng: ChaCha8Rng) -> Vec<Crosstalk> {
    if mean == 0.0 {
        return Vec::new();
    }
    (pairs.into_iter())
        .map(|(victim, aggressor)| Crosstalk {
            victim,
            aggressor,
            coefficient: mean * rng.random_range(0.5..1.5),
        })
        .collect()
}

/// State of a heater.
enum Condition {
    Sound,
    /// Open: no phase.
    Stuck,
    /// So much of the phase of a sound one.
    Weak(f64),
}

fn conditions(physics: &CoherentPhysics, seed: u64, shifters: usize) -> Vec<Condition> {
    let mut rng = stream(seed, 15);
    (0..shifters)
        .map(|_| {
            let (lot, share) = (rng.random::<f64>(), rng.random_range(0.1..0.5));
            if lot < physics.stuck_fraction {
                Condition::Stuck
            } else if lot < physics.stuck_fraction + physics.weak_fraction {
                Condition::Weak(share)
            } else {
                Condition::Sound
            }
        })
        .collect()
}

/// Random stream `source` of chip `seed`.
pub(super) fn stream(seed: u64, source: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(source);
    rng
}

pub(super) fn normal(rng: &mut ChaCha8Rng) -> f64 {
    StandardNormal.sample(rng)
}
