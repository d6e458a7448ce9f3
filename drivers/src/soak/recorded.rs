//! A device under test all of whose values are recorded.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{SoakOutcome, Subject};
use crate::{
    link::LinkStatistics,
    record::Journal,
    recorded::{Records, RecordsError},
};

/// A device that is connected, and the audit log of its values.
pub struct RecordedSubject {
    subject: Box<dyn Subject>,
    records: Records,
    device: String,
    held: BTreeMap<usize, f64>,
    /// That of the processor, where this device carries it: what it says of the outputs is no longer so.
    journal: Option<Journal>,
}

impl RecordedSubject {
    /// Records a device that was just connected, and so is at zero.
    ///
    /// # Errors
    /// It cannot be recorded.
    pub fn new(subject: Box<dyn Subject>, records: Records, device: &str) -> Result<Self, RecordsError> {
        let mut event = records.event("connect", device);
        event.found = format!("{} channels for a cable test, at zero", subject.channels().len());
        records.note(event)?;
        let mut journal = records.journal(device).map_or(Ok(None), |path| Journal::reopen(&path))?;
        if let Some(journal) = &mut journal {
            journal.doubt("a cable test sets values of its own")?;
        }
        Ok(Self { subject, records, device: device.to_owned(), held: BTreeMap::new(), journal })
    }

    fn note(&self, what: &str, found: String) {
        let mut event = self.records.event(what, &self.device);
        event.found = found;
        report(self.records.note(event));
    }
}

/// What was sent was sent.
fn report(recorded: Result<(), RecordsError>) {
    if let Err(error) = recorded {
        tracing::error!(reason = error.in_words(), "not recorded");
    }
}

#[async_trait]
impl Subject for RecordedSubject {
    fn protocol(&self) -> &'static str {
        self.subject.protocol()
    }

    fn unit(&self) -> &'static str {
        self.subject.unit()
    }

    fn channels(&self) -> Vec<usize> {
        self.subject.channels()
    }

    fn range(&self, channel: usize) -> (f64, f64) {
        self.subject.range(channel)
    }

    async fn set(&mut self, channel: usize, value: f64) -> (SoakOutcome, Option<f64>, String) {
        let (outcome, reported, why) = self.subject.set(channel, value).await;
        let mut event = self.records.event("set", &self.device);
        event.channel = Some(channel);
        event.old = self.held.get(&channel).copied().or(Some(0.0));
        (event.new, event.unit) = (reported, Some(self.unit().to_owned()));
        if outcome != SoakOutcome::Confirmed {
            event.found = format!("{outcome:?}, {value} was asked for: {why}");
        }
        match reported {
            Some(held) => drop(self.held.insert(channel, held)),
            None => self.held.clear(),
        }
        report(self.records.note_later(event));
        (outcome, reported, why)
    }

    async fn recover(&mut self) -> Result<(), String> {
        self.held.clear();
        let recovered = self.subject.recover().await;
        let found = recovered.as_ref().err().map_or_else(|| "ready again, at zero".to_owned(), Clone::clone);
        self.note("reset", found);
        recovered
    }

    async fn zero(&mut self) -> Result<(), String> {
        let zeroed = self.subject.zero().await;
        if let (Ok(()), Some(journal)) = (&zeroed, &mut self.journal) {
            report(journal.zeroed("end of a cable test").map_err(RecordsError::from));
        }
        self.note("park", zeroed.as_ref().err().cloned().unwrap_or_default());
        zeroed
    }

    fn statistics(&self) -> LinkStatistics {
        self.subject.statistics()
    }
}
