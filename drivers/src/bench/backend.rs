//! The bench as a processor.

use std::time::Duration;

use async_trait::async_trait;
use ndarray::Array3;

use super::{Bank, Receiver, Surroundings};
use crate::{
    ActuatorFrame, Applied, BackendError, BackendErrorKind, Celsius, Code, Descriptor, InputBatch, Operation,
    PhotonicBackend, Readout, clock::Clock, refusal,
};

/// What a bench is put together from.
pub struct BenchParts {
    /// The processor that they make; its id is that of the chip.
    pub descriptor: Descriptor,
    /// Weights, in the order of the layout.
    pub weights: Bank,
    /// Inputs; a code of −k is that of k on the negative side, so bipolar inputs are offset to start at 0.
    pub inputs: Bank,
    /// Outputs, in the order of the readout.
    pub outputs: Receiver,
    /// Laser, thermostat, conditions.
    pub surroundings: Box<dyn Surroundings>,
    /// Time from new inputs to settled outputs.
    pub input_settle: Duration,
}

/// A processor made of instruments.
pub struct BenchBackend {
    parts: BenchParts,
    clock: Clock,
    /// What the weights were read back as; `None` from the first byte of a write until then.
    held: Option<Vec<Code>>,
    /// The detectors' settings may be lost.
    doubtful: bool,
}

impl BenchBackend {
    /// Takes over instruments that are connected; parks them.
    ///
    /// # Errors
    /// Parts that do not fit the descriptor, or a link error.
    pub async fn connect(parts: BenchParts) -> Result<Self, BackendError> {
        let mut bench = Self { parts, clock: Clock::system(), held: None, doubtful: true };
        bench.fits().map_err(|kind| bench.failed(Operation::Connect, kind))?;
        bench.rest().await.map_err(|kind| bench.failed(Operation::Connect, kind))?;
        Ok(bench)
    }

    fn fits(&self) -> Result<(), BackendErrorKind> {
        let parts = &self.parts;
        let descriptor = &parts.descriptor;
        for (what, found, expected) in [
            ("channels of the weights", parts.weights.count(), descriptor.limits.len()),
            ("channels of the inputs", parts.inputs.count(), descriptor.input_width()),
            ("channels of the outputs", parts.outputs.channels(), descriptor.channels()),
        ] {
            if found != expected {
                return Err(BackendErrorKind::mismatch(what, found, format!("{expected} for this chip")));
            }
        }
        Ok(())
    }

    fn failed(&self, operation: Operation, kind: BackendErrorKind) -> BackendError {
        BackendError { processor: self.parts.descriptor.id.clone(), operation, kind }
    }

    async fn write(&mut self, frame: &ActuatorFrame) -> Result<(), BackendErrorKind> {
        self.parts.weights.check(&frame.0).await?;
        self.allowed().await?;
        self.held = None;
        self.parts.weights.write(&frame.0).await?;
        tokio::time::sleep(self.parts.descriptor.settle).await;
        let held = self.parts.weights.read().await?;
        let differs = held.iter().zip(&frame.0).position(|(held, sent)| held != sent);
        if let Some(actuator) = differs {
            let (sent, held) = (frame.0[actuator], held[actuator]);
            return Err(BackendErrorKind::NotHeld { actuator, sent, held });
        }
        self.held = Some(held);
        Ok(())
    }

    /// The weights are still what they were: a source that was reset or has tripped says so only when it is asked.
    async fn still_held(&mut self) -> Result<(), BackendErrorKind> {
        let sent = self.held.clone().ok_or(BackendErrorKind::OutputsUnknown)?;
        let held = self.parts.weights.read().await?;
        match held.iter().zip(&sent).position(|(held, sent)| held != sent) {
            Some(actuator) => {
                let (sent, held) = (sent[actuator], held[actuator]);
                Err(BackendErrorKind::NotHeld { actuator, sent, held })
            }
            None => Ok(()),
        }
    }

    /// Light on, and all conditions met.
    async fn allowed(&mut self) -> Result<Celsius, BackendErrorKind> {
        self.parts.surroundings.light().await?;
        self.parts.surroundings.check().await
    }

    /// Every part to its rest, each even if another fails; the first failure is told.
    async fn rest(&mut self) -> Result<(), BackendErrorKind> {
        self.held = None;
        let dark = self.parts.surroundings.make_safe().await;
        let (weights, inputs) = (self.parts.weights.park().await, self.parts.inputs.park().await);
        weights.and(inputs).and(dark)?;
        if self.doubtful {
            self.parts.outputs.prepare().await?;
            self.doubtful = false;
        }
        tokio::time::sleep(self.parts.descriptor.settle).await;
        self.held = Some(self.parts.weights.read().await?);
        Ok(())
    }

    /// What stands after an error: all as it was when nothing was sent, else nobody knows.
    fn after(&mut self, operation: Operation, kind: BackendErrorKind) -> BackendError {
        if !kind.sent_nothing() {
            (self.held, self.doubtful) = (None, true);
        }
        self.failed(operation, kind)
    }

    /// Vector after vector, each as often as asked, so that inputs are written once a vector.
    async fn read_vectors(
        &mut self,
        inputs: &InputBatch,
        counts: &mut Array3<i32>,
        saturated: &mut Array3<bool>,
    ) -> Result<Celsius, BackendErrorKind> {
        let repeats = counts.dim().0;
        let mut temperature = self.allowed().await?;
        self.still_held().await?;
        for (frame, codes) in inputs.0.rows().into_iter().enumerate() {
            if frame > 0 {
                temperature = self.parts.surroundings.check().await?;
            }
            self.send(codes.iter().copied()).await?;
            for repeat in 0..repeats {
                for (channel, (count, at_limit)) in self.parts.outputs.read().await?.into_iter().enumerate() {
                    counts[(repeat, frame, channel)] = count;
                    saturated[(repeat, frame, channel)] = at_limit;
                }
            }
        }
        self.still_held().await?;
        Ok(temperature)
    }

    async fn send(&mut self, codes: impl Iterator<Item = i32>) -> Result<(), BackendErrorKind> {
        let (lowest, _) = self.parts.descriptor.input_range();
        let codes: Vec<Code> = codes.map(|code| (code - lowest) as Code).collect();
        self.parts.inputs.write(&codes).await?;
        tokio::time::sleep(self.parts.input_settle).await;
        Ok(())
    }
}

#[async_trait]
impl PhotonicBackend for BenchBackend {
    fn descriptor(&self) -> &Descriptor {
        &self.parts.descriptor
    }

    async fn apply(&mut self, frame: &ActuatorFrame) -> Result<Applied, BackendError> {
        refusal::of_frame(&self.parts.descriptor, frame)
            .map_err(|kind| self.failed(Operation::Apply, kind))?;
        self.write(frame).await.map_err(|kind| self.after(Operation::Apply, kind))?;
        Ok(Applied { codes: frame.clone(), verified: true })
    }

    async fn read_back(&mut self) -> Result<ActuatorFrame, BackendError> {
        let held = self.parts.weights.read().await;
        held.map(ActuatorFrame).map_err(|kind| self.after(Operation::ReadBack, kind))
    }

    async fn execute(&mut self, inputs: &InputBatch, repeats: usize) -> Result<Readout, BackendError> {
        refusal::of_inputs(&self.parts.descriptor, inputs, repeats)
            .map_err(|kind| self.failed(Operation::Execute, kind))?;
        if self.held.is_none() {
            return Err(self.failed(Operation::Execute, BackendErrorKind::OutputsUnknown));
        }
        let shape = (repeats, inputs.0.nrows(), self.parts.descriptor.channels());
        let (mut counts, mut saturated) = (Array3::zeros(shape), Array3::from_elem(shape, false));
        let taken_at = self.clock.timestamp();
        let temperature = self
            .read_vectors(inputs, &mut counts, &mut saturated)
            .await
            .map_err(|kind| self.after(Operation::Execute, kind))?;
        Ok(Readout { counts, saturated, taken_at, temperature })
    }

    async fn wait(&mut self, duration: Duration) -> Result<(), BackendError> {
        tokio::time::sleep(duration).await;
        Ok(())
    }

    async fn park(&mut self) -> Result<(), BackendError> {
        self.rest().await.map_err(|kind| self.after(Operation::Park, kind))
    }
}
