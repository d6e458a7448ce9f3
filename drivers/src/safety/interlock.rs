//! Conditions without which nothing is written: temperature, TEC, laser, door.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::quantity::{Quantity, text, written};
use crate::{
    error::BackendErrorKind,
    units::{Celsius, Watts},
};

/// A reading with its age.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading<T> {
    /// What was read.
    pub value: T,
    /// How long ago.
    pub age: Duration,
}

/// The oldest reading that a condition takes; `5 s` where none is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Age(#[serde(with = "text")] pub Duration);

impl Default for Age {
    fn default() -> Self {
        Self(Duration::from_secs(5))
    }
}

/// What the sensors say at one moment; `None` where nothing was read.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Readings {
    /// Chip temperature.
    pub temperature: Option<Reading<Celsius>>,
    /// True when the temperature controller holds its set point.
    pub tec_locked: Option<Reading<bool>>,
    /// Optical power of the laser.
    pub laser_power: Option<Reading<Watts>>,
    /// True when the door is closed.
    pub door_closed: Option<Reading<bool>>,
}

impl Readings {
    /// The same readings, all taken `age` ago.
    #[must_use]
    pub fn aged(self, age: Duration) -> Self {
        fn of<T>(reading: Option<Reading<T>>, age: Duration) -> Option<Reading<T>> {
            reading.map(|reading| Reading { age, ..reading })
        }
        Self {
            temperature: of(self.temperature, age),
            tec_locked: of(self.tec_locked, age),
            laser_power: of(self.laser_power, age),
            door_closed: of(self.door_closed, age),
        }
    }
}

/// A condition as the station file writes it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Condition(Written);

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "condition", rename_all = "snake_case", deny_unknown_fields)]
enum Written {
    /// Chip temperature within `min..=max`; once out of it, back in by `hysteresis`.
    Temperature {
        #[serde(with = "text")]
        min: Celsius,
        #[serde(with = "text")]
        max: Celsius,
        #[serde(with = "text")]
        hysteresis: Celsius,
        #[serde(default)]
        max_age: Age,
    },
    /// The temperature controller holds its set point.
    TecLocked {
        #[serde(default)]
        max_age: Age,
    },
    /// Laser power within `min..=max`; once out of it, back in by `hysteresis`.
    LaserPower {
        #[serde(with = "text")]
        min: Watts,
        #[serde(with = "text")]
        max: Watts,
        #[serde(with = "text")]
        hysteresis: Watts,
        #[serde(default)]
        max_age: Age,
    },
    /// The door is closed.
    DoorClosed {
        #[serde(default)]
        max_age: Age,
    },
}

/// A condition that can never be met, or always is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("interlock {condition}: {found}; allowed: {allowed}")]
pub struct ConditionError {
    condition: &'static str,
    found: String,
    allowed: &'static str,
}

/// A condition that is not met, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{condition}: {reason}")]
pub struct Blocked {
    /// Which condition.
    pub condition: &'static str,
    /// What was found against what is wanted.
    pub reason: String,
}

/// A condition that has just changed: for the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is not met any more, or was not met at the start.
    Blocks(Blocked),
    /// It is met again, or was met at the start.
    Allows {
        /// Which condition.
        condition: &'static str,
    },
}

/// What the conditions come to at one moment.
#[must_use]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Conditions that are not met; empty: go.
    pub blocked: Vec<Blocked>,
    /// Conditions that changed since the evaluation before.
    pub changed: Vec<Change>,
}

/// All conditions of a station and what they said last.
///
/// Nothing is taken for granted at the start: a condition is first met when it holds with its hysteresis to spare.
#[derive(Clone, Debug)]
pub struct Interlocks(Vec<(Written, Option<bool>)>);

impl Condition {
    /// What it is about, as the station file writes it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.0.name()
    }
}

impl Interlocks {
    /// Conditions that all have to be met.
    #[must_use]
    pub fn new(conditions: &[Condition]) -> Self {
        Self(conditions.iter().map(|condition| (condition.0, None)).collect())
    }

    /// How often sensors are to be read: once a second, more often where a condition takes no reading of that age.
    #[must_use]
    pub fn poll(conditions: &[Condition]) -> Duration {
        let ages = conditions.iter().map(|condition| condition.0.max_age() / 2);
        ages.fold(Duration::from_secs(1), Duration::min)
    }

    /// Looks at every condition. Before each write, and by polling between writes.
    pub fn evaluate(&mut self, readings: &Readings) -> Verdict {
        let mut verdict = Verdict::default();
        for (condition, met) in &mut self.0 {
            let found = condition.judge(readings, *met == Some(true));
            if *met != Some(found.is_ok()) {
                verdict.changed.push(match &found {
                    Ok(()) => Change::Allows { condition: condition.name() },
                    Err(blocked) => Change::Blocks(blocked.clone()),
                });
            }
            *met = Some(found.is_ok());
            verdict.blocked.extend(found.err());
        }
        verdict
    }
}

impl Verdict {
    /// Goes on, or says all that blocks in one sentence.
    ///
    /// # Errors
    /// A condition is not met.
    pub fn allow(&self) -> Result<(), BackendErrorKind> {
        if self.blocked.is_empty() {
            return Ok(());
        }
        let reasons: Vec<_> = self.blocked.iter().map(ToString::to_string).collect();
        Err(BackendErrorKind::Interlock { condition: reasons.join("; ") })
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blocks(blocked) => write!(f, "blocked by {blocked}"),
            Self::Allows { condition } => write!(f, "{condition}: met"),
        }
    }
}

impl TryFrom<Written> for Condition {
    type Error = ConditionError;

    fn try_from(condition: Written) -> Result<Self, ConditionError> {
        let refused = |found, allowed| ConditionError { condition: condition.name(), found, allowed };
        let age = condition.max_age();
        if !(0.01..=3600.0).contains(&age.as_secs_f64()) {
            return Err(refused(format!("max_age = \"{}\"", written(age)), "0.01 s to 3600 s"));
        }
        match condition {
            Written::Temperature { min, max, hysteresis, .. } => {
                check_range(min, max, hysteresis).map_err(|(found, allowed)| refused(found, allowed))?;
            }
            Written::LaserPower { min, max, hysteresis, .. } => {
                check_range(min, max, hysteresis).map_err(|(found, allowed)| refused(found, allowed))?;
            }
            Written::TecLocked { .. } | Written::DoorClosed { .. } => {}
        }
        Ok(Self(condition))
    }
}

impl From<Condition> for Written {
    fn from(condition: Condition) -> Self {
        condition.0
    }
}

impl Written {
    fn name(&self) -> &'static str {
        match self {
            Self::Temperature { .. } => "temperature",
            Self::TecLocked { .. } => "tec_locked",
            Self::LaserPower { .. } => "laser_power",
            Self::DoorClosed { .. } => "door_closed",
        }
    }

    fn max_age(&self) -> Duration {
        match self {
            Self::Temperature { max_age, .. }
            | Self::TecLocked { max_age }
            | Self::LaserPower { max_age, .. }
            | Self::DoorClosed { max_age } => max_age.0,
        }
    }

    fn judge(&self, readings: &Readings, was_met: bool) -> Result<(), Blocked> {
        let age = self.max_age();
        let judged = match *self {
            Self::Temperature { min, max, hysteresis, .. } => fresh(readings.temperature, age)
                .and_then(|found| within(found, min, max, hysteresis, was_met)),
            Self::LaserPower { min, max, hysteresis, .. } => fresh(readings.laser_power, age)
                .and_then(|found| within(found, min, max, hysteresis, was_met)),
            Self::TecLocked { .. } => {
                fresh(readings.tec_locked, age).and_then(|locked| holds(locked, "it is not locked"))
            }
            Self::DoorClosed { .. } => {
                fresh(readings.door_closed, age).and_then(|closed| holds(closed, "it is open"))
            }
        };
        judged.map_err(|reason| Blocked { condition: self.name(), reason })
    }
}

fn check_range<Q: Quantity>(min: Q, max: Q, hysteresis: Q) -> Result<(), (String, &'static str)> {
    if min.number() >= max.number() {
        return Err((format!("min = \"{}\", max = \"{}\"", written(min), written(max)), "min below max"));
    }
    if hysteresis.number() < 0.0 || 2.0 * hysteresis.number() >= max.number() - min.number() {
        let found = format!("hysteresis = \"{}\"", written(hysteresis));
        return Err((found, "at least 0, less than half of max - min"));
    }
    Ok(())
}

fn fresh<T>(reading: Option<Reading<T>>, max_age: Duration) -> Result<T, String> {
    match reading {
        None => Err("there is no reading".to_owned()),
        Some(reading) if reading.age > max_age => Err(format!(
            "the last reading is {} old, at most {} is taken",
            written(reading.age),
            written(max_age)
        )),
        Some(reading) => Ok(reading.value),
    }
}

/// A NaN is in no range.
fn within<Q: Quantity>(found: Q, min: Q, max: Q, hysteresis: Q, was_met: bool) -> Result<(), String> {
    let spare = if was_met { 0.0 } else { hysteresis.number() };
    let (low, high) = (min.number() + spare, max.number() - spare);
    if (low..=high).contains(&found.number()) {
        return Ok(());
    }
    let wanted = format!("{} to {}", written(Q::of(low)), written(Q::of(high)));
    Err(format!("{} is outside {wanted}", written(found)))
}

fn holds(found: bool, otherwise: &str) -> Result<(), String> {
    if found { Ok(()) } else { Err(otherwise.to_owned()) }
}
