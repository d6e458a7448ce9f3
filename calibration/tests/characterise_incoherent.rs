//! Characterisation of factory-fresh ring banks, against the truth of the chips that it never sees.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

#[path = "support/ring_truth.rs"]
mod ring_truth;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use alora_calibration::{
    DefectKind, Encoded, Encoding, Event, IncoherentCharacterisation, IncoherentPlan, Observer, Silent,
    WeightMatrix,
    characterise::{Bench, CharacteriseError, HoldOutPlan, Journal, Source, hold_out},
    readout::ReadOut,
    verify::VerifyPlan,
};
use alora_drivers::{
    InputBatch, PhotonicBackend,
    mock::{
        Fault, IncoherentMock, IncoherentSpec, OrnsteinUhlenbeck, Script, ScriptedFault,
        incoherent::{TrueDefectKind, preset},
    },
};
use ndarray::Array2;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use self::ring_truth::{Tally, coverage, true_weights};

/// A plan for tests that ask about the machinery rather than about its precision.
const SHORT: IncoherentPlan = IncoherentPlan {
    seed: 7,
    curve_points: 16,
    sweep_points: 24,
    sweep_readings: 2,
    retry_points: 24,
    rough_settings: 16,
    settings: 32,
    zeros: 4,
};

/// A chip and what was learned of it.
struct Known {
    mock: IncoherentMock,
    spec: IncoherentSpec,
    learned: IncoherentCharacterisation,
}

fn fresh(size: usize) -> IncoherentSpec {
    preset(&format!("factory-fresh-incoherent-{size}x{size}")).unwrap()
}

fn without_defects(spec: IncoherentSpec) -> IncoherentSpec {
    let mut spec = spec;
    (spec.physics.stuck_fraction, spec.physics.weak_fraction) = (0.0, 0.0);
    spec
}

fn small() -> IncoherentSpec {
    let mut spec = without_defects(fresh(16));
    (spec.rows, spec.cols) = (6, 6);
    spec
}

async fn learn_on(
    backend: &mut dyn PhotonicBackend,
    journal: &mut Journal,
    spec: &IncoherentSpec,
    plan: &IncoherentPlan,
) -> Result<IncoherentCharacterisation, CharacteriseError> {
    let mut observer = Silent;
    let mut bench = Bench::new(Source::Live(backend), journal, &mut observer)?;
    IncoherentCharacterisation::learn(&mut bench, &spec.data_sheet(), plan).await
}

async fn know(spec: IncoherentSpec, seed: u64, plan: &IncoherentPlan) -> Known {
    let mut mock = IncoherentMock::new(spec.clone(), seed, Script::default());
    let mut journal = Journal::in_memory(mock.descriptor().clone());
    let learned = learn_on(&mut mock, &mut journal, &spec, plan).await.unwrap();
    Known { mock, spec, learned }
}

/// A random matrix that no calibration has seen.
fn target(spec: &IncoherentSpec, seed: u64) -> WeightMatrix {
    let rng = &mut ChaCha8Rng::seed_from_u64(seed ^ 0xface);
    WeightMatrix::new(Array2::from_shape_simple_fn((spec.rows, spec.cols), || rng.random_range(-1.0..=1.0)))
        .unwrap()
}

impl Known {
    /// Programs `target` and lets the chip drift on by one reading.
    async fn program(&mut self, target: &WeightMatrix) -> Encoded {
        let encoded = self.learned.encode(target).unwrap();
        let _ = self.mock.apply(&encoded.frame).await.unwrap();
        let _ = self.mock.execute(&InputBatch(Array2::zeros((1, self.spec.cols))), 1).await.unwrap();
        encoded
    }

    /// rms of true less asked weights over the cells that can be reached, in percent of full scale.
    async fn open_loop(&mut self, seed: u64) -> f64 {
        let target = target(&self.spec, seed);
        let encoded = self.program(&target).await;
        let miss = true_weights(&self.mock, &self.learned) - target.view();
        let reached = |row: usize, col: usize| {
            !encoded.unreachable.iter().any(|cell| (cell.row, cell.col) == (row, col))
        };
        let squares: Vec<f64> = miss
            .indexed_iter()
            .filter(|((row, col), _)| reached(*row, *col))
            .map(|(_, miss)| miss * miss)
            .collect();
        100.0 * (squares.iter().sum::<f64>() / squares.len() as f64).sqrt()
    }
}

#[tokio::test]
async fn fresh_chips_are_programmed_to_half_a_percent_and_the_stated_intervals_cover_the_truth() {
    let mut errors = Vec::new();
    let mut tallies: BTreeMap<&str, Tally> = BTreeMap::new();
    for seed in 1..=4 {
        let mut known = know(without_defects(fresh(16)), seed, &IncoherentPlan::default()).await;
        assert_eq!(known.learned.defects, []);
        for (name, tally) in coverage(&known.mock, &known.spec, &known.learned) {
            let sum = tallies.entry(name).or_default();
            sum.covered += tally.covered;
            sum.count += tally.count;
        }
        for matrix in 0..2 {
            errors.push(known.open_loop(100 * seed + matrix).await);
        }
    }
    let mean = errors.iter().sum::<f64>() / errors.len() as f64;
    assert!(mean < 0.5, "{errors:?}");
    let (covered, count) =
        tallies.values().fold((0, 0), |(a, b), tally| (a + tally.covered, b + tally.count));
    // 4 chips of 256 rings: some 15 000 intervals; the parameters of one chip that share an error (quartic terms) are a
    // fifteenth of them.
    let share = covered as f64 / count as f64;
    assert!((0.90..0.98).contains(&share), "{share} of {count}");
    for (name, tally) in tallies.iter().filter(|(name, _)| **name != "quartic") {
        let share = tally.covered as f64 / tally.count as f64;
        assert!((0.88..0.995).contains(&share), "{name}: {share} of {}", tally.count);
    }
}

#[tokio::test]
async fn every_defective_element_is_found_by_kind_and_the_others_are_programmed_as_on_a_sound_chip() {
    for seed in [2, 12, 17] {
        let mut known = know(fresh(16), seed, &IncoherentPlan::default()).await;
        let truth: Vec<(usize, DefectKind)> = known
            .mock
            .truth()
            .defects
            .iter()
            .map(|defect| {
                let kind = match defect.kind {
                    TrueDefectKind::Stuck(_) => DefectKind::Stuck,
                    TrueDefectKind::WeakHeater(_) | TrueDefectKind::WeakLine(_) => DefectKind::Weak,
                };
                (defect.actuator, kind)
            })
            .collect();
        let found: Vec<_> =
            known.learned.defects.iter().map(|defect| (defect.actuator, defect.kind)).collect();
        assert_eq!(found, truth, "chip {seed}");
        assert!(truth.len() > 4, "chips were chosen that have defects");
        let error = known.open_loop(seed).await;
        assert!(error < 1.0, "chip {seed}: {error} %");
    }
}

#[tokio::test]
async fn a_chip_of_32_by_32_is_characterised_with_a_short_plan() {
    let plan = IncoherentPlan { rough_settings: 32, settings: 96, ..IncoherentPlan::default() };
    let mut known = know(without_defects(fresh(32)), 3, &plan).await;
    let error = known.open_loop(3).await;
    assert!(error < 0.8, "{error} %");
}

#[tokio::test]
async fn a_chip_that_warms_up_is_programmed_by_its_thermometer() {
    let mut known = know(without_defects(fresh(16)), 5, &IncoherentPlan::default()).await;
    let slope = known.learned.phase_per_kelvin;
    // A ring of nominal width gains the phase of the spec; widths spread by 3 %, over 256 rings 0.2 %.
    assert!(
        (slope.value - known.spec.physics.phase_per_kelvin).abs()
            < 4.0 * slope.std_error + 0.01 * slope.value
    );
    let step = ScriptedFault { from_execution: 0, fault: Fault::TemperatureStep { kelvin: 0.05 } };
    known.mock = IncoherentMock::new(known.spec.clone(), 5, Script(vec![step]));
    let chip = known.mock.execute(&InputBatch(Array2::zeros((1, 16))), 1).await.unwrap().temperature;
    let shifted = known.learned.at(chip);
    let shift = shifted.rings[0].bias_rad.value - known.learned.rings[0].bias_rad.value;
    let expected = known.spec.physics.phase_per_kelvin * (chip.0 - known.learned.celsius);
    // The slope is learned from a chip held to 2 mK: as uncertain as it says, and widths as above.
    let bound = 4.0 * slope.std_error / slope.value + 0.01;
    assert!((shift / expected - 1.0).abs() < bound, "{shift} {expected}");
}

#[tokio::test]
async fn while_the_temperature_jitters_matrices_are_written_for_that_of_the_last_reading() {
    let mut spec = without_defects(fresh(16));
    spec.physics.temperature = OrnsteinUhlenbeck { sd: 0.005, tau_s: 2.0 };
    let mut mock = IncoherentMock::new(spec.clone(), 4, Script::default());
    let mut journal = Journal::in_memory(mock.descriptor().clone());
    let learned = learn_on(&mut mock, &mut journal, &spec, &IncoherentPlan::default()).await.unwrap();
    let mut observer = Silent;
    let mut journal = Journal::in_memory(mock.descriptor().clone());
    let mut bench = Bench::new(Source::Live(&mut mock), &mut journal, &mut observer).unwrap();
    let plan = HoldOutPlan { repeats: 48, ..HoldOutPlan::default() };
    let readout = ReadOut { repeats: 48, ..ReadOut::default() };
    let held = hold_out(&mut bench, &learned, &plan, &VerifyPlan::default(), readout).await.unwrap();
    // 5 mK are 0.1 mrad, and up to 1.4 % of full scale on the flank of a ring.
    assert!(held.open_loop < 5e-3, "{}", held.open_loop);
    assert!(held.verified < 5e-3, "{}", held.verified);
}

#[tokio::test]
async fn a_receiver_that_clips_is_read_at_a_lower_amplitude() {
    let mut spec = without_defects(fresh(16));
    // Full scale 0.8 of one input at full power: rings at rest would clip.
    spec.receiver_headroom = 0.05;
    spec.receiver_ranges = 4;
    let mut known = know(spec, 1, &IncoherentPlan::default()).await;
    assert_eq!(known.learned.input_limit, 128);
    // Its inputs of 1 are at half the power of the chip's own.
    let target = target(&known.spec, 1);
    let _ = known.program(&target).await;
    let mut weights = true_weights(&known.mock, &known.learned);
    for (mut column, curve) in weights.columns_mut().into_iter().zip(&known.mock.truth().input_curve) {
        let x = 128.0 / 255.0;
        column *= x + 4.0 * curve * x * (1.0 - x);
    }
    let error = 100.0 * (weights - target.view()).mapv(|miss| miss * miss).mean().unwrap().sqrt();
    // Half the light: twice the noise.
    assert!(error < 1.0, "{error} %");
}

#[tokio::test]
async fn a_replay_of_the_journal_gives_the_same_numbers_bit_by_bit() {
    let folder = tempfile::tempdir().unwrap();
    let spec = small();
    let mut mock = IncoherentMock::new(spec.clone(), 1, Script::default());
    let mut journal = Journal::create(folder.path(), mock.descriptor().clone()).unwrap();
    let live = learn_on(&mut mock, &mut journal, &spec, &SHORT).await.unwrap();
    assert_eq!(replay(folder.path(), &spec).await.unwrap(), live);
}

async fn replay(
    folder: &Path,
    spec: &IncoherentSpec,
) -> Result<IncoherentCharacterisation, CharacteriseError> {
    let mut journal = Journal::open(folder).unwrap();
    let mut observer = Silent;
    let mut bench = Bench::new(Source::Replay, &mut journal, &mut observer)?;
    IncoherentCharacterisation::learn(&mut bench, &spec.data_sheet(), &SHORT).await
}

#[tokio::test]
async fn an_interrupted_characterisation_goes_on_where_it_stopped_and_asks_nothing_twice() {
    let spec = small();
    let chip = || IncoherentMock::new(spec.clone(), 1, Script::default());
    let folder = tempfile::tempdir().unwrap();
    let mut mock = chip();
    let (whole, points) =
        count(&mut mock, Journal::in_memory(chip().descriptor().clone()), &spec, usize::MAX).await;
    let mut mock = chip();
    let journal = Journal::create(folder.path(), mock.descriptor().clone()).unwrap();
    let (stopped, before) = count(&mut mock, journal, &spec, 150).await;
    assert!(matches!(stopped, Err(CharacteriseError::Interrupted { .. })), "{stopped:?}");
    assert!(matches!(replay(folder.path(), &spec).await, Err(CharacteriseError::NotMeasured { .. })));
    let (learned, after) = count(&mut mock, Journal::open(folder.path()).unwrap(), &spec, usize::MAX).await;
    assert_eq!((before, before + after), (150, points));
    assert_eq!(learned.unwrap(), whole.unwrap());
}

/// A characterisation that is stopped after `allowed` points, and how many points were measured.
async fn count(
    mock: &mut IncoherentMock,
    mut journal: Journal,
    spec: &IncoherentSpec,
    allowed: usize,
) -> (Result<IncoherentCharacterisation, CharacteriseError>, usize) {
    let mut observer = Impatient { allowed, asked: AtomicUsize::new(0) };
    let mut bench = Bench::new(Source::Live(mock), &mut journal, &mut observer).unwrap();
    let outcome = IncoherentCharacterisation::learn(&mut bench, &spec.data_sheet(), &SHORT).await;
    let asked = observer.asked.load(Ordering::Relaxed);
    (outcome, asked.min(allowed))
}

/// Stops after so many points: a bench asks before each.
struct Impatient {
    allowed: usize,
    asked: AtomicUsize,
}

impl Observer for Impatient {
    fn on(&mut self, _event: Event) {}

    fn interrupted(&self) -> bool {
        self.asked.fetch_add(1, Ordering::Relaxed) >= self.allowed
    }
}

#[test]
fn the_numbers_do_not_depend_on_the_number_of_threads() {
    let on = |threads: usize| {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(know(small(), 3, &SHORT)).learned
        })
    };
    assert_eq!(on(1), on(3));
}

/// One small chip for the tests of its encoding.
fn small_chip() -> &'static IncoherentCharacterisation {
    static CHIP: OnceLock<IncoherentCharacterisation> = OnceLock::new();
    CHIP.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(know(small(), 4, &SHORT)).learned
    })
}

#[test]
fn a_characterisation_survives_its_file() {
    let learned = small_chip();
    let text = toml::to_string(learned).unwrap();
    assert_eq!(toml::from_str::<IncoherentCharacterisation>(&text).unwrap(), *learned);
}

#[test]
fn a_correction_below_half_a_step_moves_nothing_and_a_larger_one_moves_its_ring_alone() {
    let learned = small_chip();
    let encoded = learned.encode(&target(&small(), 1)).unwrap();
    // A step is at most 0.7 % of full scale; 0.01 % is below half of any but the flattest, near resonance.
    let held = learned.refine(&encoded, Array2::from_elem((6, 6), 1e-6).view()).unwrap();
    assert_eq!(held.frame, encoded.frame);
    assert_eq!(held.expected, encoded.expected);
    let mut correction = Array2::zeros((6, 6));
    let cell = (2, 3);
    correction[cell] = if encoded.expected[cell] > 0.0 { -0.05 } else { 0.05 };
    let moved = learned.refine(&encoded, correction.view()).unwrap();
    let changed: Vec<usize> = (0..36).filter(|&ring| moved.frame.0[ring] != encoded.frame.0[ring]).collect();
    assert_eq!(changed, [2 * 6 + 3]);
    let step = moved.expected[cell] - encoded.expected[cell];
    // To the nearest code: half a step of at most 1 %.
    assert!((step - correction[cell]).abs() < 0.006, "{step}");
}

#[test]
fn inputs_are_sent_with_the_codes_that_make_up_for_their_modulators() {
    let learned = small_chip();
    let inputs = learned.encode_inputs(Array2::from_elem((1, 6), 0.5).view());
    // Stretched to the top code; half of it only beside a larger value.
    assert!(inputs.batch.0.row(0).iter().all(|&code| code == learned.input_limit));
    let mut values = Array2::from_elem((1, 6), 0.5);
    values[(0, 0)] = 1.0;
    let inputs = learned.encode_inputs(values.view());
    for (input, curve) in learned.inputs.iter().enumerate().skip(1) {
        let code = f64::from(inputs.batch.0[(0, input)]) / f64::from(learned.input_limit);
        // The nearest code: half a step of 1/255, times a slope of at most 1.2.
        assert!((curve.at(code) - 0.5).abs() < 0.0024, "input {input}");
    }
}

#[tokio::test]
async fn a_matrix_of_another_shape_is_refused_and_cells_beyond_reach_are_named() {
    let learned = small_chip();
    assert!(learned.encode(&WeightMatrix::new(Array2::zeros((2, 6))).unwrap()).is_err());
    let full = WeightMatrix::new(Array2::from_elem((6, 6), 1.0)).unwrap();
    assert_eq!(learned.encode(&full).unwrap().unreachable, []);
}

#[tokio::test]
async fn a_dead_detector_and_a_wrong_plan_are_errors_that_name_them() {
    let spec = small();
    let fault = ScriptedFault { from_execution: 0, fault: Fault::DeadDetector { output: 4 } };
    let mut mock = IncoherentMock::new(spec.clone(), 1, Script(vec![fault]));
    let mut journal = Journal::in_memory(mock.descriptor().clone());
    let error = learn_on(&mut mock, &mut journal, &spec, &SHORT).await.unwrap_err();
    let CharacteriseError::DarkRow { row: 4, .. } = error else { panic!("{error}") };
    let plan = IncoherentPlan { settings: 3, ..SHORT };
    let error = learn_on(&mut mock, &mut journal, &spec, &plan).await.unwrap_err();
    insta::assert_snapshot!(error, @"`settings` of the incoherent plan is 3; 32 to 10000 are allowed");
}

#[tokio::test]
async fn a_processor_without_rings_is_an_error_that_says_what_to_do() {
    let spec = preset("incoherent-mzi-16x16").unwrap();
    let mut mock = IncoherentMock::new(spec.clone(), 1, Script::default());
    let mut journal = Journal::in_memory(mock.descriptor().clone());
    let error = learn_on(&mut mock, &mut journal, &spec, &SHORT).await.unwrap_err();
    insta::assert_snapshot!(error, @"mock-mzi-16x16-0001 is no bank of add-drop rings, the only incoherent kind that can be characterised; calibrate it from its data sheet with `alora calibrate`");
}
