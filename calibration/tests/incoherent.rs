//! First calibration and encoding of the incoherent family, through the public interface.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use alora_calibration::{
    CalibrateError, Calibration, CalibrationPlan, DefectKind, Event, IncoherentCalibration, Learned,
    Observer, Probe, Processor, Provenance, Silent, WeightMatrix, calibrate,
};
use alora_drivers::{
    ActuatorFrame, DataSheet, PhotonicBackend,
    mock::{
        Fault, IncoherentMock, IncoherentSpec, Script, ScriptedFault, Spec,
        incoherent::{IncoherentPhysics, preset},
    },
};
use ndarray::{Array1, Array2, Axis};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const KINDS: [&str; 3] = ["incoherent-lcos-16x16", "incoherent-mzi-16x16", "incoherent-ring-16x16"];

async fn calibrated(mock: &mut IncoherentMock, spec: &IncoherentSpec) -> Result<Calibration, CalibrateError> {
    let sheet = DataSheet::Incoherent(spec.data_sheet());
    let provenance = Provenance::of(mock.descriptor(), "2025-01-01T00:00:00Z".to_owned(), 0);
    calibrate(mock, &sheet, &CalibrationPlan::default(), provenance, &mut Silent).await
}

fn learned(calibration: &Calibration) -> &IncoherentCalibration {
    match &calibration.learned {
        Learned::Incoherent(learned) => learned,
        _ => panic!("an incoherent processor has an incoherent calibration"),
    }
}

fn uniform(shape: (usize, usize), low: f64, rng: &mut ChaCha8Rng) -> Array2<f64> {
    Array2::from_shape_simple_fn(shape, || rng.random_range(low..=1.0))
}

fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// The preset without noise, drift and errors that calibration cannot see, with fine converters.
fn clean(name: &str) -> IncoherentSpec {
    let mut spec = preset(name).unwrap();
    let fabrication = spec.physics;
    spec.physics = IncoherentPhysics {
        input_leak: fabrication.input_leak,
        input_leak_spread: fabrication.input_leak_spread,
        input_power_spread: fabrication.input_power_spread,
        bias_spread_rad: fabrication.bias_spread_rad,
        span_spread: fabrication.span_spread,
        exponent_spread: fabrication.exponent_spread,
        row_gain_spread: fabrication.row_gain_spread,
        diode_imbalance: fabrication.diode_imbalance,
        dark_offset: fabrication.dark_offset,
        ..IncoherentPhysics::ideal()
    };
    spec.bits.actuator = 14;
    spec.bits.input = 14;
    spec.bits.output = 16;
    spec
}

#[tokio::test]
async fn a_chip_with_fabrication_errors_only_multiplies_exactly_after_calibration() {
    for name in KINDS {
        let spec = clean(name);
        let mut mock = IncoherentMock::new(spec.clone(), 3, Script::default());
        let calibration = calibrated(&mut mock, &spec).await.unwrap();
        assert!(learned(&calibration).defects.is_empty());
        let mut processor = Processor::new(Box::new(mock), &calibration).unwrap();
        let weights = WeightMatrix::new(uniform((16, 16), -1.0, &mut rng(1))).unwrap();
        let programmed = processor.program(&weights).await.unwrap();
        assert!(programmed.verified && programmed.unreachable.is_empty());
        for low in [0.0, -1.0] {
            let inputs = uniform((50, 16), low, &mut rng(2)) * 7.3;
            let exact = inputs.dot(&weights.view().t());
            let values = processor.mvm(inputs.view(), 1).await.unwrap().values.index_axis_move(Axis(0), 0);
            let worst = (&values - &exact).iter().fold(0.0_f64, |max, d| d.abs().max(max)) / 7.3;
            // 14-bit actuators: half a step of a span of 3.9 rad at slope 1 is 1.2e-4 (ring, slope 2.9: 1.7e-4), and
            // the look-up is as fine; 16 such errors, 16-bit counts of ±20 (3e-4 a reading), 14-bit inputs (3e-5).
            assert!(worst < 4e-3, "{name}, inputs from {low}: {worst}");
        }
    }
}

#[tokio::test]
async fn a_chip_that_is_not_square_multiplies_too() {
    for name in KINDS {
        for (rows, cols) in [(1, 1), (3, 5), (5, 3)] {
            let mut spec = clean(name);
            (spec.rows, spec.cols) = (rows, cols);
            let mut mock = IncoherentMock::new(spec.clone(), 3, Script::default());
            let calibration = calibrated(&mut mock, &spec).await.unwrap();
            let mut processor = Processor::new(Box::new(mock), &calibration).unwrap();
            let weights = WeightMatrix::new(uniform((rows, cols), -1.0, &mut rng(1))).unwrap();
            let _ = processor.program(&weights).await.unwrap();
            let inputs = uniform((9, cols), -1.0, &mut rng(2));
            let exact = inputs.dot(&weights.view().t());
            let values = processor.mvm(inputs.view(), 1).await.unwrap().values.index_axis_move(Axis(0), 0);
            let worst = (&values - &exact).iter().fold(0.0_f64, |max, d| d.abs().max(max));
            // As above, with 5 elements a row instead of 16.
            assert!(worst < 2e-3, "{name} {rows} × {cols}: {worst}");
        }
    }
}

#[test]
fn a_spec_survives_a_config_file_and_an_unknown_key_does_not() {
    for name in KINDS {
        let spec = Spec::preset(name).unwrap();
        let text = toml::to_string(&spec).unwrap();
        assert_eq!(toml::from_str::<Spec>(&text).unwrap(), spec);
        let unknown = text.replace("thermal_noise", "termal_noise");
        let error = toml::from_str::<Spec>(&unknown).unwrap_err().to_string();
        assert!(error.contains("unknown field `termal_noise`"), "{error}");
    }
}

#[tokio::test]
async fn a_product_is_that_of_the_weights_that_read_back() {
    let spec = preset("incoherent-16x16").unwrap();
    let mut mock = IncoherentMock::new(spec.clone(), 3, Script::default());
    let calibration = calibrated(&mut mock, &spec).await.unwrap();
    let mut processor = Processor::new(Box::new(mock), &calibration).unwrap();
    let weights = WeightMatrix::new(uniform((16, 16), -1.0, &mut rng(1))).unwrap();
    let _ = processor.program(&weights).await.unwrap();
    let read = processor.read_weights(Probe::OneHot, 32).await.unwrap().values.mean_axis(Axis(0)).unwrap();
    for low in [0.0, -1.0] {
        let inputs = uniform((400, 16), low, &mut rng(2));
        let expected = inputs.dot(&read.t());
        let values = processor.mvm(inputs.view(), 1).await.unwrap().values.index_axis_move(Axis(0), 0);
        let error = &values - &expected;
        let rms = (error.mapv(|d| d * d).mean().unwrap()).sqrt();
        // A count of up to ±10 at 8 bits: at ±2.5 a step is 1/51, at ±5 1/26 of a unit, 1/√12 of it rms (0.011); two
        // passes √2 more. Read-out noise 0.004, curve of the modulators 0.002 √16, laser drift 0.002 · 2.
        assert!(rms < 0.025, "inputs from {low}: {rms}");
        assert!(error.mean().unwrap().abs() < 0.01);
    }
}

#[tokio::test]
async fn a_batch_without_negative_values_takes_one_pass_and_a_signed_one_two() {
    let spec = preset("incoherent-8x8").unwrap();
    let mut mock = IncoherentMock::new(spec.clone(), 3, Script::default());
    let calibration = calibrated(&mut mock, &spec).await.unwrap();
    let encoding = calibration.encoding();
    let unsigned = encoding.encode_inputs(uniform((5, 8), 0.0, &mut rng(1)).view());
    let mut values = uniform((5, 8), 0.0, &mut rng(1));
    values[(2, 3)] = -0.5;
    let signed = encoding.encode_inputs(values.view());
    assert_eq!((unsigned.passes, signed.passes), (1, 2));
    assert_eq!(signed.batch.0.nrows(), 10);
    assert_eq!(signed.batch.0[(4, 3)], 0);
    assert!(signed.batch.0[(5, 3)] > 0);
    assert!(unsigned.batch.0.rows().into_iter().skip(5).all(|row| row.iter().all(|&code| code == 0)));
}

#[tokio::test]
async fn each_vector_is_stretched_to_its_own_dynamic_range() {
    let spec = preset("incoherent-8x8").unwrap();
    let mut mock = IncoherentMock::new(spec.clone(), 3, Script::default());
    let calibration = calibrated(&mut mock, &spec).await.unwrap();
    let mut inputs = Array2::zeros((3, 8));
    inputs.row_mut(0).assign(&Array1::linspace(0.0, 2.0, 8));
    inputs.row_mut(1).assign(&Array1::linspace(0.0, -1e-3, 8));
    let encoded = calibration.encoding().encode_inputs(inputs.view());
    assert_eq!(encoded.scales, [2.0, 1e-3, 0.0]);
    assert_eq!(encoded.batch.0[(0, 7)], 255);
    assert_eq!(encoded.batch.0[(3, 7)], 255);
    assert!(encoded.batch.0.row(4).iter().all(|&code| code == 0));
}

#[tokio::test]
async fn a_vector_of_zeros_and_an_empty_batch_give_zeros_and_nothing() {
    let spec = preset("incoherent-8x8").unwrap();
    let mut mock = IncoherentMock::new(spec.clone(), 3, Script::default());
    let calibration = calibrated(&mut mock, &spec).await.unwrap();
    let mut processor = Processor::new(Box::new(mock), &calibration).unwrap();
    let zeros = processor.mvm(Array2::zeros((2, 8)).view(), 3).await.unwrap().values;
    assert!(zeros.iter().all(|&value| value == 0.0));
    let nothing = processor.mvm(Array2::zeros((0, 8)).view(), 3).await.unwrap().values;
    assert_eq!(nothing.dim(), (3, 0, 8));
}

#[tokio::test]
async fn every_sound_element_reaches_both_ends_of_full_scale() {
    for name in KINDS {
        let spec = preset(name).unwrap();
        let mut mock = IncoherentMock::new(spec.clone(), 8, Script::default());
        let calibration = calibrated(&mut mock, &spec).await.unwrap();
        for full in [1.0, -1.0] {
            let weights = WeightMatrix::new(Array2::from_elem((16, 16), full)).unwrap();
            let encoded = calibration.encoding().encode(&weights).unwrap();
            assert!(encoded.unreachable.is_empty(), "{name}: {:?}", encoded.unreachable);
            // Half of the steepest 8-bit step, that of the ring: 1.9/255 · 2.9 of a full scale of at least 0.7, / 2.
            let worst = (&encoded.expected - full).iter().fold(0.0_f64, |max, d| d.abs().max(max));
            assert!(worst < 0.016, "{name} {full}: {worst}");
        }
    }
}

#[tokio::test]
async fn the_codes_chosen_are_the_nearest_that_the_look_up_knows() {
    for name in KINDS {
        let spec = preset(name).unwrap();
        let mut mock = IncoherentMock::new(spec.clone(), 8, Script::default());
        let calibration = calibrated(&mut mock, &spec).await.unwrap();
        let weights = WeightMatrix::new(uniform((16, 16), -1.0, &mut rng(1))).unwrap();
        let encoded = calibration.encoding().encode(&weights).unwrap();
        // Steepest 8-bit step of each kind: MZI 2 · 3.9/255 · 0.7, ring 1.9/255 · 2.9, LCOS 1.3 · 3.6/255 / 2, of a
        // full scale of at least 0.7; half of it, and the gap between the two pixels of a weight.
        let worst = (&encoded.expected - &weights.view()).iter().fold(0.0_f64, |max, d| d.abs().max(max));
        assert!(worst < 0.02, "{name}: {worst}");
    }
}

#[tokio::test]
async fn the_look_up_s_standard_error_covers_its_true_error() {
    // Without crosstalk, leakage and landing errors the readings scatter independently, as the estimate assumes.
    let mut spec = preset("incoherent-16x16").unwrap();
    spec.physics = IncoherentPhysics {
        crosstalk: 0.0,
        optical_leakage: 0.0,
        repeatability_rad: 0.0,
        phase_per_kelvin: 0.0,
        thermal_noise: 0.01,
        ..spec.physics
    };
    spec.physics.laser.sd = 0.0;
    let mut mock = IncoherentMock::new(spec.clone(), 5, Script::default());
    let calibration = calibrated(&mut mock, &spec).await.unwrap();
    let learned = learned(&calibration);
    let unit: Vec<f64> =
        learned.row_gain.iter().map(|gain| gain / spec.data_sheet().counts_per_unit).collect();
    let weights = WeightMatrix::new(uniform((16, 16), 0.02, &mut rng(4))).unwrap();
    let encoded = calibration.encoding().encode(&weights).unwrap();
    let _ = mock.apply(&encoded.frame).await.unwrap();
    let mut ratios = Vec::new();
    for ((row, col), truth) in mock.true_weights().indexed_iter() {
        let sd = learned.lookups[(row * 16 + col) * 2].weight_sd;
        ratios.push((encoded.expected[(row, col)] - truth / unit[row]) / sd);
    }
    let rms = (ratios.iter().map(|r| r * r).sum::<f64>() / ratios.len() as f64).sqrt();
    // 256 look-ups: rms of a unit normal 1 ± 0.044. The estimated sd comes from 19 degrees of freedom (+ 6 %), and
    // is a mean over the sweep where the error is of one weight.
    assert!((0.75..1.35).contains(&rms), "{rms}");
}

#[tokio::test]
async fn a_stuck_element_is_recorded_as_a_defect_and_its_cell_as_unreachable() {
    for name in KINDS {
        let spec = preset(name).unwrap();
        let rails = if name.contains("lcos") { 2 } else { 1 };
        let actuator = (5 * 16 + 7) * rails;
        let fault = Fault::StuckElement { actuator, code: 0 };
        let script = Script(vec![ScriptedFault { from_execution: 0, fault }]);
        let mut mock = IncoherentMock::new(spec.clone(), 3, script);
        let calibration = calibrated(&mut mock, &spec).await.unwrap();
        let defects = &learned(&calibration).defects;
        assert_eq!(defects.len(), 1, "{name}: {defects:?}");
        assert_eq!((defects[0].actuator, defects[0].row, defects[0].col), (actuator, 5, 7));
        assert_eq!(defects[0].kind, DefectKind::Stuck);
        let weights = WeightMatrix::new(Array2::from_elem((16, 16), 0.9)).unwrap();
        let unreachable = calibration.encoding().encode(&weights).unwrap().unreachable;
        assert_eq!(
            unreachable.iter().map(|cell| (cell.row, cell.col)).collect::<Vec<_>>(),
            [(5, 7)],
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_stuck_element_does_not_shrink_the_full_scale_of_its_row() {
    let spec = preset("incoherent-16x16").unwrap();
    let fault = Fault::StuckElement { actuator: 40, code: 0 };
    let script = Script(vec![ScriptedFault { from_execution: 0, fault }]);
    let mut sound = IncoherentMock::new(spec.clone(), 3, Script::default());
    let mut faulty = IncoherentMock::new(spec.clone(), 3, script);
    let (sound, faulty) =
        (calibrated(&mut sound, &spec).await.unwrap(), calibrated(&mut faulty, &spec).await.unwrap());
    for (sound, faulty) in learned(&sound).row_gain.iter().zip(&learned(&faulty).row_gain) {
        // Two look-ups of one chip differ by their standard error, about 0.5 %; full scale is an extreme of 32.
        assert!((faulty / sound - 1.0).abs() < 0.03, "{sound} {faulty}");
    }
}

async fn failure(fault: Fault) -> String {
    let spec = preset("incoherent-16x16").unwrap();
    let script = Script(vec![ScriptedFault { from_execution: 0, fault }]);
    let mut mock = IncoherentMock::new(spec.clone(), 3, script);
    calibrated(&mut mock, &spec).await.unwrap_err().to_string()
}

#[tokio::test]
async fn a_dead_detector_is_an_error_that_names_its_row() {
    insta::assert_snapshot!(failure(Fault::DeadDetector { output: 4 }).await, @"mock-lcos-16x16-0003: detector row 4 sees no element of its row respond, while other rows do; check its detector and amplifier");
}

#[tokio::test]
async fn a_chip_without_light_is_an_error_that_says_so() {
    insta::assert_snapshot!(failure(Fault::LaserDrop { fraction: 0.0 }).await, @"mock-lcos-16x16-0003: the elements' response is 0.1 % of the data sheet's; check that the laser is on and coupled, then calibrate again");
}

#[tokio::test]
async fn a_row_at_its_limit_is_an_error_that_names_it() {
    // How many readings are at the limit depends on the noise near zero weight: about 95 % of 48 steps × 16 inputs.
    let text = failure(Fault::Saturation { output: 9, gain: 1000.0 }).await;
    let (before, after) = text.split_once(" was at its limit in ").unwrap();
    assert!(before.ends_with(": detector row 9"), "{text}");
    assert!(after.ends_with(" of 768 readings; lower the laser power or its amplifier's gain"), "{text}");
}

#[tokio::test]
async fn a_plan_that_measures_too_little_is_refused() {
    let spec = preset("incoherent-8x8").unwrap();
    let mut mock = IncoherentMock::new(spec.clone(), 3, Script::default());
    let provenance = Provenance::of(mock.descriptor(), String::new(), 0);
    let plan = CalibrationPlan { sweep_points: 4, repeats: 1 };
    let sheet = DataSheet::Incoherent(spec.data_sheet());
    let error = calibrate(&mut mock, &sheet, &plan, provenance, &mut Silent).await.unwrap_err();
    insta::assert_snapshot!(error, @"the calibration plan has sweep_points = 4 and repeats = 1; at least 5 and 1 are needed");
}

#[derive(Default)]
struct Recorder(Vec<Event>);

impl Observer for Recorder {
    fn on(&mut self, event: Event) {
        self.0.push(event);
    }
}

#[tokio::test]
async fn progress_announces_as_many_steps_as_it_takes_and_a_defect_is_noted() {
    let spec = preset("incoherent-8x8").unwrap();
    let fault = Fault::StuckElement { actuator: 10, code: 200 };
    let mut mock =
        IncoherentMock::new(spec.clone(), 3, Script(vec![ScriptedFault { from_execution: 0, fault }]));
    let provenance = Provenance::of(mock.descriptor(), String::new(), 0);
    let sheet = DataSheet::Incoherent(spec.data_sheet());
    let mut recorder = Recorder::default();
    let calibration =
        calibrate(&mut mock, &sheet, &CalibrationPlan::default(), provenance, &mut recorder).await.unwrap();
    let steps = recorder.0.iter().filter(|event| **event == Event::Step).count() as u64;
    // 24 points of each of the two pixels of a weight.
    assert_eq!(steps, 48);
    assert_eq!(recorder.0[0], Event::Started { stage: "element sweeps", steps });
    // 64 dark vectors; a step is 8 single inputs and 16 references, 4 times.
    assert_eq!(calibration.measurements, 64 + 48 * (8 + 16) * 4);
    let notes = recorder.0.iter().filter_map(|event| match event {
        Event::Note(note) => Some(note.as_str()),
        _ => None,
    });
    // A pixel stuck open also keeps its partner from making the weight negative.
    insta::assert_snapshot!(notes.collect::<Vec<_>>().join("\n"), @r"
    element 10 (row 0, column 5) does not follow its actuator: its response is 0 % of the median; recorded as a defect
    element 11 (row 0, column 5) reaches only 6 % of the weight that its row usually reaches; recorded as a defect
    ");
}

#[tokio::test]
async fn a_calibration_leaves_the_processor_parked_and_survives_its_file() {
    let spec = preset("incoherent-8x8").unwrap();
    let mut mock = IncoherentMock::new(spec.clone(), 3, Script::default());
    let calibration = calibrated(&mut mock, &spec).await.unwrap();
    let parked = ActuatorFrame::zeros(mock.descriptor().limits.len());
    assert_eq!(mock.read_back().await.unwrap(), parked);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("calibration.toml");
    calibration.write(&path).unwrap();
    assert_eq!(Calibration::read(&path).unwrap(), calibration);
}
