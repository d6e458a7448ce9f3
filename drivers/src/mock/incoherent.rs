//! The incoherent mock: weights act on optical intensity, signed values by balanced detection.
//!
//! Signal chain of row `i`, `x_j` the drive of input `j` and `T` the transmissions under the present codes:
//!
//! ```text
//! p_j = L · P_j (e_j + (1 − e_j) f_j(x_j))               laser L, power P, leak e, modulator curve f
//! φ_k = b_k + h_k + Σ χ_kl h_l + ε_k + τ ΔT              bias, drive phase h, crosstalk, landing error, temperature
//! I_i = Σ_j (R⁺_i T⁺'_ij − R⁻_i T⁻'_ij) p_j + D_i        T' = T with what neighbours leak and take; D dark
//! y_i = ADC(clip(g_i (I_i + n_i)))                       n: thermal, shot and intensity noise
//! ```

#[cfg(feature = "answer-key")]
mod answers;
mod bank;
mod crosstalk;
mod detect;
mod element;
mod physics;
mod presets;
mod receiver;
mod spec;
mod truth;

use std::time::Duration;

use async_trait::async_trait;
use ndarray::{Array2, Array3};
use rand_chacha::ChaCha8Rng;

use self::{
    bank::{Bank, Currents, landing, limit},
    detect::{Light, NoiseStream, Row},
    receiver::Receiver,
};
use super::{Chip, Fault, Script};
use crate::{
    ActuatorFrame, Applied, BackendError, BackendErrorKind, Celsius, Code, Descriptor, Detection,
    InputAlphabet, InputBatch, Operation, PhotonicBackend, ProcessorId, ProcessorKind, Readout, Timestamp,
};

#[cfg(feature = "answer-key")]
pub use answers::IncoherentAnswers;
pub use physics::IncoherentPhysics;
pub use presets::{PRESETS, preset};
pub use spec::{CrosstalkLaw, Element, IncoherentSpec, SpecError};
pub use truth::{TrueDefect, TrueDefectKind, Truth};

/// Simulated time starts here: 1 January 2025, 00:00 UTC, in seconds since the Unix epoch.
const EPOCH_S: u64 = 1_735_689_600;
/// Temperature at which a chip is made to its nominal values.
const NOMINAL: Celsius = Celsius(25.0);

/// Simulated incoherent processor.
///
/// Time is simulated: it advances by the settle time with each `apply` and by the frame time with each input vector.
/// Temperature and laser power drift between executions and hold still during one. The same spec, seed and calls
/// give the same counts, whatever the number of threads.
pub struct IncoherentMock {
    spec: IncoherentSpec,
    descriptor: Descriptor,
    truth: Truth,
    script: Script,
    receiver: Receiver,
    /// Power of each input at each code, `[cols, codes]`.
    input_table: Array2<f64>,
    codes: ActuatorFrame,
    landing: Vec<f64>,
    bank: Bank,
    /// Elements that a fault of the script holds, as `bank` has them.
    stuck: Vec<(usize, Code)>,
    writes_rng: ChaCha8Rng,
    drift_rng: ChaCha8Rng,
    noise_seed: u64,
    clock: Duration,
    drifted_at: Duration,
    executions: u64,
    /// The reading that is going on.
    reading: Option<Reading>,
    warmth: f64,
    laser: f64,
}

/// A reading that is going on.
struct Reading {
    conditions: Conditions,
    /// Noise blocks and vectors read so far.
    blocks: usize,
    vectors: usize,
}

impl IncoherentMock {
    /// Makes the chip of that seed and connects to it: parked, at the start of its simulated time.
    ///
    /// The spec is taken as it is; one that came from a file goes through [`IncoherentSpec::check`] first.
    #[must_use]
    pub fn new(spec: IncoherentSpec, seed: u64, script: Script) -> Self {
        let truth = Truth::draw(&spec, seed);
        let stream = |number| truth::stream(seed, number);
        let top = f64::from((1u32 << spec.bits.input) - 1);
        let input_table = Array2::from_shape_fn((spec.cols, 1 << spec.bits.input), |(col, code)| {
            truth.input(col, code as f64 / top)
        });
        let mut drift_rng = stream(2);
        let warmth = stationary(spec.physics.temperature, &mut drift_rng);
        let laser = stationary(spec.physics.laser, &mut drift_rng);
        let actuators = spec.layout().actuators();
        let mut mock = Self {
            descriptor: describe(&spec, seed),
            receiver: Receiver::of(&spec),
            codes: ActuatorFrame::zeros(actuators),
            landing: vec![0.0; actuators],
            bank: Bank::of(&spec, seed),
            stuck: Vec::new(),
            writes_rng: stream(1),
            noise_seed: seed ^ 0x6e6f_6973_6500_0000,
            clock: Duration::from_secs(EPOCH_S),
            drifted_at: Duration::from_secs(EPOCH_S),
            executions: 0,
            reading: None,
            spec,
            truth,
            script,
            input_table,
            drift_rng,
            warmth,
            laser,
        };
        mock.drive();
        mock
    }

    /// The chip's hidden truth.
    #[cfg(feature = "ground-truth")]
    #[must_use]
    pub fn truth(&self) -> &Truth {
        &self.truth
    }

    /// Phase that `from` brings to `element` per unit of its own, both as `(row, column)` on the grid of elements.
    #[cfg(feature = "ground-truth")]
    #[must_use]
    pub fn true_crosstalk(&self, element: (usize, usize), from: (usize, usize)) -> f64 {
        self.bank.crosstalk().coefficient(element, from)
    }

    /// Photocurrent of each row per unit drive of each input under the present codes, `[rows, cols]`, without noise:
    /// what a perfect measurement of the matrix would give, in units of a nominal element of transmission 1.
    #[cfg(feature = "ground-truth")]
    #[must_use]
    pub fn true_weights(&self) -> Array2<f64> {
        let mut weights = self.bank.currents(&self.spec, &self.truth, self.warmth).difference.reversed_axes();
        for (mut column, (power, leak)) in
            weights.columns_mut().into_iter().zip(self.truth.input_power.iter().zip(&self.truth.input_leak))
        {
            column *= power * (1.0 - leak) * (1.0 + self.laser);
        }
        weights
    }

    /// [`PhotonicBackend::execute`] for a caller without an async runtime (a bench, a simulation loop): simulated time
    /// needs no waiting.
    ///
    /// # Errors
    /// As for [`PhotonicBackend::execute`].
    pub fn execute_now(&mut self, inputs: &InputBatch, repeats: usize) -> Result<Readout, BackendError> {
        crate::refusal::of_inputs(&self.descriptor, inputs, repeats)
            .map_err(|kind| self.refuse(Operation::Execute, kind))?;
        self.end_reading();
        let taken_at = Timestamp(self.clock);
        let temperature = self.begin();
        let (counts, saturated) = self.go_on(inputs, repeats);
        self.end_reading();
        Ok(Readout { counts, saturated, taken_at, temperature })
    }

    /// An execution is over once something was read.
    fn end_reading(&mut self) {
        if let Some(reading) = self.reading.take()
            && reading.vectors > 0
        {
            self.executions += 1;
        }
    }

    fn settle(&mut self) {
        self.drive();
        self.clock += self.descriptor.settle;
    }

    fn refuse(&self, operation: Operation, kind: BackendErrorKind) -> BackendError {
        BackendError { processor: self.descriptor.id.clone(), operation, kind }
    }

    /// Phases from the present codes, with stuck elements at the code they keep.
    fn drive(&mut self) {
        let mut codes = self.codes.0.clone();
        for &(actuator, code) in &self.stuck {
            if let Some(held) = codes.get_mut(actuator) {
                *held = code;
            }
        }
        self.bank.drive(&self.spec, &self.truth, &codes, &self.landing);
    }

    /// Lets temperature and laser drift up to the present.
    fn drift(&mut self) {
        let elapsed = (self.clock - self.drifted_at).as_secs_f64();
        self.warmth = self.spec.physics.temperature.advance(self.warmth, elapsed, &mut self.drift_rng);
        self.laser = self.spec.physics.laser.advance(self.laser, elapsed, &mut self.drift_rng);
        self.drifted_at = self.clock;
    }

    /// The state of the chip for the execution that begins: drift, and the faults in force.
    fn conditions(&mut self) -> Conditions {
        self.drift();
        let mut conditions = Conditions {
            kelvin: self.warmth,
            laser: 1.0 + self.laser,
            rows: self.truth.dark.iter().map(|&dark| Row { dark, gain: 1.0 }).collect(),
            dead: Vec::new(),
        };
        let mut stuck = Vec::new();
        for fault in self.script.active(self.executions) {
            match fault {
                Fault::StuckElement { actuator, code } => stuck.push((actuator, code)),
                Fault::DeadDetector { output } => conditions.dead.push(output),
                Fault::Saturation { output, gain } => {
                    if let Some(row) = conditions.rows.get_mut(output) {
                        row.gain *= gain;
                    }
                }
                Fault::TemperatureStep { kelvin } => conditions.kelvin += kelvin,
                Fault::LaserDrop { fraction } => conditions.laser *= fraction,
            }
        }
        if stuck != self.stuck {
            self.stuck = stuck;
            self.drive();
        }
        conditions
    }

    /// Photocurrents of the batch, `[frames, rows]`.
    fn light(&self, inputs: &InputBatch, conditions: &Conditions) -> Light {
        let mut powers = Array2::zeros(inputs.0.dim());
        for (mut powers, codes) in powers.rows_mut().into_iter().zip(inputs.0.rows()) {
            for (col, (power, &code)) in powers.iter_mut().zip(codes).enumerate() {
                *power = conditions.laser * self.input_table[(col, code as usize)];
            }
        }
        let Currents { mut difference, mut sum } =
            self.bank.currents(&self.spec, &self.truth, conditions.kelvin);
        for &row in conditions.dead.iter().filter(|&&row| row < self.spec.rows) {
            difference.column_mut(row).fill(0.0);
            sum.column_mut(row).fill(0.0);
        }
        let shot = (self.spec.physics.shot_noise > 0.0).then(|| powers.dot(&sum));
        Light::new(&self.spec.physics, powers.dot(&difference), shot)
    }
}

/// State of the chip during one execution.
struct Conditions {
    kelvin: f64,
    laser: f64,
    rows: Vec<Row>,
    dead: Vec<usize>,
}

#[async_trait]
impl PhotonicBackend for IncoherentMock {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    async fn apply(&mut self, frame: &ActuatorFrame) -> Result<Applied, BackendError> {
        crate::refusal::of_frame(&self.descriptor, frame)
            .map_err(|kind| self.refuse(Operation::Apply, kind))?;
        self.write(frame);
        Ok(Applied { codes: self.codes.clone(), verified: true })
    }

    async fn read_back(&mut self) -> Result<ActuatorFrame, BackendError> {
        Ok(self.codes.clone())
    }

    async fn execute(&mut self, inputs: &InputBatch, repeats: usize) -> Result<Readout, BackendError> {
        self.execute_now(inputs, repeats)
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

impl Chip for IncoherentMock {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn write(&mut self, frame: &ActuatorFrame) {
        self.end_reading();
        self.codes.clone_from(frame);
        self.landing = landing(&self.spec, &mut self.writes_rng);
        self.settle();
    }

    fn park(&mut self) {
        self.end_reading();
        self.codes.0.fill(0);
        self.landing.fill(0.0);
        self.settle();
    }

    fn begin(&mut self) -> Celsius {
        let begun = |reading: &Reading| reading.vectors == 0 && self.clock == self.drifted_at;
        if !self.reading.as_ref().is_some_and(begun) {
            self.end_reading();
            let conditions = self.conditions();
            self.reading = Some(Reading { conditions, blocks: 0, vectors: 0 });
        }
        Celsius(NOMINAL.0 + self.reading.as_ref().map_or(0.0, |reading| reading.conditions.kelvin))
    }

    fn go_on(&mut self, inputs: &InputBatch, repeats: usize) -> (Array3<i32>, Array3<bool>) {
        let mut reading = match self.reading.take() {
            Some(reading) => reading,
            None => Reading { conditions: self.conditions(), blocks: 0, vectors: 0 },
        };
        let light = self.light(inputs, &reading.conditions);
        let stream =
            NoiseStream { seed: self.noise_seed, execution: self.executions, first_block: reading.blocks };
        let counted = detect::count(&light, &reading.conditions.rows, &self.receiver, repeats, stream);
        let vectors = inputs.0.nrows() * repeats;
        reading.blocks += repeats * detect::blocks(inputs.0.nrows());
        reading.vectors += vectors;
        self.reading = Some(reading);
        self.clock += Duration::from_secs_f64(vectors as f64 * self.spec.frame_s);
        counted
    }
}

fn stationary(drift: super::OrnsteinUhlenbeck, rng: &mut ChaCha8Rng) -> f64 {
    drift.advance(0.0, f64::INFINITY, rng)
}

fn describe(spec: &IncoherentSpec, seed: u64) -> Descriptor {
    let kind = match spec.element {
        Element::AddDropRing { .. } => "ring",
        Element::BalancedMzi { .. } => "mzi",
        Element::Lcos { .. } => "lcos",
    };
    let layout = spec.layout();
    Descriptor {
        id: ProcessorId(format!("mock-{kind}-{}x{}-{seed:04}", spec.rows, spec.cols)),
        kind: ProcessorKind::Incoherent,
        inputs: spec.cols,
        outputs: spec.rows,
        layout,
        bits: spec.bits,
        alphabet: InputAlphabet::Unipolar,
        detection: Detection::Balanced,
        limits: vec![limit(spec); layout.actuators()],
        settle: spec.settle(),
        simulated: true,
    }
}
