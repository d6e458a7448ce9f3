//! What was read of each ring, and under which drives of the bank.

use alora_drivers::Readout;

use super::probe::Reading;

/// Drives of the bank at one setting, 0 to 1, proportional to heater power.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Drive {
    /// One column at one drive, all others at rest.
    Column {
        /// Column.
        col: usize,
        /// Drive.
        power: f64,
    },
    /// One ring driven, all others at rest.
    One {
        /// Ring.
        ring: usize,
        /// Drive.
        power: f64,
    },
    /// Every ring at a drive of its own.
    All(Vec<f64>),
}

/// A setting, and the group of settings that shares its temperature and laser power.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Setting {
    pub(super) drive: Drive,
    pub(super) group: usize,
}

/// What is known of a group beforehand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Conditions {
    /// Chip temperature, in degrees Celsius.
    pub(super) celsius: f64,
    /// Was the whole bank read? The sweep of a few rings says little of the temperature: their own phases come from it.
    pub(super) whole: bool,
}

/// All readings of a bank.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Observations {
    cols: usize,
    settings: Vec<Setting>,
    groups: Vec<Conditions>,
    readings: Vec<Vec<Reading>>,
}

impl Observations {
    pub(super) fn of_bank(rows: usize, cols: usize) -> Self {
        Self { cols, settings: Vec::new(), groups: Vec::new(), readings: vec![Vec::new(); rows * cols] }
    }

    /// Settings so far.
    pub(super) fn settings(&self) -> usize {
        self.settings.len()
    }

    /// Groups so far.
    pub(super) fn groups(&self) -> &[Conditions] {
        &self.groups
    }

    pub(super) fn setting(&self, setting: usize) -> &Setting {
        &self.settings[setting]
    }

    /// A group for the settings that `readouts` were taken at; `whole` where each reads the whole bank.
    pub(super) fn new_group(&mut self, readouts: &[Readout], whole: bool) -> usize {
        let sum: f64 = readouts.iter().map(|readout| readout.temperature.0).sum();
        let celsius = sum / readouts.len().max(1) as f64;
        self.groups.push(Conditions { celsius, whole });
        self.groups.len() - 1
    }

    pub(super) fn add_setting(&mut self, drive: Drive, group: usize) -> usize {
        self.settings.push(Setting { drive, group });
        self.settings.len() - 1
    }

    pub(super) fn take(&mut self, readings: impl IntoIterator<Item = (usize, Reading)>) {
        for (ring, reading) in readings {
            self.readings[ring].push(reading);
        }
    }

    /// Readings of `ring`.
    pub(super) fn of(&self, ring: usize) -> &[Reading] {
        &self.readings[ring]
    }

    /// Drive of `ring` at `setting`.
    pub(super) fn own_power(&self, ring: usize, setting: usize) -> f64 {
        match &self.settings[setting].drive {
            Drive::Column { col, power } if ring % self.cols == *col => *power,
            Drive::One { ring: driven, power } if ring == *driven => *power,
            Drive::All(powers) => powers[ring],
            Drive::Column { .. } | Drive::One { .. } => 0.0,
        }
    }
}
