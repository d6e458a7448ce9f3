//! A bench put together from the devices of a station.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::sync::Mutex;

use super::{
    BenchEntry, DeviceEntry, LaserEntry, QontrolEntry, SourceBank, Station, ThermostatEntry, open::failed,
};
use crate::{
    Amperes, BackendError, BackendErrorKind, Celsius, Code, FaultClass, Nanometres, ProcessorId, Volts,
    Watts,
    bench::{
        Bank, BenchBackend, BenchParts, ChainDetectors, ChainSources, Conditions, Detectors, FastDetectors,
        FastSources, Lamp, MeterDetectors, MeterSource, Receiver, Sources, Thermostat, of_chain,
        of_instrument,
    },
    link::{Connector, PortAccess},
    qontrol::Chain,
    safety::LimitsSpec,
    scpi::{Identity, Keithley2450, KeysightPowerMeter, Mtd415t, RedPitaya, SantecTsl570},
};

/// What an emulated instrument says instead of a serial number.
pub(crate) const EMULATED: &str = "EMULATED";

/// Connects every device of the bench, nothing lit and all sources at rest, and puts them together.
pub(super) async fn bench(
    station: &Station,
    entry: &BenchEntry,
    access: &PortAccess,
) -> Result<BenchBackend, BackendError> {
    let mut composer = Composer {
        station,
        access,
        chains: BTreeMap::new(),
        pitayas: BTreeMap::new(),
        sources: BTreeMap::new(),
        simulated: entry.simulated,
    };
    let parts = composer.parts(entry).await.map_err(|kind| failed(&station.name, kind))?;
    BenchBackend::connect(parts).await
}

type Shared<T> = Arc<Mutex<T>>;

struct Composer<'a> {
    station: &'a Station,
    access: &'a PortAccess,
    chains: BTreeMap<&'a str, Shared<Chain>>,
    pitayas: BTreeMap<&'a str, Shared<RedPitaya>>,
    sources: BTreeMap<&'a str, Shared<dyn Sources>>,
    /// An instrument says that it is emulated.
    simulated: bool,
}

impl<'a> Composer<'a> {
    async fn parts(&mut self, entry: &'a BenchEntry) -> Result<BenchParts, BackendErrorKind> {
        let nominal = self.station.nominal()?;
        let mut descriptor = nominal.descriptor;
        // All wires before anything is done on one of them.
        let claimed =
            entry.devices().into_iter().map(|name| self.wire(name)).collect::<Result<Vec<_>, _>>()?;
        let mut surroundings = self.conditions(entry).await?;
        let (lowest, highest) = descriptor.input_range();
        let input_top = (highest - lowest) as Code;
        let top = descriptor.limits.iter().copied().max().unwrap_or(Code::MAX);
        let weights = self.bank(&entry.weights, descriptor.limits.len(), top).await?;
        let inputs = self.bank(&entry.inputs, descriptor.input_width(), input_top).await?;
        // At rest before the temperature is waited for: their heat may be what keeps it away.
        for sources in self.sources.values() {
            sources.lock().await.park().await?;
        }
        surroundings.settle().await?;
        let mut detectors = Vec::new();
        for device in &entry.outputs.devices {
            detectors.push(self.detectors(device).await?);
        }
        let pairs = entry.outputs.pairs(descriptor.channels(), descriptor.detection);
        let limits = nominal.counts_at_limit;
        let limits =
            (limits.first().copied().unwrap_or(i32::MIN), limits.last().copied().unwrap_or(i32::MAX));
        if descriptor.id.0.is_empty() {
            descriptor.id = ProcessorId(self.station.name.clone());
        }
        descriptor.simulated |= self.simulated;
        drop(claimed);
        Ok(BenchParts {
            descriptor,
            weights,
            inputs,
            outputs: Receiver::new(detectors, pairs, entry.outputs.step, limits),
            surroundings: Box::new(surroundings),
            input_settle: Duration::from_secs_f64(entry.input_settle_s),
        })
    }

    fn wire(&self, name: &str) -> Result<Arc<dyn Connector>, BackendErrorKind> {
        Ok(self.access.claim(name, self.station.device(name)?.port())?)
    }

    async fn chain(
        &mut self,
        name: &'a str,
        entry: &QontrolEntry,
    ) -> Result<Shared<Chain>, BackendErrorKind> {
        if let Some(chain) = self.chains.get(name) {
            return Ok(Arc::clone(chain));
        }
        let chain = Chain::connect(self.wire(name)?, entry.options()?).await;
        let chain = Arc::new(Mutex::new(chain.map_err(|error| of_chain(name, error))?));
        self.chains.insert(name, Arc::clone(&chain));
        Ok(chain)
    }

    async fn bank(
        &mut self,
        bank: &'a SourceBank,
        count: usize,
        top: Code,
    ) -> Result<Bank, BackendErrorKind> {
        let sources = match self.sources.get(bank.device.as_str()) {
            Some(sources) => Arc::clone(sources),
            None => {
                let sources = self.open_sources(&bank.device).await?;
                self.sources.insert(&bank.device, Arc::clone(&sources));
                sources
            }
        };
        let channels = bank.channels(count);
        let there = sources.lock().await.channels();
        if let Some(channel) = channels.iter().find(|&&channel| channel >= there) {
            let (found, expected) = (format!("{there} channels"), format!("a channel {channel}"));
            return Err(BackendErrorKind::mismatch(bank.device.clone(), found, expected));
        }
        Ok(Bank::new(sources, channels, Volts(bank.full_volt), top))
    }

    async fn open_sources(&mut self, name: &'a str) -> Result<Shared<dyn Sources>, BackendErrorKind> {
        match self.station.device(name)? {
            DeviceEntry::Qontrol(entry) => {
                let chain = self.chain(name, entry).await?;
                let channels = chain.lock().await.channels();
                let limits = entry.limits.as_ref().map(|limits: &LimitsSpec| limits.for_channels(channels));
                let limits = limits
                    .transpose()
                    .map_err(|error| BackendErrorKind::instrument(name, error, FaultClass::Limit))?;
                let sources = ChainSources::new(name, chain, limits, entry.park.clone()).await;
                Ok(Arc::new(Mutex::new(sources.reading_within(entry.tolerance))))
            }
            DeviceEntry::Keithley2450(entry) => {
                let limits = entry.limits();
                let source = Keithley2450::connect(self.wire(name)?, limits.clone()).await;
                let source = source.map_err(|error| of_instrument(name, error))?;
                self.heard(source.instrument().identity());
                let range = (limits.lowest, limits.highest);
                Ok(Arc::new(Mutex::new(MeterSource::new(name, source, limits.compliance, range))))
            }
            DeviceEntry::RedPitaya(entry) => {
                let device = self.red_pitaya(name).await?;
                Ok(Arc::new(Mutex::new(FastSources::new(name, device, Volts(entry.vmax_volt)))))
            }
            other => Err(BackendErrorKind::mismatch(name, other.protocol(), "a source")),
        }
    }

    async fn detectors(&mut self, name: &'a str) -> Result<Shared<dyn Detectors>, BackendErrorKind> {
        match self.station.device(name)? {
            DeviceEntry::Qontrol(entry) => {
                let chain = self.chain(name, entry).await?;
                Ok(Arc::new(Mutex::new(ChainDetectors::new(name, chain).await)))
            }
            DeviceEntry::KeysightN774x(entry) => {
                let meter = KeysightPowerMeter::connect(self.wire(name)?).await;
                let meter = meter.map_err(|error| of_instrument(name, error))?;
                self.heard(meter.instrument().identity());
                Ok(Arc::new(Mutex::new(MeterDetectors::new(name, meter, entry.settings()))))
            }
            DeviceEntry::RedPitaya(entry) => {
                let (decimation, samples) = (entry.decimation, entry.samples);
                let device = self.red_pitaya(name).await?;
                Ok(Arc::new(Mutex::new(FastDetectors::new(name, device, decimation, samples))))
            }
            other => Err(BackendErrorKind::mismatch(name, other.protocol(), "a detector")),
        }
    }

    async fn red_pitaya(&mut self, name: &'a str) -> Result<Shared<RedPitaya>, BackendErrorKind> {
        if let Some(device) = self.pitayas.get(name) {
            return Ok(Arc::clone(device));
        }
        let device =
            RedPitaya::connect(self.wire(name)?).await.map_err(|error| of_instrument(name, error))?;
        self.heard(device.instrument().identity());
        let device = Arc::new(Mutex::new(device));
        self.pitayas.insert(name, Arc::clone(&device));
        Ok(device)
    }

    async fn conditions(&mut self, entry: &BenchEntry) -> Result<Conditions, BackendErrorKind> {
        let lamp = match &entry.laser {
            Some(name) => Some(self.lamp(name).await?),
            None => None,
        };
        let thermostat = match &entry.thermostat {
            Some(name) => Some(self.thermostat(name).await?),
            None => None,
        };
        let room = Celsius(entry.temperature_celsius.unwrap_or(f64::NAN));
        Conditions::new(lamp, thermostat, room, &entry.interlock).await
    }

    async fn lamp(&mut self, name: &str) -> Result<Lamp, BackendErrorKind> {
        let DeviceEntry::SantecTsl570(entry) = self.station.device(name)? else {
            return Err(BackendErrorKind::mismatch(name, "another device", "a laser"));
        };
        let LaserEntry { power_milliwatt, wavelength_nm, warm_up_s, dark_when_parked, .. } = *entry;
        let laser = SantecTsl570::connect(self.wire(name)?, entry.limits()).await;
        let laser = laser.map_err(|error| of_instrument(name, error))?;
        self.heard(laser.instrument().identity());
        Ok(Lamp {
            name: name.to_owned(),
            laser,
            power: Watts(power_milliwatt * 1e-3),
            wavelength: Nanometres(wavelength_nm),
            warm_up: Duration::from_secs_f64(warm_up_s),
            dark_when_parked,
        })
    }

    async fn thermostat(&mut self, name: &str) -> Result<Thermostat, BackendErrorKind> {
        let DeviceEntry::ThorlabsMtd415t(entry) = self.station.device(name)? else {
            return Err(BackendErrorKind::mismatch(name, "another device", "a thermostat"));
        };
        let ThermostatEntry { setpoint_celsius, lock_kelvin, imax_ampere, settle_s, .. } = *entry;
        let controller = Mtd415t::connect(self.wire(name)?, entry.limits()).await;
        Ok(Thermostat {
            name: name.to_owned(),
            controller: controller.map_err(|error| of_instrument(name, error))?,
            setpoint: Celsius(setpoint_celsius),
            within: lock_kelvin,
            current: Amperes(imax_ampere),
            settle: Duration::from_secs_f64(settle_s),
        })
    }

    fn heard(&mut self, identity: &Identity) {
        self.simulated |= identity.serial.starts_with(EMULATED);
    }
}
