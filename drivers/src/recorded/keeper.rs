//! The journal off the executor's threads: a disk that takes its time does not hold up a link's keep-alive.

use std::{
    ops::Range,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use super::RecordsError;
use crate::{
    ActuatorFrame,
    record::{AuditEvent, Journal, JournalError, Programming},
    recorded::Records,
};

/// Journal and audit log of one processor.
#[derive(Clone)]
pub(super) struct Keeper {
    pub(super) records: Records,
    device: String,
    journal: Arc<Mutex<Kept>>,
}

/// `path` is `None` when no journal is kept; `journal` until there was a programming.
struct Kept {
    path: Option<PathBuf>,
    journal: Option<Journal>,
}

impl Keeper {
    pub(super) fn new(records: Records, device: String, journal: Option<Journal>) -> Self {
        let journal = Arc::new(Mutex::new(Kept { path: records.journal(&device), journal }));
        Self { records, device, journal }
    }

    pub(super) fn event(&self, what: &str, simulated: bool) -> AuditEvent {
        AuditEvent { simulated, ..self.records.event(what, &self.device) }
    }

    /// Both frames and the mark of what is sent are on the disk when this returns.
    pub(super) async fn begin(&self, programming: Programming) -> Result<(), RecordsError> {
        self.with(move |kept| {
            let span = changed(&programming.old, &programming.new);
            match (&mut kept.journal, &kept.path) {
                (Some(journal), _) => journal.follow(&programming)?,
                (journal @ None, Some(path)) => *journal = Some(Journal::begin(path, &programming)?),
                (None, None) => {}
            }
            kept.journal.as_mut().map_or(Ok(()), |journal| journal.sending(span))
        })
        .await
    }

    /// A mark on the programming that is there, and an event; nothing where no journal is kept.
    pub(super) async fn mark(
        &self,
        mark: impl FnOnce(&mut Journal) -> Result<(), JournalError> + Send + 'static,
    ) -> Result<(), RecordsError> {
        self.with(|kept| kept.journal.as_mut().map_or(Ok(()), mark)).await
    }

    pub(super) async fn note(&self, event: AuditEvent) -> Result<(), RecordsError> {
        let records = self.records.clone();
        off_thread(move || records.note(event)).await
    }

    /// On the disk with the next one: what the journal holds is not worth another wait.
    pub(super) async fn note_later(&self, event: AuditEvent) -> Result<(), RecordsError> {
        let records = self.records.clone();
        off_thread(move || records.note_later(event)).await
    }

    async fn with(
        &self,
        work: impl FnOnce(&mut Kept) -> Result<(), JournalError> + Send + 'static,
    ) -> Result<(), RecordsError> {
        let journal = Arc::clone(&self.journal);
        off_thread(move || Ok(work(&mut journal.lock().unwrap_or_else(PoisonError::into_inner))?)).await
    }
}

/// Actuators from the first that changes to the last.
fn changed(old: &ActuatorFrame, new: &ActuatorFrame) -> Range<usize> {
    let differs = |(old, new): (&u16, &u16)| old != new;
    let first = old.0.iter().zip(&new.0).position(differs).unwrap_or(0);
    let last = old.0.iter().zip(&new.0).rposition(differs);
    first..last.map_or(first, |last| last + 1)
}

async fn off_thread(
    work: impl FnOnce() -> Result<(), RecordsError> + Send + 'static,
) -> Result<(), RecordsError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(RecordsError::Folder { path: PathBuf::new(), source: std::io::Error::other(error) })
    })
}
