//! Ramps in power: phase goes with heat, and heat with V².

use std::time::Duration;

use super::limits::{ChannelLimits, LimitError, Limits};
use crate::units::{Volts, Watts};

/// Why there is no ramp.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RampError {
    /// What a channel holds is not known.
    #[error(
        "channel {channel}: what it holds now is unknown, so no ramp can start from it; read it back, or zero all channels \
         first (`alora safe`)"
    )]
    UnknownStart {
        /// Channel.
        channel: usize,
    },
    /// The target breaks a limit.
    #[error(transparent)]
    Target(#[from] LimitError),
}

/// One write of a ramp.
#[derive(Clone, Debug, PartialEq)]
pub struct RampStep {
    /// What is written, one voltage a channel.
    pub volts: Vec<Volts>,
    /// How long to wait after it.
    pub settle: Duration,
}

/// Set points from what is held to a target, all channels arriving together.
///
/// `P_k = P_0 + (P_1 − P_0) k / n` in each channel, with `P = V |V| / R` and the least `n` that keeps every step. As every limit
/// is on a convex function of `P`, a set point between two ends that keep the limits keeps them too.
#[derive(Clone, Debug)]
pub struct Ramp {
    limits: Vec<ChannelLimits>,
    from: Vec<Volts>,
    to: Vec<Volts>,
    settle: Duration,
    steps: u64,
    taken: u64,
}

impl Ramp {
    /// A ramp from what was read back last (`None`: not known) to `to`.
    ///
    /// # Errors
    /// A channel whose voltage is not known, or a target that breaks a limit.
    pub fn new(from: &[Option<Volts>], to: &[Volts], limits: &Limits) -> Result<Self, RampError> {
        limits.check(to)?;
        if from.len() != to.len() {
            return Err(LimitError::Length { channels: to.len(), found: from.len() }.into());
        }
        let from = from.iter().enumerate().map(|(channel, held)| {
            held.filter(|volts| volts.0.is_finite()).ok_or(RampError::UnknownStart { channel })
        });
        let from = from.collect::<Result<Vec<_>, _>>()?;
        let limits = limits.channels().to_vec();
        let moves = limits.iter().zip(from.iter().zip(to));
        let steps = moves.clone().map(|(limits, (&from, &to))| steps(limits, from, to)).max().unwrap_or(0);
        let settle = moves.filter(|(_, (from, to))| from != to).map(|(limits, _)| limits.settle).max();
        let settle = settle.unwrap_or_default();
        Ok(Self { limits, from, to: to.to_vec(), settle, steps, taken: 0 })
    }

    /// Writes that are left.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.steps - self.taken
    }

    /// Time that the writes that are left settle in.
    #[must_use]
    pub fn time_left(&self) -> Duration {
        self.settle.saturating_mul(u32::try_from(self.left()).unwrap_or(u32::MAX))
    }

    fn at(&self, k: u64) -> Vec<Volts> {
        let part = k as f64 / self.steps as f64;
        let moves = self.limits.iter().zip(self.from.iter().zip(&self.to));
        moves.map(|(limits, (&from, &to))| between(limits, from, to, part)).collect()
    }
}

impl Iterator for Ramp {
    type Item = RampStep;

    fn next(&mut self) -> Option<RampStep> {
        if self.left() == 0 {
            return None;
        }
        self.taken += 1;
        let volts = if self.left() == 0 { self.to.clone() } else { self.at(self.taken) };
        Some(RampStep { volts, settle: self.settle })
    }
}

fn steps(limits: &ChannelLimits, from: Volts, to: Volts) -> u64 {
    let change = (limits.signed_power(to).0 - limits.signed_power(from).0).abs();
    let steps = (change / limits.step_with_slew().0 * (1.0 - 1e-12)).ceil() as u64;
    if from == to { 0 } else { steps.max(1) }
}

fn between(limits: &ChannelLimits, from: Volts, to: Volts, part: f64) -> Volts {
    if from == to {
        return to;
    }
    let (start, end) = (limits.signed_power(from).0, limits.signed_power(to).0);
    let volts = limits.volts(Watts(start + (end - start) * part));
    // Rounding of the root must not carry a set point past either end.
    Volts(volts.0.clamp(from.0.min(to.0), from.0.max(to.0)))
}
