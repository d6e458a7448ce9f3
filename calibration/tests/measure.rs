//! Measuring a calibrated (mock) processor.
#![allow(clippy::unwrap_used, reason = "tests")]

use alora_calibration::{
    Calibration, CalibrationPlan, Event, MeasureError, MeasurementPlan, MeasurementRecord, Observer,
    Processor, Provenance, Silent, calibrate, fit, measure,
};
use alora_drivers::{
    PhotonicBackend,
    mock::{Fault, Script, ScriptedFault, Spec},
};

const PRESET: &str = "incoherent-16x16";

async fn calibrated(seed: u64) -> Calibration {
    let spec = Spec::preset(PRESET).unwrap();
    let sheet = spec.data_sheet();
    let mut backend = spec.connect(seed, Script::default());
    let provenance = origin(backend.as_ref());
    calibrate(backend.as_mut(), &sheet, &CalibrationPlan::default(), provenance, &mut Silent).await.unwrap()
}

async fn processor(script: Script) -> Processor {
    let calibration = calibrated(7).await;
    Processor::new(Spec::preset(PRESET).unwrap().connect(7, script), &calibration).unwrap()
}

fn origin(backend: &dyn PhotonicBackend) -> Provenance {
    Provenance::of(backend.descriptor(), "2026-01-01T00:00:00Z".to_owned(), 7)
}

async fn measured(processor: &mut Processor, plan: &MeasurementPlan) -> MeasurementRecord {
    let provenance = Provenance::of(processor.descriptor(), "2026-01-01T00:00:00Z".to_owned(), plan.seed);
    measure(processor, plan, provenance, &mut Silent).await.unwrap()
}

#[derive(Default)]
struct Heard(Vec<Event>);

impl Observer for Heard {
    fn on(&mut self, event: Event) {
        self.0.push(event);
    }
}

#[tokio::test]
async fn a_measurement_keeps_every_reading_and_parks_the_processor() {
    let mut processor = processor(Script::default()).await;
    let plan = MeasurementPlan { programmings: 2, repeats: 3, seed: 1, ..MeasurementPlan::default() };
    let record = measured(&mut processor, &plan).await;
    assert_eq!(record.measured.dim(), (2, 3, 16, 16));
    assert_eq!(record.programmings.len(), 2);
    for (index, target) in plan.targets(16, 16).unwrap().iter().enumerate() {
        assert_eq!(record.targets.index_axis(ndarray::Axis(0), index), target.view());
    }
    assert!(record.verified() && record.provenance.simulated);
    assert!(record.programmings[0].taken_at < record.programmings[1].taken_at);
    assert!(processor.read_back().await.unwrap().0.iter().all(|&code| code == 0));
}

#[tokio::test]
async fn progress_has_one_step_a_programming() {
    let mut processor = processor(Script::default()).await;
    let plan = MeasurementPlan { programmings: 3, repeats: 1, ..MeasurementPlan::default() };
    let provenance = Provenance::of(processor.descriptor(), String::new(), 0);
    let mut heard = Heard::default();
    measure(&mut processor, &plan, provenance, &mut heard).await.unwrap();
    assert_eq!(heard.0.first(), Some(&Event::Started { stage: "programmings", steps: 3 }));
    assert_eq!(heard.0.iter().filter(|event| **event == Event::Step).count(), 3);
    assert_eq!(heard.0.last(), Some(&Event::Finished));
}

#[tokio::test]
async fn a_plan_that_asks_for_nothing_is_refused_before_anything_is_sent() {
    let mut processor = processor(Script::default()).await;
    let provenance = Provenance::of(processor.descriptor(), String::new(), 0);
    let plan = MeasurementPlan { repeats: 0, ..MeasurementPlan::default() };
    let error = measure(&mut processor, &plan, provenance, &mut Silent).await.unwrap_err();
    assert!(matches!(error, MeasureError::Plan { key: "repeats" }));
    insta::assert_snapshot!(error, @"the measurement plan has `repeats = 0`; give at least 1");
}

#[tokio::test]
async fn a_record_of_the_mock_comes_back_from_disk_and_fits_near_the_papers_sigma() {
    let mut processor = processor(Script::default()).await;
    let record = measured(&mut processor, &MeasurementPlan::default()).await;
    let folder = tempfile::tempdir().unwrap();
    record.write(&folder.path().join("record")).unwrap();
    let back = MeasurementRecord::read(&folder.path().join("record.toml")).unwrap();
    assert_eq!(back, record);
    let report = fit(&back.pairs().unwrap(), back.provenance.clone());
    assert!(report.simulated);
    assert_eq!(report.defects.stuck, Some(vec![]));
    // One chip of many: the preset promises 1.2 ± 0.1 % in the mean over chips.
    assert!((0.010..0.014).contains(&report.sigma.rms), "{:?}", report.sigma);
}

#[tokio::test]
async fn an_element_that_sticks_on_the_mock_is_named() {
    // This preset has two elements a weight, one for each sign: only half of the response is lost.
    for (rail, code) in [(0, 0), (0, 255), (1, 0), (1, 128)] {
        let stuck = Fault::StuckElement { actuator: (16 * 3 + 5) * 2 + rail, code };
        let mut processor = processor(Script(vec![ScriptedFault { from_execution: 0, fault: stuck }])).await;
        let record = measured(&mut processor, &MeasurementPlan::default()).await;
        let report = fit(&record.pairs().unwrap(), record.provenance.clone());
        let cell = alora_calibration::Cell { row: 3, col: 5 };
        assert_eq!(report.defects.stuck, Some(vec![cell]), "element {rail} at code {code}");
    }
}
