//! Scripted faults of a simulated chip, found by the ordinary calibration, measurement and fit.

use alora_calibration::{
    CalibrateError, Calibration, CalibrationPlan, Cell, CoherentError, DefectKind, Learned, MeasurementPlan,
    Processor, Provenance, Silent, calibrate, fit, measure,
};
use alora_drivers::mock::{Fault, Script, ScriptedFault, Spec};
use tokio::runtime::Handle;

use super::Case;
use crate::error::Error;

/// Chip of every case here.
const CHIP: u64 = 77;
/// Output whose detector is dead.
const DEAD: usize = 5;

pub(super) fn cases(runtime: &Handle) -> Result<Vec<Case>, Error> {
    runtime.block_on(async {
        let mut cases = Vec::new();
        for (preset, rails) in [("incoherent-16x16", 2), ("incoherent-mzi-16x16", 1)] {
            cases.extend(stuck_before(preset, rails).await?);
            cases.extend(stuck_after(preset, rails).await?);
        }
        for preset in ["incoherent-16x16", "coherent-8x8"] {
            cases.push(dead_detector(preset).await);
        }
        Ok(cases)
    })
}

fn from_the_start(faults: impl IntoIterator<Item = Fault>) -> Script {
    Script(faults.into_iter().map(|fault| ScriptedFault { from_execution: 0, fault }).collect())
}

fn spec(preset: &str) -> Result<Spec, Error> {
    Spec::preset(preset).ok_or_else(|| Error::OutOfSpec(format!("there is no preset `{preset}` to validate")))
}

async fn calibrated(preset: &str, script: Script) -> Result<Calibration, Error> {
    let spec = spec(preset)?;
    let sheet = spec.data_sheet();
    let mut backend = spec.connect(CHIP, script);
    let provenance = Provenance::of(backend.descriptor(), String::new(), CHIP);
    let plan = CalibrationPlan::default();
    Ok(calibrate(&mut *backend, &sheet, &plan, provenance, &mut Silent).await?)
}

const COLS: usize = 16;
const BROKEN: [Cell; 4] =
    [Cell { row: 2, col: 3 }, Cell { row: 7, col: 12 }, Cell { row: 11, col: 0 }, Cell { row: 15, col: 15 }];

/// One element of each broken cell stuck at code 100; where a weight has two, those of each sign in turn.
fn stuck_elements(rails: usize) -> Script {
    from_the_start(BROKEN.iter().enumerate().map(|(index, cell)| Fault::StuckElement {
        actuator: (cell.row * COLS + cell.col) * rails + index % rails,
        code: 100,
    }))
}

/// Elements that stick once the chip is calibrated are found by measurement and fit.
async fn stuck_after(preset: &'static str, rails: usize) -> Result<Vec<Case>, Error> {
    let calibration = calibrated(preset, Script::default()).await?;
    // The same chip on a later day.
    let backend = spec(preset)?.connect(CHIP, stuck_elements(rails));
    let provenance = calibration.provenance.clone();
    let mut processor = Processor::new(backend, &calibration)?;
    let plan = MeasurementPlan { seed: CHIP, ..MeasurementPlan::default() };
    let record = measure(&mut processor, &plan, provenance.clone(), &mut Silent).await?;
    let found = fit(&record.pairs()?, provenance).defects.stuck.unwrap_or_default();
    Ok(found_and_blamed(
        &format!("`{preset}`: weights whose element sticks after calibration"),
        "the fit",
        &found,
    ))
}

/// Elements that stick from the start are named by calibration.
async fn stuck_before(preset: &'static str, rails: usize) -> Result<Vec<Case>, Error> {
    let Learned::Incoherent(learned) = calibrated(preset, stuck_elements(rails)).await?.learned else {
        return Ok(Vec::new());
    };
    let stuck = learned.defects.iter().filter(|defect| defect.kind == DefectKind::Stuck);
    let found: Vec<Cell> = stuck.map(|defect| Cell { row: defect.row, col: defect.col }).collect();
    Ok(found_and_blamed(&format!("`{preset}`: elements that stick from the start"), "calibration", &found))
}

fn found_and_blamed(what: &str, by: &str, found: &[Cell]) -> Vec<Case> {
    let right = BROKEN.iter().filter(|cell| found.contains(cell)).count();
    let wrong = found.iter().filter(|cell| !BROKEN.contains(cell)).count();
    let script = "the mock's script; every one, so ± 0";
    vec![
        Case::within(format!("{what}: found by {by}, of 4"), script, right as f64, BROKEN.len() as f64, 0.0),
        Case::within(format!("{what}: sound ones called stuck by {by}"), script, wrong as f64, 0.0, 0.0),
    ]
}

/// The output that calibration names when its detector is dead.
async fn dead_detector(preset: &'static str) -> Case {
    let named = match calibrated(preset, from_the_start([Fault::DeadDetector { output: DEAD }])).await {
        Err(Error::Calibrate(CalibrateError::DeadRow { row, .. })) => row as f64,
        Err(Error::Calibrate(CalibrateError::Coherent(CoherentError::DeadOutput { output, .. }))) => {
            output as f64
        }
        _ => f64::NAN,
    };
    Case::within(
        format!("`{preset}`: output that calibration names in its error when its detector is dead"),
        "the mock's script: output 5; a name, so ± 0",
        named,
        DEAD as f64,
        0.0,
    )
}
