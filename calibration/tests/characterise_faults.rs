//! Things that go wrong at 3 a.m.: what was measured is kept, and the sentence says what and where.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::atomic::Ordering;

use alora_calibration::{
    Event, Observer, Provenance, Silent,
    characterise::{Bench, CharacterisationPlan, CharacteriseError, Journal, Question, Source, characterise},
};
use alora_drivers::{
    ActuatorFrame, InputBatch,
    mock::{Fault, Script, ScriptedFault, Spec},
};
use ndarray::Array2;

/// A preset without dead elements.
fn sound(preset: &str) -> Spec {
    let mut spec = Spec::preset(preset).unwrap();
    match &mut spec {
        Spec::Coherent(spec) => {
            (spec.physics.stuck_fraction, spec.physics.weak_fraction) = (0.0, 0.0);
        }
        Spec::Incoherent(spec) => {
            (spec.physics.stuck_fraction, spec.physics.weak_fraction) = (0.0, 0.0);
        }
    }
    spec
}

/// A factory-fresh chip without dead elements on which `fault` comes at execution `from_execution`; the journal's folder and how it ended.
async fn with_fault(
    preset: &str,
    fault: Fault,
    from_execution: u64,
) -> (tempfile::TempDir, CharacteriseError) {
    let spec = sound(preset);
    let sheet = spec.data_sheet();
    let script = Script(vec![ScriptedFault { from_execution, fault }]);
    let mut backend = spec.connect(5, script);
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(folder.path(), backend.descriptor().clone()).unwrap();
    let provenance = Provenance::of(backend.descriptor(), "2025-01-01T00:00:00Z".to_owned(), 1);
    let mut silent = Silent;
    let mut bench = Bench::new(Source::Live(&mut *backend), &mut journal, &mut silent).unwrap();
    let plan = CharacterisationPlan::default();
    match characterise(&mut bench, &sheet, &plan, provenance).await {
        Ok(_) => panic!("{preset}: {fault:?} passed unseen"),
        Err(ended) => (folder, ended),
    }
}

fn kept(folder: &tempfile::TempDir) -> (usize, usize) {
    let names: Vec<String> = std::fs::read_dir(folder.path().join("raw"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let suspect = names.iter().filter(|name| name.ends_with(".suspect.npz")).count();
    (names.len() - suspect, suspect)
}

/// An operator who presses Ctrl-C while point `points` is measured.
struct Impatient {
    points: std::sync::atomic::AtomicUsize,
}

impl Observer for Impatient {
    fn on(&mut self, _: Event) {}

    fn interrupted(&self) -> bool {
        let earlier = |left: usize| left.checked_sub(1);
        self.points.fetch_update(Ordering::Relaxed, Ordering::Relaxed, earlier).is_err()
    }
}

#[tokio::test]
async fn an_operator_who_stops_at_any_stage_goes_on_later_without_measuring_anything_twice() {
    for (preset, stops) in [(COHERENT, [3, 60, 200, 420]), (INCOHERENT, [3, 60, 300, 450])] {
        let spec = sound(preset);
        let sheet = spec.data_sheet();
        let plan = CharacterisationPlan::default();
        let folder = tempfile::tempdir().unwrap();
        let mut backend = spec.connect(5, Script::default());
        let descriptor = backend.descriptor().clone();
        let provenance = Provenance::of(&descriptor, "2025-01-01T00:00:00Z".to_owned(), 1);
        drop(Journal::create(folder.path(), descriptor).unwrap());
        let mut questions = Vec::new();
        for stop in stops {
            let mut journal = Journal::open(folder.path()).unwrap();
            let mut impatient = Impatient { points: stop.into() };
            let mut bench = Bench::new(Source::Live(&mut *backend), &mut journal, &mut impatient).unwrap();
            let ended = characterise(&mut bench, &sheet, &plan, provenance.clone()).await.err();
            let Some(CharacteriseError::Interrupted { question, .. }) = &ended else {
                panic!("{preset} at {stop}: {ended:?}")
            };
            assert!(ended.as_ref().unwrap().to_string().contains("--resume"));
            questions.push(question.clone());
            backend.park().await.unwrap();
        }
        questions.dedup();
        assert_eq!(questions.len(), stops.len(), "a stage each: {questions:?}");

        let before = files(folder.path());
        let mut journal = Journal::open(folder.path()).unwrap();
        let mut silent = Silent;
        let mut bench = Bench::new(Source::Live(&mut *backend), &mut journal, &mut silent).unwrap();
        let learned = characterise(&mut bench, &sheet, &plan, provenance.clone()).await.unwrap();
        let after = files(folder.path());
        let last = format!("{}.npz", questions[stops.len() - 1]);
        for (name, bytes) in &before {
            assert!(after.get(name) == Some(bytes) || *name == last, "{preset}: {name} was measured again");
        }

        // Where there were no interruptions the readings are others, but the readings alone decide what is learned.
        let mut journal = Journal::open(folder.path()).unwrap();
        let mut bench = Bench::new(Source::Replay, &mut journal, &mut silent).unwrap();
        assert!(characterise(&mut bench, &sheet, &plan, provenance).await.unwrap() == learned);
    }
}

fn files(folder: &std::path::Path) -> std::collections::BTreeMap<String, Vec<u8>> {
    std::fs::read_dir(folder.join("raw"))
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(&path).unwrap())
        })
        .collect()
}

const COHERENT: &str = "factory-fresh-coherent-4x4";
const INCOHERENT: &str = "factory-fresh-incoherent-16x16";

#[tokio::test]
async fn a_laser_that_falls_is_told_at_each_stage_and_what_was_measured_before_is_kept() {
    for (preset, executions) in [(COHERENT, [10, 200, 700]), (INCOHERENT, [10, 200, 700])] {
        for from_execution in executions {
            let (folder, ended) =
                with_fault(preset, Fault::LaserDrop { fraction: 0.6 }, from_execution).await;
            let CharacteriseError::LightChanged { percent, .. } = ended else {
                panic!("{preset} at {from_execution}: {ended}")
            };
            assert!((percent - 60.0).abs() < 5.0, "{percent}");
            let (good, suspect) = kept(&folder);
            assert!(good >= 1 && suspect == 1, "{preset} at {from_execution}: {good} and {suspect} files");
        }
    }
}

#[tokio::test]
async fn a_detector_that_dies_is_named() {
    for preset in [COHERENT, INCOHERENT] {
        let (folder, ended) = with_fault(preset, Fault::DeadDetector { output: 2 }, 250).await;
        assert!(matches!(ended, CharacteriseError::OutputDark { output: 2, .. }), "{preset}: {ended}");
        assert_eq!(kept(&folder).1, 1);
    }
}

#[tokio::test]
async fn a_step_of_temperature_stops_the_characterisation() {
    for preset in [COHERENT, INCOHERENT] {
        let (folder, ended) = with_fault(preset, Fault::TemperatureStep { kelvin: 2.0 }, 250).await;
        assert!(matches!(ended, CharacteriseError::TemperatureMoved { .. }), "{preset}: {ended}");
        assert_eq!(kept(&folder).1, 1);
        let text = ended.to_string();
        assert!(text.contains("+2.0") && text.contains("--resume"), "{text}");
    }
}

#[tokio::test]
async fn a_heater_that_stops_following_is_seen_as_another_chip() {
    for (preset, actuator) in [(COHERENT, 8), (INCOHERENT, 100)] {
        let (folder, ended) = with_fault(preset, Fault::StuckElement { actuator, code: 0 }, 250).await;
        assert!(matches!(ended, CharacteriseError::ChipChanged { .. }), "{preset}: {ended}");
        assert_eq!(kept(&folder).1, 1);
    }
}

#[tokio::test]
async fn a_quiet_chip_whose_oscillator_walks_is_never_taken_for_another() {
    for seed in 1..=20 {
        let Some(Spec::Coherent(mut spec)) = Spec::preset(COHERENT) else { panic!("coherent") };
        // A turn in about a hundred readings.
        spec.physics.lo_phase = 0.6;
        let shifters = 2 * spec.modes * spec.modes + spec.modes;
        let inputs = InputBatch(Array2::zeros((1, spec.modes)));
        let mut backend = Spec::Coherent(spec).connect(seed, Script::default());
        let mut journal = Journal::in_memory(backend.descriptor().clone());
        let mut silent = Silent;
        let mut bench = Bench::new(Source::Live(&mut *backend), &mut journal, &mut silent).unwrap();
        for look in 0..200 {
            let question = Question {
                name: format!("look-{look}"),
                frames: vec![ActuatorFrame::zeros(shifters)],
                inputs: vec![inputs.clone()],
                repeats: 1,
            };
            bench.ask(question).await.unwrap();
        }
    }
}
