//! An emulated Thorlabs MTD415T.

use std::time::Duration;

use super::noise::Noise;
use crate::{emulate::Device, units::Celsius};

/// Longest line that is taken in.
const LONGEST: usize = 64;
const OUT_OF_RANGE: u16 = 1 << 13;
const UNKNOWN_COMMAND: u16 = 1 << 14;
/// Time constant of the default world, and its noise.
const SETTLING: Duration = Duration::from_secs(5);
const NOISE: f64 = 0.002;
const ROOM: f64 = 23.0;

/// What the controller asks of the world.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ThermalState {
    /// Set point.
    pub setpoint: Celsius,
    /// The enable pin is low: the controller works.
    pub enabled: bool,
}

/// Temperature at the sensor under that control, now.
type Plant = Box<dyn FnMut(ThermalState, Duration) -> Celsius + Send>;

/// A temperature controller.
pub struct EmulatedMtd415t {
    settings: ThermalSettings,
    saved: ThermalSettings,
    saves: u64,
    enabled: bool,
    faults: u16,
    answers_settings: bool,
    plant: Plant,
    line: Vec<u8>,
    requests: u64,
    stuck: Vec<usize>,
}

/// What the controller holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThermalSettings {
    /// Set point in thousandths of a degree Celsius.
    pub setpoint: i64,
    /// Current limit in milliamperes.
    pub current_limit: i64,
    /// Window, delay, proportional, integral and derivative share, cycling time.
    others: [i64; 6],
}

const FACTORY: ThermalSettings =
    ThermalSettings { setpoint: 25_000, current_limit: 1000, others: [100, 1, 1000, 200, 100, 50] };
const OTHERS: [(char, std::ops::RangeInclusive<i64>); 6] = [
    ('W', 1..=32_000),
    ('d', 1..=32_000),
    ('P', 0..=100_000),
    ('I', 0..=100_000),
    ('D', 0..=100_000),
    ('C', 1..=1000),
];

impl EmulatedMtd415t {
    /// Enabled, with a plant that follows the set point and a little noise.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            settings: FACTORY,
            saved: FACTORY,
            saves: 0,
            enabled: true,
            faults: 0,
            answers_settings: false,
            plant: follower(seed),
            line: Vec::new(),
            requests: 0,
            stuck: Vec::new(),
        }
    }

    /// The temperature from `hook`.
    #[must_use]
    pub fn cooling(mut self, hook: impl FnMut(ThermalState, Duration) -> Celsius + Send + 'static) -> Self {
        self.plant = Box::new(hook);
        self
    }

    /// A firmware that answers a setting with its value.
    #[must_use]
    pub fn answering_settings(mut self) -> Self {
        self.answers_settings = true;
        self
    }

    /// The enable pin; open, the controller reports bit 0.
    pub fn enable(&mut self, enabled: bool) {
        self.enabled = enabled;
    }

    /// Sets bits of the error register.
    pub fn fail(&mut self, bits: u16) {
        self.faults |= bits;
    }

    /// What it holds.
    #[must_use]
    pub fn settings(&self) -> ThermalSettings {
        self.settings
    }

    /// How often its flash was written.
    #[must_use]
    pub fn saves(&self) -> u64 {
        self.saves
    }

    fn temperature(&mut self, now: Duration) -> f64 {
        let setpoint = Celsius(self.settings.setpoint as f64 * 1e-3);
        (self.plant)(ThermalState { setpoint, enabled: self.enabled }, now).0
    }

    fn query(&mut self, name: &str, now: Duration) -> Option<String> {
        let away = self.temperature(now) - self.settings.setpoint as f64 * 1e-3;
        let limit = self.settings.current_limit as f64;
        let milliamperes = if self.enabled { (away * 500.0).clamp(-limit, limit) } else { 0.0 };
        Some(match name {
            "m" => "MTD415T FW1.2.6".to_owned(),
            "u" => "0123456789ABCDEF0011223344556677".to_owned(),
            "T" => self.settings.setpoint.to_string(),
            "L" => self.settings.current_limit.to_string(),
            "Te" => format!("{:.0}", self.temperature(now) * 1e3),
            "A" => format!("{:.0}", milliamperes + 0.0),
            "U" => format!("{:.0}", milliamperes * 1.8 + 0.0),
            "E" => (self.faults | u16::from(!self.enabled)).to_string(),
            _ => {
                let index = OTHERS.iter().position(|(letter, _)| name == letter.to_string())?;
                self.settings.others[index].to_string()
            }
        })
    }

    fn write(&mut self, letter: char, value: i64) -> Result<(), u16> {
        let within = |range: std::ops::RangeInclusive<i64>| {
            if range.contains(&value) { Ok(value) } else { Err(OUT_OF_RANGE) }
        };
        let mut settings = self.settings;
        let channel = match letter {
            'T' => {
                settings.setpoint = within(5000..=45_000)?;
                0
            }
            'L' => {
                settings.current_limit = within(200..=2000)?;
                1
            }
            _ => {
                let known = OTHERS.iter().position(|(name, _)| *name == letter).ok_or(UNKNOWN_COMMAND)?;
                settings.others[known] = within(OTHERS[known].1.clone())?;
                2 + known
            }
        };
        if !self.stuck.contains(&channel) {
            self.settings = settings;
        }
        Ok(())
    }

    fn carry_out(&mut self, line: &str, now: Duration, answers: &mut Vec<u8>) {
        let mut say = |text: &str| {
            answers.extend_from_slice(text.as_bytes());
            answers.push(b'\n');
        };
        if let Some(name) = line.strip_suffix('?') {
            match self.query(name, now) {
                Some(answer) => say(&answer),
                None => self.faults |= UNKNOWN_COMMAND,
            }
            return;
        }
        match line {
            "c" => self.faults = 0,
            "M" => (self.saved, self.saves) = (self.settings, self.saves + 1),
            _ => {
                let mut letters = line.chars();
                let letter = letters.next().unwrap_or(' ');
                let value: Option<i64> = letters.as_str().parse().ok();
                match value.ok_or(UNKNOWN_COMMAND).and_then(|value| self.write(letter, value)) {
                    Ok(()) if self.answers_settings => say(letters.as_str()),
                    Ok(()) => {}
                    Err(bit) => self.faults |= bit,
                }
            }
        }
    }
}

/// Follows the set point with a time constant; without control, goes to room temperature.
fn follower(seed: u64) -> Plant {
    let mut noise = Noise::new(seed);
    let (mut at, mut temperature) = (Duration::ZERO, ROOM);
    Box::new(move |state, now| {
        let target = if state.enabled { state.setpoint.0 } else { ROOM };
        let passed = now.saturating_sub(at).as_secs_f64() / SETTLING.as_secs_f64();
        temperature = target + (temperature - target) * (-passed).exp();
        at = now;
        Celsius(temperature + noise.normal(NOISE))
    })
}

impl Device for EmulatedMtd415t {
    fn receive(&mut self, bytes: &[u8], now: Duration, answers: &mut Vec<u8>) {
        for &byte in bytes {
            match byte {
                b'\n' => {
                    let line = std::mem::take(&mut self.line);
                    if !line.is_empty() {
                        self.requests += 1;
                        self.carry_out(&String::from_utf8_lossy(&line), now, answers);
                    }
                }
                b'\r' => {}
                _ if self.line.len() < LONGEST => self.line.push(byte),
                _ => self.faults |= UNKNOWN_COMMAND,
            }
        }
    }

    fn requests(&self) -> u64 {
        self.requests
    }

    fn reset(&mut self, _now: Duration, _answers: &mut Vec<u8>) {
        (self.settings, self.faults) = (self.saved, 0);
        self.line.clear();
    }

    fn stick(&mut self, channel: usize, stuck: bool) {
        self.stuck.retain(|&known| known != channel);
        if stuck {
            self.stuck.push(channel);
        }
    }
}
