//! The incoherent mock's elements, modulators and crosstalk, through codes and counts.

use std::f64::consts::{FRAC_PI_2, PI, TAU};

use alora_drivers::{
    ActuatorFrame, Code, ConverterBits, InputBatch, InputCode, PhotonicBackend,
    datasheet::DriveLaw,
    mock::{
        IncoherentMock, IncoherentSpec, Script,
        incoherent::{CrosstalkLaw, Element, IncoherentPhysics},
    },
};
use ndarray::Array2;
use tokio::runtime::Handle;

use super::{Case, random::largest};
use crate::error::Error;

/// Highest actuator code of 16 bits.
pub(super) const TOP: Code = Code::MAX;
/// Highest input code of 8 bits.
pub(super) const FULL: InputCode = 255;

pub(super) fn cases(runtime: &Handle) -> Result<Vec<Case>, Error> {
    runtime.block_on(async {
        let mut cases = ring().await?;
        cases.push(mzi().await?);
        cases.push(pixel().await?);
        cases.push(modulator().await?);
        for (distance, expected, rounding) in
            [(9.0, 0.130, 5e-4), (15.0, 0.039, 5e-4), (24.0, 0.0102, 5e-5), (60.0, 1e-4, 5e-5)]
        {
            cases.push(heat(distance, expected, rounding).await?);
        }
        Ok(cases)
    })
}

/// A chip with no error source, 16 bits everywhere but at the inputs, eight gains, so that a count is 3e-7 of one
/// input at full power when the signal is small, and 4e-5 when it is 1.
pub(super) fn bench(rows: usize, cols: usize, element: Element, drive: (f64, f64)) -> IncoherentSpec {
    let (bias_rad, span_rad) = drive;
    IncoherentSpec {
        rows,
        cols,
        bits: ConverterBits { actuator: 16, input: 8, output: 16 },
        element,
        drive: DriveLaw { bias_rad, span_rad, exponent: 1.0 },
        crosstalk_law: CrosstalkLaw::NearestNeighbour,
        receiver_headroom: 1.25,
        receiver_ranges: 8,
        settle_s: 0.0,
        frame_s: 1e-5,
        physics: IncoherentPhysics::ideal(),
    }
}

/// Photocurrent of one count, from the data sheet.
pub(super) fn step(spec: &IncoherentSpec) -> f64 {
    1.0 / spec.data_sheet().counts_per_unit
}

/// Photocurrent of row 0 with these actuator codes and input codes.
async fn current(
    chip: &mut IncoherentMock,
    spec: &IncoherentSpec,
    codes: &[Code],
    inputs: &[InputCode],
) -> Result<f64, Error> {
    let _ = chip.apply(&ActuatorFrame(codes.to_vec())).await?;
    let batch = InputBatch(Array2::from_shape_fn((1, inputs.len()), |(_, input)| inputs[input]));
    Ok(f64::from(chip.execute(&batch, 1).await?.counts[(0, 0, 0)]) * step(spec))
}

/// Add-drop ring, on its closed forms of resonance and line width.
async fn ring() -> Result<Vec<Case>, Error> {
    let (r1, r2, a) = (0.9_f64, 0.92_f64, 0.98_f64);
    let element = Element::AddDropRing { input_coupling: r1, drop_coupling: r2, round_trip: a };
    // Resonance at code 0, antiresonance at the highest code.
    let spec = bench(1, 1, element, (0.0, PI));
    let mut chip = IncoherentMock::new(spec.clone(), 1, Script::default());
    let on = current(&mut chip, &spec, &[0], &[FULL]).await?;
    let off = current(&mut chip, &spec, &[TOP], &[FULL]).await?;
    let extreme = |sign: f64| {
        let denominator = (1.0 - sign * r1 * r2 * a).powi(2);
        ((1.0 - r1 * r1) * (1.0 - r2 * r2) * a - (r2 * a - sign * r1).powi(2)) / denominator
    };
    // Drop − through + 1 has the shape of the drop port: bisect for its half height.
    let (mut below, mut above) = (0_u32, u32::from(TOP));
    while above - below > 1 {
        let middle = (below + above) / 2;
        let height = 1.0 + current(&mut chip, &spec, &[middle as Code], &[FULL]).await?;
        if height > 0.5 * (1.0 + on) { below = middle } else { above = middle }
    }
    let width = TAU * f64::from(above) / f64::from(TOP);
    let x = r1 * r2 * a;
    let form = "Bogaerts et al., Laser Photonics Rev. 6, 47 (2012), r₁ = 0.9, r₂ = 0.92, a = 0.98";
    Ok(vec![
        Case::within(
            "Add-drop ring on resonance: drop − through",
            format!("{form}; one count"),
            on,
            extreme(1.0),
            4e-5,
        ),
        Case::within(
            "Add-drop ring at antiresonance: drop − through",
            format!("{form}; one count"),
            off,
            extreme(-1.0),
            4e-5,
        ),
        Case::within(
            "Full width at half maximum of the ring's line",
            format!("Lorentzian 2(1 − x)/√x, x = r₁r₂a, {form}; the line is not quite Lorentzian, 0.5 %"),
            width,
            2.0 * (1.0 - x) / x.sqrt(),
            0.005 * 2.0 * (1.0 - x) / x.sqrt(),
        )
        .in_unit("rad"),
    ])
}

async fn mzi() -> Result<Case, Error> {
    let spec = bench(1, 1, Element::BalancedMzi { visibility: 0.98 }, (0.0, TAU));
    let mut chip = IncoherentMock::new(spec.clone(), 1, Script::default());
    let mut departures = Vec::new();
    for code in (0..=TOP).step_by(97) {
        let phase = TAU * f64::from(code) / f64::from(TOP);
        departures.push(current(&mut chip, &spec, &[code], &[FULL]).await? + 0.98 * phase.cos());
    }
    Ok(Case::at_most(
        "Balanced interferometer: largest departure from −V cos φ, V = 0.98",
        "two-beam interference; half a count of the lowest gain, 1.25/2¹⁶",
        largest(departures),
        2e-5,
    ))
}

/// Bright positive pixel against dark negative pixel: `1 − floor`.
async fn pixel() -> Result<Case, Error> {
    let spec = bench(1, 1, Element::Lcos { floor: 0.003 }, (0.0, PI));
    let mut chip = IncoherentMock::new(spec.clone(), 1, Script::default());
    let contrast = current(&mut chip, &spec, &[TOP, 0], &[FULL]).await?;
    Ok(Case::within(
        "Liquid-crystal pixel: light that a dark pixel passes",
        "the floor it was given; one count",
        1.0 - contrast,
        0.003,
        4e-5,
    ))
}

async fn modulator() -> Result<Case, Error> {
    let mut spec = bench(1, 1, Element::Lcos { floor: 0.0 }, (0.0, PI));
    spec.physics.input_leak = 10_f64.powf(-2.5);
    let mut chip = IncoherentMock::new(spec.clone(), 1, Script::default());
    let dark = current(&mut chip, &spec, &[TOP, 0], &[0]).await?;
    let bright = current(&mut chip, &spec, &[TOP, 0], &[FULL]).await?;
    Ok(Case::within(
        "Input modulator: extinction ratio at code 0",
        "25 dB given; a count of the highest gain is 0.0004 dB",
        10.0 * (bright / dark).log10(),
        25.0,
        0.001,
    )
    .in_unit("dB"))
}

/// Phase that the neighbour at `distance` µm takes over: the victim sits at mid-flank, where `w = sin Δφ`.
async fn heat(distance: f64, expected: f64, rounding: f64) -> Result<Case, Error> {
    let mut spec = bench(1, 2, Element::BalancedMzi { visibility: 1.0 }, (FRAC_PI_2, 1.0));
    spec.crosstalk_law = CrosstalkLaw::Distance { pitch_col_um: distance, pitch_row_um: 1000.0 };
    spec.physics.crosstalk = 1.0;
    let mut chip = IncoherentMock::new(spec.clone(), 1, Script::default());
    let victim = current(&mut chip, &spec, &[0, TOP], &[FULL, 0]).await?;
    Ok(Case::within(
        format!("Thermal crosstalk at {distance} µm, phase per phase of the neighbour"),
        "fit to the heat simulation of SCATTER (Yin et al., ICCAD 2024), computed apart; its rounding",
        victim.asin(),
        expected,
        rounding,
    ))
}
