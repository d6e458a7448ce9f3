//! Where each output rests when nothing runs.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{
    limits::{LimitError, Limits},
    quantity::{self, QuantityError},
};
use crate::units::Volts;

/// What becomes of one output when the program ends: `zero`, `hold` or `park:1.5 V`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ParkPolicy {
    /// To zero. The default: a heater that nobody watches is cold.
    #[default]
    Zero,
    /// Left as it is.
    Hold,
    /// To this voltage.
    Park(Volts),
}

/// Text that is no policy.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ParkPolicyError {
    /// Neither of the three words.
    #[error("`{0}` is no way to park; write `zero`, `hold` or for example `park:1.5 V`")]
    Word(String),
    /// `park:` without a voltage.
    #[error("the voltage to park at: {0}")]
    Voltage(QuantityError),
}

impl FromStr for ParkPolicy {
    type Err = ParkPolicyError;

    fn from_str(text: &str) -> Result<Self, ParkPolicyError> {
        match text {
            "zero" => Ok(Self::Zero),
            "hold" => Ok(Self::Hold),
            _ => {
                let volts =
                    text.strip_prefix("park:").ok_or_else(|| ParkPolicyError::Word(text.to_owned()))?;
                quantity::parse(volts.trim()).map(Self::Park).map_err(ParkPolicyError::Voltage)
            }
        }
    }
}

impl fmt::Display for ParkPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zero => f.write_str("zero"),
            Self::Hold => f.write_str("hold"),
            Self::Park(volts) => write!(f, "park:{volts}"),
        }
    }
}

impl TryFrom<String> for ParkPolicy {
    type Error = ParkPolicyError;

    fn try_from(text: String) -> Result<Self, ParkPolicyError> {
        text.parse()
    }
}

impl From<ParkPolicy> for String {
    fn from(policy: ParkPolicy) -> Self {
        policy.to_string()
    }
}

/// How the outputs of a device are parked: one policy for all, others by channel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ParkSpec {
    /// For every channel that is not named.
    pub all: ParkPolicy,
    /// Channels that are parked otherwise.
    pub channel: Vec<Parked>,
}

/// One channel that is parked otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parked {
    /// Which, from 0.
    pub index: usize,
    /// How.
    pub policy: ParkPolicy,
}

impl ParkSpec {
    /// The policy of one channel.
    #[must_use]
    pub fn policy(&self, channel: usize) -> ParkPolicy {
        self.channel.iter().find(|parked| parked.index == channel).map_or(self.all, |parked| parked.policy)
    }

    /// What is written into each of `channels` channels; `None` is left alone.
    #[must_use]
    pub fn volts(&self, channels: usize) -> Vec<Option<Volts>> {
        (0..channels)
            .map(|channel| match self.policy(channel) {
                ParkPolicy::Zero => Some(Volts(0.0)),
                ParkPolicy::Hold => None,
                ParkPolicy::Park(volts) => Some(volts),
            })
            .collect()
    }

    /// Checks that every voltage to park at is within the limits, and that every channel that is named exists.
    ///
    /// # Errors
    /// The first that does not fit.
    pub fn check(&self, limits: &Limits) -> Result<(), LimitError> {
        let channels = limits.channels().len();
        if let Some(parked) = self.channel.iter().find(|parked| parked.index >= channels) {
            return Err(LimitError::NoSuchChannel { channel: parked.index, channels });
        }
        // What is held is within the limits already; for the sums it counts as nothing, as it may be 0 V.
        let volts: Vec<_> = self.volts(channels).into_iter().map(Option::unwrap_or_default).collect();
        limits.check_parked(&volts)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_policy_reads_back_as_it_is_written() {
        for text in ["zero", "hold", "park:1.5 V"] {
            assert_eq!(text.parse::<ParkPolicy>().unwrap().to_string(), text);
        }
        assert_eq!("park:250 mV".parse::<ParkPolicy>().unwrap(), ParkPolicy::Park(Volts(0.25)));
    }

    #[test]
    fn nothing_written_means_zero() {
        let spec: ParkSpec = toml::from_str("").unwrap();
        assert_eq!(spec.volts(2), [Some(Volts(0.0)), Some(Volts(0.0))]);
    }

    #[test]
    fn a_channel_that_is_named_goes_its_own_way() {
        let spec: ParkSpec = toml::from_str(
            "all = \"hold\"\n[[channel]]\nindex = 1\npolicy = \"park:1.5 V\"\n[[channel]]\nindex = 2\npolicy = \"zero\"",
        )
        .unwrap();
        assert_eq!(spec.volts(3), [None, Some(Volts(1.5)), Some(Volts(0.0))]);
    }

    #[test]
    fn another_word_is_refused_with_the_three_that_are_right() {
        let text = "off".parse::<ParkPolicy>().unwrap_err().to_string();
        assert_eq!(text, "`off` is no way to park; write `zero`, `hold` or for example `park:1.5 V`");
        assert!(toml::from_str::<ParkSpec>("every = \"zero\"").is_err());
    }
}
