//! The incoherent mock's noise, converter and drift, one source at a time.

use alora_drivers::{
    ActuatorFrame, Code, InputBatch, InputCode, PhotonicBackend,
    mock::{
        IncoherentMock, IncoherentSpec, OrnsteinUhlenbeck, Script,
        incoherent::{Element, IncoherentPhysics},
    },
};
use ndarray::Array2;
use tokio::runtime::Handle;

use super::{
    Case,
    elements::{FULL, TOP, bench, step},
    random::{STANDARD_ERRORS, mean, rms, rng, variance},
};
use crate::error::Error;

/// Detector rows, each with its own noise, and vectors sent.
const ROWS: usize = 8;
const VECTORS: usize = 8192;
const READINGS: f64 = (ROWS * VECTORS) as f64;
/// Size of each source, of one input at full power.
const SIZE: f64 = 0.01;

pub(super) fn cases(runtime: &Handle) -> Result<Vec<Case>, Error> {
    runtime.block_on(async {
        let mut cases = shot().await?;
        cases.extend(intensity().await?);
        cases.extend(thermal().await?);
        cases.push(converter().await?);
        cases.extend(drift());
        Ok(cases)
    })
}

/// Bright positive pixels, black negative ones: every row sees what input 0 sends.
fn chip(physics: IncoherentPhysics) -> IncoherentSpec {
    let spec = bench(ROWS, 1, Element::Lcos { floor: 0.0 }, (0.0, std::f64::consts::PI));
    IncoherentSpec { physics, receiver_ranges: 1, ..spec }
}

fn bright() -> ActuatorFrame {
    ActuatorFrame([TOP, 0].repeat(ROWS))
}

/// Mean and variance of the photocurrent at the input code `code`.
async fn light(spec: &IncoherentSpec, code: InputCode, seed: u64) -> Result<(f64, f64), Error> {
    let mut chip = IncoherentMock::new(spec.clone(), seed, Script::default());
    let _ = chip.apply(&bright()).await?;
    let counts = chip.execute(&InputBatch(Array2::from_elem((VECTORS, 1), code)), 1).await?.counts;
    let current: Vec<f64> = counts.iter().map(|&count| f64::from(count) * step(spec)).collect();
    Ok((mean(&current), variance(&current)))
}

/// Exponent of variance against mean between a fifth and four fifths of full power.
async fn exponent(spec: &IncoherentSpec, seed: u64) -> Result<f64, Error> {
    let (dim, low) = light(spec, FULL / 5, seed).await?;
    let (lit, high) = light(spec, 4 * FULL / 5, seed + 1).await?;
    Ok((high / low).ln() / (lit / dim).ln())
}

fn law_cases(source: &str, law: &str, found: f64, expected: f64, sigma: f64) -> Vec<Case> {
    // A variance of n readings varies by √(2/n), the logarithm of the ratio of two by √(4/n).
    let slope = STANDARD_ERRORS * (4.0 / READINGS).sqrt() / 4.0_f64.ln();
    let size = STANDARD_ERRORS * 100.0 * SIZE / (2.0 * READINGS).sqrt();
    vec![
        Case::within(
            format!("{source}: exponent of the variance against the mean"),
            format!("{law}; 4 standard errors √(4/n)/ln 4, n = 65 536"),
            found,
            expected,
            slope,
        ),
        Case::within(
            format!("{source}: standard deviation at full power"),
            "1 % given; 4 standard errors σ/√2n, n = 65 536",
            100.0 * sigma,
            100.0 * SIZE,
            size,
        )
        .in_unit("%"),
    ]
}

async fn shot() -> Result<Vec<Case>, Error> {
    let spec = chip(IncoherentPhysics { shot_noise: SIZE, ..IncoherentPhysics::ideal() });
    let sigma = light(&spec, FULL, 10).await?.1.sqrt();
    Ok(law_cases("Shot noise", "variance ∝ mean (Poisson)", exponent(&spec, 11).await?, 1.0, sigma))
}

async fn intensity() -> Result<Vec<Case>, Error> {
    let spec = chip(IncoherentPhysics { rin: SIZE, ..IncoherentPhysics::ideal() });
    let sigma = light(&spec, FULL, 20).await?.1.sqrt();
    Ok(law_cases("Laser intensity noise", "variance ∝ mean²", exponent(&spec, 21).await?, 2.0, sigma))
}

async fn thermal() -> Result<Vec<Case>, Error> {
    let spec = chip(IncoherentPhysics { thermal_noise: SIZE, ..IncoherentPhysics::ideal() });
    let lit = light(&spec, FULL, 30).await?.1;
    let found = exponent(&spec, 31).await?;
    Ok(law_cases("Amplifier noise", "variance independent of the light", found, 0.0, lit.sqrt()))
}

/// Variance of the rounding of an 8-bit converter, over the values of 16-bit inputs.
async fn converter() -> Result<Case, Error> {
    let mut spec = chip(IncoherentPhysics::ideal());
    spec.rows = 1;
    spec.bits.input = 16;
    spec.bits.output = 8;
    let mut chip = IncoherentMock::new(spec.clone(), 1, Script::default());
    let _ = chip.apply(&ActuatorFrame(vec![TOP, 0])).await?;
    let codes: Vec<Code> = (0..=Code::MAX).step_by(3).collect();
    let batch = Array2::from_shape_fn((codes.len(), 1), |(frame, _)| InputCode::from(codes[frame]));
    let counts = chip.execute(&InputBatch(batch), 1).await?.counts;
    let q = step(&spec);
    let errors: Vec<f64> = codes
        .iter()
        .zip(&counts)
        .map(|(&code, &count)| f64::from(count) * q - f64::from(code) / f64::from(Code::MAX))
        .collect();
    Ok(Case::within(
        "8-bit output converter: variance of the error over q²/12",
        "uniform rounding error; the 102.4 steps end with a partial one, 1 %",
        rms(&errors).powi(2) / (q * q / 12.0),
        1.0,
        0.01,
    ))
}

/// Stationary spread and correlation of the drift, in steps of half a correlation time.
fn drift() -> Vec<Case> {
    const STEPS: usize = 100_000;
    let drift = OrnsteinUhlenbeck { sd: 0.05, tau_s: 600.0 };
    let rng = &mut rng(9);
    let mut value = 0.0;
    let values: Vec<f64> = (0..STEPS)
        .map(|_| {
            value = drift.advance(value, 300.0, rng);
            value
        })
        .collect();
    let spread = variance(&values).sqrt();
    let products: Vec<f64> = values.iter().zip(&values[2..]).map(|(a, b)| a * b).collect();
    let n = STEPS as f64;
    // With ρ = e^(−1/2) a step, squares are correlated by ρ²ᵏ: n(1 − ρ²)/(1 + ρ²) independent ones (Bartlett).
    let decay = (-1.0_f64).exp();
    let independent = n * (1.0 - decay) / (1.0 + decay);
    vec![
        Case::within(
            "Ornstein–Uhlenbeck drift: stationary standard deviation",
            "0.05 K given; 4 standard errors σ/√2n of the 46 000 independent values in 100 000",
            spread,
            0.05,
            STANDARD_ERRORS * 0.05 / (2.0 * independent).sqrt(),
        )
        .in_unit("K"),
        Case::within(
            "Ornstein–Uhlenbeck drift: correlation after one correlation time",
            "1/e; 4 standard errors √(1.33/n) (Bartlett), n = 100 000",
            mean(&products) / variance(&values),
            0.367_879,
            STANDARD_ERRORS * (1.33 / n).sqrt(),
        ),
    ]
}
