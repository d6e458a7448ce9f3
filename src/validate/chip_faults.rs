//! Scripted faults of a simulated chip, found by the ordinary calibration, measurement and fit.

use alora_calibration::{
    CalibrateError, Calibration, CalibrationPlan, Cell, CoherentError, MeasurementPlan, Processor,
    Provenance, Silent, calibrate, fit, measure,
};
use alora_drivers::{
    Code,
    mock::{Fault, Script, ScriptedFault, Spec},
};
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
        for (preset, elements) in [("incoherent-16x16", 2), ("incoherent-mzi-16x16", 1)] {
            cases.extend(stuck(preset, elements).await?);
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

/// Cells whose element (every actuator of it) no longer follows its code once the chip is calibrated.
async fn stuck(preset: &'static str, elements: usize) -> Result<Vec<Case>, Error> {
    const COLS: usize = 16;
    const CODE: Code = 100;
    let broken = [(2, 3), (7, 12), (11, 0), (15, 15)].map(|(row, col)| Cell { row, col });
    let calibration = calibrated(preset, Script::default()).await?;
    let faults = broken.iter().flat_map(|cell| {
        (0..elements).map(move |rail| Fault::StuckElement {
            actuator: (cell.row * COLS + cell.col) * elements + rail,
            code: CODE,
        })
    });
    // The same chip on a later day.
    let backend = spec(preset)?.connect(CHIP, from_the_start(faults));
    let provenance = calibration.provenance.clone();
    let mut processor = Processor::new(backend, &calibration)?;
    let plan = MeasurementPlan { seed: CHIP, ..MeasurementPlan::default() };
    let record = measure(&mut processor, &plan, provenance.clone(), &mut Silent).await?;
    let found = fit(&record.pairs()?, provenance).defects.stuck.unwrap_or_default();
    let right = found.iter().filter(|cell| broken.contains(cell)).count();
    let script = "the mock's script; every one, so ± 0";
    Ok(vec![
        Case::within(
            format!("`{preset}`: elements found that stick after calibration, of 4"),
            script,
            right as f64,
            broken.len() as f64,
            0.0,
        ),
        Case::within(
            format!("`{preset}`: sound elements called stuck, of 252"),
            script,
            (found.len() - right) as f64,
            0.0,
            0.0,
        ),
    ])
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
