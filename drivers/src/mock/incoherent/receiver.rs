//! Amplifier and converter of a detector row.

use super::IncoherentSpec;
use crate::mock::converter::Adc;

/// Share of a gain's range that is used before the next lower gain is taken.
const RANGE_IN_USE: f64 = 0.99;

/// An auto-ranging receiver: amplifier with clip, gains in powers of two, one converter.
#[derive(Clone, Debug)]
pub(crate) struct Receiver {
    clip: f64,
    /// Lowest gain first.
    gains: Vec<Gain>,
}

#[derive(Clone, Debug)]
struct Gain {
    adc: Adc,
    holds: f64,
    /// Counts of the highest gain in one count of this one.
    weight: i32,
}

impl Receiver {
    pub(crate) fn of(spec: &IncoherentSpec) -> Self {
        let clip = spec.receiver_full_scale();
        let ranges = spec.receiver_ranges;
        let gains = (0..ranges)
            .map(|step| {
                let full_scale = clip / f64::from(1u32 << step);
                Gain {
                    adc: Adc::new(full_scale, spec.bits.output),
                    holds: RANGE_IN_USE * full_scale,
                    weight: 1 << (ranges - 1 - step),
                }
            })
            .collect();
        Self { clip, gains }
    }

    /// The count of a photocurrent in steps of the highest gain, and whether it is at the limit of amplifier or
    /// converter.
    pub(crate) fn count(&self, current: f64) -> (i32, bool) {
        let amplified = current.clamp(-self.clip, self.clip);
        let fits = |gain: &&Gain| amplified.abs() <= gain.holds;
        let gain = self.gains.iter().rev().find(fits).unwrap_or(&self.gains[0]);
        let (count, at_limit) = gain.adc.convert(amplified);
        (count * gain.weight, at_limit || amplified != current)
    }
}
