//! A processor all of whose changes are recorded: the journal before, the audit log after.

mod decode;
mod found;
mod keeper;
mod records;
mod replayed;
mod sight;

use std::{mem, time::Duration};

use async_trait::async_trait;

use crate::{
    ActuatorFrame, Applied, BackendError, BackendErrorKind, Descriptor, Generation, InputBatch, Operation,
    PhotonicBackend, Readout,
    record::{FrameChange, Journal, JournalError, Programming},
    refusal,
};
use keeper::Keeper;
use records::digest_of;

pub use decode::{Decoder, Message};
pub use found::{Found, Ranges, found};
pub use records::{Records, RecordsError, audit_path, frames_folder, journal_path};
pub use replayed::{Compared, Difference, Replayed, replay};
pub use sight::{Outputs, Sight, look};

/// A processor whose changes are recorded.
///
/// Before the first byte of an `apply` the old frame and the new one are on the disk; where they cannot be put there, nothing is
/// sent. A `park` is sent even then: safety comes before records.
pub struct Recorded {
    backend: Box<dyn PhotonicBackend>,
    keeper: Keeper,
    /// What the processor holds, as read back; `None` when that has to be read first.
    held: Option<ActuatorFrame>,
    /// Programmings so far.
    number: u64,
}

impl Recorded {
    /// Records a processor that was just connected, and so is parked: `rest`, as read back. `journal` is the one that is there
    /// already, settled.
    #[must_use]
    pub fn new(
        backend: Box<dyn PhotonicBackend>,
        records: Records,
        device: impl Into<String>,
        journal: Option<Journal>,
        rest: ActuatorFrame,
    ) -> Self {
        let held = Some(rest);
        Self { backend, keeper: Keeper::new(records, device.into(), journal), held, number: 0 }
    }

    fn simulated(&self) -> bool {
        self.backend.descriptor().simulated
    }

    fn unrecorded(&self, operation: Operation) -> impl FnOnce(RecordsError) -> BackendError {
        let processor = self.backend.descriptor().id.clone();
        move |error| BackendError {
            processor,
            operation,
            kind: BackendErrorKind::Unrecorded { reason: error.in_words().into() },
        }
    }

    /// What the processor holds: after an error it is read, and the journal is told.
    async fn held(&mut self) -> Result<ActuatorFrame, BackendError> {
        if let Some(held) = self.held.take() {
            return Ok(held);
        }
        let held = self.backend.read_back().await?;
        let told = held.clone();
        let marked = self.keeper.mark(move |journal| journal.resolve(&told)).await;
        marked.map_err(self.unrecorded(Operation::Apply))?;
        Ok(held)
    }

    async fn begin(&mut self, old: &ActuatorFrame, new: &ActuatorFrame) -> Result<(), BackendError> {
        self.number += 1;
        let programming = Programming {
            id: self.keeper.records.id(self.number),
            device: self.backend.descriptor().id.0.clone(),
            note: self.keeper.records.signature(),
            old: old.clone(),
            new: new.clone(),
            generation: self.backend.generation(),
        };
        let begun = self.keeper.begin(programming).await;
        begun.map_err(self.unrecorded(Operation::Apply))
    }

    async fn applied(&mut self, old: &ActuatorFrame, applied: &Applied) -> Result<(), RecordsError> {
        let codes = applied.codes.clone();
        if applied.verified {
            self.keeper.mark(Journal::commit).await?;
        } else {
            self.keeper.mark(move |journal| journal.resolve(&codes)).await?;
        }
        let mut event = self.keeper.event("apply", self.simulated());
        event.frames = Some(FrameChange::between(old, &applied.codes, digest_of));
        self.keeper.note_later(event).await
    }

    /// What went wrong, and that the outputs are not known since unless nothing was sent.
    async fn failed(&mut self, error: &BackendError, before: Option<ActuatorFrame>) {
        let mut event = self.keeper.event(name_of(&error.kind), self.simulated());
        event.found = format!("{error}: {}", error.kind);
        let noted = self.keeper.note(event).await;
        let marked = if is_refusal(&error.kind) {
            self.held = before;
            let held = self.held.clone();
            self.keeper.mark(move |journal| settle(journal, held)).await
        } else {
            self.held = None;
            let why = error.kind.to_string();
            self.keeper.mark(move |journal| doubt(journal, why)).await
        };
        report(noted.and(marked));
    }

    /// Passes an answer on. After an error that is no refusal the outputs are not known.
    async fn heard<T>(&mut self, answer: Result<T, BackendError>) -> Result<T, BackendError> {
        if let Err(error) = &answer {
            let before = mem::take(&mut self.held);
            self.failed(error, before).await;
        }
        answer
    }
}

/// A programming that was begun, and of which nothing was sent.
fn settle(journal: &mut Journal, held: Option<ActuatorFrame>) -> Result<(), JournalError> {
    match held.filter(|_| journal.is_unresolved()) {
        Some(held) => journal.resolve(&held),
        None => Ok(()),
    }
}

/// A programming that is under way stays what it is: a channel that was not sent is old.
fn doubt(journal: &mut Journal, why: String) -> Result<(), JournalError> {
    if journal.is_unresolved() { Ok(()) } else { journal.doubt(why) }
}

/// True when the processor is as it was before.
fn is_refusal(kind: &BackendErrorKind) -> bool {
    matches!(
        kind,
        BackendErrorKind::FrameLength { .. }
            | BackendErrorKind::OverLimit { .. }
            | BackendErrorKind::InputWidth { .. }
            | BackendErrorKind::InputCode { .. }
            | BackendErrorKind::NoRepeats
            | BackendErrorKind::OutputsUnknown
            | BackendErrorKind::Unrecorded { .. }
            | BackendErrorKind::Interlock { .. }
    )
}

/// What the audit log calls it.
fn name_of(kind: &BackendErrorKind) -> &'static str {
    match kind {
        BackendErrorKind::Rebooted { .. } => "reset",
        BackendErrorKind::Tripped { .. } => "trip",
        BackendErrorKind::Interlock { .. } => "interlock",
        kind if is_refusal(kind) => "refused",
        _ => "error",
    }
}

/// Where an error has to be told anyway, or safety comes first, one of the records is only reported.
fn report(recorded: Result<(), RecordsError>) {
    if let Err(error) = recorded {
        tracing::error!(reason = error.in_words(), "not recorded");
    }
}

#[async_trait]
impl PhotonicBackend for Recorded {
    fn descriptor(&self) -> &Descriptor {
        self.backend.descriptor()
    }

    fn generation(&self) -> Option<Generation> {
        self.backend.generation()
    }

    async fn apply(&mut self, frame: &ActuatorFrame) -> Result<Applied, BackendError> {
        if refusal::of_frame(self.descriptor(), frame).is_err() {
            let refused = self.backend.apply(frame).await;
            return self.heard(refused).await;
        }
        let old = self.held().await?;
        if let Err(error) = self.begin(&old, frame).await {
            self.held = Some(old);
            return Err(error);
        }
        let applied = match self.backend.apply(frame).await {
            Ok(applied) => applied,
            Err(error) => {
                self.failed(&error, Some(old)).await;
                return Err(error);
            }
        };
        // It is on the device: that the mark of it could not be written leaves a journal that knows less.
        report(self.applied(&old, &applied).await);
        self.held = Some(applied.codes.clone());
        Ok(applied)
    }

    async fn read_back(&mut self) -> Result<ActuatorFrame, BackendError> {
        let read = self.backend.read_back().await;
        self.heard(read).await
    }

    async fn execute(&mut self, inputs: &InputBatch, repeats: usize) -> Result<Readout, BackendError> {
        let read = self.backend.execute(inputs, repeats).await;
        self.heard(read).await
    }

    async fn wait(&mut self, duration: Duration) -> Result<(), BackendError> {
        let waited = self.backend.wait(duration).await;
        self.heard(waited).await
    }

    async fn park(&mut self) -> Result<(), BackendError> {
        let old = self.held.take();
        report(self.keeper.mark(Journal::zeroing).await);
        let parked = self.backend.park().await;
        self.heard(parked).await?;
        let parked = self.backend.read_back().await;
        let rest = self.heard(parked).await?;
        let mut event = self.keeper.event("park", self.simulated());
        event.frames = old.map(|old| FrameChange::between(&old, &rest, digest_of));
        report(self.keeper.mark(at_rest(&rest, "park")).await);
        report(self.keeper.note(event).await);
        self.held = Some(rest);
        Ok(())
    }
}

/// The mark of a parked device: zero, unless its station parks it elsewhere.
pub(crate) fn at_rest(
    rest: &ActuatorFrame,
    by: &'static str,
) -> impl FnOnce(&mut Journal) -> Result<(), JournalError> + Send + use<> {
    let elsewhere = rest.0.iter().any(|&code| code != 0).then(|| rest.clone());
    move |journal| match elsewhere {
        None => journal.zeroed(by),
        Some(rest) => journal.resolve(&rest),
    }
}
