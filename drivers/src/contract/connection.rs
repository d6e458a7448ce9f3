//! Clauses on the connection itself: descriptor, parking, dropped futures.

use super::{Checked, accepted, batch, expect, frame, poll_and_drop, reports};
use crate::{ActuatorFrame, ActuatorLayout, BackendErrorKind, InputAlphabet, PhotonicBackend};

pub(super) async fn descriptor(backend: &mut dyn PhotonicBackend) -> Checked {
    let first = backend.descriptor().clone();
    let actuators = first.layout.actuators();
    expect(first.limits.len() == actuators, || {
        format!("{} limits for the {actuators} actuators of the layout", first.limits.len())
    })?;
    expect(first.inputs > 0 && first.outputs > 0, || {
        format!("{} inputs and {} outputs", first.inputs, first.outputs)
    })?;
    let (outputs, inputs) = match first.layout {
        ActuatorLayout::WeightBank { rows, cols, .. } => (rows, cols),
        ActuatorLayout::ClementsSvd { modes } => (modes, modes),
    };
    expect((outputs, inputs) == (first.outputs, first.inputs), || {
        format!("a layout of {outputs} × {inputs} on a processor of {} × {}", first.outputs, first.inputs)
    })?;
    for (converter, bits) in
        [("actuator", first.bits.actuator), ("input", first.bits.input), ("output", first.bits.output)]
    {
        expect((1..=24).contains(&bits), || format!("{bits} bits in the {converter} converter"))?;
    }
    let top = (1_u64 << first.bits.actuator) - 1;
    let above = first.limits.iter().position(|&limit| u64::from(limit) > top);
    expect(above.is_none(), || format!("a limit above the converter's highest code {top}, at {above:?}"))?;
    let (lowest, _) = first.input_range();
    expect((first.alphabet == InputAlphabet::Unipolar) == (lowest == 0), || {
        format!("a lowest input code of {lowest} with a {:?} alphabet", first.alphabet)
    })?;
    let _ = accepted(backend.apply(&frame(&first, 1)).await, "apply")?;
    accepted(backend.execute(&batch(&first, 2), 1).await, "execute")?;
    accepted(backend.park().await, "park")?;
    expect(*backend.descriptor() == first, || "another descriptor after apply, execute and park".to_owned())
}

pub(super) async fn parked(backend: &mut dyn PhotonicBackend) -> Checked {
    let descriptor = backend.descriptor().clone();
    let zeros = ActuatorFrame::zeros(descriptor.limits.len());
    reports(backend, &zeros, "connecting").await?;
    accepted(backend.execute(&batch(&descriptor, 1), 1).await, "execute after connecting").map(|_| ())
}

pub(super) async fn park(backend: &mut dyn PhotonicBackend) -> Checked {
    let descriptor = backend.descriptor().clone();
    let zeros = ActuatorFrame::zeros(descriptor.limits.len());
    for salt in 1..=2 {
        let _ = accepted(backend.apply(&frame(&descriptor, salt)).await, "apply")?;
        accepted(backend.park().await, "park")?;
        reports(backend, &zeros, "park").await?;
        accepted(backend.park().await, "a second park")?;
        reports(backend, &zeros, "a second park").await?;
        accepted(backend.execute(&batch(&descriptor, 1), 1).await, "execute after park")?;
    }
    // In every state: after a refusal too.
    let _refused = backend.apply(&ActuatorFrame::zeros(descriptor.limits.len() + 1)).await;
    accepted(backend.park().await, "park after a refusal")?;
    reports(backend, &zeros, "park after a refusal").await
}

pub(super) async fn cancel_safety(backend: &mut dyn PhotonicBackend) -> Checked {
    let descriptor = backend.descriptor().clone();
    let (first, second) = (frame(&descriptor, 1), frame(&descriptor, 2));
    let inputs = batch(&descriptor, 3);

    let _ = accepted(backend.apply(&first).await, "apply")?;
    drop(poll_and_drop(backend.execute(&inputs, 2)));
    drop(poll_and_drop(backend.read_back()));
    reports(backend, &first, "a dropped execute").await?;
    let readout = accepted(backend.execute(&inputs, 2).await, "execute after a dropped execute")?;
    expect(readout.counts.dim() == (2, 3, descriptor.channels()), || {
        format!("a readout of {:?} after a dropped execute", readout.counts.dim())
    })?;

    drop(poll_and_drop(backend.apply(&second)));
    if let Err(error) = backend.execute(&inputs, 1).await {
        expect(error.kind == BackendErrorKind::OutputsUnknown, || {
            format!("execute after a dropped apply answered `{}`", error.kind)
        })?;
    }
    let _ = accepted(backend.apply(&first).await, "apply after a dropped apply")?;
    reports(backend, &first, "apply after a dropped apply").await?;

    drop(poll_and_drop(backend.park()));
    accepted(backend.park().await, "park after a dropped park")?;
    reports(backend, &ActuatorFrame::zeros(descriptor.limits.len()), "park after a dropped park").await?;
    accepted(backend.execute(&inputs, 1).await, "execute after park").map(|_| ())
}
