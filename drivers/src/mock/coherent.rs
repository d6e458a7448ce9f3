//! The coherent mock: `W = U Σ Vᴴ` on two Clements meshes of interferometers and a column of attenuators.
//!
//! The transfer matrix is propagated once a writing (and whenever temperature or a fault changes a phase); an
//! execution is then a matrix product, the rotation by the local oscillator, and the receiver's noise.

#[cfg(feature = "answer-key")]
mod answers;
mod geometry;
#[cfg(feature = "ground-truth")]
mod ground_truth;
mod optics;
mod presets;
mod receiver;
mod spec;
mod truth;

use std::{f64::consts::PI, time::Duration};

use async_trait::async_trait;
use ndarray::Array3;
use rand_chacha::ChaCha8Rng;

use self::{
    geometry::{Interferometer, light_path},
    optics::Transfer,
    receiver::{Noise, REFERENCE_AMPLITUDE, Receiver},
    spec::BASE_TEMPERATURE,
    truth::{Truth, normal, stream},
};
use super::{Chip, Fault, Script, converter::Adc};
use crate::{
    ActuatorFrame, ActuatorLayout, Applied, BackendError, BackendErrorKind, Celsius, Code, Descriptor,
    InputAlphabet, InputBatch, Operation, PhotonicBackend, ProcessorId, ProcessorKind, Readout, Timestamp,
    descriptor::Detection,
};

#[cfg(feature = "answer-key")]
pub use answers::CoherentAnswers;
pub use presets::{PRESETS, preset};
pub use spec::{CoherentDetection, CoherentPhysics, CoherentSpec, CoherentSpecError};

/// Start of simulated time: 2025-01-01 00:00 UTC.
const EPOCH: Duration = Duration::from_secs(1_735_689_600);

/// Simulated coherent processor.
pub struct CoherentMock {
    spec: CoherentSpec,
    seed: u64,
    script: Script,
    descriptor: Descriptor,
    truth: Truth,
    path: Vec<Interferometer>,
    held: ActuatorFrame,
    /// Phase of each shifter left over from the last writing: no writing is exactly like another.
    writing_error: Vec<f64>,
    transfer: Transfer,
    /// What the transfer matrix was propagated for: kelvin above 25 °C and stuck elements.
    propagated_for: Option<(f64, Vec<(usize, Code)>)>,
    execution: u64,
    /// Shots of the reading that is going on, and its noise; `None` between readings.
    reading: Option<(usize, Noise)>,
    clock: Duration,
    drift: f64,
    drifted_at: Duration,
    lo: f64,
    writing_noise: ChaCha8Rng,
    drift_noise: ChaCha8Rng,
    lo_noise: ChaCha8Rng,
}

impl CoherentMock {
    /// Makes the chip of that seed and connects to it. Every draw follows from the seed.
    #[must_use]
    pub fn new(spec: CoherentSpec, seed: u64, script: Script) -> Self {
        let truth = Truth::draw(&spec, seed);
        let descriptor = describe(&spec, seed);
        let shifters = descriptor.layout.actuators();
        let (modes, lo) = (spec.modes, truth.lo_start);
        Self {
            seed,
            script,
            path: light_path(modes),
            held: ActuatorFrame::zeros(shifters),
            writing_error: vec![0.0; shifters],
            transfer: Transfer { modes, re: Vec::new(), im: Vec::new() },
            propagated_for: None,
            execution: 0,
            reading: None,
            clock: EPOCH,
            drift: 0.0,
            drifted_at: EPOCH,
            lo,
            writing_noise: stream(seed, 20),
            drift_noise: stream(seed, 21),
            lo_noise: stream(seed, 22),
            spec,
            descriptor,
            truth,
        }
    }

    fn refuse(&self, operation: Operation, kind: BackendErrorKind) -> BackendError {
        BackendError { processor: self.descriptor.id.clone(), operation, kind }
    }

    /// An execution is over once something was read.
    fn end_reading(&mut self) {
        if let Some((shots, _)) = self.reading.take()
            && shots > 0
        {
            self.execution += 1;
        }
    }

    /// Takes over checked codes: new writing errors, settling time.
    fn take_over(&mut self, frame: ActuatorFrame) {
        self.end_reading();
        let sd = self.spec.physics.repeatability;
        if sd > 0.0 {
            self.writing_error.iter_mut().for_each(|error| *error = sd * normal(&mut self.writing_noise));
        }
        self.held = frame;
        self.propagated_for = None;
        self.clock += Duration::from_micros(self.spec.settle_us);
    }

    /// Phase of every shifter: own law, neighbours' heat, temperature, writing error.
    fn phases(&self, kelvin: f64, stuck: &[(usize, Code)]) -> Vec<f64> {
        let volt = self.spec.v_max.0 / f64::from(top_code(self.spec.bits.actuator));
        let mut codes = self.held.0.clone();
        for &(actuator, code) in stuck {
            if let Some(held) = codes.get_mut(actuator) {
                *held = code;
            }
        }
        let mut driven: Vec<f64> = codes
            .iter()
            .zip(self.truth.gamma.iter().zip(&self.truth.quartic))
            .map(|(&code, (gamma, quartic))| {
                let phase = gamma * (volt * f64::from(code)).powi(2);
                phase * (1.0 + quartic * phase / PI)
            })
            .collect();
        self.truth.stuck.iter().for_each(|&shifter| driven[shifter] = 0.0);
        let mut phases: Vec<f64> = (0..driven.len())
            .map(|k| {
                self.truth.phase_at_zero[k]
                    + driven[k]
                    + self.writing_error[k]
                    + self.truth.phase_per_kelvin[k] * kelvin
            })
            .collect();
        for pair in &self.truth.crosstalk {
            phases[pair.victim] += pair.coefficient * driven[pair.aggressor];
        }
        phases
    }

    /// Advances drift to the present and propagates the fields again if any phase has changed.
    fn settle_optics(&mut self) {
        let ou = self.spec.physics.temperature;
        let elapsed = self.clock.saturating_sub(self.drifted_at);
        self.drift = ou.advance(self.drift, elapsed.as_secs_f64(), &mut self.drift_noise);
        self.drifted_at = self.clock;
        let mut kelvin = self.drift;
        let mut stuck = Vec::new();
        for fault in self.script.active(self.execution) {
            match fault {
                Fault::TemperatureStep { kelvin: step } => kelvin += step,
                Fault::StuckElement { actuator, code } => stuck.push((actuator, code)),
                Fault::DeadDetector { .. } | Fault::Saturation { .. } | Fault::LaserDrop { .. } => {}
            }
        }
        let wanted = Some((kelvin, stuck));
        if self.propagated_for != wanted
            && let Some((kelvin, stuck)) = &wanted
        {
            self.transfer = self.propagate(*kelvin, stuck);
            self.propagated_for = wanted;
        }
    }

    fn propagate(&self, kelvin: f64, stuck: &[(usize, Code)]) -> Transfer {
        let phases = self.phases(kelvin, stuck);
        Transfer::propagate(
            self.spec.modes,
            &self.path,
            &phases,
            &self.truth.splitters,
            &self.truth.transmission,
            &self.truth.input_gain,
        )
    }

    /// The receiver with the faults of this execution.
    fn receiver(&self) -> Receiver {
        let physics = &self.spec.physics;
        let mut receiver = Receiver {
            iq: self.spec.detection == CoherentDetection::Iq,
            gain: self.truth.output_gain.iter().map(|gain| gain / self.spec.full_scale).collect(),
            hybrid: self.truth.hybrid.clone(),
            dark: self.truth.dark.clone(),
            read_noise: physics.read_noise,
            shot_noise: physics.shot_noise,
            clip: if physics.tia_clip == 0.0 { f64::INFINITY } else { physics.tia_clip },
            reference: REFERENCE_AMPLITUDE * self.spec.full_scale,
            adc: Adc::new(1.0, self.spec.bits.output),
        };
        for fault in self.script.active(self.execution) {
            match fault {
                Fault::DeadDetector { output } if output < self.spec.modes => receiver.gain[output] = 0.0,
                Fault::Saturation { output, gain } if output < self.spec.modes => {
                    receiver.gain[output] *= gain;
                }
                // Signal and local oscillator come from one laser: the beat goes with its power.
                Fault::LaserDrop { fraction } => receiver.gain.iter_mut().for_each(|gain| *gain *= fraction),
                _ => {}
            }
        }
        receiver
    }

    /// Phase of the local oscillator at each of `shots` shots.
    fn lo_phases(&mut self, shots: usize) -> Vec<f64> {
        let sd = self.spec.physics.lo_phase;
        if sd == 0.0 {
            return vec![self.lo; shots];
        }
        (0..shots)
            .map(|_| {
                let step = sd * normal(&mut self.lo_noise);
                match self.spec.detection {
                    CoherentDetection::Homodyne => step,
                    CoherentDetection::Iq => {
                        self.lo += step;
                        self.lo
                    }
                }
            })
            .collect()
    }

    fn check_frame(&self, frame: &ActuatorFrame) -> Result<(), BackendErrorKind> {
        let (expected, found) = (self.descriptor.limits.len(), frame.0.len());
        if found != expected {
            return Err(BackendErrorKind::FrameLength { expected, found });
        }
        for (actuator, (&code, &limit)) in frame.0.iter().zip(&self.descriptor.limits).enumerate() {
            if code > limit {
                return Err(BackendErrorKind::OverLimit { actuator, code, limit });
            }
        }
        Ok(())
    }

    fn check_inputs(&self, inputs: &InputBatch, repeats: usize) -> Result<(), BackendErrorKind> {
        if repeats == 0 {
            return Err(BackendErrorKind::NoRepeats);
        }
        let (expected, found) = (self.descriptor.input_width(), inputs.0.ncols());
        if found != expected {
            return Err(BackendErrorKind::InputWidth { expected, found });
        }
        let (lowest, highest) = self.descriptor.input_range();
        match inputs.0.indexed_iter().find(|(_, code)| **code < lowest || **code > highest) {
            Some(((frame, input), &code)) => {
                Err(BackendErrorKind::InputCode { frame, input, code, lowest, highest })
            }
            None => Ok(()),
        }
    }
}

fn top_code(bits: u8) -> Code {
    (((1u32) << bits) - 1) as Code
}

fn describe(spec: &CoherentSpec, seed: u64) -> Descriptor {
    let layout = ActuatorLayout::ClementsSvd { modes: spec.modes };
    let detection = Detection::from(spec.detection);
    let form = match spec.detection {
        CoherentDetection::Homodyne => "coherent-homodyne",
        CoherentDetection::Iq => "coherent",
    };
    Descriptor {
        id: ProcessorId(format!("mock-{form}-{0}x{0}-{seed:04}", spec.modes)),
        kind: ProcessorKind::Coherent,
        inputs: spec.modes,
        outputs: spec.modes,
        layout,
        bits: spec.bits,
        alphabet: InputAlphabet::Bipolar,
        detection,
        limits: vec![top_code(spec.bits.actuator); layout.actuators()],
        settle: Duration::from_micros(spec.settle_us),
        simulated: true,
    }
}

#[async_trait]
impl PhotonicBackend for CoherentMock {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    async fn apply(&mut self, frame: &ActuatorFrame) -> Result<Applied, BackendError> {
        self.check_frame(frame).map_err(|kind| self.refuse(Operation::Apply, kind))?;
        Chip::write(self, frame);
        Ok(Applied { codes: self.held.clone(), verified: true })
    }

    async fn read_back(&mut self) -> Result<ActuatorFrame, BackendError> {
        Ok(self.held.clone())
    }

    async fn execute(&mut self, inputs: &InputBatch, repeats: usize) -> Result<Readout, BackendError> {
        self.check_inputs(inputs, repeats).map_err(|kind| self.refuse(Operation::Execute, kind))?;
        self.end_reading();
        let taken_at = Timestamp(self.clock);
        let temperature = self.begin();
        let (counts, saturated) = self.go_on(inputs, repeats);
        self.end_reading();
        Ok(Readout { counts, saturated, taken_at, temperature })
    }

    async fn wait(&mut self, duration: Duration) -> Result<(), BackendError> {
        self.end_reading();
        self.clock += duration;
        Ok(())
    }

    async fn park(&mut self) -> Result<(), BackendError> {
        Chip::park(self);
        Ok(())
    }
}

impl Chip for CoherentMock {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn write(&mut self, frame: &ActuatorFrame) {
        self.take_over(frame.clone());
    }

    fn park(&mut self) {
        self.take_over(ActuatorFrame::zeros(self.descriptor.limits.len()));
    }

    fn begin(&mut self) -> Celsius {
        let begun =
            self.reading.as_ref().is_some_and(|(shots, _)| *shots == 0) && self.clock == self.drifted_at;
        if !begun {
            self.end_reading();
            self.settle_optics();
            self.reading = Some((0, Noise::new(self.seed, self.execution)));
        }
        Celsius(BASE_TEMPERATURE.0 + self.propagated_for.as_ref().map_or(0.0, |(kelvin, _)| *kelvin))
    }

    fn go_on(&mut self, inputs: &InputBatch, repeats: usize) -> (Array3<i32>, Array3<bool>) {
        if self.reading.is_none() {
            self.begin();
        }
        let (so_far, mut noise) =
            self.reading.take().unwrap_or_else(|| (0, Noise::new(self.seed, self.execution)));
        let shots = inputs.0.nrows() * repeats;
        let lo = self.lo_phases(shots);
        let input_unit = 1.0 / f64::from(self.descriptor.input_range().1);
        let counted = self.receiver().detect(&self.transfer, inputs, input_unit, &lo, &mut noise);
        self.reading = Some((so_far + shots, noise));
        self.clock += Duration::from_micros(self.spec.shot_us * shots as u64);
        counted
    }
}
