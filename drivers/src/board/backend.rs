//! A board as a processor.

mod arming;
mod reading;
mod writing;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::time::Instant;

use self::arming::For;
use super::{
    link::{Link, LinkOptions},
    session::Board,
};
use crate::{
    ActuatorFrame, Applied, BackendError, BackendErrorKind, Descriptor, Generation, InputBatch, Operation,
    PhotonicBackend, ProcessorId, Readout,
    clock::Clock,
    link::{Connector, LinkStatistics},
    refusal,
    station::Nominal,
};

/// How soon a wait ends when the board has stopped itself.
const LISTEN: Duration = Duration::from_millis(100);
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
/// `park` after an error. A board that was reset, or has stopped itself, takes no frame before a `park`: the first call that
/// meets it says so, and every `apply` after it.
pub struct BoardBackend {
    connector: Arc<dyn Connector>,
    options: BoardOptions,
    descriptor: Descriptor,
    clock: Clock,
    link: Option<Link>,
    /// The board as it was armed; `None` when it has to be armed again.
    armed: Option<Board>,
    /// Boot id of the board that was last known to hold what it should; `None` before the first one.
    boot_id: Option<u32>,
    /// False from the first byte of a write until it was read back.
    outputs_known: bool,
    /// True while a write is going on, and after one whose future was dropped: the board may be a commit further than known.
    writing: bool,
    /// That the board was reset or has stopped itself, until it is parked.
    stopped: Option<BackendErrorKind>,
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
            boot_id: None,
            outputs_known: false,
            writing: false,
            stopped: None,
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
        let board = self.arm(For::Parking).await?;
        let (serial, boot_id) = (board.serial.clone(), board.boot_id);
        self.boot_id = Some(boot_id);
        self.descriptor.simulated |= serial.starts_with(SIMULATED);
        self.descriptor.id = ProcessorId(serial);
        self.outputs_known = true;
        Ok(())
    }

    fn failed(&self, operation: Operation, kind: BackendErrorKind) -> BackendError {
        BackendError { processor: self.descriptor.id.clone(), operation, kind }
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
                self.boot_id = self.armed.as_ref().map(|board| board.boot_id).or(self.boot_id);
                Ok(done)
            }
            Err(kind) => {
                if matches!(kind, BackendErrorKind::Tripped { .. } | BackendErrorKind::Rebooted { .. }) {
                    self.stopped = Some(kind.clone());
                }
                (self.outputs_known, self.armed) = (false, None);
                Err(self.failed(operation, kind))
            }
        }
    }
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
        let descriptor = self.descriptor.clone();
        let held = match self.link().await {
            Ok(link) => link.read_at_once(&descriptor).await,
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
            self.stopped = None;
        }
        self.settle(Operation::Park, parked)
    }
}
