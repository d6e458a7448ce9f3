//! Limits as the station file writes them, and their ranges.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ChannelLimits, LimitError, Limits, Sum};
use crate::{
    safety::quantity::{Ohms, Quantity, WattsPerSecond, optional_text, text, written},
    units::{Amperes, Volts, Watts},
};

/// Limits of a device, checked as they are read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct LimitsSpec(Written);

/// The table as it is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(with = "text")]
    v_max: Volts,
    #[serde(default = "no_volts", with = "text")]
    v_min: Volts,
    #[serde(with = "text")]
    i_max: Amperes,
    #[serde(with = "text")]
    p_max: Watts,
    #[serde(with = "text")]
    resistance: Ohms,
    #[serde(with = "text")]
    step: Watts,
    #[serde(default, with = "optional_text", skip_serializing_if = "Option::is_none")]
    slew: Option<WattsPerSecond>,
    #[serde(with = "text")]
    settle: Duration,
    #[serde(default, with = "optional_text", skip_serializing_if = "Option::is_none")]
    total_power: Option<Watts>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    neighbours: Option<Neighbours>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    group: Vec<Group>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    channel: Vec<ChannelOverride>,
}

/// Every channel and its neighbours on both sides keep a sum of powers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Neighbours {
    /// Neighbours counted on each side, at least 1.
    pub reach: usize,
    /// Highest power of a channel and its neighbours together.
    #[serde(with = "text")]
    pub power: Watts,
}

/// Channels that lie close together on the chip keep a sum of powers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Channels, from 0.
    pub channels: Vec<usize>,
    /// Highest power of all together.
    #[serde(with = "text")]
    pub power: Watts,
}

/// A channel with limits of its own; what is absent is as for all.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelOverride {
    /// Which, from 0.
    pub index: usize,
    /// Lowest voltage, at most 0 V.
    #[serde(default, with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub v_min: Option<Volts>,
    /// Highest voltage, at least 0 V: a channel with 0 V is not used.
    #[serde(default, with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub v_max: Option<Volts>,
    /// Highest current, above 0 A.
    #[serde(default, with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub i_max: Option<Amperes>,
    /// Highest power, above 0 W.
    #[serde(default, with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub p_max: Option<Watts>,
    /// Nominal resistance, above 0 Ohm.
    #[serde(default, with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub resistance: Option<Ohms>,
    /// Largest change of power in one write, above 0 W.
    #[serde(default, with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub step: Option<Watts>,
    /// Fastest change of power, above 0 W/s; needs a settling time.
    #[serde(default, with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub slew: Option<WattsPerSecond>,
    /// Wait after each write.
    #[serde(default, with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub settle: Option<Duration>,
}

/// A limit that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} = \"{value}\" is out of range; allowed: {allowed}")]
pub struct RangeError {
    /// Key, with its channel.
    pub key: String,
    /// What was found.
    pub value: String,
    /// What is allowed.
    pub allowed: &'static str,
}

impl LimitsSpec {
    /// Limits of a device with `channels` channels.
    ///
    /// # Errors
    /// A channel is named that the device does not have.
    pub fn for_channels(&self, channels: usize) -> Result<Limits, LimitError> {
        let named = self.0.channel.iter().map(|channel| channel.index);
        let grouped = self.0.group.iter().flat_map(|group| group.channels.iter().copied());
        if let Some(channel) = named.chain(grouped).find(|&channel| channel >= channels) {
            return Err(LimitError::NoSuchChannel { channel, channels });
        }
        let limits = (0..channels).map(|channel| self.0.limits(channel)).collect();
        Ok(Limits::new(limits, self.0.sums(channels)))
    }
}

impl TryFrom<Written> for LimitsSpec {
    type Error = RangeError;

    fn try_from(written: Written) -> Result<Self, RangeError> {
        check_channel("", &written.all())?;
        for channel in &written.channel {
            check_channel(&format!("channel {}: ", channel.index), &merged(written.all(), channel))?;
        }
        check_sums(&written)?;
        Ok(Self(written))
    }
}

impl From<LimitsSpec> for Written {
    fn from(spec: LimitsSpec) -> Self {
        spec.0
    }
}

impl Written {
    fn all(&self) -> ChannelLimits {
        let Self { v_min, v_max, i_max, p_max, resistance, step, slew, settle, .. } = *self;
        ChannelLimits { v_min, v_max, i_max, p_max, resistance, step, slew, settle }
    }

    fn limits(&self, channel: usize) -> ChannelLimits {
        let own = self.channel.iter().filter(|own| own.index == channel);
        own.fold(self.all(), merged)
    }

    fn sums(&self, channels: usize) -> Vec<Sum> {
        let total = self.total_power.map(|power| Sum {
            what: "all channels".to_owned(),
            channels: (0..channels).collect(),
            power,
        });
        let groups = self.group.iter().map(|group| Sum {
            what: format!("channels {}", list(&group.channels)),
            channels: group.channels.clone(),
            power: group.power,
        });
        let near = self.neighbours.into_iter().flat_map(|rule| {
            (0..channels).map(move |channel| Sum {
                what: format!("channel {channel} and its neighbours"),
                channels: (channel.saturating_sub(rule.reach)
                    ..channels.min(channel.saturating_add(rule.reach + 1)))
                    .collect(),
                power: rule.power,
            })
        });
        total.into_iter().chain(groups).chain(near).collect()
    }
}

fn no_volts() -> Volts {
    Volts(0.0)
}

fn list(channels: &[usize]) -> String {
    channels.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn merged(all: ChannelLimits, own: &ChannelOverride) -> ChannelLimits {
    ChannelLimits {
        v_min: own.v_min.unwrap_or(all.v_min),
        v_max: own.v_max.unwrap_or(all.v_max),
        i_max: own.i_max.unwrap_or(all.i_max),
        p_max: own.p_max.unwrap_or(all.p_max),
        resistance: own.resistance.unwrap_or(all.resistance),
        step: own.step.unwrap_or(all.step),
        slew: own.slew.or(all.slew),
        settle: own.settle.unwrap_or(all.settle),
    }
}

fn check_channel(place: &str, limits: &ChannelLimits) -> Result<(), RangeError> {
    let settle = limits.settle.as_secs_f64();
    within(place, "v_min", limits.v_min, -100.0..=0.0, "-100 V to 0 V")?;
    within(place, "v_max", limits.v_max, 0.0..=100.0, "0 V to 100 V")?;
    within(place, "i_max", limits.i_max, 1e-9..=10.0, "above 0 A, at most 10 A")?;
    within(place, "p_max", limits.p_max, 1e-9..=100.0, "above 0 W, at most 100 W")?;
    within(place, "resistance", limits.resistance, 1e-3..=1e9, "0.001 Ohm to 1000000 kOhm")?;
    within(place, "step", limits.step, 1e-9..=100.0, "above 0 W, at most 100 W")?;
    within(place, "settle", limits.settle, 0.0..=60.0, "0 s to 60 s")?;
    match limits.slew {
        Some(slew) if settle == 0.0 => {
            Err(out_of_range(place, "slew", slew, "only with a settle above 0 s: a slew is kept by waiting"))
        }
        Some(slew) => within(place, "slew", slew, 1e-9..=1e6, "above 0 W/s, at most 1000000 W/s"),
        None => Ok(()),
    }
}

fn check_sums(written: &Written) -> Result<(), RangeError> {
    let powers = "above 0 W, at most 10000 W";
    if let Some(total) = written.total_power {
        within("", "total_power", total, 1e-9..=1e4, powers)?;
    }
    if let Some(near) = written.neighbours {
        within("neighbours.", "power", near.power, 1e-9..=1e4, powers)?;
        if !(1..=1000).contains(&near.reach) {
            let (key, value) = ("neighbours.reach".to_owned(), near.reach.to_string());
            return Err(RangeError { key, value, allowed: "1 to 1000" });
        }
    }
    for group in &written.group {
        within(
            &format!("group of channels {}: ", list(&group.channels)),
            "power",
            group.power,
            1e-9..=1e4,
            powers,
        )?;
    }
    Ok(())
}

fn within<Q: Quantity>(
    place: &str,
    key: &str,
    value: Q,
    range: std::ops::RangeInclusive<f64>,
    allowed: &'static str,
) -> Result<(), RangeError> {
    if range.contains(&value.number()) { Ok(()) } else { Err(out_of_range(place, key, value, allowed)) }
}

fn out_of_range<Q: Quantity>(place: &str, key: &str, value: Q, allowed: &'static str) -> RangeError {
    RangeError { key: format!("{place}{key}"), value: written(value), allowed }
}
