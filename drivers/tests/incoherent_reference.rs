//! The fast path of the incoherent mock against its equations, element by element.

#![expect(clippy::unwrap_used, reason = "tests")]

use alora_drivers::{
    ActuatorFrame, InputBatch, PhotonicBackend,
    mock::{
        IncoherentMock, IncoherentSpec, OrnsteinUhlenbeck, Script,
        incoherent::{CrosstalkLaw, Element, IncoherentPhysics, Truth, preset},
    },
};
use ndarray::{Array2, Axis};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Every error source of the preset, without what is random from call to call.
fn deterministic(name: &str) -> IncoherentSpec {
    let mut spec = preset(name).unwrap();
    spec.rows = 6;
    spec.cols = 7;
    spec.bits.output = 16;
    spec.physics = IncoherentPhysics {
        repeatability_rad: 0.0,
        thermal_noise: 0.0,
        shot_noise: 0.0,
        rin: 0.0,
        temperature: OrnsteinUhlenbeck::OFF,
        laser: OrnsteinUhlenbeck::OFF,
        ..spec.physics
    };
    spec
}

fn heat_spread(d: f64) -> f64 {
    if d < 23.0 {
        1.0 - 0.17601 * d + 9.896e-3 * d * d - 8.296e-6 * d * d * d - 1.558e-5 * d.powi(4)
            + 3.551e-7 * d.powi(5)
    } else {
        0.21673 * (-0.12747 * d).exp()
    }
}

fn crosstalk(spec: &IncoherentSpec, rows: i64, cols: i64) -> f64 {
    if (rows, cols) == (0, 0) {
        return 0.0;
    }
    let strength = spec.physics.crosstalk;
    match spec.crosstalk_law {
        CrosstalkLaw::NearestNeighbour => {
            if rows.abs() + cols.abs() == 1 {
                strength
            } else {
                0.0
            }
        }
        CrosstalkLaw::Distance { pitch_col_um, pitch_row_um } => {
            let coefficient =
                strength * heat_spread((rows as f64 * pitch_row_um).hypot(cols as f64 * pitch_col_um));
            // Documented: smaller coefficients are left out.
            if coefficient > 1e-6 { coefficient } else { 0.0 }
        }
    }
}

/// Transmissions to the two diodes (an LCOS pixel has one).
fn transmissions(element: Element, phase: f64) -> (f64, f64) {
    match element {
        Element::AddDropRing { input_coupling: r1, drop_coupling: r2, round_trip: a } => {
            let d = 1.0 - 2.0 * r1 * r2 * a * phase.cos() + (r1 * r2 * a) * (r1 * r2 * a);
            let drop = (1.0 - r1 * r1) * (1.0 - r2 * r2) * a / d;
            let through = (r2 * r2 * a * a - 2.0 * r1 * r2 * a * phase.cos() + r1 * r1) / d;
            (drop, through)
        }
        Element::BalancedMzi { visibility } => {
            ((1.0 - visibility * phase.cos()) / 2.0, (1.0 + visibility * phase.cos()) / 2.0)
        }
        Element::Lcos { floor } => (floor + (1.0 - floor) * (1.0 - phase.cos()) / 2.0, 0.0),
    }
}

/// Photocurrents `[frames, rows]` by the equations of the module documentation, one element at a time.
fn naive(spec: &IncoherentSpec, truth: &Truth, codes: &ActuatorFrame, inputs: &InputBatch) -> Array2<f64> {
    let rails = if matches!(spec.element, Element::Lcos { .. }) { 2 } else { 1 };
    let top = f64::from((1_u32 << spec.bits.actuator) - 1);
    let drive = |k: usize| truth.span_rad[k] * (f64::from(codes.0[k]) / top).powf(truth.exponent[k]);
    let place =
        |k: usize| ((k / rails / spec.cols) as i64, (k / rails % spec.cols * rails + k % rails) as i64);
    let phase = |k: usize| {
        let (row, col) = place(k);
        let heat: f64 =
            (0..codes.0.len()).map(|l| crosstalk(spec, place(l).0 - row, place(l).1 - col) * drive(l)).sum();
        truth.bias_rad[k] + drive(k) + heat
    };
    let own = |row: usize, col: usize| {
        let k = (row * spec.cols + col) * rails;
        let first = transmissions(spec.element, phase(k));
        if rails == 1 { first } else { (first.0, transmissions(spec.element, phase(k + 1)).0) }
    };
    let seen = |row: usize, col: usize| {
        let (mut plus, mut minus) = own(row, col);
        for (r, c) in [(-1, 0), (1, 0), (0, -1), (0, 1)] {
            let (r, c) = (row as i64 + r, col as i64 + c);
            if (0..spec.rows as i64).contains(&r) && (0..spec.cols as i64).contains(&c) {
                let (p, m) = own(r as usize, c as usize);
                plus += spec.physics.optical_leakage * p;
                minus += spec.physics.optical_leakage * m;
            }
        }
        truth.gain_plus[row] * plus - truth.gain_minus[row] * minus
    };
    let power = |col: usize, code: i32| {
        let x = f64::from(code) / f64::from((1_u32 << spec.bits.input) - 1);
        let leak = truth.input_leak[col];
        truth.input_power[col] * (leak + (1.0 - leak) * (x + 4.0 * truth.input_curve[col] * x * (1.0 - x)))
    };
    let weights = Array2::from_shape_fn((spec.rows, spec.cols), |(row, col)| seen(row, col));
    Array2::from_shape_fn((inputs.0.nrows(), spec.rows), |(frame, row)| {
        let light: f64 =
            (0..spec.cols).map(|col| weights[(row, col)] * power(col, inputs.0[(frame, col)])).sum();
        light + truth.dark[row]
    })
}

#[tokio::test]
async fn every_kind_of_element_counts_what_its_equations_say() {
    for name in ["incoherent-lcos-16x16", "incoherent-mzi-16x16", "incoherent-ring-16x16"] {
        let spec = deterministic(name);
        let mut mock = IncoherentMock::new(spec.clone(), 11, Script::default());
        let rng = &mut ChaCha8Rng::seed_from_u64(5);
        let codes = ActuatorFrame(
            mock.descriptor().limits.iter().map(|&limit| rng.random_range(0..=limit)).collect(),
        );
        let inputs = InputBatch(Array2::from_shape_simple_fn((300, spec.cols), || rng.random_range(0..=255)));
        let _ = mock.apply(&codes).await.unwrap();
        let readout = mock.execute(&inputs, 1).await.unwrap();
        assert!(!readout.any_saturated());
        let expected = naive(&spec, mock.truth(), &codes, &inputs);
        let full_scale = spec.receiver_headroom * spec.cols as f64;
        let ranges = i32::from(spec.receiver_ranges);
        // A count is the current rounded at the gain in use, at most the lowest: half a step of that gain.
        let step_of_highest_gain = full_scale / 32768.0 / 2.0_f64.powi(ranges - 1);
        for ((frame, row), current) in expected.indexed_iter() {
            let counted = f64::from(readout.counts[(0, frame, row)]) * step_of_highest_gain;
            let gain = (full_scale / (current.abs() / 0.98)).log2().floor().clamp(0.0, f64::from(ranges - 1));
            let half_step = full_scale / 32768.0 / gain.exp2() / 2.0;
            assert!(
                (counted - current).abs() <= half_step * 1.001 + 1e-12,
                "{name} {frame} {row}: {counted} {current}"
            );
        }
    }
}

#[tokio::test]
async fn the_truth_s_weights_are_what_one_input_at_a_time_shows() {
    let mut spec = deterministic("incoherent-lcos-16x16");
    spec.physics.input_curve_spread = 0.0;
    let mut mock = IncoherentMock::new(spec.clone(), 11, Script::default());
    let _ = mock.apply(&ActuatorFrame(vec![90; mock.descriptor().limits.len()])).await.unwrap();
    let mut one_hot = Array2::zeros((spec.cols + 1, spec.cols));
    one_hot.diag_mut().fill(255);
    let counts = mock.execute(&InputBatch(one_hot), 1).await.unwrap().counts.index_axis_move(Axis(0), 0);
    let step =
        spec.receiver_headroom * spec.cols as f64 / 32768.0 / f64::from(1 << (spec.receiver_ranges - 1));
    for ((row, col), weight) in mock.true_weights().indexed_iter() {
        let shown = f64::from(counts[(col, row)] - counts[(spec.cols, row)]) * step;
        // Two readings, each rounded to half a step of the highest gain.
        assert!((shown - weight).abs() <= 1.001 * step, "{row} {col}: {shown} {weight}");
    }
}
