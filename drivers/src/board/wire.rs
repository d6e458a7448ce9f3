//! The task that owns the wire: frames out, frames in, again what is lost.

mod answers;
mod news;

use std::{collections::VecDeque, time::Duration};

use alora_board_protocol::{FrameError, FrameReader, Kind, max_encoded};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf},
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};

pub(super) use self::news::{News, Shared, with_news};
use super::{deadline::Deadlines, link::LinkOptions};
use crate::{
    BackendErrorKind,
    link::{LinkError, Transport},
};

/// Bytes that may wait for their answers: a device's buffer has an end.
const BYTES_UNDER_WAY: usize = 36_864;
/// Tries of a frame on a dirty wire, for each one on a silent wire: a board that is heard is not mute.
const PATIENCE: u32 = 4;
/// Pause before a busy board is asked again.
const BUSY: Duration = Duration::from_millis(2);

/// A request for the wire.
pub(super) struct Job {
    pub(super) kind: Kind,
    /// The whole frame.
    pub(super) frame: Vec<u8>,
    pub(super) seq: u16,
    /// Nothing else is under way with it: it must not be carried out twice, nor out of order.
    pub(super) alone: bool,
    /// Bytes of the answer, for its time on the line.
    pub(super) expected: usize,
    pub(super) answer: oneshot::Sender<Result<Vec<u8>, BackendErrorKind>>,
}

struct Flight {
    job: Job,
    /// Frames that were sent before it for the first time.
    before: u64,
    sent: Instant,
    due: Instant,
    tries: u32,
    /// Tries in a row after which nothing at all was heard.
    silent: u32,
    waited: Duration,
}

pub(super) struct Wire {
    reader: ReadHalf<Box<dyn Transport>>,
    writer: WriteHalf<Box<dyn Transport>>,
    jobs: mpsc::Receiver<Job>,
    place: String,
    options: LinkOptions,
    shared: Shared,
    deadlines: Deadlines,
    waiting: VecDeque<Job>,
    /// In the order in which they were sent for the first time.
    flights: VecDeque<Flight>,
    sent: u64,
    outgoing: Vec<u8>,
    frames: FrameReader<Vec<u8>>,
    /// When the last bytes came, sound or not.
    heard_at: Option<Instant>,
}

impl Wire {
    pub(super) fn new(
        transport: Box<dyn Transport>,
        jobs: mpsc::Receiver<Job>,
        place: String,
        baud: Option<u32>,
        options: LinkOptions,
        shared: Shared,
    ) -> Self {
        let (reader, writer) = tokio::io::split(transport);
        Self {
            reader,
            writer,
            jobs,
            place,
            options,
            shared,
            deadlines: Deadlines::new(baud, options),
            waiting: VecDeque::new(),
            flights: VecDeque::new(),
            sent: 0,
            outgoing: Vec::new(),
            frames: FrameReader::new(vec![0; max_encoded(usize::from(u16::MAX))]),
            heard_at: None,
        }
    }

    /// Runs until the host lets go of the link or the wire is gone.
    pub(super) async fn run(mut self) {
        let mut buffer = vec![0; 8192];
        loop {
            self.fill();
            let wake = self.flights.iter().map(|flight| flight.due).min();
            tokio::select! {
                job = self.jobs.recv() => match job {
                    Some(job) => self.waiting.push_back(job),
                    None => return,
                },
                sent = self.writer.write(&self.outgoing), if !self.outgoing.is_empty() => match sent {
                    Ok(count) if count > 0 => {
                        self.outgoing.drain(..count);
                        with_news(&self.shared, |news| news.statistics.bytes_sent += count as u64);
                    }
                    _ => return self.lost(),
                },
                read = self.reader.read(&mut buffer) => match read {
                    Ok(count) if count > 0 => self.heard(&buffer[..count]),
                    _ => return self.lost(),
                },
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => self.overdue(),
            }
        }
    }

    /// Sends what the window has room for.
    fn fill(&mut self) {
        // Whoever gave up an answer does not make others wait: parking is not held up by an execution that was dropped.
        self.waiting.retain(|job| !job.answer.is_closed());
        self.flights.retain(|flight| !flight.job.answer.is_closed());
        while let Some(next) = self.waiting.front() {
            let bytes: usize = self.flights.iter().map(|flight| flight.job.frame.len()).sum();
            let alone = next.alone || self.flights.iter().any(|flight| flight.job.alone);
            // Counted from the oldest on: a board remembers the replies of a window, and carries out nothing twice.
            let ahead = self.flights.front().map_or(0, |oldest| self.sent - oldest.before);
            let room = ahead < self.options.window as u64 && bytes + next.frame.len() <= BYTES_UNDER_WAY;
            if !(self.flights.is_empty() || (room && !alone)) {
                return;
            }
            let Some(job) = self.waiting.pop_front() else { return };
            let now = Instant::now();
            let due = self.deadlines.of(&job, now);
            self.outgoing.extend_from_slice(&job.frame);
            let (before, waited) = (self.sent, due - now);
            self.sent += 1;
            self.flights.push_back(Flight { job, before, sent: now, due, tries: 1, silent: 0, waited });
        }
    }

    fn heard(&mut self, mut bytes: &[u8]) {
        let count = bytes.len() as u64;
        self.heard_at = Some(Instant::now());
        with_news(&self.shared, |news| news.statistics.bytes_received += count);
        loop {
            // Taken out for the time in which a frame borrows it.
            let mut frames = std::mem::replace(&mut self.frames, FrameReader::new(Vec::new()));
            let more = match frames.feed(&mut bytes) {
                Some(Ok(frame)) => {
                    self.take(&frame);
                    true
                }
                Some(Err(FrameError::Version { found, .. })) => {
                    self.of_another_version(found);
                    true
                }
                Some(Err(_)) => true,
                None => false,
            };
            let invalid = frames.bytes_invalid();
            self.frames = frames;
            with_news(&self.shared, |news| news.statistics.bytes_invalid = invalid);
            if !more {
                return;
            }
        }
    }

    /// Sends again what has no answer, and gives up what has had its tries.
    fn overdue(&mut self) {
        let now = Instant::now();
        let mut kept = VecDeque::with_capacity(self.flights.len());
        for mut flight in std::mem::take(&mut self.flights) {
            if flight.due > now {
                kept.push_back(flight);
                continue;
            }
            with_news(&self.shared, |news| news.statistics.timeouts += 1);
            let heard = self.heard_at.is_some_and(|heard| heard >= flight.sent);
            flight.silent = if heard { 0 } else { flight.silent + 1 };
            if flight.silent >= self.options.tries || flight.tries >= self.options.tries * PATIENCE {
                let waited = flight.waited;
                let error = LinkError::Timeout { place: self.place.clone(), waited };
                let _ = flight.job.answer.send(Err(error.into()));
                continue;
            }
            with_news(&self.shared, |news| news.statistics.retries += 1);
            self.deadlines.back_off();
            // Ends whatever a lost delimiter left open at the other end.
            self.outgoing.push(0);
            self.outgoing.extend_from_slice(&flight.job.frame);
            flight.tries += 1;
            flight.due = self.deadlines.of(&flight.job, now);
            flight.waited += flight.due - now;
            flight.sent = now;
            kept.push_back(flight);
        }
        self.flights = kept;
    }

    fn lost(mut self) {
        with_news(&self.shared, |news| news.lost = true);
        self.jobs.close();
        while let Ok(job) = self.jobs.try_recv() {
            self.waiting.push_back(job);
        }
        let under_way = self.flights.into_iter().map(|flight| flight.job);
        for job in under_way.chain(self.waiting) {
            let _ = job.answer.send(Err(LinkError::Lost { place: self.place.clone() }.into()));
        }
    }
}
