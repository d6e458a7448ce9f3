//! The coherent mock: its contract, its physics seen through counts, and its faults.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests")]

use alora_drivers::{
    ActuatorFrame, BackendErrorKind, Code, ConverterBits, InputBatch, PhotonicBackend, Readout,
    mock::{
        CoherentMock, CoherentSpec, Fault, Script, ScriptedFault, Spec,
        coherent::{CoherentDetection, CoherentPhysics, PRESETS},
    },
};
use ndarray::Array2;

const TOP: i32 = 32_767;

fn preset(name: &str) -> CoherentSpec {
    match Spec::preset(name) {
        Some(Spec::Coherent(spec)) => spec,
        _ => panic!("{name} is a coherent preset"),
    }
}

/// Four modes without any error source, 16-bit converters.
fn ideal(physics: CoherentPhysics) -> CoherentSpec {
    let bits = ConverterBits { actuator: 16, input: 16, output: 16 };
    CoherentSpec { bits, full_scale: 1.25, physics, ..preset("coherent-4x4") }
}

fn script(fault: Fault) -> Script {
    Script(vec![ScriptedFault { from_execution: 1, fault }])
}

/// Every interferometer and attenuator at bar, everything else at 0 V.
fn straight(spec: &CoherentSpec) -> ActuatorFrame {
    let bar = (spec.v_pi.0 / spec.v_max.0 * 65_535.0).round() as Code;
    let shifters = 2 * spec.modes * spec.modes;
    ActuatorFrame(
        (0..shifters + spec.modes).map(|k| if k < shifters && k % 2 == 0 { bar } else { 0 }).collect(),
    )
}

fn one_hot(modes: usize) -> InputBatch {
    InputBatch(Array2::from_diag_elem(modes, TOP))
}

/// Detected power of `output` for input vector `frame`, in units of a unit field.
fn power(readout: &Readout, spec: &CoherentSpec, frame: usize, output: usize) -> f64 {
    let unit = spec.full_scale / 32_768.0;
    let i = f64::from(readout.counts[[0, frame, output]]) * unit;
    let q = f64::from(readout.counts[[0, frame, spec.modes + output]]) * unit;
    i * i + q * q
}

#[test]
fn every_preset_describes_a_frame_of_two_meshes_and_its_channels() {
    for name in PRESETS {
        let spec = preset(name);
        assert_eq!(spec.check(), Ok(()), "{name}");
        // A chip from the foundry is set more finely.
        let actuator = if name.starts_with("factory-fresh") { 12 } else { 8 };
        assert_eq!(spec.bits, ConverterBits { actuator, input: 8, output: 8 });
        let (modes, iq) = (spec.modes, spec.detection == CoherentDetection::Iq);
        let mock = CoherentMock::new(spec, 1, Script::default());
        let descriptor = mock.descriptor();
        assert_eq!(descriptor.limits.len(), 2 * modes * modes + modes);
        assert_eq!(descriptor.channels(), if iq { 2 * modes + 2 } else { modes });
        assert!(descriptor.simulated);
    }
}

#[test]
fn a_key_out_of_range_is_named_with_its_range() {
    let mut spec = preset("coherent-8x8");
    spec.physics.crosstalk = f64::NAN;
    assert_eq!(spec.check().unwrap_err().to_string(), "physics.crosstalk is NaN, allowed is 0 to 0.1");
    spec.physics.crosstalk = 0.0;
    spec.modes = 1;
    assert_eq!(spec.check().unwrap_err().to_string(), "modes is 1, allowed is 2 to 128");
}

#[tokio::test]
async fn refusals_leave_the_processor_as_it_was() {
    let mut mock = CoherentMock::new(preset("coherent-4x4"), 3, Script::default());
    let held = ActuatorFrame(vec![7; 36]);
    assert!(mock.apply(&held).await.unwrap().verified);
    let short = mock.apply(&ActuatorFrame(vec![1; 35])).await.unwrap_err();
    assert_eq!(short.kind, BackendErrorKind::FrameLength { expected: 36, found: 35 });
    let mut above = vec![1; 36];
    above[5] = 256;
    let over = mock.apply(&ActuatorFrame(above)).await.unwrap_err();
    assert_eq!(over.kind, BackendErrorKind::OverLimit { actuator: 5, code: 256, limit: 255 });
    let inputs = |shape, code| InputBatch(Array2::from_elem(shape, code));
    let wide = mock.execute(&inputs((1, 5), 0), 1).await.unwrap_err();
    assert_eq!(wide.kind, BackendErrorKind::InputWidth { expected: 4, found: 5 });
    let code = mock.execute(&inputs((1, 4), -128), 1).await.unwrap_err();
    let expected = BackendErrorKind::InputCode { frame: 0, input: 0, code: -128, lowest: -127, highest: 127 };
    assert_eq!(code.kind, expected);
    let none = mock.execute(&inputs((1, 4), 0), 0).await.unwrap_err();
    assert_eq!(none.kind, BackendErrorKind::NoRepeats);
    assert_eq!(mock.read_back().await.unwrap(), held);
    let readout = mock.execute(&inputs((3, 4), 1), 2).await.unwrap();
    assert_eq!(readout.counts.dim(), (2, 3, 10));
    for _ in 0..2 {
        mock.park().await.unwrap();
        assert_eq!(mock.read_back().await.unwrap(), ActuatorFrame::zeros(36));
    }
}

#[tokio::test]
async fn the_same_seed_gives_the_same_counts_on_any_number_of_threads() {
    let inputs = InputBatch(Array2::from_shape_fn((700, 8), |(i, j)| ((i * 13 + j * 29) % 255) as i32 - 127));
    let counts = |seed: u64, threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let inputs = &inputs;
        pool.install(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let mut mock = CoherentMock::new(preset("coherent-8x8"), seed, Script::default());
                let _ = mock.apply(&ActuatorFrame(vec![90; 136])).await.unwrap();
                mock.execute(inputs, 3).await.unwrap()
            })
        })
    };
    let first = counts(11, 1);
    assert_eq!(first, counts(11, 2));
    assert_ne!(first.counts, counts(12, 1).counts);
    let repeat = |r: usize| first.counts.index_axis(ndarray::Axis(0), r).to_owned();
    assert_ne!(repeat(0), repeat(1), "repeats have their own noise");
}

#[tokio::test]
async fn simulated_time_passes_by_settling_and_by_shots() {
    let spec = preset("coherent-4x4");
    let mut mock = CoherentMock::new(spec.clone(), 1, Script::default());
    let inputs = InputBatch(Array2::zeros((5, 4)));
    let first = mock.execute(&inputs, 2).await.unwrap().taken_at;
    let _ = mock.apply(&ActuatorFrame::zeros(36)).await.unwrap();
    let second = mock.execute(&inputs, 1).await.unwrap().taken_at;
    let elapsed = (second.0 - first.0).as_micros() as u64;
    assert_eq!(elapsed, 10 * spec.shot_us + spec.settle_us);
}

#[tokio::test]
async fn without_loss_the_light_that_enters_is_the_light_that_leaves() {
    let spec = ideal(CoherentPhysics { splitter: 0.1, static_phase: 0.0, ..CoherentPhysics::IDEAL });
    let mut mock = CoherentMock::new(spec.clone(), 5, Script::default());
    // Meshes anywhere; attenuators at bar pass what their splitters let: cos²(α − β) at least.
    let mut frame = straight(&spec);
    for shifter in (0..12).chain(20..36) {
        frame.0[shifter] = (shifter * 1531 % 60_000) as Code;
    }
    let _ = mock.apply(&frame).await.unwrap();
    let readout = mock.execute(&one_hot(4), 1).await.unwrap();
    for input in 0..4 {
        let total: f64 = (0..4).map(|output| power(&readout, &spec, input, output)).sum();
        // α − β has sd 0.14: cos² stays above 0.8 within 3 sd; nothing can exceed 1 but for rounding of counts.
        assert!((0.8..1.001).contains(&total), "input {input}: {total}");
    }
}

#[tokio::test]
async fn each_interferometer_on_the_way_takes_its_loss() {
    let loss_db = 0.5;
    let spec = ideal(CoherentPhysics { loss_db, ..CoherentPhysics::IDEAL });
    let mut mock = CoherentMock::new(spec.clone(), 5, Script::default());
    let _ = mock.apply(&straight(&spec)).await.unwrap();
    let readout = mock.execute(&one_hot(4), 1).await.unwrap();
    // Edge modes pass an interferometer in every other column: 2 + 1 + 2; inner ones in every column: 4 + 1 + 4.
    for (mode, passed) in [(0, 5.0), (1, 9.0), (2, 9.0), (3, 5.0)] {
        let expected = 10f64.powf(-passed * loss_db / 10.0);
        // Codes and counts of 16 bits: 2e-4 of a field at most.
        assert!((power(&readout, &spec, mode, mode) - expected).abs() < 1e-3, "mode {mode}");
    }
}

#[tokio::test]
async fn the_reference_carries_the_phase_of_the_local_oscillator() {
    let spec = ideal(CoherentPhysics { lo_phase: 0.7, ..CoherentPhysics::IDEAL });
    let mut mock = CoherentMock::new(spec.clone(), 9, Script::default());
    let _ = mock.apply(&straight(&spec)).await.unwrap();
    let inputs = InputBatch(Array2::from_shape_fn((64, 4), |(_, input)| if input == 0 { TOP } else { 0 }));
    let readout = mock.execute(&inputs, 1).await.unwrap();
    let phase = |frame: usize, i: usize, q: usize| {
        let count = |channel| f64::from(readout.counts[[0, frame, channel]]);
        count(q).atan2(count(i))
    };
    let steady: Vec<f64> = (0..64).map(|frame| phase(frame, 0, 4) - phase(frame, 8, 9)).collect();
    let apart = |a: f64, b: f64| (a - b).sin().abs() + 1.0 - (a - b).cos();
    assert!(
        steady.iter().all(|&difference| apart(difference, steady[0]) < 1e-3),
        "common rotation is removed"
    );
    assert!((1..64).any(|frame| apart(phase(frame, 0, 4), phase(0, 0, 4)) > 0.5), "the oscillator walks");
}

async fn before_and_after(spec: &CoherentSpec, fault: Fault) -> (Readout, Readout, ActuatorFrame) {
    let mut mock = CoherentMock::new(spec.clone(), 4, script(fault));
    let _ = mock.apply(&straight(spec)).await.unwrap();
    let before = mock.execute(&one_hot(4), 1).await.unwrap();
    let after = mock.execute(&one_hot(4), 1).await.unwrap();
    (before, after, mock.read_back().await.unwrap())
}

#[tokio::test]
async fn a_stuck_element_keeps_its_effect_while_read_back_shows_what_was_asked() {
    let spec = ideal(CoherentPhysics::IDEAL);
    // θ of the first interferometer at code 0 is cross: input 0 leaves from output 1.
    let (before, after, held) = before_and_after(&spec, Fault::StuckElement { actuator: 0, code: 0 }).await;
    assert!(power(&before, &spec, 0, 0) > 0.99 && power(&after, &spec, 0, 0) < 0.01);
    assert!(power(&after, &spec, 0, 1) > 0.99);
    assert_eq!(held, straight(&spec));
}

#[tokio::test]
async fn a_dead_detector_shows_its_dark_value_only() {
    let spec = ideal(CoherentPhysics::IDEAL);
    let (before, after, _) = before_and_after(&spec, Fault::DeadDetector { output: 2 }).await;
    assert!(power(&before, &spec, 2, 2) > 0.99);
    assert_eq!(power(&after, &spec, 2, 2), 0.0);
    assert!(power(&after, &spec, 1, 1) > 0.99);
}

#[tokio::test]
async fn a_saturated_amplifier_is_flagged_at_its_output_only() {
    let spec = ideal(CoherentPhysics::IDEAL);
    let (before, after, _) = before_and_after(&spec, Fault::Saturation { output: 1, gain: 40.0 }).await;
    assert!(!before.any_saturated());
    assert!(after.saturated[[0, 1, 1]] || after.saturated[[0, 1, 5]]);
    assert!(!after.saturated[[0, 0, 0]] && !after.saturated[[0, 0, 4]]);
}

#[tokio::test]
async fn a_laser_drop_scales_every_beat_by_the_remaining_power() {
    let spec = ideal(CoherentPhysics::IDEAL);
    let (before, after, _) = before_and_after(&spec, Fault::LaserDrop { fraction: 0.5 }).await;
    for mode in 0..4 {
        let ratio = power(&after, &spec, mode, mode) / power(&before, &spec, mode, mode);
        assert!((ratio - 0.25).abs() < 1e-3, "mode {mode}: {ratio}");
    }
}

#[tokio::test]
async fn a_temperature_step_is_reported_and_moves_the_phases_by_their_coefficients() {
    let warm = |phase_per_kelvin| ideal(CoherentPhysics { phase_per_kelvin, ..CoherentPhysics::IDEAL });
    let step = Fault::TemperatureStep { kelvin: 3.0 };
    let (before, after, _) = before_and_after(&warm(0.1), step).await;
    assert!((after.temperature.0 - before.temperature.0 - 3.0).abs() < 1e-9);
    assert_ne!(before.counts, after.counts);
    let (before, after, _) = before_and_after(&warm(0.0), step).await;
    assert_eq!(before.counts, after.counts);
}

#[tokio::test]
async fn heat_of_one_shifter_turns_its_neighbours_phase() {
    let crosstalk = |crosstalk| ideal(CoherentPhysics { crosstalk, ..CoherentPhysics::IDEAL });
    let mut counts = Vec::new();
    for crosstalk in [crosstalk(0.0), crosstalk(0.02)] {
        let mut mock = CoherentMock::new(crosstalk.clone(), 4, Script::default());
        let _ = mock.apply(&straight(&crosstalk)).await.unwrap();
        counts.push(mock.execute(&one_hot(4), 1).await.unwrap().counts);
    }
    assert_ne!(counts[0], counts[1]);
}

#[tokio::test]
async fn writing_the_same_codes_again_differs_by_the_repeatability_alone() {
    for (repeatability, differs) in [(0.0, false), (0.02, true)] {
        let spec = ideal(CoherentPhysics { repeatability, ..CoherentPhysics::IDEAL });
        let mut mock = CoherentMock::new(spec.clone(), 4, Script::default());
        let mut counts = Vec::new();
        for _ in 0..2 {
            let _ = mock.apply(&straight(&spec)).await.unwrap();
            counts.push(mock.execute(&one_hot(4), 1).await.unwrap().counts);
        }
        assert_eq!(counts[0] != counts[1], differs);
    }
}
