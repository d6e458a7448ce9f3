//! Clauses on sending inputs and reading detectors.

use std::time::Duration;

use ndarray::{Array2, Axis};

use super::{Checked, accepted, batch, expect, frame, refused, reports};
use crate::{BackendErrorKind, InputBatch, InputCode, Operation, PhotonicBackend};

/// Input vectors by which noise is looked for.
const NOISE_FRAMES: usize = 64;
const NOISE_REPEATS: usize = 4;

pub(super) async fn input_width(backend: &mut dyn PhotonicBackend) -> Checked {
    let expected = backend.descriptor().input_width();
    for found in [expected + 1, expected - 1] {
        let kind = BackendErrorKind::InputWidth { expected, found };
        refuses(backend, InputBatch(Array2::zeros((2, found))), 1, kind).await?;
    }
    Ok(())
}

pub(super) async fn input_code(backend: &mut dyn PhotonicBackend) -> Checked {
    let descriptor = backend.descriptor().clone();
    let (lowest, highest) = descriptor.input_range();
    let input = descriptor.input_width() - 1;
    for code in [highest + 1, lowest - 1, InputCode::MAX, InputCode::MIN] {
        let frame = 2;
        let mut asked = batch(&descriptor, frame + 1);
        asked.0[(frame, input)] = code;
        refuses(backend, asked, 1, BackendErrorKind::InputCode { frame, input, code, lowest, highest })
            .await?;
    }
    Ok(())
}

pub(super) async fn no_repeats(backend: &mut dyn PhotonicBackend) -> Checked {
    let sound = batch(backend.descriptor(), 2);
    refuses(backend, sound, 0, BackendErrorKind::NoRepeats).await
}

pub(super) async fn readout(backend: &mut dyn PhotonicBackend) -> Checked {
    let descriptor = backend.descriptor().clone();
    let channels = descriptor.channels();
    let _ = accepted(backend.apply(&frame(&descriptor, 1)).await, "apply")?;
    let mut last = None;
    for (repeats, frames) in [(1, 1), (3, 5), (2, 1)] {
        let readout = accepted(backend.execute(&batch(&descriptor, frames), repeats).await, "execute")?;
        let expected = (repeats, frames, channels);
        expect(readout.counts.dim() == expected, || {
            format!(
                "counts of shape {:?} for {repeats} repeats of {frames} vectors, not {expected:?}",
                readout.counts.dim()
            )
        })?;
        expect(readout.saturated.dim() == expected, || {
            format!("saturation flags of shape {:?}, not {expected:?}", readout.saturated.dim())
        })?;
        expect(readout.temperature.0.is_finite(), || format!("a temperature of {}", readout.temperature))?;
        expect(last.is_none_or(|last| readout.taken_at >= last), || {
            format!("a time stamp of {:?} after one of {last:?}", readout.taken_at)
        })?;
        last = Some(readout.taken_at);
    }
    Ok(())
}

/// Repeats of one execution differ where single executions do: a backend that copies a mean into every repeat shows
/// noise from execution to execution only.
pub(super) async fn repeats(backend: &mut dyn PhotonicBackend) -> Checked {
    let descriptor = backend.descriptor().clone();
    let inputs = batch(&descriptor, NOISE_FRAMES);
    let _ = accepted(backend.apply(&frame(&descriptor, 1)).await, "apply")?;
    let mut singles = Vec::new();
    for _ in 0..NOISE_REPEATS {
        singles.push(accepted(backend.execute(&inputs, 1).await, "execute")?.counts);
    }
    let together = accepted(backend.execute(&inputs, NOISE_REPEATS).await, "execute")?.counts;
    expect(together.len_of(Axis(0)) == NOISE_REPEATS, || {
        format!("{} repeats where {NOISE_REPEATS} were asked for", together.len_of(Axis(0)))
    })?;
    let noisy = singles.windows(2).any(|pair| pair[0] != pair[1]);
    let repeats_differ =
        together.outer_iter().zip(together.outer_iter().skip(1)).any(|(repeat, next)| repeat != next);
    expect(repeats_differ || !noisy, || {
        "equal counts in all repeats of one execution, while counts differ from execution to execution"
            .to_owned()
    })
}

pub(super) async fn keeps_codes(backend: &mut dyn PhotonicBackend) -> Checked {
    let descriptor = backend.descriptor().clone();
    let sound = frame(&descriptor, 1);
    let _ = accepted(backend.apply(&sound).await, "apply")?;
    accepted(backend.execute(&batch(&descriptor, 4), 2).await, "execute")?;
    reports(backend, &sound, "execute").await
}

pub(super) async fn wait(backend: &mut dyn PhotonicBackend) -> Checked {
    const PAUSE: Duration = Duration::from_millis(20);
    let descriptor = backend.descriptor().clone();
    let sound = frame(&descriptor, 1);
    let _ = accepted(backend.apply(&sound).await, "apply")?;
    let before = accepted(backend.execute(&batch(&descriptor, 1), 1).await, "execute")?.taken_at;
    accepted(backend.wait(PAUSE).await, "wait")?;
    reports(backend, &sound, "wait").await?;
    let after = accepted(backend.execute(&batch(&descriptor, 1), 1).await, "execute")?.taken_at;
    expect(after.0.saturating_sub(before.0) >= PAUSE, || {
        format!("a reading {:?} after the one before a wait of {PAUSE:?}", after.0.saturating_sub(before.0))
    })
}

/// Checks that a batch is refused as `kind`, and that actuators and the next execution are as they were.
async fn refuses(
    backend: &mut dyn PhotonicBackend,
    asked: InputBatch,
    repeats: usize,
    kind: BackendErrorKind,
) -> Checked {
    let descriptor = backend.descriptor().clone();
    let sound = frame(&descriptor, 1);
    let _ = accepted(backend.apply(&sound).await, "apply")?;
    refused(backend.execute(&asked, repeats).await, &descriptor, Operation::Execute, &kind)?;
    reports(backend, &sound, "a refused batch").await?;
    accepted(backend.execute(&batch(&descriptor, 1), 1).await, "execute after a refused batch").map(|_| ())
}
