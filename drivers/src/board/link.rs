//! Requests and answers of a board.

use std::{sync::Arc, time::Duration};

use alora_board_protocol::{Codes, Request, max_encoded};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};

use super::wire::{Job, News, Shared, Wire, with_news};
use crate::{
    BackendErrorKind,
    link::{Connector, LinkError, LinkStatistics},
};

/// How a link to a board is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkOptions {
    /// Frames under way, 1 to 64, counted from the oldest one without an answer on.
    pub window: usize,
    /// Tries of a frame, with nothing heard after any of them, before the board counts as mute.
    pub tries: u32,
    /// Shortest time-out, the time of the bytes on the line not counted.
    pub least_timeout: Duration,
    /// Longest time-out.
    pub most_timeout: Duration,
}

impl Default for LinkOptions {
    fn default() -> Self {
        Self {
            window: 8,
            tries: 8,
            least_timeout: Duration::from_millis(30),
            most_timeout: Duration::from_millis(500),
        }
    }
}

/// An open link to a board. Dropping it closes the wire: nothing keeps the board's watchdog quiet any longer.
pub struct Link {
    jobs: mpsc::Sender<Job>,
    shared: Shared,
    place: String,
    seq: u16,
    /// Longest payload that the board takes and gives, as it said.
    pub(super) max_payload: usize,
    keep_alive: Option<JoinHandle<()>>,
}

/// An answer that is under way.
pub(super) struct Pending {
    answer: oneshot::Receiver<Result<Vec<u8>, BackendErrorKind>>,
    place: String,
}

impl Pending {
    pub(super) async fn answer(self) -> Result<Vec<u8>, BackendErrorKind> {
        match self.answer.await {
            Ok(answer) => answer,
            Err(_) => Err(LinkError::Lost { place: self.place }.into()),
        }
    }
}

impl Link {
    /// Opens the wire. Needs a runtime.
    ///
    /// # Errors
    /// A port that cannot be opened.
    pub async fn open(connector: &Arc<dyn Connector>, options: LinkOptions) -> Result<Self, LinkError> {
        let transport = connector.open().await?;
        let (jobs, received) = mpsc::channel(64);
        let shared = Shared::default();
        let place = connector.place();
        let wire =
            Wire::new(transport, received, place.clone(), connector.baud(), options, Arc::clone(&shared));
        tokio::spawn(wire.run());
        // A number of its own, so that a board does not take the first request for one of the host before.
        let seq = with_seed(&place);
        Ok(Self { jobs, shared, place, seq, max_payload: usize::from(u16::MAX), keep_alive: None })
    }

    /// What the link has seen.
    #[must_use]
    pub fn statistics(&self) -> LinkStatistics {
        with_news(&self.shared, |news| news.statistics)
    }

    /// Refusals by code, from 0 to 10.
    #[must_use]
    pub fn naks(&self) -> [u64; 11] {
        with_news(&self.shared, |news| news.naks)
    }

    /// True when so many frames are lost that short ones do better.
    pub(super) fn is_dirty(&self) -> bool {
        let LinkStatistics { retries, answered, .. } = self.statistics();
        retries > 4 && retries * 8 > answered
    }

    pub(super) fn news<T>(&self, act: impl FnOnce(&mut News) -> T) -> T {
        with_news(&self.shared, act)
    }

    /// Sends a request; its answer is waited for apart, so that several can be under way.
    pub(super) async fn send(
        &mut self,
        request: Request<'_>,
        expected: usize,
        alone: bool,
    ) -> Result<Pending, BackendErrorKind> {
        self.seq = (self.seq + 1) % OTHERS;
        let job = |answer| job_of(&request, self.seq, expected, alone, answer);
        let (answer, receiver) = oneshot::channel();
        self.hand_over(job(answer)?).await?;
        Ok(Pending { answer: receiver, place: self.place.clone() })
    }

    /// Sends a request and waits for its answer.
    pub(super) async fn ask(
        &mut self,
        request: Request<'_>,
        expected: usize,
        alone: bool,
    ) -> Result<Vec<u8>, BackendErrorKind> {
        self.send(request, expected, alone).await?.answer().await
    }

    async fn hand_over(&self, job: Job) -> Result<(), BackendErrorKind> {
        let lost = || LinkError::Lost { place: self.place.clone() };
        self.jobs.send(job).await.map_err(|_| lost().into())
    }

    /// Arms the board's watchdog and keeps it quiet as long as this link lives.
    pub(super) async fn arm_watchdog(&mut self, ms: u16) -> Result<(), BackendErrorKind> {
        self.ask(Request::Watchdog { ms }, 2, false).await?;
        if let Some(old) = self.keep_alive.take() {
            old.abort();
        }
        if ms > 0 {
            self.keep_alive = Some(tokio::spawn(keep_alive(self.jobs.downgrade(), ms)));
        }
        Ok(())
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(task) = self.keep_alive.take() {
            task.abort();
        }
    }
}

/// Writes the watchdog's time again three times within it. Numbers of its own stay clear of those of requests: they count down.
async fn keep_alive(jobs: mpsc::WeakSender<Job>, ms: u16) {
    let mut beat = interval(Duration::from_millis(u64::from(ms)) / 3);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seq = u16::MAX;
    loop {
        beat.tick().await;
        let Some(jobs) = jobs.upgrade() else { return };
        seq = if seq <= KEEP_ALIVE { u16::MAX } else { seq - 1 };
        let (answer, answered) = oneshot::channel();
        let Ok(job) = job_of(&Request::Watchdog { ms }, seq, 2, false, answer) else { return };
        if jobs.send(job).await.is_err() {
            return;
        }
        drop(jobs);
        // A board that does not answer is told of by whoever asks it something.
        let _ = answered.await;
    }
}

/// Numbers from here on are those of who asks a board who it is, and of who makes it safe.
const OTHERS: u16 = 0xEFF0;
/// Numbers from here on are those of the watchdog's frames.
const KEEP_ALIVE: u16 = 0xF000;

fn with_seed(place: &str) -> u16 {
    let mut hash = u32::from(std::process::id() as u16);
    for byte in place.bytes() {
        hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    }
    (hash >> 8) as u16 % OTHERS
}

fn job_of(
    request: &Request<'_>,
    seq: u16,
    expected: usize,
    alone: bool,
    answer: oneshot::Sender<Result<Vec<u8>, BackendErrorKind>>,
) -> Result<Job, BackendErrorKind> {
    let payload = match request {
        Request::Stage { codes, .. } | Request::Limits { codes, .. } | Request::Execute { codes, .. } => {
            2 * codes.len() + 3
        }
        _ => 8,
    };
    let mut frame = vec![0; max_encoded(payload)];
    let kind = request.kind();
    let Some(length) = request.encode(seq, &mut frame) else {
        let (request, answer) =
            (format!("{kind:?}").to_uppercase(), "a block of more codes than fit".to_owned());
        return Err(BackendErrorKind::refused(request, answer));
    };
    frame.truncate(length);
    Ok(Job { kind, frame, seq, alone, expected: max_encoded(expected), answer })
}

/// Codes as bytes of a payload.
pub(super) fn bytes_of(codes: impl IntoIterator<Item = u16>) -> Vec<u8> {
    codes.into_iter().flat_map(u16::to_le_bytes).collect()
}

/// Codes of a payload.
pub(super) fn codes_of(payload: &[u8]) -> Option<Vec<u16>> {
    Codes::new(payload).map(|codes| codes.iter().collect())
}
