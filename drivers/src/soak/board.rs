//! A board under test.

use async_trait::async_trait;

use super::{SoakOutcome, Subject};
use crate::{
    ActuatorFrame, BackendErrorKind, Code, PhotonicBackend, board::BoardBackend, link::LinkStatistics,
};

/// A board that is connected, and the frame that it should hold.
pub struct BoardSubject {
    board: BoardBackend,
    frame: ActuatorFrame,
}

impl BoardSubject {
    /// Values are codes, up to each actuator's limit.
    #[must_use]
    pub fn new(board: BoardBackend) -> Self {
        let frame = ActuatorFrame::zeros(board.descriptor().limits.len());
        Self { board, frame }
    }
}

#[async_trait]
impl Subject for BoardSubject {
    fn protocol(&self) -> &'static str {
        "board"
    }

    fn unit(&self) -> &'static str {
        "code"
    }

    fn channels(&self) -> Vec<usize> {
        (0..self.frame.0.len()).collect()
    }

    fn range(&self, channel: usize) -> (f64, f64) {
        (f64::from(self.board.descriptor().limits[channel]), 1.0)
    }

    async fn set(&mut self, channel: usize, value: f64) -> (SoakOutcome, Option<f64>, String) {
        let mut frame = self.frame.clone();
        frame.0[channel] = value as Code;
        match self.board.apply(&frame).await {
            Ok(applied) => {
                let held = f64::from(applied.codes.0[channel]);
                self.frame = applied.codes;
                (SoakOutcome::Confirmed, Some(held), String::new())
            }
            Err(error) => match error.kind {
                BackendErrorKind::NotHeld { actuator, held, .. } if actuator == channel => {
                    (SoakOutcome::Refused, Some(f64::from(held)), error.kind.to_string())
                }
                kind => (SoakOutcome::Unknown, None, kind.to_string()),
            },
        }
    }

    async fn recover(&mut self) -> Result<(), String> {
        self.zero().await
    }

    async fn zero(&mut self) -> Result<(), String> {
        self.frame.0.fill(0);
        self.board.park().await.map_err(|error| error.kind.to_string())
    }

    fn statistics(&self) -> LinkStatistics {
        self.board.statistics()
    }
}
