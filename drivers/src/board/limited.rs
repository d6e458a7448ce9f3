//! A board under the rules of its station: sums and ramps of heater power, interlocks.
//!
//! A board knows codes, not volts: powers are shares of a heater's power at the highest code of its converter, `(code / top)²`.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep};

use super::BoardBackend;
use crate::{
    ActuatorFrame, Applied, BackendError, BackendErrorKind, Code, Descriptor, FaultClass, Generation,
    InputBatch, Operation, PhotonicBackend, Readout, refusal,
    safety::{Condition, Interlocks, Reading, Readings},
};

/// Rules for what a board drives.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeaterRules {
    /// Largest change of a heater's power in one write, as a share of its full power; `None`: any.
    pub step: Option<f64>,
    /// Wait after each write of a ramp.
    pub settle: Duration,
    /// Highest sum of the powers of all heaters, in full powers of one.
    pub total: Option<f64>,
}

impl HeaterRules {
    /// Whether a frame keeps the sum; `top` is the converter's highest code.
    ///
    /// # Errors
    /// It does not; `device` is named.
    pub fn check(&self, device: &str, top: f64, codes: &[Code]) -> Result<(), BackendErrorKind> {
        let Some(most) = self.total else { return Ok(()) };
        let sum: f64 = codes.iter().map(|&code| power(code, top)).sum();
        if sum <= most * (1.0 + 1e-9) {
            return Ok(());
        }
        let reason = format!(
            "the frame drives {sum:.3} times the full power of one heater, the station allows {most}; nothing was sent"
        );
        Err(BackendErrorKind::instrument(device, reason, FaultClass::Limit))
    }
}

/// A board whose frames keep rules, and which is not driven unless all conditions are met.
pub struct LimitedBoard {
    board: BoardBackend,
    rules: HeaterRules,
    interlocks: Option<Interlocks>,
    /// Readings older than this are taken again.
    poll: Duration,
    readings: Readings,
    taken: Option<Instant>,
    /// What the board was last known to hold.
    held: Option<ActuatorFrame>,
}

impl LimitedBoard {
    /// A board that has just been connected: all at zero.
    #[must_use]
    pub fn new(board: BoardBackend, rules: HeaterRules, interlocks: &[Condition]) -> Self {
        let poll = Interlocks::poll(interlocks);
        let interlocks = (!interlocks.is_empty()).then(|| Interlocks::new(interlocks));
        let held = Some(ActuatorFrame::zeros(board.descriptor().limits.len()));
        Self { board, rules, interlocks, poll, readings: Readings::default(), taken: None, held }
    }

    fn failed(&self, operation: Operation, kind: BackendErrorKind) -> BackendError {
        BackendError { processor: self.descriptor().id.clone(), operation, kind }
    }

    fn top(&self) -> f64 {
        f64::from(u16::MAX >> (16 - self.descriptor().bits.actuator))
    }

    async fn check_interlocks(&mut self) -> Result<(), BackendErrorKind> {
        let Some(interlocks) = &mut self.interlocks else { return Ok(()) };
        if self.taken.is_none_or(|taken| taken.elapsed() >= self.poll) {
            let (temperature, laser) = self.board.sense().await?;
            let now = Duration::ZERO;
            self.readings.temperature = Some(Reading { value: temperature, age: now });
            self.readings.laser_power = Some(Reading { value: laser, age: now });
            self.taken = Some(Instant::now());
        }
        let age = self.taken.map_or(Duration::MAX, |taken| taken.elapsed());
        interlocks.evaluate(&self.readings.aged(age)).allow()
    }

    async fn go(&mut self, frame: &ActuatorFrame) -> Result<Applied, BackendError> {
        let held = match self.held.take() {
            Some(held) => held,
            None => self.board.read_back().await?,
        };
        let frames = ramp(&held, frame, self.top(), self.rules.step.unwrap_or(1.0));
        let (last, between) = frames.split_last().map_or((frame, &[][..]), |(last, between)| (last, between));
        for frame in between {
            let _ = self.board.apply(frame).await?;
            sleep(self.rules.settle).await;
        }
        let applied = self.board.apply(last).await?;
        self.held = Some(applied.codes.clone());
        Ok(applied)
    }
}

#[async_trait]
impl PhotonicBackend for LimitedBoard {
    fn descriptor(&self) -> &Descriptor {
        self.board.descriptor()
    }

    /// A ramp is several commits, of which the journal of a programming knows nothing.
    fn generation(&self) -> Option<Generation> {
        self.board.generation().filter(|_| self.rules.step.is_none())
    }

    async fn apply(&mut self, frame: &ActuatorFrame) -> Result<Applied, BackendError> {
        let checked = refusal::of_frame(self.descriptor(), frame)
            .and_then(|()| self.rules.check(&self.descriptor().id.0, self.top(), &frame.0));
        checked.map_err(|kind| self.failed(Operation::Apply, kind))?;
        let allowed = self.check_interlocks().await;
        allowed.map_err(|kind| self.failed(Operation::Apply, kind))?;
        self.go(frame).await
    }

    async fn read_back(&mut self) -> Result<ActuatorFrame, BackendError> {
        self.board.read_back().await
    }

    async fn execute(&mut self, inputs: &InputBatch, repeats: usize) -> Result<Readout, BackendError> {
        refusal::of_inputs(self.descriptor(), inputs, repeats)
            .map_err(|kind| self.failed(Operation::Execute, kind))?;
        if self.held.is_none() {
            // Perhaps within a ramp that was given up.
            return Err(self.failed(Operation::Execute, BackendErrorKind::OutputsUnknown));
        }
        let allowed = self.check_interlocks().await;
        allowed.map_err(|kind| self.failed(Operation::Execute, kind))?;
        self.board.execute(inputs, repeats).await
    }

    async fn wait(&mut self, duration: Duration) -> Result<(), BackendError> {
        self.board.wait(duration).await
    }

    async fn park(&mut self) -> Result<(), BackendError> {
        self.held = None;
        self.board.park().await?;
        self.held = Some(ActuatorFrame::zeros(self.descriptor().limits.len()));
        Ok(())
    }
}

fn power(code: Code, top: f64) -> f64 {
    (f64::from(code) / top).powi(2)
}

/// Frames from what is held to `frame`, in equal steps of power of at most `step`; the last is `frame` itself.
fn ramp(held: &ActuatorFrame, frame: &ActuatorFrame, top: f64, step: f64) -> Vec<ActuatorFrame> {
    let ends = || held.0.iter().zip(&frame.0).map(|(&from, &to)| (power(from, top), power(to, top)));
    let way = ends().map(|(from, to)| (to - from).abs()).fold(0.0, f64::max);
    let steps = ((way / step * (1.0 - 1e-12)).ceil() as usize).max(1);
    let at = |part: f64| {
        let code = |(from, to): (f64, f64)| ((from + (to - from) * part).sqrt() * top).round() as Code;
        ActuatorFrame(ends().map(code).collect())
    };
    let between = (1..steps).map(|k| at(k as f64 / steps as f64));
    between.chain([frame.clone()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ramp_goes_in_equal_steps_of_power_and_ends_at_the_frame() {
        let (from, to) = (ActuatorFrame(vec![0, 200, 90]), ActuatorFrame(vec![255, 100, 90]));
        let frames = ramp(&from, &to, 255.0, 0.1);
        assert_eq!((frames.len(), frames.last()), (10, Some(&to)));
        let mut before = from;
        for frame in frames {
            for (from, to) in before.0.iter().zip(&frame.0) {
                // A code is rounded by half a step: at 255 that is 0.4 % of full power, at both ends.
                assert!((power(*to, 255.0) - power(*from, 255.0)).abs() < 0.1 + 0.008, "{from} to {to}");
            }
            assert_eq!(frame.0[2], 90);
            before = frame;
        }
    }

    #[test]
    fn without_a_step_there_is_one_write() {
        let to = ActuatorFrame(vec![255]);
        assert_eq!(ramp(&ActuatorFrame(vec![0]), &to, 255.0, 1.0), [to]);
    }
}
