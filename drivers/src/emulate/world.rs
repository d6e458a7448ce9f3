//! A simulated chip behind the instruments of a bench.
//!
//! What is driven on the chains is what the chip is written, and each time that the detectors are read anew the chip answers one
//! vector. Light comes from the laser, where there is one: dark, all detectors read zero. The chip is at the temperature that it
//! drifts to around the thermostat's set point; the set point itself does not act on it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ndarray::Array2;

use super::{
    qontrol::ChainIo,
    scpi::{LaserState, ThermalState},
};
use crate::{
    ActuatorFrame, Celsius, Code, InputBatch, InputCode, Volts,
    mock::Chip,
    station::{BenchEntry, DeviceEntry, SourceBank, Station, StationError},
    units::Amperes,
};

/// Temperature that the simulated chips drift around.
const BASE: Celsius = Celsius(25.0);

/// A chip and what is connected to it. Clones are the same.
#[derive(Clone)]
pub struct World(Arc<Mutex<Physics>>);

struct Physics {
    chip: Box<dyn Chip>,
    bench: BenchEntry,
    /// Detector channels of each channel of the readout.
    pairs: Vec<(usize, Option<usize>)>,
    weight_channels: Vec<usize>,
    input_channels: Vec<usize>,
    /// Lowest input code, and codes of weights and inputs at full voltage.
    lowest: InputCode,
    weight_top: f64,
    input_top: f64,
    /// Voltages of each source.
    driven: BTreeMap<String, Vec<Volts>>,
    /// What the chip holds.
    written: Vec<Code>,
    /// Detector channels that were read since the last vector.
    read: BTreeSet<usize>,
    counts: Vec<i32>,
    temperature: Celsius,
    /// Light over what the station asks for.
    light: f64,
    nominal_power: f64,
}

impl World {
    /// The chip of a checked station, as its section `emulate` says, behind its bench.
    ///
    /// # Errors
    /// A chip that cannot be simulated.
    pub fn of(station: &Station, bench: &BenchEntry) -> Result<Self, StationError> {
        let laser = bench.laser.as_ref().map(|name| station.device(name)).transpose()?;
        let nominal_power = match laser {
            Some(DeviceEntry::SantecTsl570(laser)) => Some(laser.power_milliwatt * 1e-3),
            _ => None,
        };
        let missing = || StationError::missing("chip", "an emulated bench has a simulated chip behind it");
        let spec = station.chip.as_ref().ok_or_else(missing)?.spec()?;
        let mut chip = spec.chip(station.emulate.chip_seed, station.emulate.script.clone());
        let descriptor = chip.descriptor().clone();
        let (lowest, highest) = descriptor.input_range();
        let temperature = chip.begin();
        let written = vec![0; descriptor.limits.len()];
        Ok(Self(Arc::new(Mutex::new(Physics {
            pairs: bench.outputs.pairs(descriptor.channels(), descriptor.detection),
            weight_channels: bench.weights.channels(descriptor.limits.len()),
            input_channels: bench.inputs.channels(descriptor.input_width()),
            lowest,
            weight_top: f64::from(descriptor.limits.iter().copied().max().unwrap_or(Code::MAX)),
            input_top: f64::from(highest - lowest),
            driven: BTreeMap::new(),
            written,
            read: BTreeSet::new(),
            counts: vec![0; descriptor.channels()],
            temperature,
            light: if nominal_power.is_some() { 0.0 } else { 1.0 },
            nominal_power: nominal_power.unwrap_or(1.0),
            bench: bench.clone(),
            chip,
        }))))
    }

    fn physics(&self) -> MutexGuard<'_, Physics> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The source `device` now holds these voltages.
    pub fn drive(&self, device: &str, volts: &[Volts]) {
        self.physics().driven.insert(device.to_owned(), volts.to_vec());
    }

    /// What the detector channel sees, in the detectors' unit. A channel that is read again sees a new vector.
    #[must_use]
    pub fn reading(&self, channel: usize) -> f64 {
        self.physics().reading(channel)
    }

    /// The laser changes.
    pub fn shine(&self, laser: LaserState) {
        let mut physics = self.physics();
        physics.light = if laser.emits { laser.power.0 / physics.nominal_power } else { 0.0 };
    }

    /// Temperature of the chip on a thermostat.
    #[must_use]
    pub fn temperature(&self, thermostat: ThermalState) -> Celsius {
        Celsius(thermostat.setpoint.0 + self.physics().temperature.0 - BASE.0)
    }
}

impl Physics {
    fn volts(&self, bank: &SourceBank, channel: usize) -> f64 {
        let driven = self.driven.get(&bank.device).and_then(|volts| volts.get(channel));
        driven.map_or(0.0, |volts| volts.0) / bank.full_volt
    }

    fn weights(&self) -> Vec<Code> {
        let code = |&channel: &usize| {
            (self.volts(&self.bench.weights, channel) * self.weight_top).round().clamp(0.0, self.weight_top)
                as Code
        };
        self.weight_channels.iter().map(code).collect()
    }

    fn inputs(&self) -> InputBatch {
        let code = |&channel: &usize| {
            let steps = (self.volts(&self.bench.inputs, channel) * self.input_top).round();
            self.lowest + steps.clamp(0.0, self.input_top) as InputCode
        };
        let codes: Vec<InputCode> = self.input_channels.iter().map(code).collect();
        InputBatch(Array2::from_shape_vec((1, codes.len()), codes).unwrap_or_default())
    }

    /// The chip follows its actuators when they have come to rest: when it is looked at.
    fn settle(&mut self) {
        let codes = self.weights();
        if codes == self.written {
            return;
        }
        if codes.iter().all(|&code| code == 0) {
            self.chip.park();
        } else {
            self.chip.write(&ActuatorFrame(codes.clone()));
        }
        self.written = codes;
    }

    fn look(&mut self) {
        self.settle();
        self.temperature = self.chip.begin();
        let (counts, _) = self.chip.go_on(&self.inputs(), 1);
        self.counts = counts.into_iter().collect();
        self.read.clear();
    }

    fn reading(&mut self, channel: usize) -> f64 {
        if self.read.is_empty() || self.read.contains(&channel) {
            self.look();
        }
        self.read.insert(channel);
        let step = self.bench.outputs.step;
        let of = |(&(plus, minus), &count): (&(usize, Option<usize>), &i32)| {
            let count = f64::from(count) * self.light;
            match minus {
                _ if plus == channel && minus.is_none() => Some(count),
                _ if plus == channel => Some(count.max(0.0)),
                Some(minus) if minus == channel => Some((-count).max(0.0)),
                _ => None,
            }
        };
        self.pairs.iter().zip(&self.counts).find_map(of).unwrap_or(0.0) * step
    }
}

/// A chain in the world.
pub(super) struct InWorld {
    pub(super) world: World,
    pub(super) device: String,
    /// Detector channel of each channel of the chain, where it is an input.
    pub(super) detectors: BTreeMap<usize, usize>,
}

impl ChainIo for InWorld {
    fn driven(&mut self, volts: &[Volts], _now: Duration) {
        self.world.drive(&self.device, volts);
    }

    fn sensed(&mut self, channel: usize, _now: Duration) -> Amperes {
        let milliamperes = self.detectors.get(&channel).map(|&detector| self.world.reading(detector));
        Amperes(milliamperes.unwrap_or(0.0) * 1e-3)
    }
}
