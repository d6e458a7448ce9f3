//! Limits of the host, in units: what a plan must keep before a byte of it is sent.

mod file;

use std::time::Duration;

use super::quantity::{Ohms, WattsPerSecond};
use crate::units::{Amperes, Volts, Watts};

pub use file::{ChannelOverride, Group, LimitsSpec, Neighbours, RangeError};

/// Relative slack against rounding of sums and squares.
const SLACK: f64 = 1.0 + 1e-9;

/// Limits of one channel, checked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChannelLimits {
    /// Lowest voltage, at most 0.
    pub v_min: Volts,
    /// Highest voltage.
    pub v_max: Volts,
    /// Highest current, either way.
    pub i_max: Amperes,
    /// Highest power.
    pub p_max: Watts,
    /// Nominal resistance, from which current and power are reckoned.
    pub resistance: Ohms,
    /// Largest change of power in one write.
    pub step: Watts,
    /// Fastest change of power.
    pub slew: Option<WattsPerSecond>,
    /// Wait after each write.
    pub settle: Duration,
}

impl ChannelLimits {
    /// `I = V / R`.
    #[must_use]
    pub fn current(&self, volts: Volts) -> Amperes {
        Amperes(volts.0 / self.resistance.0)
    }

    /// `P = V² / R`.
    #[must_use]
    pub fn power(&self, volts: Volts) -> Watts {
        Watts(volts.0 * volts.0 / self.resistance.0)
    }

    /// Power with the sign of the voltage, `V |V| / R`: what a ramp goes along.
    #[must_use]
    pub fn signed_power(&self, volts: Volts) -> Watts {
        Watts(volts.0 * volts.0.abs() / self.resistance.0)
    }

    /// The voltage of a signed power.
    #[must_use]
    pub fn volts(&self, power: Watts) -> Volts {
        Volts((power.0.abs() * self.resistance.0).sqrt().copysign(power.0))
    }

    /// Largest change in one write, when writes are `settle` apart.
    #[must_use]
    pub fn step_with_slew(&self) -> Watts {
        let slew = self.slew.map_or(f64::INFINITY, |slew| slew.0 * self.settle.as_secs_f64());
        Watts(self.step.0.min(slew))
    }
}

/// A rule on the sum of powers of some channels.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sum {
    what: String,
    channels: Vec<usize>,
    power: Watts,
}

/// Limits of all channels of a device.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    channels: Vec<ChannelLimits>,
    sums: Vec<Sum>,
}

/// Why a plan is refused; nothing of it is sent.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LimitError {
    /// A plan of the wrong length.
    #[error("the plan has {found} voltages, the device has {channels} channels; nothing was sent")]
    Length {
        /// Channels of the device.
        channels: usize,
        /// Voltages of the plan.
        found: usize,
    },
    /// A channel that the device does not have.
    #[error("channel {channel} is named, but the device has {channels} channels, 0 to {}", channels.saturating_sub(1))]
    NoSuchChannel {
        /// Channel that is named.
        channel: usize,
        /// Channels of the device.
        channels: usize,
    },
    /// Not a number.
    #[error("channel {channel}: {volts} is not a voltage; nothing was sent")]
    NotFinite {
        /// Channel.
        channel: usize,
        /// What was planned.
        volts: Volts,
    },
    /// A voltage outside its range.
    #[error("channel {channel}: {volts} is outside its limits of {v_min} to {v_max}; nothing was sent")]
    Voltage {
        /// Channel.
        channel: usize,
        /// What was planned.
        volts: Volts,
        /// Lowest.
        v_min: Volts,
        /// Highest.
        v_max: Volts,
    },
    /// A current above its limit.
    #[error(
        "channel {channel}: {volts} drives {current:.6} through {resistance}, above its limit of {limit}; nothing was sent"
    )]
    Current {
        /// Channel.
        channel: usize,
        /// What was planned.
        volts: Volts,
        /// Current that follows.
        current: Amperes,
        /// Nominal resistance.
        resistance: Ohms,
        /// Highest.
        limit: Amperes,
    },
    /// A power above its limit.
    #[error(
        "channel {channel}: {volts} makes {power:.6} in {resistance}, above its limit of {limit}; nothing was sent"
    )]
    Power {
        /// Channel.
        channel: usize,
        /// What was planned.
        volts: Volts,
        /// Power that follows.
        power: Watts,
        /// Nominal resistance.
        resistance: Ohms,
        /// Highest.
        limit: Watts,
    },
    /// A sum of powers above its limit.
    #[error("{what}: {power:.6} together, above the limit of {limit}; nothing was sent")]
    Sum {
        /// Which sum.
        what: String,
        /// What it comes to.
        power: Watts,
        /// Highest.
        limit: Watts,
    },
    /// A change too large for one write.
    #[error(
        "channel {channel}: from {from} to {to} changes its power by {change:.6} in one write, above its step of {limit}; ramp \
         it. Nothing was sent"
    )]
    Step {
        /// Channel.
        channel: usize,
        /// Voltage now.
        from: Volts,
        /// Voltage planned.
        to: Volts,
        /// Change of power.
        change: Watts,
        /// Largest.
        limit: Watts,
    },
}

impl Limits {
    pub(super) fn new(channels: Vec<ChannelLimits>, sums: Vec<Sum>) -> Self {
        Self { channels, sums }
    }

    /// Limits of each channel.
    #[must_use]
    pub fn channels(&self) -> &[ChannelLimits] {
        &self.channels
    }

    /// Checks a whole plan, one voltage a channel.
    ///
    /// # Errors
    /// The first voltage, current, power or sum of powers above its limit refuses the whole plan.
    pub fn check(&self, plan: &[Volts]) -> Result<(), LimitError> {
        if plan.len() != self.channels.len() {
            return Err(LimitError::Length { channels: self.channels.len(), found: plan.len() });
        }
        for (channel, (limits, &volts)) in self.channels.iter().zip(plan).enumerate() {
            check_channel(channel, limits, volts)?;
        }
        self.sums.iter().try_for_each(|sum| self.check_sum(sum, plan))
    }

    /// Zero is allowed to every channel whatever its lowest voltage: a device must always be able to rest.
    pub(super) fn check_parked(&self, plan: &[Volts]) -> Result<(), LimitError> {
        for (channel, (limits, &volts)) in self.channels.iter().zip(plan).enumerate() {
            if volts != Volts(0.0) {
                check_channel(channel, limits, volts)?;
            }
        }
        self.sums.iter().try_for_each(|sum| self.check_sum(sum, plan))
    }

    /// Checks that one write may take the device from `held` to `plan`.
    ///
    /// # Errors
    /// As [`Self::check`], or a change of power above a channel's step.
    pub fn check_write(&self, held: &[Volts], plan: &[Volts]) -> Result<(), LimitError> {
        self.check(plan)?;
        if held.len() != plan.len() {
            return Err(LimitError::Length { channels: plan.len(), found: held.len() });
        }
        for (channel, (limits, (&from, &to))) in self.channels.iter().zip(held.iter().zip(plan)).enumerate() {
            let change = Watts((limits.signed_power(to).0 - limits.signed_power(from).0).abs());
            // Negated, so that a held voltage that is not a number is refused too.
            let kept = change.0 <= limits.step.0 * SLACK;
            if !kept {
                return Err(LimitError::Step { channel, from, to, change, limit: limits.step });
            }
        }
        Ok(())
    }

    /// Power of the whole plan.
    #[must_use]
    pub fn total_power(&self, plan: &[Volts]) -> Watts {
        Watts(self.channels.iter().zip(plan).map(|(limits, &volts)| limits.power(volts).0).sum())
    }

    fn check_sum(&self, sum: &Sum, plan: &[Volts]) -> Result<(), LimitError> {
        let powers = sum
            .channels
            .iter()
            .filter_map(|&channel| Some(self.channels.get(channel)?.power(*plan.get(channel)?).0));
        let power = Watts(powers.sum());
        if power.0 <= sum.power.0 * SLACK {
            Ok(())
        } else {
            Err(LimitError::Sum { what: sum.what.clone(), power, limit: sum.power })
        }
    }
}

fn check_channel(channel: usize, limits: &ChannelLimits, volts: Volts) -> Result<(), LimitError> {
    let ChannelLimits { v_min, v_max, i_max, p_max, resistance, .. } = *limits;
    if !volts.0.is_finite() {
        return Err(LimitError::NotFinite { channel, volts });
    }
    if volts < v_min || volts > v_max {
        return Err(LimitError::Voltage { channel, volts, v_min, v_max });
    }
    let current = limits.current(volts);
    if current.0.abs() > i_max.0 * SLACK {
        return Err(LimitError::Current { channel, volts, current, resistance, limit: i_max });
    }
    let power = limits.power(volts);
    if power.0 > p_max.0 * SLACK {
        return Err(LimitError::Power { channel, volts, power, resistance, limit: p_max });
    }
    Ok(())
}
