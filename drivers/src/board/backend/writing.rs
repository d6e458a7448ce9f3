//! Frames onto the board, and zero.

use super::{
    BoardBackend,
    arming::{For, reads_zero},
};
use crate::{ActuatorFrame, BackendErrorKind};

impl BoardBackend {
    pub(super) async fn write(&mut self, frame: &ActuatorFrame) -> Result<(), BackendErrorKind> {
        if self.armed.is_some() {
            self.listen()?;
        }
        if let Some(stopped) = &self.stopped {
            return Err(stopped.clone());
        }
        self.begin_writing();
        self.arm(For::Frame).await?;
        let epoch = match self.same_link()?.commit(&frame.0).await {
            Err(kind @ BackendErrorKind::Refused { .. }) => {
                // After a reset a board has no limits yet, and refuses everything.
                self.confirm().await?;
                return Err(kind);
            }
            committed => committed?,
        };
        self.next_epoch(epoch)?;
        tokio::time::sleep(self.descriptor.settle).await;
        let held = self.same_link()?.read(frame.0.len()).await?;
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

    pub(super) async fn zero(&mut self) -> Result<(), BackendErrorKind> {
        self.begin_writing();
        // What it has said is what this ends.
        if let Err(kind) = self.listen()
            && !matches!(kind, BackendErrorKind::Tripped { .. })
        {
            self.armed = None;
        }
        self.arm(For::Parking).await?;
        let epoch = self.same_link()?.park().await?;
        self.next_epoch(epoch)?;
        tokio::time::sleep(self.descriptor.settle).await;
        let actuators = self.descriptor.limits.len();
        reads_zero(&self.same_link()?.read(actuators).await?)?;
        self.confirm().await
    }
}
