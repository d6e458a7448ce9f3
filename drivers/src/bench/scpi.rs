//! SCPI instruments as sources and detectors.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::{Detectors, Reading, Sources};
use crate::{
    Amperes, BackendErrorKind, FaultClass, Nanometres, Volts,
    scpi::{Acquisition, AveragingTime, Keithley2450, KeysightPowerMeter, PowerRange, RedPitaya, ScpiError},
};

/// Voltage beyond which an input of a Red Pitaya counts as at its limit (±1 V).
const FULL_INPUT: f64 = 0.995;
/// Inputs and outputs of a Red Pitaya.
const FAST: usize = 2;

/// What a power meter is set to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeterSettings {
    /// Wavelength of the light.
    pub wavelength: Nanometres,
    /// Time that each reading averages over.
    pub averaging: AveragingTime,
    /// Range of each port.
    pub range: PowerRange,
}

/// Ports of a power meter, in watts.
pub struct MeterDetectors {
    name: String,
    meter: KeysightPowerMeter,
    settings: MeterSettings,
}

/// A source meter: one channel.
pub struct MeterSource {
    name: String,
    source: Keithley2450,
    compliance: Amperes,
    limits: (Volts, Volts),
}

/// The two outputs of a Red Pitaya.
pub struct FastSources {
    name: String,
    device: Arc<Mutex<RedPitaya>>,
    highest: Volts,
}

/// The two inputs of a Red Pitaya, in volts: means of samples.
pub struct FastDetectors {
    name: String,
    device: Arc<Mutex<RedPitaya>>,
    decimation: u32,
    samples: usize,
}

impl MeterDetectors {
    /// Ports of the meter `name`.
    #[must_use]
    pub fn new(name: impl Into<String>, meter: KeysightPowerMeter, settings: MeterSettings) -> Self {
        Self { name: name.into(), meter, settings }
    }
}

#[async_trait]
impl Detectors for MeterDetectors {
    fn channels(&self) -> usize {
        usize::from(self.meter.ports())
    }

    async fn prepare(&mut self) -> Result<(), BackendErrorKind> {
        let MeterSettings { wavelength, averaging, range } = self.settings;
        for port in 1..=self.meter.ports() {
            let configured = self.meter.configure(port, wavelength, averaging, range).await;
            configured.map_err(|error| kind(&self.name, error))?;
        }
        Ok(())
    }

    async fn read(&mut self) -> Result<Vec<Reading>, BackendErrorKind> {
        let read = self.meter.read_all().await.map_err(|error| kind(&self.name, error))?;
        let mut readings = vec![None; self.channels()];
        for port in read {
            if let Some(reading) = readings.get_mut(usize::from(port.port) - 1) {
                *reading = port.power.map(|power| power.0);
            }
        }
        Ok(readings)
    }
}

impl MeterSource {
    /// The source `name`, between two voltages and up to a current.
    #[must_use]
    pub fn new(
        name: impl Into<String>,
        source: Keithley2450,
        compliance: Amperes,
        limits: (Volts, Volts),
    ) -> Self {
        Self { name: name.into(), source, compliance, limits }
    }
}

/// Channel numbers and voltages within limits, for sources whose channels know nothing of each other.
fn check_each(
    name: &str,
    values: &[(usize, Volts)],
    channels: usize,
    (lowest, highest): (Volts, Volts),
) -> Result<(), BackendErrorKind> {
    let outside = |&&(channel, volts): &&(usize, Volts)| {
        channel >= channels || !(lowest.0..=highest.0).contains(&volts.0)
    };
    match values.iter().find(outside) {
        None => Ok(()),
        Some((channel, volts)) => Err(BackendErrorKind::instrument(
            name,
            format!(
                "{volts} at channel {channel} is not within {lowest} to {highest} at channels 0 to {}; nothing was sent",
                channels - 1
            ),
            FaultClass::Limit,
        )),
    }
}

#[async_trait]
impl Sources for MeterSource {
    fn channels(&self) -> usize {
        1
    }

    fn check(&self, values: &[(usize, Volts)]) -> Result<(), BackendErrorKind> {
        check_each(&self.name, values, 1, self.limits)
    }

    async fn write(&mut self, values: &[(usize, Volts)]) -> Result<(), BackendErrorKind> {
        self.check(values)?;
        for &(_, volts) in values {
            self.source.set_volts(volts).await.map_err(|error| kind(&self.name, error))?;
        }
        self.source.output(true).await.map_err(|error| kind(&self.name, error))?;
        match self.source.is_limited().await.map_err(|error| kind(&self.name, error))? {
            false => Ok(()),
            true => {
                let reason = "its current limit is at work: the voltage is not the one that was set";
                Err(BackendErrorKind::instrument(&self.name, reason, FaultClass::Device))
            }
        }
    }

    async fn read(&mut self) -> Result<Vec<Volts>, BackendErrorKind> {
        Ok(vec![self.source.volts().await.map_err(|error| kind(&self.name, error))?])
    }

    async fn park(&mut self) -> Result<(), BackendErrorKind> {
        // Output off first, then everything anew: it may have been switched off and on.
        let mut configured = self.source.configure(self.compliance).await;
        if matches!(configured, Err(ScpiError::Rebooted { .. } | ScpiError::SettingsLost { .. })) {
            configured = self.source.configure(self.compliance).await;
        }
        configured.map_err(|error| kind(&self.name, error))
    }
}

impl FastSources {
    /// Outputs of the device `name`, up to `highest` (1 V at most).
    #[must_use]
    pub fn new(name: impl Into<String>, device: Arc<Mutex<RedPitaya>>, highest: Volts) -> Self {
        Self { name: name.into(), device, highest }
    }

    async fn off(&mut self) -> Result<(), ScpiError> {
        let mut device = self.device.lock().await;
        for output in 1..=FAST as u8 {
            device.set_volts(output, Volts(0.0)).await?;
            device.output(output, false).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Sources for FastSources {
    fn channels(&self) -> usize {
        FAST
    }

    fn check(&self, values: &[(usize, Volts)]) -> Result<(), BackendErrorKind> {
        check_each(&self.name, values, FAST, (Volts(0.0), self.highest))
    }

    async fn write(&mut self, values: &[(usize, Volts)]) -> Result<(), BackendErrorKind> {
        self.check(values)?;
        let mut device = self.device.lock().await;
        for &(channel, volts) in values {
            let output = channel as u8 + 1;
            device.set_volts(output, volts).await.map_err(|error| kind(&self.name, error))?;
            device.output(output, true).await.map_err(|error| kind(&self.name, error))?;
        }
        Ok(())
    }

    async fn read(&mut self) -> Result<Vec<Volts>, BackendErrorKind> {
        let mut device = self.device.lock().await;
        let mut held = Vec::with_capacity(FAST);
        for output in 1..=FAST as u8 {
            held.push(device.volts(output).await.map_err(|error| kind(&self.name, error))?);
        }
        Ok(held)
    }

    async fn park(&mut self) -> Result<(), BackendErrorKind> {
        let mut off = self.off().await;
        if matches!(off, Err(ScpiError::Rebooted { .. } | ScpiError::SettingsLost { .. })) {
            off = self.off().await;
        }
        off.map_err(|error| kind(&self.name, error))
    }
}

impl FastDetectors {
    /// Inputs of the device `name`: each reading the mean of `samples` samples, every `decimation`-th of 125 MS/s.
    #[must_use]
    pub fn new(
        name: impl Into<String>,
        device: Arc<Mutex<RedPitaya>>,
        decimation: u32,
        samples: usize,
    ) -> Self {
        Self { name: name.into(), device, decimation, samples }
    }
}

#[async_trait]
impl Detectors for FastDetectors {
    fn channels(&self) -> usize {
        FAST
    }

    async fn prepare(&mut self) -> Result<(), BackendErrorKind> {
        Ok(())
    }

    async fn read(&mut self) -> Result<Vec<Reading>, BackendErrorKind> {
        let mut device = self.device.lock().await;
        let mut readings = Vec::with_capacity(FAST);
        for input in 1..=FAST as u8 {
            let acquisition = Acquisition { input, decimation: self.decimation, samples: self.samples };
            let samples = device.acquire(acquisition).await.map_err(|error| kind(&self.name, error))?;
            readings.push(mean(&samples));
        }
        Ok(readings)
    }
}

/// The mean; none as soon as one sample is none, or at the input's limit.
fn mean(samples: &[Option<Volts>]) -> Reading {
    let within =
        |sample: &Option<Volts>| sample.map(|volts| volts.0).filter(|volts| volts.abs() < FULL_INPUT);
    let volts: Option<Vec<f64>> = samples.iter().map(within).collect();
    volts.filter(|volts| !volts.is_empty()).map(|volts| volts.iter().sum::<f64>() / volts.len() as f64)
}

pub(crate) fn kind(name: &str, error: ScpiError) -> BackendErrorKind {
    let class = match &error {
        ScpiError::Link(link) => return link.clone().into(),
        ScpiError::Rebooted { .. } => {
            return BackendErrorKind::Rebooted { evidence: format!("{name}: {error}") };
        }
        ScpiError::WrongInstrument { found, expected, .. } => {
            return BackendErrorKind::mismatch(name, found, expected);
        }
        ScpiError::Limit { .. } => FaultClass::Limit,
        ScpiError::NoAnswer { .. } | ScpiError::Malformed { .. } | ScpiError::Closed { .. } => {
            FaultClass::Link
        }
        _ => FaultClass::Device,
    };
    BackendErrorKind::instrument(name, error, class)
}
