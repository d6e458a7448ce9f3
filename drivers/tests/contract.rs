//! The contract suite catches a broken backend, by the clause that it breaks.

#![expect(clippy::unwrap_used, reason = "tests")]

use alora_drivers::{
    ActuatorFrame, Applied, BackendError, BackendErrorKind, Descriptor, InputBatch, Operation,
    PhotonicBackend, Readout,
    contract::{self, Clause},
    mock::{Script, Spec},
};
use async_trait::async_trait;
use ndarray::{Axis, s};

/// What a backend does wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    ClipsOverLimit,
    AppliesHalfAFrame,
    AppliesBeforeRefusing,
    PadsShortFrames,
    PadsNarrowInputs,
    ClampsInputCodes,
    TakesZeroRepeatsForOne,
    AveragesRepeats,
    CopiesTheMeanIntoEveryRepeat,
    StartsUnparked,
    SecondParkFails,
    ParkKeepsTheFirstActuator,
    ExecuteMovesAnActuator,
    ClaimsVerified,
    LosesALimit,
    ClockGoesBack,
    WaitMovesAnActuator,
    DoesNotWait,
    ForgetsWhoFailed,
    DropsAllAfterACancelledExecute,
}

/// A sound mock behind a fault.
struct Broken {
    inner: Box<dyn PhotonicBackend>,
    descriptor: Descriptor,
    fault: Fault,
    parked: bool,
    executions: u32,
    in_flight: bool,
}

impl Broken {
    async fn connect(fault: Fault) -> Box<dyn PhotonicBackend> {
        let mut inner = Spec::preset("incoherent-8x8").unwrap().connect(5, Script::default());
        let mut descriptor = inner.descriptor().clone();
        if fault == Fault::LosesALimit {
            descriptor.limits.pop();
        }
        if fault == Fault::StartsUnparked {
            let actuators = descriptor.limits.len();
            let _ = inner.apply(&ActuatorFrame(vec![3; actuators])).await.unwrap();
        }
        Box::new(Self { inner, descriptor, fault, parked: false, executions: 0, in_flight: false })
    }

    async fn repair(&mut self, frame: &ActuatorFrame) -> ActuatorFrame {
        let mut codes = frame.0.clone();
        match self.fault {
            Fault::ClipsOverLimit => {
                codes
                    .iter_mut()
                    .zip(&self.descriptor.limits)
                    .for_each(|(code, limit)| *code = (*code).min(*limit));
            }
            Fault::PadsShortFrames => codes.resize(codes.len().max(self.descriptor.limits.len()), 0),
            Fault::AppliesHalfAFrame => {
                let held = self.inner.read_back().await.unwrap().0;
                let half = codes.len() / 2;
                codes.truncate(half);
                codes.extend_from_slice(&held[half..]);
            }
            Fault::AppliesBeforeRefusing => {
                let mut partial = self.inner.read_back().await.unwrap();
                let sound =
                    codes.iter().zip(&self.descriptor.limits).take_while(|(code, limit)| code <= limit);
                for (held, (code, _)) in partial.0.iter_mut().zip(sound) {
                    *held = *code;
                }
                let _ = self.inner.apply(&partial).await.unwrap();
            }
            _ => {}
        }
        ActuatorFrame(codes)
    }
}

#[async_trait]
impl PhotonicBackend for Broken {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    async fn apply(&mut self, frame: &ActuatorFrame) -> Result<Applied, BackendError> {
        let whole = frame.0.len() == self.inner.descriptor().limits.len();
        let asked = if whole || self.fault == Fault::PadsShortFrames {
            self.repair(frame).await
        } else {
            frame.clone()
        };
        let mut applied = self.inner.apply(&asked).await.map_err(|mut error| {
            if self.fault == Fault::ForgetsWhoFailed {
                error.operation = Operation::Connect;
            }
            error
        })?;
        self.parked = false;
        if self.fault == Fault::ClaimsVerified {
            applied.codes.0[0] ^= 1;
        }
        Ok(applied)
    }

    async fn read_back(&mut self) -> Result<ActuatorFrame, BackendError> {
        self.inner.read_back().await
    }

    async fn execute(&mut self, inputs: &InputBatch, repeats: usize) -> Result<Readout, BackendError> {
        self.executions += 1;
        if self.fault == Fault::DropsAllAfterACancelledExecute {
            if std::mem::replace(&mut self.in_flight, true) {
                let (processor, operation) = (self.descriptor.id.clone(), Operation::Execute);
                return Err(BackendError { processor, operation, kind: BackendErrorKind::Disconnected });
            }
            tokio::task::yield_now().await;
            self.in_flight = false;
        }
        let (lowest, highest) = self.descriptor.input_range();
        let mut sent = inputs.clone();
        match self.fault {
            Fault::PadsNarrowInputs if sent.0.ncols() < self.descriptor.inputs => {
                sent = InputBatch(ndarray::Array2::zeros((sent.0.nrows(), self.descriptor.inputs)));
            }
            Fault::ClampsInputCodes => sent.0.mapv_inplace(|code| code.clamp(lowest, highest)),
            Fault::ExecuteMovesAnActuator => {
                let mut codes = self.inner.read_back().await?;
                codes.0[1] ^= 1;
                let _ = self.inner.apply(&codes).await?;
            }
            _ => {}
        }
        let repeats = if self.fault == Fault::TakesZeroRepeatsForOne { repeats.max(1) } else { repeats };
        let mut readout = self.inner.execute(&sent, repeats).await?;
        match self.fault {
            Fault::AveragesRepeats | Fault::CopiesTheMeanIntoEveryRepeat => {
                let mean = readout.counts.sum_axis(Axis(0)) / repeats as i32;
                for mut repeat in readout.counts.outer_iter_mut() {
                    repeat.assign(&mean);
                }
                if self.fault == Fault::AveragesRepeats {
                    readout.counts = readout.counts.slice(s![..1, .., ..]).to_owned();
                }
            }
            Fault::ClockGoesBack => {
                readout.taken_at.0 -= std::time::Duration::from_secs(self.executions.into())
            }
            _ => {}
        }
        Ok(readout)
    }

    async fn wait(&mut self, duration: std::time::Duration) -> Result<(), BackendError> {
        if self.fault == Fault::DoesNotWait {
            return Ok(());
        }
        self.inner.wait(duration).await?;
        if self.fault == Fault::WaitMovesAnActuator {
            let mut codes = self.inner.read_back().await?;
            codes.0[1] ^= 1;
            let _ = self.inner.apply(&codes).await?;
        }
        Ok(())
    }

    async fn park(&mut self) -> Result<(), BackendError> {
        if self.fault == Fault::SecondParkFails && self.parked {
            let (processor, operation) = (self.descriptor.id.clone(), Operation::Park);
            return Err(BackendError { processor, operation, kind: BackendErrorKind::OutputsUnknown });
        }
        self.parked = true;
        self.inner.park().await?;
        if self.fault == Fault::ParkKeepsTheFirstActuator {
            let mut codes = ActuatorFrame::zeros(self.inner.descriptor().limits.len());
            codes.0[0] = 7;
            let _ = self.inner.apply(&codes).await?;
        }
        Ok(())
    }
}

#[tokio::test]
async fn each_broken_backend_is_caught_by_the_clause_that_it_breaks() {
    for (fault, clause) in [
        (Fault::ClipsOverLimit, Clause::OverLimit),
        (Fault::AppliesHalfAFrame, Clause::Apply),
        (Fault::AppliesBeforeRefusing, Clause::OverLimit),
        (Fault::PadsShortFrames, Clause::FrameLength),
        (Fault::PadsNarrowInputs, Clause::InputWidth),
        (Fault::ClampsInputCodes, Clause::InputCode),
        (Fault::TakesZeroRepeatsForOne, Clause::NoRepeats),
        (Fault::AveragesRepeats, Clause::Readout),
        (Fault::CopiesTheMeanIntoEveryRepeat, Clause::Repeats),
        (Fault::StartsUnparked, Clause::ParkedAfterConnecting),
        (Fault::SecondParkFails, Clause::Park),
        (Fault::ParkKeepsTheFirstActuator, Clause::Park),
        (Fault::ExecuteMovesAnActuator, Clause::ExecuteKeepsCodes),
        (Fault::ClaimsVerified, Clause::Apply),
        (Fault::LosesALimit, Clause::Descriptor),
        (Fault::ClockGoesBack, Clause::Readout),
        (Fault::WaitMovesAnActuator, Clause::Wait),
        (Fault::DoesNotWait, Clause::Wait),
        (Fault::ForgetsWhoFailed, Clause::FrameLength),
        (Fault::DropsAllAfterACancelledExecute, Clause::CancelSafety),
    ] {
        let violations = contract::check(async || Broken::connect(fault).await).await.unwrap_err();
        assert!(violations.iter().any(|violation| violation.clause == clause), "{fault:?}: {violations:?}");
    }
}

#[tokio::test]
async fn a_violation_is_a_sentence_with_what_was_promised_and_what_was_found() {
    let violations =
        contract::check(async || Broken::connect(Fault::ClipsOverLimit).await).await.unwrap_err();
    insta::assert_snapshot!(violations[0].to_string(), @"contract: a code above its limit refuses the whole frame; nothing is applied or clipped; found: apply was accepted where it should be refused with `actuator 0: code 256 is above its limit of 255; nothing was applied and nothing was clipped`");
}
