//! The task that owns the wire: frames out, frames in, again what is lost.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use alora_board_protocol::{
    Event, EventCode, Frame, FrameError, FrameReader, Kind, NAK, Nak, REPLY, VERSION, max_encoded,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf},
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};

use super::{deadline::Deadlines, link::LinkOptions};
use crate::{
    BackendErrorKind,
    link::{LinkError, LinkStatistics, Transport},
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

/// What the task tells everybody.
#[derive(Debug, Default)]
pub(super) struct News {
    pub(super) statistics: LinkStatistics,
    /// NAKs by code.
    pub(super) naks: [u64; 11],
    /// The board has stopped itself.
    pub(super) tripped: Option<String>,
    /// The board says that it was reset.
    pub(super) rebooted: bool,
    /// The wire is gone.
    pub(super) lost: bool,
}

pub(super) type Shared = Arc<Mutex<News>>;

pub(super) fn with_news<T>(shared: &Shared, act: impl FnOnce(&mut News) -> T) -> T {
    act(&mut shared.lock().unwrap_or_else(PoisonError::into_inner))
}

struct Flight {
    job: Job,
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
    flights: VecDeque<Flight>,
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
            let room =
                self.flights.len() < self.options.window && bytes + next.frame.len() <= BYTES_UNDER_WAY;
            if !(self.flights.is_empty() || (room && !alone)) {
                return;
            }
            let Some(job) = self.waiting.pop_front() else { return };
            let now = Instant::now();
            let due = self.deadlines.of(&job, now);
            self.outgoing.extend_from_slice(&job.frame);
            self.flights.push_back(Flight { job, sent: now, due, tries: 1, silent: 0, waited: due - now });
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

    fn take(&mut self, frame: &Frame<'_>) {
        if frame.kind == Kind::Event as u8 {
            return self.event(frame.payload);
        }
        let place = self.flights.iter().position(|flight| flight.job.seq == frame.seq);
        let Some(place) = place else {
            return with_news(&self.shared, |news| news.statistics.strays += 1);
        };
        if frame.kind == NAK {
            self.refused(place, frame.payload);
        } else if frame.kind == self.flights[place].job.kind as u8 | REPLY {
            self.answered(place, frame.payload);
        } else {
            with_news(&self.shared, |news| news.statistics.strays += 1);
        }
    }

    /// A sound frame of another version: no request can be answered.
    fn of_another_version(&mut self, found: u8) {
        for flight in self.flights.drain(..) {
            let _ = flight.job.answer.send(Err(BackendErrorKind::Version {
                device: format!("version {found} of the board protocol").into(),
                driver: format!("version {VERSION}").into(),
            }));
        }
    }

    fn event(&mut self, payload: &[u8]) {
        let Some(event) = Event::parse(payload) else { return };
        with_news(&self.shared, |news| match event.code {
            EventCode::Reboot => news.rebooted = true,
            EventCode::Watchdog => {
                news.tripped = Some(format!("its watchdog heard nothing for {} ms", event.value));
            }
            EventCode::OverTemperature => {
                news.tripped = Some(format!("too hot at channel {}: {}", event.channel, event.value));
            }
            EventCode::Trip => {
                news.tripped = Some(format!("channel {}, value {}", event.channel, event.value))
            }
            EventCode::Other(_) => {}
        });
    }

    fn answered(&mut self, place: usize, payload: &[u8]) {
        let Some(flight) = self.flights.remove(place) else { return };
        if flight.tries == 1 {
            self.deadlines.measured(&flight.job, flight.sent.elapsed());
        }
        let round_trip_us = self.deadlines.round_trip_us();
        with_news(&self.shared, |news| {
            news.statistics.answered += 1;
            news.statistics.round_trip_us = round_trip_us;
        });
        // Whoever asked may have gone.
        let _ = flight.job.answer.send(Ok(payload.to_vec()));
        // Answers come in the order of the requests: those sent before this one are lost.
        for earlier in 0..place.min(self.flights.len()) {
            if self.flights[earlier].sent < flight.sent {
                self.flights[earlier].due = Instant::now();
            }
        }
    }

    fn refused(&mut self, place: usize, payload: &[u8]) {
        let code = payload.first().copied().unwrap_or_default();
        with_news(&self.shared, |news| {
            if let Some(count) = news.naks.get_mut(usize::from(code)) {
                *count += 1;
            }
        });
        let most = self.options.tries * PATIENCE;
        match Nak::from_code(code) {
            // The request came damaged, or at a bad time: the same again. An unknown type may be the damage of another.
            Some(Nak::Frame | Nak::Crc | Nak::Overflow) if self.flights[place].tries < most => {
                self.flights[place].due = Instant::now();
            }
            Some(Nak::Busy) if self.flights[place].tries < most => {
                self.flights[place].due = Instant::now() + BUSY;
            }
            nak => {
                let Some(flight) = self.flights.remove(place) else { return };
                with_news(&self.shared, |news| news.statistics.refusals += 1);
                let answer = nak.map_or_else(|| format!("NAK {code}"), |nak| nak.words().to_owned());
                let request = format!("{:?}", flight.job.kind).to_uppercase();
                let kind = match nak {
                    Some(Nak::Tripped) => BackendErrorKind::Tripped { reason: self.reason() },
                    Some(Nak::Version) => BackendErrorKind::Version {
                        device: "another version of the board protocol".into(),
                        driver: format!("version {VERSION}").into(),
                    },
                    _ => BackendErrorKind::refused(request, answer),
                };
                let _ = flight.job.answer.send(Err(kind));
            }
        }
    }

    fn reason(&self) -> String {
        with_news(&self.shared, |news| news.tripped.clone())
            .unwrap_or_else(|| "it does not say why".to_owned())
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
