//! A processor that is driven only while a supervisor watches.

use std::time::Duration;

use async_trait::async_trait;

use super::Guard;
use crate::{
    ActuatorFrame, Applied, BackendError, BackendErrorKind, Descriptor, Generation, InputBatch, Operation,
    PhotonicBackend, Readout,
};

/// A processor with its supervisor. The supervisor is told before the first byte that drives an output, and after each park; it
/// zeroes the devices when this process ends between the two.
///
/// When the supervisor itself is gone, `apply`, `execute` and `wait` answer [`BackendErrorKind::Unwatched`] and nothing is sent.
pub struct Guarded {
    // Dropped in this order: the ports are closed when the supervisor hears of it.
    backend: Box<dyn PhotonicBackend>,
    guard: Guard,
}

impl Guarded {
    /// A processor that was just connected, so that it is parked, with a supervisor of its devices.
    #[must_use]
    pub fn new(backend: Box<dyn PhotonicBackend>, guard: Guard) -> Self {
        Self { backend, guard }
    }

    fn driving(&self, operation: Operation) -> Result<(), BackendError> {
        self.guard.driving().map_err(|_| self.unwatched(operation))
    }

    fn unwatched(&self, operation: Operation) -> BackendError {
        let processor = self.backend.descriptor().id.clone();
        BackendError { processor, operation, kind: BackendErrorKind::Unwatched }
    }
}

#[async_trait]
impl PhotonicBackend for Guarded {
    fn descriptor(&self) -> &Descriptor {
        self.backend.descriptor()
    }

    fn generation(&self) -> Option<Generation> {
        self.backend.generation()
    }

    async fn apply(&mut self, frame: &ActuatorFrame) -> Result<Applied, BackendError> {
        self.driving(Operation::Apply)?;
        self.backend.apply(frame).await
    }

    async fn read_back(&mut self) -> Result<ActuatorFrame, BackendError> {
        self.backend.read_back().await
    }

    async fn execute(&mut self, inputs: &InputBatch, repeats: usize) -> Result<Readout, BackendError> {
        self.driving(Operation::Execute)?;
        self.backend.execute(inputs, repeats).await
    }

    async fn wait(&mut self, duration: Duration) -> Result<(), BackendError> {
        tokio::select! {
            waited = self.backend.wait(duration) => return waited,
            () = self.guard.gone() => {}
        }
        Err(self.unwatched(Operation::Wait))
    }

    async fn park(&mut self) -> Result<(), BackendError> {
        self.backend.park().await?;
        self.guard.parked();
        Ok(())
    }
}
