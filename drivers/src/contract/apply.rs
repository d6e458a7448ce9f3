//! Clauses on writing actuators.

use super::{Checked, accepted, batch, expect, frame, refused, reports};
use crate::{ActuatorFrame, BackendErrorKind, Code, Operation, PhotonicBackend};

pub(super) async fn holds(backend: &mut dyn PhotonicBackend) -> Checked {
    let descriptor = backend.descriptor().clone();
    let highest = ActuatorFrame(descriptor.limits.clone());
    for asked in [frame(&descriptor, 1), highest, frame(&descriptor, 2)] {
        let applied = accepted(backend.apply(&asked).await, "apply")?;
        expect(applied.verified == (applied.codes == asked), || {
            format!("`verified` is {}, while the codes reported say otherwise", applied.verified)
        })?;
        expect(applied.codes == asked, || "other codes reported than were asked for".to_owned())?;
        reports(backend, &asked, "apply").await?;
    }
    Ok(())
}

pub(super) async fn frame_length(backend: &mut dyn PhotonicBackend) -> Checked {
    let expected = backend.descriptor().limits.len();
    for found in [expected + 1, expected - 1, 0] {
        let kind = BackendErrorKind::FrameLength { expected, found };
        refuses(backend, ActuatorFrame::zeros(found), kind).await?;
    }
    Ok(())
}

pub(super) async fn over_limit(backend: &mut dyn PhotonicBackend) -> Checked {
    let descriptor = backend.descriptor().clone();
    let actuators = descriptor.limits.len();
    for actuator in [0, actuators / 2, actuators - 1] {
        let limit = descriptor.limits[actuator];
        // An actuator that takes every code that a frame can hold has no code above its limit.
        for code in [limit.checked_add(1), (limit < Code::MAX).then_some(Code::MAX)].into_iter().flatten() {
            let mut asked = frame(&descriptor, 2);
            asked.0[actuator] = code;
            refuses(backend, asked, BackendErrorKind::OverLimit { actuator, code, limit }).await?;
        }
    }
    Ok(())
}

/// Applies a sound frame, then checks that `asked` is refused as `kind` and leaves everything as it was.
async fn refuses(backend: &mut dyn PhotonicBackend, asked: ActuatorFrame, kind: BackendErrorKind) -> Checked {
    let descriptor = backend.descriptor().clone();
    let sound = frame(&descriptor, 1);
    let _ = accepted(backend.apply(&sound).await, "apply")?;
    refused(backend.apply(&asked).await, &descriptor, Operation::Apply, &kind)?;
    reports(backend, &sound, "a refused frame").await?;
    accepted(backend.execute(&batch(&descriptor, 1), 1).await, "execute after a refused frame").map(|_| ())
}
