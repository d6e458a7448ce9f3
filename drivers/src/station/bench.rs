//! A processor made of instruments: which channel of which device is what.

use serde::{Deserialize, Serialize};

use super::{DeviceEntry, Nominal, Station, StationError, device::within};
use crate::{Detection, safety::Condition};

/// A processor made of instruments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BenchEntry {
    /// Sources of the weights, in the order of the chip's layout.
    pub weights: SourceBank,
    /// Sources of the inputs.
    pub inputs: SourceBank,
    /// Detectors of the outputs.
    pub outputs: DetectorBank,
    /// The laser, by name.
    #[serde(default)]
    pub laser: Option<String>,
    /// The thermostat, by name.
    #[serde(default)]
    pub thermostat: Option<String>,
    /// Temperature of the chip where no thermostat tells it, −50 to 150.
    #[serde(default)]
    pub temperature_celsius: Option<f64>,
    /// Time from new inputs to settled outputs, in seconds, 0 to 60.
    #[serde(default)]
    pub input_settle_s: f64,
    /// No chip stands behind the instruments: everything measured here is marked so.
    #[serde(default)]
    pub simulated: bool,
    /// Conditions without which nothing is written and no reading is taken.
    #[serde(default)]
    pub interlock: Vec<Condition>,
}

/// Channels of a source that are driven by codes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceBank {
    /// The device, by name.
    pub device: String,
    /// Its channels, one for each code, from 0; empty: in order, as many as the chip needs.
    #[serde(default)]
    pub channels: Vec<usize>,
    /// Voltage of the highest code, above 0, within the device's limits.
    pub full_volt: f64,
}

/// Channels of detectors that are read as counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetectorBank {
    /// The devices, by name; their channels count on from one to the next, from 0.
    pub devices: Vec<String>,
    /// Channel of each output; empty: in order (each second one, from 0, where outputs are balanced).
    #[serde(default)]
    pub plus: Vec<usize>,
    /// Channel that is taken off each output, where outputs are balanced; empty: the one behind each of `plus`.
    #[serde(default)]
    pub minus: Vec<usize>,
    /// What one count is, in the detectors' unit: W of a power meter, mA of a Qontrol input, V of a Red Pitaya.
    pub step: f64,
}

impl SourceBank {
    /// Channels for so many codes.
    #[must_use]
    pub fn channels(&self, count: usize) -> Vec<usize> {
        if self.channels.is_empty() { (0..count).collect() } else { self.channels.clone() }
    }

    fn check(&self, key: &str, station: &Station, count: usize) -> Result<(), StationError> {
        let entry = station.device(&self.device)?;
        let (highest, most) = entry.drives().ok_or_else(|| {
            let allowed = "a device that speaks qontrol, keithley_2450 or red_pitaya";
            StationError::value(format!("{key}.device"), format!("\"{}\"", self.device), allowed)
        })?;
        let channels = self.channels(count);
        if channels.len() != count {
            let found = format!("{} channels", channels.len());
            return Err(StationError::value(
                format!("{key}.channels"),
                found,
                format!("{count} for this chip"),
            ));
        }
        unique(&format!("{key}.channels"), &channels)?;
        if let Some(channel) = channels.iter().find(|&&channel| channel >= most) {
            let allowed = format!("0 to {} of {}", most - 1, self.device);
            return Err(StationError::value(format!("{key}.channels"), channel.to_string(), allowed));
        }
        within(&format!("{key}.full_volt"), self.full_volt, 1e-3, highest)
    }
}

fn unique(key: &str, channels: &[usize]) -> Result<(), StationError> {
    let mut sorted = channels.to_vec();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(StationError::value(key, pair[0].to_string(), "each channel once")),
        None => Ok(()),
    }
}

impl DetectorBank {
    /// Channels of each output: what is read, and what is taken off it.
    #[must_use]
    pub fn pairs(&self, outputs: usize, detection: Detection) -> Vec<(usize, Option<usize>)> {
        let balanced = detection == Detection::Balanced || !self.minus.is_empty();
        let plus = |output: usize| match self.plus.get(output) {
            Some(&plus) => plus,
            None if balanced => 2 * output,
            None => output,
        };
        let minus = |output: usize| self.minus.get(output).copied().unwrap_or_else(|| plus(output) + 1);
        (0..outputs).map(|output| (plus(output), balanced.then(|| minus(output)))).collect()
    }

    fn check(&self, key: &str, station: &Station, nominal: &Nominal) -> Result<(), StationError> {
        if self.devices.is_empty() {
            return Err(StationError::missing(format!("{key}.devices"), "outputs are read by a device"));
        }
        let mut most = Some(0);
        for device in &self.devices {
            let channels = station.device(device)?.detects().ok_or_else(|| {
                let allowed = "devices that speak keysight_n774x, qontrol (with S8i) or red_pitaya";
                StationError::value(format!("{key}.devices"), format!("\"{device}\""), allowed)
            })?;
            most = most.zip(channels).map(|(sum, channels)| sum + channels);
        }
        let outputs = nominal.descriptor.channels();
        for (name, list) in [("plus", &self.plus), ("minus", &self.minus)] {
            if !list.is_empty() && list.len() != outputs {
                let found = format!("{} channels", list.len());
                let allowed = format!("{outputs} for this chip");
                return Err(StationError::value(format!("{key}.{name}"), found, allowed));
            }
        }
        let pairs = self.pairs(outputs, nominal.descriptor.detection);
        let used: Vec<_> = pairs.iter().flat_map(|&(plus, minus)| [Some(plus), minus]).flatten().collect();
        unique(&format!("{key}.plus, {key}.minus"), &used)?;
        let highest = used.iter().copied().max().unwrap_or_default();
        if let Some(most) = most.filter(|&most| highest >= most) {
            let allowed = format!("{most} channels in all; this chip needs {}", highest + 1);
            return Err(StationError::value(
                format!("{key}.devices"),
                format!("{:?}", self.devices),
                allowed,
            ));
        }
        within(&format!("{key}.step"), self.step, 1e-18, 1e6)
    }
}

impl BenchEntry {
    pub(super) fn check(&self, station: &Station) -> Result<(), StationError> {
        let nominal = station.nominal()?;
        let descriptor = &nominal.descriptor;
        self.weights.check("bench.weights", station, descriptor.limits.len())?;
        self.inputs.check("bench.inputs", station, descriptor.input_width())?;
        self.outputs.check("bench.outputs", station, &nominal)?;
        self.check_sharing(station, &nominal)?;
        self.check_names(station)?;
        within("bench.input_settle_s", self.input_settle_s, 0.0, 60.0)?;
        if let Some(celsius) = self.temperature_celsius {
            within("bench.temperature_celsius", celsius, -50.0, 150.0)?;
        }
        if self.thermostat.is_none() && self.temperature_celsius.is_none() {
            return Err(StationError::missing(
                "bench.thermostat or bench.temperature_celsius",
                "every reading is kept with the chip's temperature",
            ));
        }
        self.check_interlocks()
    }

    /// Weights and inputs may share a device, but no channel.
    fn check_sharing(&self, station: &Station, nominal: &Nominal) -> Result<(), StationError> {
        if self.weights.device != self.inputs.device {
            return Ok(());
        }
        if !matches!(station.device(&self.weights.device)?, DeviceEntry::Qontrol(_)) {
            return Err(StationError::value(
                "bench.inputs.device",
                format!("\"{}\"", self.inputs.device),
                "another device than that of the weights",
            ));
        }
        let mut channels = self.weights.channels(nominal.descriptor.limits.len());
        channels.extend(self.inputs.channels(nominal.descriptor.input_width()));
        unique("bench.weights.channels, bench.inputs.channels", &channels)
    }

    fn check_names(&self, station: &Station) -> Result<(), StationError> {
        let named = |key: &str, name: &Option<String>, protocol: &'static str| match name {
            Some(name) if station.device(name)?.protocol() != protocol => Err(StationError::value(
                key,
                format!("\"{name}\""),
                format!("a device that speaks {protocol}"),
            )),
            _ => Ok(()),
        };
        named("bench.laser", &self.laser, "santec_tsl570")?;
        named("bench.thermostat", &self.thermostat, "thorlabs_mtd415t")
    }

    fn check_interlocks(&self) -> Result<(), StationError> {
        for condition in &self.interlock {
            let (told, by) = match condition.name() {
                "laser_power" => (self.laser.is_some(), "bench.laser"),
                "temperature" | "tec_locked" => (self.thermostat.is_some(), "bench.thermostat"),
                _ => (false, "an instrument that tells it; none of those that can be named does"),
            };
            if !told {
                let why = format!("the interlock `{}` needs its readings", condition.name());
                return Err(StationError::missing(by, why));
            }
        }
        Ok(())
    }

    /// Names of all devices that it is made of, each once.
    #[must_use]
    pub fn devices(&self) -> Vec<&str> {
        let sources = [&self.weights.device, &self.inputs.device];
        let others = self.outputs.devices.iter().chain(&self.laser).chain(&self.thermostat);
        let mut names: Vec<&str> = sources.into_iter().chain(others).map(String::as_str).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}
