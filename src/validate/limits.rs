//! What every driver owes to the chip: nothing above a limit, and all or nothing.

use alora_drivers::{
    ActuatorFrame, BackendErrorKind, PhotonicBackend,
    mock::{Script, Spec},
};
use tokio::runtime::Handle;

use super::Case;
use crate::error::Error;

/// Frames tried and what became of them.
#[derive(Default)]
struct Tally {
    presets: usize,
    frames: usize,
    accepted: usize,
    changed: usize,
    clipped_or_unnamed: usize,
}

pub(super) fn cases(runtime: &Handle) -> Result<Vec<Case>, Error> {
    let mut tally = Tally::default();
    for preset in Spec::presets() {
        let Some(spec) = Spec::preset(preset) else { continue };
        runtime.block_on(try_over_limit(&mut *spec.connect(1, Script::default()), &mut tally))?;
        tally.presets += 1;
    }
    let Tally { presets, frames, .. } = tally;
    let contract = "contract of the backend: refused whole, nothing clipped; a count, so ± 0";
    let case = |claim: String, count: usize| Case::within(claim, contract, count as f64, 0.0, 0.0);
    Ok(vec![
        case(
            format!("Of {frames} frames with one code above its limit ({presets} presets): accepted"),
            tally.accepted,
        ),
        case(
            "Of these: refused with another actuator, code or limit than the one asked".to_owned(),
            tally.clipped_or_unnamed,
        ),
        case("Of these: codes read back that differ from those before".to_owned(), tally.changed),
        Case::at_most(
            "Frames of these that were not tried, as the limit is the highest code of a frame",
            "the claim must not be empty; a count",
            (3 * presets - frames) as f64,
            0.0,
        ),
    ])
}

/// A sound frame, then one code above its limit: at the first, a middle and the last actuator.
async fn try_over_limit(backend: &mut dyn PhotonicBackend, tally: &mut Tally) -> Result<(), Error> {
    let limits = backend.descriptor().limits.clone();
    let sound =
        ActuatorFrame(limits.iter().enumerate().map(|(k, limit)| limit / 2 + (k % 2) as u16).collect());
    for actuator in [0, limits.len() / 2, limits.len() - 1] {
        let limit = limits[actuator];
        let Some(code) = limit.checked_add(1) else { continue };
        let _ = backend.apply(&sound).await?;
        let mut asked = ActuatorFrame(vec![0; limits.len()]);
        asked.0[actuator] = code;
        tally.frames += 1;
        match backend.apply(&asked).await {
            Ok(_) => tally.accepted += 1,
            Err(error) if error.kind == (BackendErrorKind::OverLimit { actuator, code, limit }) => {}
            Err(_) => tally.clipped_or_unnamed += 1,
        }
        let held = backend.read_back().await?;
        tally.changed += held.0.iter().zip(&sound.0).filter(|(held, sound)| held != sound).count();
    }
    Ok(())
}
