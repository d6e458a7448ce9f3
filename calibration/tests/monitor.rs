//! A calibration under watch: the alarm comes before the budget is broken, and not while nothing happens.
#![allow(clippy::unwrap_used, reason = "tests")]

use alora_calibration::{
    Calibration, Provenance, Silent, WeightMatrix,
    characterise::{Bench, CharacterisationPlan, Journal, Source, characterise},
    drift::{DriftPlan, DriftRecord, observe_drift},
    monitor::{Check, Monitor, MonitorPlan},
    readout::{ReadOut, read},
    verify::{Deviation, VerifyPlan},
};
use alora_drivers::{
    ActuatorFrame, InputBatch, PhotonicBackend,
    mock::{CoherentSpec, Fault, OrnsteinUhlenbeck, Script, ScriptedFault, Spec},
};
use ndarray::Array2;

const SEED: u64 = 3;

/// A fresh 4 × 4 mesh without dead elements whose temperature drifts as said.
fn spec(temperature: OrnsteinUhlenbeck) -> CoherentSpec {
    let Some(Spec::Coherent(mut spec)) = Spec::preset("factory-fresh-coherent-4x4") else { unreachable!() };
    (spec.physics.stuck_fraction, spec.physics.weak_fraction) = (0.0, 0.0);
    spec.physics.temperature = temperature;
    spec
}

async fn characterised() -> Calibration {
    let spec = Spec::Coherent(spec(OrnsteinUhlenbeck { sd: 0.005, tau_s: 600.0 }));
    let sheet = spec.data_sheet();
    let mut backend = spec.connect(SEED, Script::default());
    let mut journal = Journal::in_memory(backend.descriptor().clone());
    let provenance = Provenance::of(backend.descriptor(), "2025-01-01T00:00:00Z".to_owned(), 1);
    let mut silent = Silent;
    let mut bench = Bench::new(Source::Live(&mut *backend), &mut journal, &mut silent).unwrap();
    characterise(&mut bench, &sheet, &CharacterisationPlan::default(), provenance).await.unwrap()
}

/// The same chip, `history` executions old: each history drifts another way.
async fn chip(temperature: OrnsteinUhlenbeck, history: usize) -> Box<dyn PhotonicBackend> {
    let mut backend = Spec::Coherent(spec(temperature)).connect(SEED, Script::default());
    let inputs = InputBatch(Array2::zeros((1, backend.descriptor().input_width())));
    for _ in 0..history {
        backend.execute(&inputs, 1).await.unwrap();
    }
    backend
}

/// Checks up to `most`, or to the alarm; with the whole matrix read again at the end: its σ then.
async fn watched(
    calibration: &Calibration,
    backend: &mut dyn PhotonicBackend,
    plan: &MonitorPlan,
    most: usize,
) -> (Vec<Check>, f64) {
    let encoding = calibration.encoding();
    let mut journal = Journal::in_memory(backend.descriptor().clone());
    let mut silent = Silent;
    let mut bench = Bench::new(Source::Live(backend), &mut journal, &mut silent).unwrap();
    let target = WeightMatrix::new(Array2::from_shape_fn((4, 4), |(i, j)| {
        (1.0 + (5 * i + 3 * j) as f64).sin() / 1.0001
    }))
    .unwrap();
    let (mut monitor, first) =
        Monitor::begin(&mut bench, &*encoding, Some(target.clone()), plan, &VerifyPlan::default())
            .await
            .unwrap();
    let mut checks = vec![first];
    while checks.len() < most && !checks.last().unwrap().due {
        checks.push(monitor.next(&mut bench).await.unwrap());
    }
    let encoded = encoding.encode(&target).unwrap();
    let whole = read(&mut bench, &*encoding, &encoded, "end", ReadOut::default(), 9).await.unwrap();
    let kept = Array2::from_elem((4, 4), true);
    let open = Deviation::of(whole.values.view(), &target, &kept).programming;
    (checks, open)
}

/// A package that is not held well: the temperature wanders some 0.02 K in a minute, and σ leaves 0.5 % within the hour.
const WANDERS: OrnsteinUhlenbeck = OrnsteinUhlenbeck { sd: 1.0, tau_s: 200_000.0 };

#[tokio::test]
async fn a_ring_bank_is_written_for_its_temperature_and_has_no_alarm_in_a_quiet_hour() {
    let Some(Spec::Incoherent(mut spec)) = Spec::preset("factory-fresh-incoherent-16x16") else {
        unreachable!()
    };
    (spec.physics.stuck_fraction, spec.physics.weak_fraction) = (0.0, 0.0);
    for seed in 1..=3 {
        let spec = Spec::Incoherent(spec.clone());
        let sheet = spec.data_sheet();
        let mut backend = spec.connect(seed, Script::default());
        let mut journal = Journal::in_memory(backend.descriptor().clone());
        let provenance = Provenance::of(backend.descriptor(), "2025-01-01T00:00:00Z".to_owned(), 1);
        let mut silent = Silent;
        let mut bench = Bench::new(Source::Live(&mut *backend), &mut journal, &mut silent).unwrap();
        let plan = CharacterisationPlan::default();
        let calibration = characterise(&mut bench, &sheet, &plan, provenance).await.unwrap();
        let encoding = calibration.encoding();
        let plan = MonitorPlan { budget: 0.005, ..Default::default() };
        let (mut monitor, mut last) =
            Monitor::begin(&mut bench, &*encoding, None, &plan, &VerifyPlan::default()).await.unwrap();
        for _ in 0..60 {
            last = monitor.next(&mut bench).await.unwrap();
            assert!(!last.due, "chip {seed}: {last:?}");
        }
        assert!((last.at_s - 3600.0).abs() < 60.0, "{last:?}");
    }
}

/// Not held at all: 0.05 K in 15 s.
const UNHELD: OrnsteinUhlenbeck = OrnsteinUhlenbeck { sd: 1.0, tau_s: 12_000.0 };

#[tokio::test]
async fn the_alarm_comes_before_the_budget_is_broken() {
    let calibration = characterised().await;
    let plan = MonitorPlan { budget: 0.005, ..Default::default() };
    let (mut late, mut alarms) = (0, 0);
    for history in 0..20 {
        let mut backend = chip(WANDERS, history).await;
        let (checks, at_alarm) = watched(&calibration, &mut *backend, &plan, 600).await;
        let last = checks.last().unwrap();

        if last.due {
            alarms += 1;
            // The whole matrix, read anew: open loop, so 0.1 % from programming is in it.
            late += usize::from(at_alarm > 0.005);
            assert!(last.sigma > 0.0005, "at {} %", 100.0 * last.sigma);
        }
    }
    assert!(alarms >= 15, "{alarms} alarms");
    // A step beyond three of its standard deviations comes once in 700.
    assert!(late <= 1, "{late} of {alarms} alarms were late");
}

#[tokio::test]
async fn a_quiet_hour_has_no_alarm() {
    let calibration = characterised().await;
    let plan = MonitorPlan { budget: 0.005, ..Default::default() };
    for history in 0..20 {
        let mut backend = chip(OrnsteinUhlenbeck { sd: 0.005, tau_s: 600.0 }, history).await;
        let (checks, _) = watched(&calibration, &mut *backend, &plan, 61).await;
        let last = checks.last().unwrap();
        assert!(!last.due && checks.len() == 61, "history {history}: {last:?}");
        assert!((last.at_s - 3600.0).abs() < 30.0, "{}", last.at_s);
        assert!((last.gain - 1.0).abs() < 0.005, "{}", last.gain);
    }
}

async fn drift(temperature: OrnsteinUhlenbeck, history: usize, plan: &DriftPlan) -> Option<DriftRecord> {
    let calibration = characterised().await;
    let encoding = calibration.encoding();
    let mut backend = chip(temperature, history).await;
    let mut journal = Journal::in_memory(backend.descriptor().clone());
    let mut silent = Silent;
    let mut bench = Bench::new(Source::Live(&mut *backend), &mut journal, &mut silent).unwrap();
    observe_drift(&mut bench, &*encoding, plan, ReadOut::default(), 0.001, 0.005).await.unwrap()
}

#[tokio::test]
async fn a_wandering_temperature_is_seen_as_drift_of_all_weights_together() {
    let record = drift(UNHELD, 1, &DriftPlan::default()).await.unwrap();

    assert_eq!(record.points, 41);
    assert!((record.duration_s - 600.0).abs() < 1.0, "{}", record.duration_s);
    assert!(record.independent.unwrap() < 2.0, "{:?}", record.independent);
    assert_eq!(record.validity.ci95, None, "one history makes no interval");
    assert!((60.0..f64::INFINITY).contains(&record.validity.seconds), "{:?}", record.validity);
    assert!(record.test.p_value < 0.01, "{:?}", record.test);
    let (first, last) = (record.lags.first().unwrap(), record.lags.last().unwrap());
    assert!(last.change > 1.5 * first.change, "{:?}", record.lags);
}

#[tokio::test]
async fn a_still_chip_keeps_its_budget_for_longer_than_it_was_observed() {
    let record = drift(OrnsteinUhlenbeck::OFF, 0, &DriftPlan::default()).await.unwrap();
    assert!(record.validity.extrapolated);
    assert!(record.test.p_value > 0.05, "{:?}", record.test);
    assert!(record.validity.seconds.is_infinite(), "{:?}", record.validity);
    let [least, most] = record.validity.ci95.unwrap();
    assert!(least > record.duration_s && most.is_infinite(), "{:?}", record.validity);
}

#[tokio::test]
async fn nothing_is_observed_in_no_time() {
    let plan = DriftPlan { duration_s: 0.0, ..Default::default() };
    assert!(drift(OrnsteinUhlenbeck::OFF, 0, &plan).await.is_none());
}

#[tokio::test]
async fn a_laser_that_fades_is_corrected_by_one_factor() {
    let calibration = characterised().await;
    let encoding = calibration.encoding();
    let script =
        Script(vec![ScriptedFault { from_execution: 30, fault: Fault::LaserDrop { fraction: 0.97 } }]);
    let still = Spec::Coherent(spec(OrnsteinUhlenbeck::OFF));
    let mut backend = still.connect(SEED, script);
    let mut journal = Journal::in_memory(backend.descriptor().clone());
    let mut silent = Silent;
    let mut bench = Bench::new(Source::Live(&mut *backend), &mut journal, &mut silent).unwrap();
    let plan = MonitorPlan::default();
    let (mut monitor, _) =
        Monitor::begin(&mut bench, &*encoding, None, &plan, &VerifyPlan::default()).await.unwrap();
    let mut last = monitor.next(&mut bench).await.unwrap();
    for _ in 0..30 {
        last = monitor.next(&mut bench).await.unwrap();
    }
    // 4 vectors with read-out noise of 0.025 % of a weight each.
    assert!((last.gain - 0.97).abs() < 0.001, "{last:?}");
    assert!(!last.due && last.sigma < 0.002, "{last:?}");

    let target = WeightMatrix::new(Array2::from_shape_fn((4, 4), |(i, j)| {
        (1.0 + (5 * i + 3 * j) as f64).sin() / 1.0001
    }))
    .unwrap();
    let kept = Array2::from_elem((4, 4), true);
    let (mut before, mut after) = (0.0, 0.0);
    for (sigma, calibration, name) in [
        (&mut before, calibration.clone(), "before"),
        (&mut after, calibration.clone().with_light(last.gain), "after"),
    ] {
        let encoding = calibration.encoding();
        let encoded = encoding.encode(&target).unwrap();
        // The look of the bench would refuse a light that has changed by more than a tenth.
        let whole = read(&mut bench, &*encoding, &encoded, name, ReadOut::default(), 9).await.unwrap();
        *sigma = Deviation::of(whole.values.view(), &target, &kept).programming;
    }
    assert!(before > 0.01 && after < 0.003, "{before} {after}");
}

#[test]
fn a_held_setting_is_written_once() {
    // Told apart from writing anew by the writing error of the mock: a frame written again is another matrix.
    let mut spec = spec(OrnsteinUhlenbeck::OFF);
    spec.physics.repeatability = 0.002;
    spec.physics.lo_phase = 0.0;
    spec.physics.read_noise = 0.0;
    spec.physics.shot_noise = 0.0;
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut backend = Spec::Coherent(spec).connect(SEED, Script::default());
        let mut journal = Journal::in_memory(backend.descriptor().clone());
        let actuators = backend.descriptor().limits.len();
        let width = backend.descriptor().input_width();
        let mut silent = Silent;
        let mut bench = Bench::new(Source::Live(&mut *backend), &mut journal, &mut silent).unwrap();
        let question = |name: &str| alora_calibration::characterise::Question {
            name: name.to_owned(),
            frames: vec![ActuatorFrame(vec![1000; actuators]); 3],
            inputs: vec![InputBatch(Array2::from_elem((1, width), 100))],
            repeats: 1,
        };
        let pauses = [std::time::Duration::from_secs(1); 3];
        let held = bench.observe(question("held"), &pauses).await.unwrap();
        let again = bench.observe(question("again"), &pauses).await.unwrap();
        assert!(held.iter().chain(&again).all(|readout| readout.counts == held[0].counts));
        assert_eq!(held[2].taken_at.0.as_secs() - held[0].taken_at.0.as_secs(), 2);
        let written = bench.ask(question("written")).await.unwrap();
        assert!(written[0].counts != written[1].counts);
    });
}
