//! The coherent mock through its codes and counts: phase law, phase quantisation, loss.

use std::f64::consts::{PI, TAU};

use alora_drivers::{
    ActuatorFrame, Code, ConverterBits, InputBatch, PhotonicBackend, Volts,
    mock::{
        CoherentMock, CoherentSpec, Script,
        coherent::{CoherentDetection, CoherentPhysics},
    },
};
use ndarray::Array2;
use num_complex::Complex64;
use tokio::runtime::Handle;

use super::{
    Case,
    random::{STANDARD_ERRORS, largest, rms},
};
use crate::error::Error;

const V_PI: f64 = 4.36;
const V_MAX: f64 = 10.8;
/// Actuators of two modes, in frame order: θ and φ of the V interferometer, of both attenuators, of the U
/// interferometer, then the output phases.
const ACTUATORS: usize = 10;
/// θ of the attenuator through which the light of input 0 passes.
const ATTENUATOR: usize = 4;
const OUTPUT_PHASE: usize = 8;

pub(super) fn cases(runtime: &Handle) -> Result<Vec<Case>, Error> {
    let mut cases = Vec::new();
    for (bits, expected) in [(8, 17.6), (10, 4.4), (12, 1.1)] {
        let phases = runtime.block_on(phases(bits))?;
        if bits == 8 {
            cases.push(phase_law(&phases));
        }
        cases.push(quantisation(bits, &phases, expected));
    }
    cases.push(runtime.block_on(loss())?);
    cases.push(runtime.block_on(oscillator())?);
    Ok(cases)
}

/// Two modes, no error source, receiver of 16 bits.
fn bench(bits: u8, physics: CoherentPhysics) -> CoherentSpec {
    CoherentSpec {
        modes: 2,
        bits: ConverterBits { actuator: bits, input: 8, output: 16 },
        detection: CoherentDetection::Iq,
        v_pi: Volts(V_PI),
        v_max: Volts(V_MAX),
        full_scale: 1.25,
        settle_us: 1,
        shot_us: 1,
        physics,
    }
}

/// Field at output 0 in counts: input 0 full on, both interferometers crossed, attenuator open.
async fn field(chip: &mut CoherentMock, output_phase: Code) -> Result<Complex64, Error> {
    let top = f64::from(chip.descriptor().limits[0]);
    let mut frame = ActuatorFrame::zeros(ACTUATORS);
    frame.0[ATTENUATOR] = (V_PI / V_MAX * top).round() as Code;
    frame.0[OUTPUT_PHASE] = output_phase;
    let _ = chip.apply(&frame).await?;
    let mut input = Array2::zeros((1, 2));
    input[(0, 0)] = chip.descriptor().input_range().1;
    let counts = chip.execute(&InputBatch(input), 1).await?.counts;
    Ok(Complex64::new(f64::from(counts[(0, 0, 0)]), f64::from(counts[(0, 0, 2)])))
}

/// Phase of every code against code 0, as the hybrid shows it, in `(−π, π]`.
async fn phases(bits: u8) -> Result<Vec<f64>, Error> {
    let mut chip = CoherentMock::new(bench(bits, CoherentPhysics::IDEAL), 1, Script::default());
    let start = field(&mut chip, 0).await?;
    let mut phases = Vec::new();
    for code in 0..=chip.descriptor().limits[OUTPUT_PHASE] {
        phases.push((field(&mut chip, code).await? / start).arg());
    }
    Ok(phases)
}

fn phase_law(phases: &[f64]) -> Case {
    let top = phases.len() as f64 - 1.0;
    let departure = phases.iter().enumerate().map(|(code, phase)| {
        let volts = V_MAX * code as f64 / top;
        wrapped(phase - PI * (volts / V_PI).powi(2))
    });
    Case::at_most(
        "Largest departure of the phase of a code from φ = π(V/Vπ)²",
        "heater law; two roundings of 16-bit counts, 0.04 mrad each",
        1e3 * largest(departure),
        0.1,
    )
    .in_unit("mrad")
}

/// What is lost when phases uniform in `[0, 2π)` are asked of a DAC linear in voltage.
fn quantisation(bits: u8, phases: &[f64], expected: f64) -> Case {
    const ASKED: usize = 20_000;
    let step = V_MAX / (phases.len() as f64 - 1.0);
    let errors: Vec<f64> = (0..ASKED)
        .map(|k| TAU * (k as f64 + 0.5) / ASKED as f64)
        .map(|asked| {
            let code = (V_PI * (asked / PI).sqrt() / step).round() as usize;
            phases.get(code).map_or(f64::NAN, |phase| wrapped(phase - asked))
        })
        .collect();
    Case::within(
        format!("rms phase error by a DAC of {bits} bits, 0 to 10.8 V, Vπ = 4.36 V"),
        "(2π/Vπ)·ΔV/√12, rounded to 0.1 mrad; and 1 % for the last, partial step",
        1e3 * rms(&errors),
        expected,
        0.05 + 0.01 * expected,
    )
    .in_unit("mrad")
}

fn wrapped(phase: f64) -> f64 {
    (phase + PI).rem_euclid(TAU) - PI
}

/// Phase walk of the local oscillator, as the reference channel shows it from shot to shot.
async fn oscillator() -> Result<Case, Error> {
    const SHOTS: usize = 20_000;
    let walking = CoherentPhysics { lo_phase: 0.01, ..CoherentPhysics::IDEAL };
    let mut chip = CoherentMock::new(bench(8, walking), 1, Script::default());
    let counts = chip.execute(&InputBatch(Array2::zeros((SHOTS, 2))), 1).await?.counts;
    let reference: Vec<Complex64> = (0..SHOTS)
        .map(|shot| Complex64::new(f64::from(counts[(0, shot, 4)]), f64::from(counts[(0, shot, 5)])))
        .collect();
    let steps: Vec<f64> = reference.windows(2).map(|pair| (pair[1] / pair[0]).arg()).collect();
    Ok(Case::within(
        "Local oscillator: rms phase step from shot to shot, at the reference channel",
        "random walk of 10 mrad given; 4 standard errors σ/√2n, n = 20 000",
        1e3 * rms(&steps),
        10.0,
        STANDARD_ERRORS * 10.0 / (2.0 * SHOTS as f64).sqrt(),
    )
    .in_unit("mrad"))
}

async fn loss() -> Result<Case, Error> {
    let lossy = CoherentPhysics { loss_db: 0.1, ..CoherentPhysics::IDEAL };
    let with = field(&mut CoherentMock::new(bench(8, lossy), 1, Script::default()), 0).await?;
    let without =
        field(&mut CoherentMock::new(bench(8, CoherentPhysics::IDEAL), 1, Script::default()), 0).await?;
    Ok(Case::within(
        "Loss of a path through 3 interferometers of 0.1 dB",
        "0.3 dB; a count of 16 bits is 0.0004 dB",
        10.0 * (without.norm_sqr() / with.norm_sqr()).log10(),
        0.3,
        0.001,
    )
    .in_unit("dB"))
}
