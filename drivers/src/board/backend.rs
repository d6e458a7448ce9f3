//! A board as a processor.

use std::{sync::Arc, time::Duration};

use alora_board_protocol::{Codes, Flags, Request};
use async_trait::async_trait;
use ndarray::{Array3, s};
use tokio::time::Instant;

use super::{
    chunks::{Chunk, chunks, input_bytes},
    link::{Link, LinkOptions},
    session::Board,
};
use crate::{
    ActuatorFrame, Applied, BackendError, BackendErrorKind, Celsius, Descriptor, Generation, InputBatch,
    Operation, PhotonicBackend, ProcessorId, Readout,
    clock::Clock,
    link::{Connector, LinkError, LinkStatistics},
    refusal,
    station::Nominal,
};

/// How soon a wait ends when the board has stopped itself.
const LISTEN: Duration = Duration::from_millis(100);
const FREEZING_K: f64 = 273.15;
/// Serial numbers of boards without a chip behind them begin so.
const SIMULATED: &str = "mock-";

/// How a board is driven.
#[derive(Clone, Debug, PartialEq)]
pub struct BoardOptions {
    /// The chip that it should carry.
    pub nominal: Nominal,
    /// Outputs go to zero when the host is silent for so many milliseconds; 0: never.
    pub watchdog_ms: u16,
    /// How the link is kept.
    pub link: LinkOptions,
}

/// A processor behind a board.
///
/// Connecting writes the limits and reads them back, zeroes the outputs and arms the watchdog; so does the first `apply` or
/// `park` after a reset, a trip or a lost wire.
pub struct BoardBackend {
    connector: Arc<dyn Connector>,
    options: BoardOptions,
    descriptor: Descriptor,
    clock: Clock,
    link: Option<Link>,
    /// The board as it was armed; `None` when it has to be armed again.
    armed: Option<Board>,
    /// False from the first byte of a write until it was read back.
    outputs_known: bool,
    /// True while a write is going on, and after one whose future was dropped: the board may be a commit further than known.
    writing: bool,
    /// Why the board stopped itself, until it is parked.
    tripped: Option<String>,
}

impl BoardBackend {
    /// Connects to the board, and parks it.
    ///
    /// # Errors
    /// A port that cannot be opened, another protocol version or another board than expected: nothing was written then; limits
    /// that cannot be written.
    pub async fn connect(connector: Arc<dyn Connector>, options: BoardOptions) -> Result<Self, BackendError> {
        let descriptor = options.nominal.descriptor.clone();
        let clock = Clock::system();
        let mut board = Self {
            connector,
            options,
            descriptor,
            clock,
            link: None,
            armed: None,
            outputs_known: false,
            writing: false,
            tripped: None,
        };
        match board.first_contact().await {
            Ok(()) => Ok(board),
            Err(kind) => {
                let place = board.connector.place();
                Err(BackendError { processor: ProcessorId(place), operation: Operation::Connect, kind })
            }
        }
    }

    /// What the link has seen; nothing before it was open.
    #[must_use]
    pub fn statistics(&self) -> LinkStatistics {
        self.link.as_ref().map(Link::statistics).unwrap_or_default()
    }

    async fn first_contact(&mut self) -> Result<(), BackendErrorKind> {
        let serial = self.arm().await?.serial.clone();
        self.descriptor.simulated |= serial.starts_with(SIMULATED);
        self.descriptor.id = ProcessorId(serial);
        self.outputs_known = true;
        Ok(())
    }

    fn failed(&self, operation: Operation, kind: BackendErrorKind) -> BackendError {
        BackendError { processor: self.descriptor.id.clone(), operation, kind }
    }

    /// The link, opened again when it was lost.
    async fn link(&mut self) -> Result<&mut Link, BackendErrorKind> {
        if self.link.as_ref().is_some_and(|link| link.news(|news| news.lost)) {
            (self.link, self.armed, self.outputs_known) = (None, None, false);
        }
        let link = match self.link.take() {
            Some(link) => link,
            None => Link::open(&self.connector, self.options.link).await?,
        };
        Ok(self.link.insert(link))
    }

    /// Identify, limits, read back, zero, watchdog. What is armed already stays.
    async fn arm(&mut self) -> Result<&mut Board, BackendErrorKind> {
        self.link().await?;
        let board = match self.armed.take() {
            Some(board) => board,
            None => self.arm_anew().await?,
        };
        Ok(self.armed.insert(board))
    }

    async fn arm_anew(&mut self) -> Result<Board, BackendErrorKind> {
        let descriptor = self.descriptor.clone();
        let watchdog_ms = self.options.watchdog_ms;
        let link = self.link().await?;
        link.news(|news| (news.rebooted, news.tripped) = (false, None));
        let mut board = link.hello(&descriptor).await?;
        link.write_limits(&descriptor.limits).await?;
        let zero = link.read(descriptor.limits.len()).await?.iter().all(|&code| code == 0);
        if !zero || board.flags.tripped() || board.flags.outputs_enabled() {
            board.commit_epoch = link.park().await?;
            reads_zero(&link.read(descriptor.limits.len()).await?)?;
        }
        link.arm_watchdog(watchdog_ms).await?;
        Ok(board)
    }

    /// What the board has said meanwhile ends what is going on.
    fn listen(&mut self) -> Result<(), BackendErrorKind> {
        let Some(link) = &self.link else { return Ok(()) };
        let (lost, rebooted, tripped) =
            link.news(|news| (news.lost, std::mem::take(&mut news.rebooted), news.tripped.take()));
        if lost {
            return Err(LinkError::Lost { place: self.connector.place() }.into());
        }
        if rebooted {
            return Err(BackendErrorKind::Rebooted { evidence: "it says so".to_owned() });
        }
        match tripped {
            Some(reason) => Err(BackendErrorKind::Tripped { reason }),
            None => Ok(()),
        }
    }

    /// The board is still the one that was armed, and has not stopped itself.
    async fn confirm(&mut self) -> Result<(), BackendErrorKind> {
        let descriptor = self.descriptor.clone();
        let now = self.link().await?.hello(&descriptor).await?;
        self.listen()?;
        match &self.armed {
            Some(board) if board.boot_id == now.boot_id => {}
            _ => return Err(BackendErrorKind::Rebooted { evidence: "its boot id is another".to_owned() }),
        }
        if now.flags.tripped() {
            return Err(BackendErrorKind::Tripped { reason: "its flag says so".to_owned() });
        }
        Ok(())
    }

    fn next_epoch(&mut self, epoch: u32) -> Result<(), BackendErrorKind> {
        let board = self.armed.as_mut().ok_or(BackendErrorKind::OutputsUnknown)?;
        if epoch != board.commit_epoch.wrapping_add(1) {
            let evidence = format!("commit {epoch} follows commit {}", board.commit_epoch);
            return Err(BackendErrorKind::Rebooted { evidence });
        }
        board.commit_epoch = epoch;
        Ok(())
    }

    async fn write(&mut self, frame: &ActuatorFrame) -> Result<(), BackendErrorKind> {
        self.listen()?;
        if let Some(reason) = &self.tripped {
            return Err(BackendErrorKind::Tripped { reason: reason.clone() });
        }
        self.begin_writing();
        self.arm().await?;
        let epoch = match self.link().await?.commit(&frame.0).await {
            Err(kind @ BackendErrorKind::Refused { .. }) => {
                // After a reset a board has no limits yet, and refuses everything.
                self.confirm().await?;
                return Err(kind);
            }
            committed => committed?,
        };
        self.next_epoch(epoch)?;
        tokio::time::sleep(self.descriptor.settle).await;
        let held = self.link().await?.read(frame.0.len()).await?;
        if let Some(actuator) = held.iter().zip(&frame.0).position(|(held, sent)| held != sent) {
            let (sent, held) = (frame.0[actuator], held[actuator]);
            self.confirm().await?;
            return Err(BackendErrorKind::NotHeld { actuator, sent, held });
        }
        self.confirm().await
    }

    fn begin_writing(&mut self) {
        self.outputs_known = false;
        if std::mem::replace(&mut self.writing, true) {
            self.armed = None;
        }
    }

    async fn zero(&mut self) -> Result<(), BackendErrorKind> {
        self.begin_writing();
        // What it has said is what this ends.
        if let Err(kind) = self.listen()
            && !matches!(kind, BackendErrorKind::Tripped { .. })
        {
            self.armed = None;
        }
        self.arm().await?;
        let epoch = self.link().await?.park().await?;
        self.next_epoch(epoch)?;
        tokio::time::sleep(self.descriptor.settle).await;
        let actuators = self.descriptor.limits.len();
        reads_zero(&self.link().await?.read(actuators).await?)?;
        self.confirm().await
    }

    /// Payload of a frame that takes a third of the watchdog's time on the line: while a frame comes, the board hears nothing.
    fn bytes_within_watchdog(&self) -> usize {
        match (self.connector.baud(), self.options.watchdog_ms) {
            (Some(baud), ms @ 1..) => (u64::from(baud) * u64::from(ms) / 30_000) as usize,
            _ => usize::MAX,
        }
    }

    async fn read_vectors(
        &mut self,
        inputs: &InputBatch,
        repeats: usize,
    ) -> Result<Readout, BackendErrorKind> {
        self.listen()?;
        // Arming would park the board: an execution never does.
        let board = self.armed.as_ref().ok_or(BackendErrorKind::OutputsUnknown)?;
        let most = board.max_payload.min(self.bytes_within_watchdog());
        let channels = self.descriptor.channels();
        let frames = inputs.0.nrows();
        let pieces = chunks(repeats, frames, inputs.0.ncols(), channels, most);
        if pieces.is_empty() && frames > 0 {
            let request = "EXECUTE".to_owned();
            let answer = format!("payloads of {most} bytes at most, which hold not even one vector");
            return Err(BackendErrorKind::refused(request, answer));
        }
        let taken_at = self.clock.timestamp();
        let link = self.link().await?;
        let sense = link.sense().await?;
        let mut pending = Vec::with_capacity(pieces.len());
        for chunk in pieces {
            let bytes = input_bytes(&inputs.0, &chunk);
            let Some(codes) = Codes::new(&bytes) else { continue };
            let request =
                Request::Execute { repeats: chunk.repeats as u8, frames: chunk.frames as u8, codes };
            let expected = 1 + 2 * chunk.repeats * chunk.frames * channels;
            pending.push((chunk, link.send(request, expected, false).await?));
        }
        let shape = (repeats, frames, channels);
        let mut readout = Readout {
            counts: Array3::zeros(shape),
            saturated: Array3::from_elem(shape, false),
            taken_at,
            temperature: Celsius(f64::from(sense.millikelvin) / 1000.0 - FREEZING_K),
        };
        for (chunk, answer) in pending {
            let payload = answer.answer().await?;
            take(&payload, &chunk, &self.options.nominal.counts_at_limit, &mut readout).ok_or_else(|| {
                let (request, answer) = ("EXECUTE".to_owned(), "counts of another shape".to_owned());
                BackendErrorKind::refused(request, answer)
            })?;
        }
        self.confirm().await?;
        Ok(readout)
    }

    /// After an error the outputs are unknown, and the board is armed again before anything is driven.
    fn settle<T>(
        &mut self,
        operation: Operation,
        outcome: Result<T, BackendErrorKind>,
    ) -> Result<T, BackendError> {
        self.writing = false;
        match outcome {
            Ok(done) => {
                self.outputs_known = true;
                Ok(done)
            }
            Err(kind) => {
                if let BackendErrorKind::Tripped { reason } = &kind {
                    self.tripped = Some(reason.clone());
                }
                (self.outputs_known, self.armed) = (false, None);
                Err(self.failed(operation, kind))
            }
        }
    }
}

fn reads_zero(codes: &[u16]) -> Result<(), BackendErrorKind> {
    match codes.iter().position(|&code| code != 0) {
        None => Ok(()),
        Some(actuator) => Err(BackendErrorKind::NotHeld { actuator, sent: 0, held: codes[actuator] }),
    }
}

/// Puts the counts of a piece in their place; `None` when they are not as many as they should be.
fn take(payload: &[u8], chunk: &Chunk, at_limit: &[i32], readout: &mut Readout) -> Option<()> {
    let (&flags, counts) = payload.split_first()?;
    let counts: Vec<i32> = Codes::new(counts)?.iter().map(|code| i32::from(code.cast_signed())).collect();
    let channels = readout.counts.dim().2;
    let counts = Array3::from_shape_vec((chunk.repeats, chunk.frames, channels), counts).ok()?;
    let place = s![
        chunk.first_repeat..chunk.first_repeat + chunk.repeats,
        chunk.first_frame..chunk.first_frame + chunk.frames,
        ..
    ];
    if Flags(flags).at_limit() {
        let beyond = |count: i32| {
            at_limit.binary_search(&count).is_ok()
                || at_limit.first().is_some_and(|&lowest| count < lowest)
                || at_limit.last().is_some_and(|&highest| count > highest)
        };
        // A board that knows of limits which the station file does not: all of the piece is doubtful.
        let none = !counts.iter().any(|&count| beyond(count));
        readout.saturated.slice_mut(place).assign(&counts.mapv(|count| none || beyond(count)));
    }
    readout.counts.slice_mut(place).assign(&counts);
    Some(())
}

#[async_trait]
impl PhotonicBackend for BoardBackend {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn generation(&self) -> Option<Generation> {
        let board = self.armed.as_ref().filter(|_| self.outputs_known)?;
        Some(Generation { boot: board.boot_id, commits: board.commit_epoch })
    }

    async fn apply(&mut self, frame: &ActuatorFrame) -> Result<Applied, BackendError> {
        refusal::of_frame(&self.descriptor, frame).map_err(|kind| self.failed(Operation::Apply, kind))?;
        let written = self.write(frame).await;
        self.settle(Operation::Apply, written)?;
        Ok(Applied { codes: frame.clone(), verified: true })
    }

    async fn read_back(&mut self) -> Result<ActuatorFrame, BackendError> {
        let actuators = self.descriptor.limits.len();
        let held = match self.link().await {
            Ok(link) => link.read(actuators).await,
            Err(kind) => Err(kind),
        };
        match held {
            Ok(codes) => Ok(ActuatorFrame(codes)),
            Err(kind) => self.settle(Operation::ReadBack, Err(kind)),
        }
    }

    async fn execute(&mut self, inputs: &InputBatch, repeats: usize) -> Result<Readout, BackendError> {
        refusal::of_inputs(&self.descriptor, inputs, repeats)
            .map_err(|kind| self.failed(Operation::Execute, kind))?;
        if !self.outputs_known {
            return Err(self.failed(Operation::Execute, BackendErrorKind::OutputsUnknown));
        }
        let read = self.read_vectors(inputs, repeats).await;
        self.settle(Operation::Execute, read)
    }

    async fn wait(&mut self, duration: Duration) -> Result<(), BackendError> {
        let end = Instant::now() + duration;
        loop {
            tokio::time::sleep_until(end.min(Instant::now() + LISTEN)).await;
            if let Err(kind) = self.listen() {
                return self.settle(Operation::Wait, Err(kind));
            }
            if Instant::now() >= end {
                return Ok(());
            }
        }
    }

    async fn park(&mut self) -> Result<(), BackendError> {
        let parked = self.zero().await;
        if parked.is_ok() {
            self.tripped = None;
        }
        self.settle(Operation::Park, parked)
    }
}
