//! Named chips.

use super::{CrosstalkLaw, Element, IncoherentPhysics, IncoherentSpec};
use crate::{ConverterBits, datasheet::DriveLaw, mock::OrnsteinUhlenbeck};

/// Names of the presets of this family.
///
/// Those without a kind in their name are LCOS. Programming error (rms of read less target, read-out noise removed,
/// of full scale) after the ordinary calibration, mean over chips: `incoherent-16x16` (and `-lcos-`) 1.20 %, as in
/// Taniguchi et al., OECC/PSC 2025; 8x8 1.17 %; 32x32 1.23 %; 64x64 1.25 %; MZI 0.85 %; ring 1.03 %. Those that are
/// `factory-fresh` are beyond the ordinary calibration: they are for a characterisation.
pub const PRESETS: &[&str] = &[
    "incoherent-8x8",
    "incoherent-16x16",
    "incoherent-32x32",
    "incoherent-64x64",
    "incoherent-lcos-16x16",
    "incoherent-mzi-4x4",
    "incoherent-mzi-16x16",
    "incoherent-ring-16x16",
    "factory-fresh-incoherent-16x16",
    "factory-fresh-incoherent-32x32",
    "factory-fresh-incoherent-64x64",
];

/// The preset of that name.
#[must_use]
pub fn preset(name: &str) -> Option<IncoherentSpec> {
    match name {
        "incoherent-8x8" => Some(lcos(8)),
        "incoherent-16x16" | "incoherent-lcos-16x16" => Some(lcos(16)),
        "incoherent-32x32" => Some(lcos(32)),
        "incoherent-64x64" => Some(lcos(64)),
        "incoherent-mzi-4x4" => Some(mzi(4)),
        "incoherent-mzi-16x16" => Some(mzi(16)),
        "incoherent-ring-16x16" => Some(ring(16)),
        "factory-fresh-incoherent-16x16" => Some(factory_fresh(16)),
        "factory-fresh-incoherent-32x32" => Some(factory_fresh(32)),
        "factory-fresh-incoherent-64x64" => Some(factory_fresh(64)),
        _ => None,
    }
}

/// Spatial light modulator of `size × size` weights, after the 16 × 16 demonstrators: frames settle in 10 ms, spots
/// leak into their neighbours, pixels of different gamma.
fn lcos(size: usize) -> IncoherentSpec {
    IncoherentSpec {
        element: Element::Lcos { floor: 0.003 },
        drive: DriveLaw { bias_rad: 0.0, span_rad: 3.6, exponent: 1.3 },
        crosstalk_law: CrosstalkLaw::NearestNeighbour,
        settle_s: 10e-3,
        physics: IncoherentPhysics {
            bias_spread_rad: 0.02,
            span_spread: 0.02,
            exponent_spread: 0.05,
            crosstalk: 0.005,
            optical_leakage: 0.0055,
            repeatability_rad: 0.0185,
            phase_per_kelvin: 0.01,
            ..common()
        },
        ..square(size)
    }
}

/// Balanced MZIs with heaters at a pitch of 120 µm × 30 µm, driven linearly in voltage.
fn mzi(size: usize) -> IncoherentSpec {
    IncoherentSpec {
        element: Element::BalancedMzi { visibility: 0.98 },
        drive: DriveLaw { bias_rad: -0.35, span_rad: 3.9, exponent: 2.0 },
        crosstalk_law: CrosstalkLaw::Distance { pitch_col_um: 120.0, pitch_row_um: 30.0 },
        settle_s: 50e-6,
        physics: IncoherentPhysics {
            bias_spread_rad: 0.08,
            span_spread: 0.02,
            exponent_spread: 0.02,
            crosstalk: 0.6,
            optical_leakage: 0.001,
            repeatability_rad: 0.006,
            phase_per_kelvin: 0.01,
            ..common()
        },
        ..square(size)
    }
}

/// Add-drop rings of 5 µm radius (line width 2.5 nm, 0.036 rad/K) with power-linear heater drivers, held to 20 mK.
fn ring(size: usize) -> IncoherentSpec {
    IncoherentSpec {
        element: Element::AddDropRing { input_coupling: 0.85, drop_coupling: 0.85, round_trip: 0.99 },
        drive: DriveLaw { bias_rad: -1.6, span_rad: 1.9, exponent: 1.0 },
        crosstalk_law: CrosstalkLaw::Distance { pitch_col_um: 40.0, pitch_row_um: 60.0 },
        settle_s: 20e-6,
        physics: IncoherentPhysics {
            bias_spread_rad: 0.05,
            span_spread: 0.02,
            exponent_spread: 0.01,
            crosstalk: 1.0,
            optical_leakage: 0.002,
            repeatability_rad: 0.002,
            phase_per_kelvin: 0.036,
            temperature: OrnsteinUhlenbeck { sd: 0.02, tau_s: 600.0 },
            ..common()
        },
        ..square(size)
    }
}

/// Add-drop rings as the foundry delivers them, for a wavelength-multiplexed bank: self-coupling 0.99, FWHM 0.228 nm,
/// channels 1.6 nm apart, 0.85 ± 0.1 nm short of their channel when cold, heaters that bring 2 nm at 5 V, all in
/// phases by `FWHM = 2 (1 − x)/√x` rad, `x = r1 r2 a`; 0.102 nm/K, held to 2 mK.
///
/// Weights reach from −1 to about +0.67. With the published round-trip transmission of 0.987 for a single bus the
/// drop port of a second bus would leave them below +0.21; 0.996 has the same line width class.
fn factory_fresh(size: usize) -> IncoherentSpec {
    let (input_coupling, drop_coupling, round_trip) = (0.99, 0.99, 0.996);
    let x: f64 = input_coupling * drop_coupling * round_trip;
    let rad_per_nm = 2.0 * (1.0 - x) / x.sqrt() / 0.228;
    IncoherentSpec {
        bits: ConverterBits { actuator: 12, input: 8, output: 8 },
        element: Element::AddDropRing { input_coupling, drop_coupling, round_trip },
        drive: DriveLaw { bias_rad: -0.85 * rad_per_nm, span_rad: 2.0 * rad_per_nm, exponent: 2.0 },
        crosstalk_law: CrosstalkLaw::NearestNeighbour,
        receiver_headroom: 0.4,
        receiver_ranges: size.next_power_of_two().trailing_zeros() as u8 + 2,
        settle_s: 100e-6,
        frame_s: 100e-6,
        physics: IncoherentPhysics {
            input_power_spread: 0.05,
            input_curve_spread: 0.03,
            bias_spread_rad: 0.1 * rad_per_nm,
            span_spread: 0.05,
            heater_quartic: 0.01,
            coupling_spread: 0.05,
            crosstalk: 0.025,
            crosstalk_spread: 0.6,
            crosstalk_second: 0.001,
            channel_spacing_rad: 1.6 * rad_per_nm,
            row_gain_spread: 0.1,
            diode_imbalance: 0.02,
            stuck_fraction: 0.005,
            weak_fraction: 0.005,
            thermal_noise: 0.002,
            shot_noise: 0.0005,
            phase_per_kelvin: 0.102 * rad_per_nm,
            temperature: OrnsteinUhlenbeck { sd: 0.002, tau_s: 2.0 },
            ..common()
        },
        ..square(size)
    }
}

/// What the kinds share: 8-bit converters, and a receiver whose highest gain holds one input at full power.
fn square(size: usize) -> IncoherentSpec {
    IncoherentSpec {
        rows: size,
        cols: size,
        bits: ConverterBits { actuator: 8, input: 8, output: 8 },
        element: Element::BalancedMzi { visibility: 1.0 },
        drive: DriveLaw { bias_rad: 0.0, span_rad: std::f64::consts::PI, exponent: 1.0 },
        crosstalk_law: CrosstalkLaw::NearestNeighbour,
        receiver_headroom: 1.25,
        receiver_ranges: size.next_power_of_two().trailing_zeros() as u8 + 1,
        settle_s: 0.0,
        frame_s: 10e-6,
        physics: IncoherentPhysics::ideal(),
    }
}

/// Sources, detectors and surroundings of a slow laboratory bench (25 dB extinction, temperature held to 50 mK).
fn common() -> IncoherentPhysics {
    IncoherentPhysics {
        input_leak: 0.00316,
        input_leak_spread: 0.1,
        input_power_spread: 0.03,
        input_curve_spread: 0.002,
        row_gain_spread: 0.03,
        diode_imbalance: 0.01,
        dark_offset: 0.015,
        thermal_noise: 0.003,
        shot_noise: 0.001,
        rin: 0.001,
        temperature: OrnsteinUhlenbeck { sd: 0.05, tau_s: 600.0 },
        laser: OrnsteinUhlenbeck { sd: 0.002, tau_s: 3600.0 },
        ..IncoherentPhysics::ideal()
    }
}
