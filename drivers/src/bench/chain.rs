//! Qontrol chains as sources and detectors.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::{sync::Mutex, time::sleep};

use super::{Detectors, Reading, Sources};
use crate::{
    BackendErrorKind, FaultClass, Volts,
    qontrol::{Chain, ChainError, ChainEvent, ChannelState},
    safety::{Limits, ParkPolicy, ParkSpec, Ramp, RampError},
};

/// Voltages closer than this are the same code of a 16-bit converter of 12 V.
const SAME: f64 = 1e-4;
/// A step of that converter.
const STEP: f64 = 12.0 / 65535.0;

/// Outputs of a chain.
pub struct ChainSources {
    name: String,
    chain: Arc<Mutex<Chain>>,
    limits: Option<Limits>,
    park: ParkSpec,
    /// What may be read back beside what was written, in volts.
    apart: f64,
    /// What each channel was told.
    told: Vec<Volts>,
    /// What each channel holds: as it was told, where that was read back; `None`: unknown.
    held: Vec<Option<Volts>>,
}

/// Inputs of a chain, in milliamperes, in the order of the chain.
pub struct ChainDetectors {
    name: String,
    chain: Arc<Mutex<Chain>>,
    inputs: Vec<usize>,
}

impl ChainSources {
    /// Outputs of the chain `name`, which has just been connected: all at zero. With limits, voltages are changed along ramps.
    pub async fn new(
        name: impl Into<String>,
        chain: Arc<Mutex<Chain>>,
        limits: Option<Limits>,
        park: ParkSpec,
    ) -> Self {
        let channels = chain.lock().await.channels();
        let (told, held) = (vec![Volts(0.0); channels], vec![Some(Volts(0.0)); channels]);
        Self { name: name.into(), chain, limits, park, apart: SAME, told, held }
    }

    /// For modules that read back what they measure: so many steps of the converter beside what was written are the same.
    #[must_use]
    pub fn reading_within(self, steps: u16) -> Self {
        Self { apart: SAME + f64::from(steps) * STEP, ..self }
    }

    fn limit(&self, error: impl ToString) -> BackendErrorKind {
        BackendErrorKind::instrument(&self.name, error, FaultClass::Limit)
    }

    /// All channels as they will be; what is unknown counts as zero.
    fn plan(&self, values: &[(usize, Volts)]) -> Result<Vec<Volts>, BackendErrorKind> {
        let mut plan: Vec<_> = self.held.iter().map(|held| held.unwrap_or_default()).collect();
        for &(channel, volts) in values {
            let channels = plan.len();
            let slot = plan.get_mut(channel).ok_or_else(|| {
                self.limit(format!("channel {channel} is none of its {channels} channels; nothing was sent"))
            })?;
            // Where it is already, to within the converter's rounding, it stays.
            let same = (slot.0 - volts.0).abs() < SAME;
            *slot = if same { *slot } else { volts };
        }
        Ok(plan)
    }

    /// Writes what differs from what is held, then remembers what was read back.
    async fn write_to(&mut self, plan: &[Volts]) -> Result<(), BackendErrorKind> {
        let changed = |(channel, (&volts, held)): (usize, (&Volts, &Option<Volts>))| {
            (*held != Some(volts)).then_some((channel, volts))
        };
        let values: Vec<_> = plan.iter().zip(&self.held).enumerate().filter_map(changed).collect();
        if values.is_empty() {
            return Ok(());
        }
        for &(channel, volts) in &values {
            // Unknown from here on, also when the caller gives up.
            (self.told[channel], self.held[channel]) = (volts, None);
        }
        let chain = Arc::clone(&self.chain);
        let mut chain = chain.lock().await;
        let written = chain.set_many(&values).await;
        self.learn(&mut chain);
        written.map_err(|error| kind(&self.name, error))
    }

    /// What the chain knows of each channel; inputs count as zero.
    fn learn(&mut self, chain: &mut Chain) {
        for (channel, state) in chain.states().into_iter().enumerate() {
            let told = self.told[channel];
            self.held[channel] = match state {
                ChannelState::Known(volts) if (volts.0 - told.0).abs() < self.apart => Some(told),
                ChannelState::Known(volts) => Some(volts),
                ChannelState::Unknown => None,
            };
        }
        chain.inputs().into_iter().for_each(|input| self.held[input] = Some(Volts(0.0)));
        report(&self.name, chain.take_events());
    }

    async fn ramp_to(&mut self, values: &[(usize, Volts)]) -> Result<(), BackendErrorKind> {
        if self.held.iter().any(Option::is_none) {
            // A ramp starts from what was read back.
            let _ = self.read().await?;
        }
        let plan = self.plan(values)?;
        let Some(limits) = &self.limits else { return self.write_to(&plan).await };
        let ramp = Ramp::new(&self.held, &plan, limits);
        for step in ramp.map_err(|error| self.no_ramp(&error))? {
            self.write_to(&step.volts).await?;
            sleep(step.settle).await;
        }
        Ok(())
    }

    fn no_ramp(&self, error: &RampError) -> BackendErrorKind {
        match error {
            RampError::Target(_) => self.limit(error),
            // The outputs are unknown: not a refusal that leaves things as they were.
            RampError::UnknownStart { .. } => {
                BackendErrorKind::instrument(&self.name, error, FaultClass::Device)
            }
        }
    }

    async fn zero(&mut self) -> Result<(), BackendErrorKind> {
        let chain = Arc::clone(&self.chain);
        let mut chain = chain.lock().await;
        self.held.fill(None);
        let zeroed = match chain.zero().await {
            Err(ChainError::Rebooted { .. }) => chain.rearm().await,
            Err(ChainError::Link(_) | ChainError::Unreadable { .. }) => chain.reconnect().await,
            zeroed => zeroed,
        };
        self.told.fill(Volts(0.0));
        self.learn(&mut chain);
        zeroed.map_err(|error| kind(&self.name, error))
    }
}

#[async_trait]
impl Sources for ChainSources {
    fn channels(&self) -> usize {
        self.held.len()
    }

    fn check(&self, values: &[(usize, Volts)]) -> Result<(), BackendErrorKind> {
        let plan = self.plan(values)?;
        let checked = self.limits.as_ref().map_or(Ok(()), |limits| limits.check(&plan));
        checked.map_err(|error| self.limit(error))
    }

    async fn write(&mut self, values: &[(usize, Volts)]) -> Result<(), BackendErrorKind> {
        self.check(values)?;
        self.ramp_to(values).await
    }

    async fn read(&mut self) -> Result<Vec<Volts>, BackendErrorKind> {
        let chain = Arc::clone(&self.chain);
        let mut chain = chain.lock().await;
        let read = chain.read_volts().await;
        self.learn(&mut chain);
        read.map_err(|error| kind(&self.name, error))?;
        Ok(self.held.iter().map(|held| held.unwrap_or_default()).collect())
    }

    async fn park(&mut self) -> Result<(), BackendErrorKind> {
        let rests = self.park.volts(self.held.len());
        let policies = (0..rests.len()).map(|channel| self.park.policy(channel));
        if policies.clone().all(|policy| policy == ParkPolicy::Zero) {
            return self.zero().await;
        }
        let values: Vec<_> =
            rests.iter().enumerate().filter_map(|(at, volts)| Some((at, (*volts)?))).collect();
        // Read first: where all rest already nothing is written, and only this tells whether they do.
        if self.read().await.is_ok() && self.write(&values).await.is_ok() {
            return Ok(());
        }
        // What is unknown cannot be held.
        self.zero().await?;
        self.write(&values).await
    }
}

impl ChainDetectors {
    /// Inputs of the chain `name`.
    pub async fn new(name: impl Into<String>, chain: Arc<Mutex<Chain>>) -> Self {
        let inputs = chain.lock().await.inputs();
        Self { name: name.into(), chain, inputs }
    }
}

#[async_trait]
impl Detectors for ChainDetectors {
    fn channels(&self) -> usize {
        self.inputs.len()
    }

    async fn prepare(&mut self) -> Result<(), BackendErrorKind> {
        Ok(())
    }

    async fn read(&mut self) -> Result<Vec<Reading>, BackendErrorKind> {
        let currents = self.chain.lock().await.read_currents().await;
        let currents = currents.map_err(|error| kind(&self.name, error))?;
        let milliamperes = |&channel: &usize| currents.get(channel).map(|current| current.0 * 1e3);
        Ok(self.inputs.iter().map(milliamperes).collect())
    }
}

fn report(name: &str, events: Vec<ChainEvent>) {
    for event in events {
        tracing::warn!(device = name, ?event, "a chain did something by itself");
    }
}

pub(crate) fn kind(name: &str, error: ChainError) -> BackendErrorKind {
    match error {
        ChainError::Link(error) => error.into(),
        ChainError::Rebooted { evidence } => {
            BackendErrorKind::Rebooted { evidence: format!("{name}: {evidence}") }
        }
        ChainError::Tripped { .. } => BackendErrorKind::Tripped { reason: format!("{name}: {error}") },
        ChainError::Mismatch { what, found, expected } => {
            BackendErrorKind::mismatch(format!("{name}: {what}"), found, expected)
        }
        ChainError::NoOutput { .. } | ChainError::OverLimit { .. } => {
            BackendErrorKind::instrument(name, error, FaultClass::Limit)
        }
        ChainError::Unreadable { .. } => BackendErrorKind::instrument(name, error, FaultClass::Link),
        _ => BackendErrorKind::instrument(name, error, FaultClass::Device),
    }
}
