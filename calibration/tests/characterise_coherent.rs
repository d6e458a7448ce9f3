//! Coherent chips about which nothing is known, characterised from their outputs and compared with the truth.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use alora_calibration::{
    Calibration, Event, Learned, Observer, Provenance, Silent, SweepTally, WeightMatrix,
    characterise::{
        Bench, CharacterisationPlan, CharacteriseError, HoldOutPlan, Journal, Source, characterise, hold_out,
    },
    readout::ReadOut,
    verify::{VerifyPlan, program_and_verify},
};
use alora_drivers::{
    DataSheet, PhotonicBackend,
    mock::{CoherentMock, CoherentSpec, Script, Spec},
};
use ndarray::{Array2, ArrayView2};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A factory-fresh 4 × 4 chip without dead elements.
fn sound() -> CoherentSpec {
    let mut spec = fresh();
    (spec.physics.stuck_fraction, spec.physics.weak_fraction) = (0.0, 0.0);
    spec
}

fn fresh() -> CoherentSpec {
    let Some(Spec::Coherent(spec)) = Spec::preset("factory-fresh-coherent-4x4") else {
        panic!("the preset exists")
    };
    spec
}

fn sheet(spec: &CoherentSpec) -> DataSheet {
    DataSheet::Coherent(spec.data_sheet())
}

async fn learn(
    spec: &CoherentSpec,
    backend: &mut CoherentMock,
    journal: &mut Journal,
    observer: &mut dyn Observer,
) -> Result<Calibration, CharacteriseError> {
    let provenance = Provenance::of(backend.descriptor(), "2025-01-01T00:00:00Z".to_owned(), 1);
    let mut bench = Bench::new(Source::Live(backend), journal, observer)?;
    characterise(&mut bench, &sheet(spec), &CharacterisationPlan::default(), provenance).await
}

/// rms over the cells of what the chip really holds less `target`, by the gains of the calibration.
fn true_sigma(
    spec: &CoherentSpec,
    backend: &mut CoherentMock,
    calibration: &Calibration,
    target: ArrayView2<'_, f64>,
    output_scale: f64,
) -> f64 {
    let Learned::CharacterisedCoherent(found) = &calibration.learned else { panic!("coherent") };
    let transfer = backend.true_transfer();
    let gains = backend.true_output_gain().to_vec();
    let square: f64 = target
        .indexed_iter()
        .map(|((i, j), w)| {
            let gain = gains[i] / spec.full_scale / found.log_output.value[i].exp();
            (transfer[(i, j)].re * gain * output_scale - w).powi(2)
        })
        .sum();
    (square / target.len() as f64).sqrt()
}

fn targets(count: usize) -> Vec<WeightMatrix> {
    let rng = &mut ChaCha8Rng::seed_from_u64(77);
    (0..count)
        .map(|_| {
            let weights: Array2<f64> = Array2::from_shape_simple_fn((4, 4), || rng.random_range(-1.0..1.0));
            let peak = weights.iter().fold(0.0, |peak: f64, w| peak.max(w.abs()));
            WeightMatrix::new(weights / peak).unwrap()
        })
        .collect()
}

#[tokio::test]
async fn a_chip_about_which_nothing_is_known_holds_matrices_to_a_fifth_of_a_percent() {
    let spec = sound();
    let (mut open, mut verified, mut count) = (0.0, 0.0, 0.0);
    for seed in 1..=4 {
        let mut backend = CoherentMock::new(spec.clone(), seed, Script::default());
        let mut journal = Journal::in_memory(backend.descriptor().clone());
        let calibration = learn(&spec, &mut backend, &mut journal, &mut Silent).await.unwrap();
        // The budget of a 4 × 4 chip.
        assert!(calibration.measurements <= 5000, "{} vectors", calibration.measurements);
        let encoding = calibration.encoding();
        for target in targets(3) {
            let encoded = encoding.encode(&target).unwrap();
            assert!(encoded.unreachable.is_empty());
            let _ = backend.apply(&encoded.frame).await.unwrap();
            let before = true_sigma(&spec, &mut backend, &calibration, target.view(), encoded.output_scale);
            let mut journal = Journal::in_memory(backend.descriptor().clone());
            let mut silent = Silent;
            let mut bench = Bench::new(Source::Live(&mut backend), &mut journal, &mut silent).unwrap();
            let plan = VerifyPlan::default();
            let loops =
                program_and_verify(&mut bench, &*encoding, &target, "loop", &plan, ReadOut::default())
                    .await
                    .unwrap();
            let _ = backend.apply(&loops.encoded.frame).await.unwrap();
            let after =
                true_sigma(&spec, &mut backend, &calibration, target.view(), loops.encoded.output_scale);
            // Of no single matrix more than twice the mean that is asked for.
            assert!(before < 4e-3 && after < 3e-3, "chip {seed}: {before} and {after}");
            // Never worse than the best that was measured.
            let least = loops.turns.iter().map(|turn| turn.measured.rms).fold(f64::INFINITY, f64::min);
            assert_eq!(loops.turns[loops.best].measured.rms, least);
            open += before;
            verified += after;
            count += 1.0;
        }
    }
    assert!(open / count < 2.0e-3, "open loop {}", open / count);
    assert!(verified / count < 1.5e-3, "verified {}", verified / count);
}

#[tokio::test]
async fn coarse_codes_are_an_error_of_the_programming_and_put_no_cell_out_of_reach() {
    let mut spec = sound();
    spec.bits.actuator = 8;
    let mut backend = CoherentMock::new(spec.clone(), 1, Script::default());
    let mut journal = Journal::in_memory(backend.descriptor().clone());
    let calibration = learn(&spec, &mut backend, &mut journal, &mut Silent).await.unwrap();
    let encoding = calibration.encoding();
    for target in targets(3) {
        let encoded = encoding.encode(&target).unwrap();
        assert!(encoded.unreachable.is_empty(), "{:?}", encoded.unreachable);
        let most = (&encoded.expected - &target.view()).iter().fold(0.0_f64, |most, e| most.max(e.abs()));
        assert!(most > 3e-3, "256 codes a shifter cannot hold every cell to {most}");
    }
}

#[tokio::test]
async fn every_weak_or_dead_heater_is_found_and_no_other() {
    let spec = fresh();
    let mut made = 0;
    for seed in 1..=16 {
        let answers = spec.answers(seed);
        let mut backend = CoherentMock::new(spec.clone(), seed, Script::default());
        let mut journal = Journal::in_memory(backend.descriptor().clone());
        let calibration = learn(&spec, &mut backend, &mut journal, &mut Silent).await.unwrap();
        let Learned::CharacterisedCoherent(found) = &calibration.learned else { panic!("coherent") };
        let found: Vec<usize> = found.defects.iter().map(|defect| defect.actuator).collect();
        let mut truth = [answers.stuck, answers.weak].concat();
        truth.sort_unstable();
        assert_eq!(found, truth, "chip {seed}");
        made += truth.len();
    }
    // 576 heaters, 1 % of them: 6 expected.
    assert!(made >= 3, "{made} defects are enough to be called a test");
}

#[tokio::test]
async fn a_shifter_behind_a_closed_attenuator_is_unseen_and_not_called_silent() {
    let mut spec = sound();
    spec.physics.stuck_fraction = 0.03;
    // Of this chip only θ of an attenuator is dead, and it stands within 13 mrad of closed.
    let seed = 1998;
    assert_eq!(spec.answers(seed).stuck, [16]);
    let mut backend = CoherentMock::new(spec.clone(), seed, Script::default());
    let mut journal = Journal::in_memory(backend.descriptor().clone());
    let calibration = learn(&spec, &mut backend, &mut journal, &mut Silent).await.unwrap();
    let Learned::CharacterisedCoherent(found) = &calibration.learned else { panic!("coherent") };
    let defects: Vec<usize> = found.defects.iter().map(|defect| defect.actuator).collect();
    assert_eq!(defects, [16]);
    // φ before it, and φ of the interferometer after it whose upper arm it alone feeds.
    assert_eq!(found.unseen, [17, 23]);
    // Noise and converter; heat that those two give would be left over if they were taken for dead.
    assert!(found.residual < 1.5 * found.expected_residual, "{}", found.residual);
}

#[tokio::test]
async fn a_sweep_that_is_not_sure_is_measured_again_in_place_of_random_settings() {
    let mut spec = sound();
    let (mut accepted, mut vectors) = (0, 0);
    for stuck_fraction in [0.0, 0.03] {
        spec.physics.stuck_fraction = stuck_fraction;
        // With dead heaters: θ of an attenuator, which a sweep does not tell from a very weak one.
        let mut backend = CoherentMock::new(spec.clone(), 1556, Script::default());
        let mut journal = Journal::in_memory(backend.descriptor().clone());
        let calibration = learn(&spec, &mut backend, &mut journal, &mut Silent).await.unwrap();
        let Learned::CharacterisedCoherent(found) = &calibration.learned else { panic!("coherent") };
        if stuck_fraction == 0.0 {
            assert_eq!(found.sweeps, SweepTally { accepted: 36, retried: 0, failed: Vec::new() });
            (accepted, vectors) = (found.sweeps.accepted, calibration.measurements);
        } else {
            assert_eq!(spec.answers(1556).stuck, [14]);
            assert_eq!((found.sweeps.accepted, found.sweeps.retried), (accepted - 1, 1));
            assert_eq!(found.sweeps.failed, ["attenuator of mode 1, θ (actuator 14)"]);
            assert_eq!(calibration.measurements, vectors);
        }
    }
}

#[test]
fn what_is_learned_does_not_depend_on_the_number_of_threads() {
    let learned = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let spec = sound();
            let mut backend = CoherentMock::new(spec.clone(), 3, Script::default());
            let mut journal = Journal::in_memory(backend.descriptor().clone());
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(learn(&spec, &mut backend, &mut journal, &mut Silent)).unwrap().learned
        })
    };
    let one = learned(1);
    assert_eq!(learned(2), one);
    assert_eq!(learned(5), one);
}

/// Wants to stop after some questions.
struct Stopping {
    steps_left: usize,
}

impl Observer for Stopping {
    fn on(&mut self, event: Event) {
        if event == Event::Step {
            self.steps_left = self.steps_left.saturating_sub(1);
        }
    }

    fn interrupted(&self) -> bool {
        self.steps_left == 0
    }
}

#[tokio::test]
async fn an_interrupted_characterisation_goes_on_with_what_it_has_and_a_replay_is_the_same_bit_by_bit() {
    let spec = sound();
    let folder = tempfile::tempdir().unwrap();
    let whole = {
        let mut backend = CoherentMock::new(spec.clone(), 3, Script::default());
        let mut journal = Journal::in_memory(backend.descriptor().clone());
        learn(&spec, &mut backend, &mut journal, &mut Silent).await.unwrap()
    };
    let mut backend = CoherentMock::new(spec.clone(), 3, Script::default());
    let mut journal = Journal::create(folder.path(), backend.descriptor().clone()).unwrap();
    for steps_left in [3, 9] {
        let stopped = learn(&spec, &mut backend, &mut journal, &mut Stopping { steps_left }).await;
        assert!(matches!(stopped, Err(CharacteriseError::Interrupted { .. })));
        journal = Journal::open(folder.path()).unwrap();
    }
    let finished = learn(&spec, &mut backend, &mut journal, &mut Silent).await.unwrap();
    // The same questions in the same order, none of them twice: the chip's noise, drawn execution by execution, is the same.
    assert_eq!(finished.measurements, whole.measurements);
    assert_eq!(finished.learned, whole.learned);

    let mut journal = Journal::open(folder.path()).unwrap();
    let mut silent = Silent;
    let mut bench = Bench::new(Source::Replay, &mut journal, &mut silent).unwrap();
    let provenance = finished.provenance.clone();
    let plan = CharacterisationPlan::default();
    let replayed = characterise(&mut bench, &sheet(&spec), &plan, provenance).await.unwrap();
    assert_eq!(replayed, finished);
    let encoding = finished.encoding();
    let plan = (HoldOutPlan::default(), VerifyPlan::default());
    let missing = hold_out(&mut bench, &*encoding, &plan.0, &plan.1, ReadOut::default()).await.unwrap_err();
    assert!(matches!(missing, CharacteriseError::NotMeasured { .. }), "{missing}");
}

#[tokio::test]
async fn a_journal_of_another_chip_is_refused() {
    let spec = sound();
    let mut backend = CoherentMock::new(spec.clone(), 1, Script::default());
    let other = CoherentMock::new(spec.clone(), 2, Script::default());
    let mut journal = Journal::in_memory(other.descriptor().clone());
    let refused = learn(&spec, &mut backend, &mut journal, &mut Silent).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the readings are of processor mock-coherent-4x4-0002, but mock-coherent-4x4-0001 is connected; connect that one, or begin a new run"
    );
}
