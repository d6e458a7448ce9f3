//! The connected processor with its journal: a question is put to the chip once, however often it is asked.

use std::{collections::HashSet, time::Duration};

use alora_drivers::{ActuatorFrame, BackendError, Celsius, Descriptor, InputBatch, PhotonicBackend, Readout};

use super::{
    error::CharacteriseError,
    journal::{Entry, Journal},
    watch::{AGAIN, Watch},
};
use crate::observer::{Event, Observer};

/// A series of settings and the input vectors sent at each.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// Name for the operator and for the file of its readings, unique in a characterisation: `[a-z0-9-]+`.
    pub name: String,
    /// Actuator codes of each point.
    pub frames: Vec<ActuatorFrame>,
    /// Input vectors: one batch for all points, or one a point; all of one shape.
    pub inputs: Vec<InputBatch>,
    /// Times each input vector is sent.
    pub repeats: usize,
}

impl Question {
    /// The input vectors of point `point`.
    #[must_use]
    pub fn inputs_of(&self, point: usize) -> &InputBatch {
        if self.inputs.len() == 1 { &self.inputs[0] } else { &self.inputs[point] }
    }
}

/// Longest wait without asking whether the operator wants to stop.
const ATTENTION: Duration = Duration::from_millis(200);

/// Who answers: a connected processor, or nobody (a journal alone is replayed).
pub enum Source<'a> {
    /// A connected processor.
    Live(&'a mut dyn PhotonicBackend),
    /// Only what was measured before.
    Replay,
}

/// The processor as a characterisation sees it.
pub struct Bench<'a> {
    source: Source<'a>,
    journal: &'a mut Journal,
    observer: &'a mut dyn Observer,
    descriptor: Descriptor,
    asked: HashSet<String>,
    watch: Watch,
    watching: bool,
    /// Setting that the chip holds, where this bench has written it.
    held: Option<ActuatorFrame>,
    vectors: u64,
    first: Option<Duration>,
    last: Duration,
    celsius: Option<Celsius>,
    most: Option<u64>,
}

impl<'a> Bench<'a> {
    /// A bench on `journal`. What the journal holds already is not measured again.
    ///
    /// # Errors
    /// A journal of another processor.
    pub fn new(
        source: Source<'a>,
        journal: &'a mut Journal,
        observer: &'a mut dyn Observer,
    ) -> Result<Self, CharacteriseError> {
        if let Source::Live(backend) = &source {
            journal.belongs_to(backend.descriptor())?;
        }
        let descriptor = journal.descriptor().clone();
        let last = Duration::ZERO;
        let watch = Watch::new(&descriptor);
        Ok(Self {
            watch,
            watching: false,
            held: None,
            source,
            journal,
            observer,
            descriptor,
            asked: HashSet::new(),
            vectors: 0,
            first: None,
            last,
            celsius: None,
            most: None,
        })
    }

    /// What the processor is.
    #[must_use]
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// Tells the operator of progress or of a finding.
    pub fn tell(&mut self, event: Event) {
        self.observer.on(event);
    }

    /// Input vectors of all questions so far, repeats counted.
    #[must_use]
    pub fn vectors(&self) -> u64 {
        self.vectors
    }

    /// From now on no question is begun that would take the vectors beyond `most`.
    pub fn limit(&mut self, most: Option<u64>) {
        self.most = most;
    }

    /// Chip temperature at the last reading.
    #[must_use]
    pub fn celsius(&self) -> Option<Celsius> {
        self.celsius
    }

    /// Time of the processor's clock from the first reading to the last.
    #[must_use]
    pub fn bench_time(&self) -> Duration {
        self.last.saturating_sub(self.first.unwrap_or(self.last))
    }

    /// The readings of every point, from the journal where it has them, else from the chip.
    ///
    /// Points are written to the journal when the question ends, also when it ends early.
    ///
    /// # Errors
    /// A driver error, the operator's wish to stop, a journal that was made with other questions, or one that is
    /// replayed and has no answer.
    pub async fn ask(&mut self, question: Question) -> Result<Vec<Readout>, CharacteriseError> {
        if !self.watching {
            self.watching = true;
            let first = self.answer(&self.watch.question()).await?;
            self.watch.begin(&first[0]);
        }
        self.answer(&question).await
    }

    /// As [`Bench::ask`] for points of one setting, which is written once, at the most, and held; `pauses[point]` passes before
    /// each point. The chip is not looked at after, which would take the setting from it.
    ///
    /// # Errors
    /// As for [`Bench::ask`].
    pub async fn observe(
        &mut self,
        question: Question,
        pauses: &[Duration],
    ) -> Result<Vec<Readout>, CharacteriseError> {
        self.asked_once(&question)?;
        let mut entry = self.journal.entry(&question)?;
        let known = entry.readings.len();
        if known < question.frames.len() {
            let outcome = self.measure(&question, &mut entry, pauses).await;
            if entry.readings.len() > known {
                self.journal.write(&question, &entry)?;
            }
            outcome?;
        }
        entry.readings.iter().for_each(|readout| self.count(readout));
        Ok(entry.readings)
    }

    fn asked_once(&mut self, question: &Question) -> Result<(), CharacteriseError> {
        if self.asked.insert(question.name.clone()) {
            return Ok(());
        }
        Err(CharacteriseError::AskedTwice { question: question.name.clone() })
    }

    async fn answer(&mut self, question: &Question) -> Result<Vec<Readout>, CharacteriseError> {
        self.asked_once(question)?;
        let mut entry = self.journal.entry(question)?;
        let known = entry.readings.len();
        if known < question.frames.len() {
            self.affords(question)?;
            let outcome = self.measure(question, &mut entry, &[]).await;
            let changed = match outcome {
                Ok(()) => self.look_again(question).await,
                Err(_) => Ok(()),
            };
            if changed.is_err() {
                self.journal.set_aside(question, &entry)?;
            } else if entry.readings.len() > known {
                self.journal.write(question, &entry)?;
            }
            outcome?;
            changed?;
        }
        // The look after it included.
        self.vectors += AGAIN as u64;
        for readout in &entry.readings {
            self.count(readout);
        }
        Ok(entry.readings)
    }

    fn affords(&self, question: &Question) -> Result<(), CharacteriseError> {
        let points = 0..question.frames.len();
        let vectors: usize = points.map(|point| question.inputs_of(point).0.nrows() * question.repeats).sum();
        match self.most {
            Some(most) if self.vectors + vectors as u64 > most => Err(CharacteriseError::Budget {
                question: question.name.clone(),
                vectors: vectors as u64,
                spent: self.vectors,
                most,
            }),
            _ => Ok(()),
        }
    }

    /// Whether the chip still is as it was at the beginning.
    async fn look_again(&mut self, question: &Question) -> Result<(), CharacteriseError> {
        let Source::Live(backend) = &mut self.source else { return Ok(()) };
        self.held = None;
        let failed = |source: BackendError| CharacteriseError::Backend {
            question: question.name.clone(),
            point: question.frames.len(),
            points: question.frames.len(),
            source,
        };
        let _ = backend.apply(&self.watch.frame).await.map_err(failed)?;
        let readout = backend.execute(&self.watch.inputs, AGAIN).await.map_err(failed)?;
        self.watch.check(&question.name, &readout)
    }

    /// A setting that is held is not written anew where points are observed over time, i.e. where there are `pauses`.
    async fn measure(
        &mut self,
        question: &Question,
        entry: &mut Entry,
        pauses: &[Duration],
    ) -> Result<(), CharacteriseError> {
        let Source::Live(backend) = &mut self.source else {
            return Err(CharacteriseError::NotMeasured { question: question.name.clone() });
        };
        let failed = |point: usize, source: BackendError| CharacteriseError::Backend {
            question: question.name.clone(),
            point,
            points: question.frames.len(),
            source,
        };
        for point in entry.readings.len()..question.frames.len() {
            let mut left = pauses.get(point).copied().unwrap_or_default();
            loop {
                if self.observer.interrupted() {
                    return Err(CharacteriseError::Interrupted { question: question.name.clone(), point });
                }
                if left.is_zero() {
                    break;
                }
                let now = left.min(ATTENTION);
                backend.wait(now).await.map_err(|error| failed(point, error))?;
                left -= now;
            }
            let frame = &question.frames[point];
            if pauses.is_empty() || self.held.as_ref() != Some(frame) {
                self.held = None;
                let _ = backend.apply(frame).await.map_err(|error| failed(point, error))?;
                self.held = Some(frame.clone());
            }
            let readout = backend
                .execute(question.inputs_of(point), question.repeats)
                .await
                .map_err(|error| failed(point, error))?;
            entry.readings.push(readout);
        }
        Ok(())
    }

    fn count(&mut self, readout: &Readout) {
        let (repeats, frames, _) = readout.counts.dim();
        self.vectors += (repeats * frames) as u64;
        self.first.get_or_insert(readout.taken_at.0);
        self.last = self.last.max(readout.taken_at.0);
        self.celsius = Some(readout.temperature);
    }
}
