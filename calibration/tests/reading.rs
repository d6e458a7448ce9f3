//! Reading is studied on chips of one noise source each: law, basis, superposition, repeats, components.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use alora_calibration::{
    Calibration, CalibrationPlan, Learned, MeasurementPlan, Provenance, Silent, WeightMatrix, calibrate,
    characterise::{
        Bench, CharacteriseError, HoldOutPlan, Journal, ReadingPlan, ReadingStudy, Source, hold_out,
        study_reading,
    },
    readout::{ReadOut, read},
    statistics::probe::{AdcRange, Basis},
    verify::VerifyPlan,
};
use alora_drivers::{
    DataSheet, PhotonicBackend,
    mock::{
        CoherentMock, CoherentSpec, IncoherentMock, IncoherentSpec, Script,
        coherent::{self, CoherentPhysics},
        incoherent::{self, IncoherentPhysics},
    },
};
use ndarray::{Array2, Axis};

/// An 8 × 8 bank of ideal interferometers with the sources of error that `disturb` adds. Its counts are fine: `bits` in one range.
fn bank(bits: u8, disturb: impl Fn(&mut IncoherentPhysics)) -> IncoherentSpec {
    let mut spec = incoherent::preset("incoherent-mzi-16x16").unwrap();
    (spec.rows, spec.cols) = (8, 8);
    (spec.bits.actuator, spec.bits.output, spec.receiver_ranges) = (14, bits, 1);
    spec.physics = IncoherentPhysics::ideal();
    disturb(&mut spec.physics);
    spec
}

/// An ideal mesh with 14-bit converters and the sources of error that `disturb` adds.
fn mesh(preset: &str, disturb: impl Fn(&mut CoherentPhysics)) -> CoherentSpec {
    let mut spec = coherent::preset(preset).unwrap();
    (spec.bits.actuator, spec.bits.output) = (14, 14);
    spec.physics = CoherentPhysics::IDEAL;
    disturb(&mut spec.physics);
    spec
}

async fn calibrated(chip: &mut dyn PhotonicBackend, sheet: DataSheet) -> Calibration {
    let provenance = Provenance::of(chip.descriptor(), "2025-01-01T00:00:00Z".to_owned(), 1);
    calibrate(chip, &sheet, &CalibrationPlan::default(), provenance, &mut Silent).await.unwrap()
}

async fn studied(
    chip: &mut dyn PhotonicBackend,
    calibration: &Calibration,
    plan: &ReadingPlan,
) -> ReadingStudy {
    let mut journal = Journal::in_memory(chip.descriptor().clone());
    let mut silent = Silent;
    let mut bench = Bench::new(Source::Live(chip), &mut journal, &mut silent).unwrap();
    study_reading(&mut bench, &*calibration.encoding(), plan).await.unwrap()
}

async fn of_bank(spec: &IncoherentSpec, plan: &ReadingPlan) -> (ReadingStudy, Calibration) {
    let mut chip = IncoherentMock::new(spec.clone(), 1, Script::default());
    let calibration = calibrated(&mut chip, DataSheet::Incoherent(spec.data_sheet())).await;
    (studied(&mut chip, &calibration, plan).await, calibration)
}

async fn of_mesh(spec: &CoherentSpec, plan: &ReadingPlan) -> ReadingStudy {
    let mut chip = CoherentMock::new(spec.clone(), 1, Script::default());
    let calibration = calibrated(&mut chip, DataSheet::Coherent(spec.data_sheet())).await;
    studied(&mut chip, &calibration, plan).await
}

/// Counts of the nominal unit of photocurrent over those of a weight of 1, mean over the rows.
fn nominal_unit(spec: &IncoherentSpec, calibration: &Calibration) -> f64 {
    let Learned::Incoherent(learned) = &calibration.learned else { panic!("incoherent") };
    let mean = learned.row_gain.iter().sum::<f64>() / learned.row_gain.len() as f64;
    spec.data_sheet().counts_per_unit / mean
}

/// Reads as often as 2 ‰ of full scale ask for.
fn plan() -> ReadingPlan {
    ReadingPlan { uncertainty: 2e-3, least: 2, most: 10_000, ..ReadingPlan::default() }
}

#[tokio::test]
async fn thermal_noise_is_found_as_large_as_it_is_and_asks_for_many_inputs_at_once() {
    let spec = bank(14, |physics| physics.thermal_noise = 0.01);
    let (study, calibration) = of_bank(&spec, &plan()).await;
    let truth = (0.01 * nominal_unit(&spec, &calibration)).powi(2);
    let law = study.transfer.law;
    // 88 points of 63 degrees: 1/√(88·63/2) = 1.9 % when additive noise is alone, some more when three terms are fitted.
    assert!(law.additive_std_error < 0.06 * truth);
    assert!((law.additive - truth).abs() < 4.0 * law.additive_std_error, "{} {truth}", law.additive);
    assert!(law.shot < 4.0 * law.shot_std_error && law.relative < 4.0 * law.relative_std_error);
    assert!((study.transfer.chi_square - 93.0).abs() < 4.0 * (2.0 * 93.0_f64).sqrt() * 1.1, "{study:?}");
    assert_eq!(study.quantisation.undithered, 0.0);
    assert!(matches!(study.choice.basis, Basis::SplitHadamard | Basis::SMatrix), "{}", study.choice.reason);
    assert!(study.choice.reason.contains("additive noise"), "{}", study.choice.reason);
    assert_eq!(study.choice.candidates.len(), 3);
}

#[tokio::test]
async fn shot_noise_follows_the_light_that_a_balanced_pair_subtracts() {
    let spec = bank(14, |physics| physics.shot_noise = 0.01);
    let (study, calibration) = of_bank(&spec, &plan()).await;
    let law = study.transfer.law;
    // A unit of photocurrent has variance 1e-4, and an input brings one unit to the two diodes, whatever its weight.
    let truth = (0.01 * nominal_unit(&spec, &calibration)).powi(2);
    assert!((law.shot - truth).abs() < 4.0 * law.shot_std_error + 0.02 * truth, "{law:?} {truth}");
    assert!(law.shot_std_error < 0.15 * truth, "{law:?}");
    assert!(law.additive < 4.0 * law.additive_std_error && law.relative < 4.0 * law.relative_std_error);
}

#[tokio::test]
async fn noise_of_the_laser_is_found_as_large_as_it_is_and_asks_for_one_input_at_a_time() {
    let spec = bank(16, |physics| physics.rin = 0.01);
    let (study, _) = of_bank(&spec, &plan()).await;
    let law = study.transfer.law;
    // The dark level of a chip without leak is 0, so that a reading is the signal.
    assert!((law.relative - 1e-4).abs() < 4.0 * law.relative_std_error, "{law:?}");
    assert!(law.relative_std_error < 1e-5, "{law:?}");
    assert_eq!(study.choice.basis, Basis::OneHot, "{}", study.choice.reason);
    assert!(study.choice.reason.contains("relative intensity noise"), "{}", study.choice.reason);
}

#[tokio::test]
async fn noise_of_a_coherent_receiver_is_additive_and_asks_for_signed_hadamard_vectors() {
    for preset in ["coherent-homodyne-8x8", "coherent-8x8"] {
        let spec = mesh(preset, |physics| physics.read_noise = 0.003);
        let study = of_mesh(&spec, &plan()).await;
        let law = study.transfer.law;
        // A converter's full scale is 2¹³ steps.
        let truth = (0.003 * 8192.0 * study.quantisation.step).powi(2);
        assert!((law.additive - truth).abs() < 4.0 * law.additive_std_error, "{preset}: {law:?} {truth}");
        assert!(law.additive_std_error < 0.06 * truth, "{preset}: {law:?}");
        assert_eq!(study.choice.basis, Basis::SignedHadamard, "{preset}: {}", study.choice.reason);
        assert_eq!(study.choice.candidates.len(), 4);
    }
}

#[tokio::test]
async fn steps_that_nothing_dithers_ask_for_one_hot_unless_they_leave_more_than_is_asked() {
    let mut spec = bank(8, |_| ());
    spec.receiver_ranges = 5;
    let coarse = ReadingPlan { uncertainty: 0.01, ..plan() };
    let (study, _) = of_bank(&spec, &coarse).await;
    assert!(matches!(study.range, AdcRange::AutoRanged { bits: 7 }));
    assert_eq!(study.quantisation.undithered, 1.0);
    assert!(study.quantisation.dominates);
    assert_eq!(study.choice.basis, Basis::OneHot, "{}", study.choice.reason);
    assert!(study.choice.reason.contains("the output converter's step"), "{}", study.choice.reason);
    // √(2.16·⅓/12)/128: steps of the gain that just holds a weight.
    assert!((study.one_hot_floor - 0.00192).abs() < 1e-5, "{}", study.one_hot_floor);
    assert_eq!((study.repeats.repeats, study.repeats.reached), (2, true));

    let fine = ReadingPlan { uncertainty: 1e-3, ..plan() };
    let (study, _) = of_bank(&spec, &fine).await;
    assert_ne!(study.choice.basis, Basis::OneHot);
    assert!(study.choice.reason.contains("however often they are repeated"), "{}", study.choice.reason);
    assert!(study.repeats.reached && study.repeats.floor == 0.0);
}

#[tokio::test]
async fn superposition_holds_on_a_linear_chip_and_not_where_an_amplifier_saturates() {
    let linear = mesh("coherent-homodyne-8x8", |physics| physics.read_noise = 0.002);
    let mut chip = CoherentMock::new(linear.clone(), 3, Script::default());
    let calibration = calibrated(&mut chip, DataSheet::Coherent(linear.data_sheet())).await;
    let holds = studied(&mut chip, &calibration, &plan()).await.superposition.unwrap();
    // 1 in 1000 seeds.
    assert!(holds.p_value > 1e-3 && holds.excess < holds.excess_ci95[1], "{holds:?}");
    // The same chip behind amplifiers that end at a fifth of the range: sums of eight inputs are cut.
    let mut saturating = linear;
    saturating.physics.tia_clip = 0.2;
    let mut chip = CoherentMock::new(saturating, 3, Script::default());
    let broken = studied(&mut chip, &calibration, &plan()).await.superposition.unwrap();
    assert!(broken.p_value < 1e-6 && broken.excess_ci95[0] > holds.excess_ci95[1], "{broken:?}");
    assert!(broken.sentence.starts_with("superposition does not hold: one-hot and signed Hadamard"));
}

#[tokio::test]
async fn the_readings_planned_reach_the_uncertainty_asked_in_either_basis() {
    let noises: [fn(&mut IncoherentPhysics); 2] =
        [|physics| physics.thermal_noise = 0.01, |physics| physics.rin = 0.01];
    for (noise, one_hot) in noises.into_iter().zip([false, true]) {
        let spec = bank(16, noise);
        let mut chip = IncoherentMock::new(spec.clone(), 2, Script::default());
        let calibration = calibrated(&mut chip, DataSheet::Incoherent(spec.data_sheet())).await;
        let encoding = calibration.encoding();
        let mut journal = Journal::in_memory(chip.descriptor().clone());
        let mut silent = Silent;
        let mut bench = Bench::new(Source::Live(&mut chip), &mut journal, &mut silent).unwrap();
        let study = study_reading(&mut bench, &*encoding, &plan()).await.unwrap();
        assert_eq!(study.choice.basis == Basis::OneHot, one_hot);
        assert!(study.repeats.reached && study.repeats.repeats > 2, "{:?}", study.repeats);
        // A matrix that the study has not seen, measured 30 times so.
        let target =
            &MeasurementPlan { programmings: 1, seed: 5, ..Default::default() }.targets(8, 8).unwrap()[0];
        let encoded = encoding.encode(target).unwrap();
        let mut means: Vec<Array2<f64>> = Vec::new();
        for time in 0..30 {
            let name = format!("time-{time}");
            let reading = read(&mut bench, &*encoding, &encoded, &name, study.readout(), time).await.unwrap();
            means.push(reading.values.mean_axis(Axis(0)).unwrap());
        }
        let views: Vec<_> = means.iter().map(|mean| mean.view()).collect();
        let all = ndarray::stack(Axis(0), &views).unwrap();
        let scatter = all.var_axis(Axis(0), 1.0).mean().unwrap().sqrt();
        // 64 weights of 29 degrees: 1/√(2·1856) = 1.6 %. Multiplicative noise goes with Σw² of the matrix, whose mean over 64
        // weights is known to √(4/5/64) = 11 %, here and in the study: 8 % of σ.
        let tolerance = 4.0 * if one_hot { 0.08 } else { 0.016 + 0.01 };
        let ratio = scatter / study.repeats.uncertainty;
        assert!((ratio - 1.0).abs() < tolerance, "{:?}: {ratio}", study.choice.basis);
    }
}

#[tokio::test]
async fn holding_out_tells_errors_of_writing_from_noise_of_reading() {
    let spec = bank(14, |physics| {
        (physics.thermal_noise, physics.repeatability_rad) = (0.01, 0.01);
    });
    let mut chip = IncoherentMock::new(spec.clone(), 4, Script::default());
    let calibration = calibrated(&mut chip, DataSheet::Incoherent(spec.data_sheet())).await;
    let encoding = calibration.encoding();
    let mut journal = Journal::in_memory(chip.descriptor().clone());
    let mut silent = Silent;
    let mut bench = Bench::new(Source::Live(&mut chip), &mut journal, &mut silent).unwrap();
    let plan = HoldOutPlan { matrices: 2, rewrites: 5, ..HoldOutPlan::default() };
    let verify = VerifyPlan { turns: 1, ..VerifyPlan::default() };
    let readout = ReadOut { basis: Basis::SplitHadamard, repeats: 16 };
    let found = hold_out(&mut bench, &*encoding, &plan, &verify, readout).await.unwrap();
    assert_eq!((found.basis, found.repeats), (Basis::SplitHadamard, 16));
    let parts = found.components.unwrap();
    assert_eq!((parts.matrices, parts.writings, parts.repeats), (2, 6, 16));
    // Two passes a vector, 8 vectors: σ √(2/8); 2·64·6·15 degrees.
    let readout = 0.01 * nominal_unit(&spec, &calibration) * 0.25_f64.sqrt();
    assert!((parts.readout / readout - 1.0).abs() < 4.0 / (2.0 * 11_520_f64).sqrt() + 0.005, "{parts:?}");
    // A weight near cos φ at full contrast 1/s moves by √(1/s² − w²) a radian; s = 0.98 or a little less.
    let targets =
        MeasurementPlan { programmings: 2, seed: plan.seed, ..Default::default() }.targets(8, 8).unwrap();
    let slopes = targets.iter().flat_map(|target: &WeightMatrix| target.view().to_owned().into_iter());
    let unit = nominal_unit(&spec, &calibration) * 0.98;
    let square = slopes.map(|w| (unit * unit - w * w).max(0.0)).sum::<f64>() / 128.0;
    // 128 cells of 5 degrees: 4 % of the variance alone; slopes between cells differ, which widens it by half; the read-out's share adds
    // as much.
    let truth = 0.01 * square.sqrt();
    assert!((parts.reprogramming / truth - 1.0).abs() < 4.0 * 0.04, "{parts:?} {truth}");
    let [low, high] = parts.reprogramming_ci95;
    assert!(low > 0.0 && low < parts.reprogramming && parts.reprogramming < high);
}

#[tokio::test]
async fn a_study_is_the_same_from_its_journal_and_from_its_file_bit_by_bit() {
    let spec = bank(8, |physics| (physics.thermal_noise, physics.rin) = (0.02, 0.005));
    let mut chip = IncoherentMock::new(spec.clone(), 1, Script::default());
    let calibration = calibrated(&mut chip, DataSheet::Incoherent(spec.data_sheet())).await;
    let encoding = calibration.encoding();
    let folder = tempfile::tempdir().unwrap();
    let mut silent = Silent;
    let mut journal = Journal::create(folder.path(), chip.descriptor().clone()).unwrap();
    let mut bench = Bench::new(Source::Live(&mut chip), &mut journal, &mut silent).unwrap();
    let live = study_reading(&mut bench, &*encoding, &plan()).await.unwrap();
    let mut journal = Journal::open(folder.path()).unwrap();
    let mut bench = Bench::new(Source::Replay, &mut journal, &mut silent).unwrap();
    let replayed = study_reading(&mut bench, &*encoding, &plan()).await.unwrap();
    assert_eq!(replayed, live);
    let text = toml::to_string(&live).unwrap();
    assert_eq!(toml::from_str::<ReadingStudy>(&text).unwrap(), live);
}

#[tokio::test]
async fn a_plan_out_of_range_is_an_error_that_names_the_key() {
    let mut chip = IncoherentMock::new(bank(8, |_| ()), 1, Script::default());
    let calibration = calibrated(&mut chip, DataSheet::Incoherent(bank(8, |_| ()).data_sheet())).await;
    let mut journal = Journal::in_memory(chip.descriptor().clone());
    let mut silent = Silent;
    let mut bench = Bench::new(Source::Live(&mut chip), &mut journal, &mut silent).unwrap();
    let plan = ReadingPlan { levels: 2, ..plan() };
    let error = study_reading(&mut bench, &*calibration.encoding(), &plan).await.unwrap_err();
    assert!(matches!(error, CharacteriseError::ReadingPlan { key: "levels", .. }));
    insta::assert_snapshot!(error, @"`levels` of the reading plan is 2; 4 to 256 are allowed");
}
