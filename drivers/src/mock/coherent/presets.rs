//! Ready-made coherent processors.

use std::f64::consts::TAU;

use super::{CoherentDetection, CoherentPhysics, CoherentSpec};
use crate::{ConverterBits, Volts, mock::OrnsteinUhlenbeck};

/// Names of the presets of this family.
pub const PRESETS: &[&str] = &[
    "coherent-4x4",
    "coherent-8x8",
    "coherent-16x16",
    "coherent-32x32",
    "coherent-64x64",
    "coherent-homodyne-8x8",
    "factory-fresh-coherent-4x4",
    "factory-fresh-coherent-8x8",
    "factory-fresh-coherent-16x16",
];

/// The preset of that name. All converters have 8 bits, but the phase DAC of a factory-fresh chip has 12.
#[must_use]
pub fn preset(name: &str) -> Option<CoherentSpec> {
    let iq = CoherentDetection::Iq;
    match name {
        "coherent-4x4" => Some(mesh(4, iq)),
        "coherent-8x8" => Some(mesh(8, iq)),
        "coherent-16x16" => Some(mesh(16, iq)),
        "coherent-32x32" => Some(mesh(32, iq)),
        "coherent-64x64" => Some(mesh(64, iq)),
        "coherent-homodyne-8x8" => Some(mesh(8, CoherentDetection::Homodyne)),
        "factory-fresh-coherent-4x4" => Some(factory_fresh(4)),
        "factory-fresh-coherent-8x8" => Some(factory_fresh(8)),
        "factory-fresh-coherent-16x16" => Some(factory_fresh(16)),
        _ => None,
    }
}

/// A thermo-optic mesh in a temperature-controlled package, delivered with a data sheet that is the closer the larger
/// the mesh: a first calibration around the data sheet needs `√N` times the phase error well below 1.
///
/// The 8 × 8 mesh is tuned by splitter angles: with the ordinary calibration the standard deviation of its
/// programming error is 1.3 % of the largest target (Taniguchi et al., OECC/PSC 2025: 1.3 %), a little less
/// than half of its square from the 8-bit phase DAC. It grows with `N`, since the largest singular value of a random matrix grows
/// as `√N` against its largest entry.
fn mesh(modes: usize, detection: CoherentDetection) -> CoherentSpec {
    CoherentSpec {
        modes,
        bits: ConverterBits { actuator: 8, input: 8, output: 8 },
        detection,
        v_pi: Volts(4.36),
        v_max: Volts(6.8),
        full_scale: 1.25,
        settle_us: 1000,
        shot_us: 10,
        physics: CoherentPhysics {
            splitter: if modes <= 16 { 0.008 } else { 0.004 },
            static_phase: if modes <= 8 { 0.3 } else { 2.4 / modes as f64 },
            static_phase_range: 0.0,
            v_pi_spread: 0.01,
            quartic: 0.0,
            quartic_spread: 0.0,
            crosstalk: 0.0005,
            second_crosstalk: 0.0,
            stuck_fraction: 0.0,
            weak_fraction: 0.0,
            loss_db: 0.03,
            loss_spread_db: 0.005,
            repeatability: 0.002,
            input_gain_spread: 0.02,
            gain_spread: 0.03,
            dark: 0.005,
            read_noise: 0.003,
            shot_noise: 0.0005,
            tia_clip: 1.2,
            lo_phase: match detection {
                CoherentDetection::Homodyne => 0.002,
                CoherentDetection::Iq => 0.005,
            },
            iq_gain: 0.003,
            iq_phase: 0.003,
            temperature: OrnsteinUhlenbeck { sd: 0.01, tau_s: 600.0 },
            phase_per_kelvin: 0.02,
        },
    }
}

/// A mesh as it comes from the foundry, in a temperature-controlled package: nothing is known of it but its layout and
/// the nominal Vπ. The heaters depart from the V² law by 1 %, heat reaches the second ring of neighbours, the hybrids are
/// 1 % out of balance, and one heater in a hundred is weak or dead.
fn factory_fresh(modes: usize) -> CoherentSpec {
    CoherentSpec {
        modes,
        bits: ConverterBits { actuator: 12, input: 8, output: 8 },
        detection: CoherentDetection::Iq,
        v_pi: Volts(4.36),
        v_max: Volts(7.2),
        full_scale: 1.0,
        settle_us: 1000,
        shot_us: 10,
        physics: CoherentPhysics {
            splitter: 0.02,
            static_phase: 0.0,
            static_phase_range: TAU,
            v_pi_spread: 0.05,
            quartic: 0.01,
            quartic_spread: 0.2,
            crosstalk: 0.0075,
            second_crosstalk: 0.001,
            stuck_fraction: 0.005,
            weak_fraction: 0.005,
            loss_db: 0.1,
            loss_spread_db: 0.01,
            repeatability: 0.0002,
            input_gain_spread: 0.1,
            gain_spread: 0.1,
            dark: 0.005,
            read_noise: 0.002,
            shot_noise: 0.0005,
            tia_clip: 1.2,
            lo_phase: 0.005,
            iq_gain: 0.01,
            iq_phase: 0.01,
            temperature: OrnsteinUhlenbeck { sd: 0.005, tau_s: 600.0 },
            phase_per_kelvin: 0.02,
        },
    }
}
