//! Converters: symmetric uniform quantisation to n bits.

use serde::{Deserialize, Serialize};

/// Resolution of a converter. Invariant: 2 to 16 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Bits(u8);

/// A resolution that no converter here has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found} bits is outside the range of a converter; give 2 to 16")]
pub struct BitsError {
    /// What was asked.
    pub found: u8,
}

impl Bits {
    /// Fewest bits: the codes −1, 0, 1.
    pub const MIN: u8 = 2;
    /// Most bits.
    pub const MAX: u8 = 16;

    /// Checks and wraps `bits`.
    ///
    /// # Errors
    /// A value outside 2 to 16.
    pub const fn new(bits: u8) -> Result<Self, BitsError> {
        if bits < Self::MIN || bits > Self::MAX { Err(BitsError { found: bits }) } else { Ok(Self(bits)) }
    }

    /// The number of bits.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// Largest code, `2^(n−1) − 1`; codes run from `−max_code` to `max_code`.
    #[must_use]
    pub const fn max_code(self) -> i32 {
        (1 << (self.0 - 1)) - 1
    }
}

impl TryFrom<u8> for Bits {
    type Error = BitsError;

    fn try_from(bits: u8) -> Result<Self, BitsError> {
        Self::new(bits)
    }
}

impl From<Bits> for u8 {
    fn from(bits: Bits) -> Self {
        bits.0
    }
}

/// Resolutions of the three converters around an MVM, 2 to 16 bits each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConverterPrecision {
    /// Weight DAC, bits.
    pub weight_bits: Bits,
    /// Input DAC, bits.
    pub input_bits: Bits,
    /// Output ADC, bits.
    pub output_bits: Bits,
}

impl Default for ConverterPrecision {
    /// 8 bits everywhere, as in the paper.
    fn default() -> Self {
        const EIGHT: Bits = Bits(8);
        Self { weight_bits: EIGHT, input_bits: EIGHT, output_bits: EIGHT }
    }
}

impl ConverterPrecision {
    /// The same resolution for weights, inputs and outputs.
    ///
    /// # Errors
    /// A value outside 2 to 16.
    pub const fn uniform(bits: u8) -> Result<Self, BitsError> {
        match Bits::new(bits) {
            Ok(bits) => Ok(Self { weight_bits: bits, input_bits: bits, output_bits: bits }),
            Err(error) => Err(error),
        }
    }
}

/// Symmetric uniform quantiser over a dynamic range `±r`:
/// `s = r / (2^(n−1) − 1)`, `x' = s · round(x / s)`, ties to even (Taniguchi et al., OECC/PSC 2025).
///
/// Values beyond the range are clipped to it. A range of 0 maps everything to 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantiser {
    step: f64,
    max_code: f64,
}

impl Quantiser {
    /// Quantiser of `bits` over `±full_scale`, in the units of `full_scale` (finite, its sign is ignored).
    #[must_use]
    pub fn over(full_scale: f64, bits: Bits) -> Self {
        let max_code = f64::from(bits.max_code());
        Self { step: full_scale.abs() / max_code, max_code }
    }

    /// Quantiser of `bits` over the dynamic range of `values`: `r = max|x|`.
    #[must_use]
    pub fn of_range<'a>(values: impl IntoIterator<Item = &'a f64>, bits: Bits) -> Self {
        Self::over(values.into_iter().fold(0.0, |max: f64, value| max.max(value.abs())), bits)
    }

    /// One LSB, in units of the values.
    #[must_use]
    pub fn step(&self) -> f64 {
        self.step
    }

    /// Nearest code of `x`.
    #[must_use]
    pub fn code(&self, x: f64) -> i32 {
        if self.step == 0.0 {
            return 0;
        }
        // Within ±32767 after the clamp, so the cast is exact.
        (x / self.step).round_ties_even().clamp(-self.max_code, self.max_code) as i32
    }

    /// Value of a code.
    #[must_use]
    pub fn value(&self, code: i32) -> f64 {
        f64::from(code) * self.step
    }

    /// The value that the converter holds for `x`.
    #[must_use]
    pub fn quantise(&self, x: f64) -> f64 {
        self.value(self.code(x))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bits_outside_2_to_16_are_refused_by_name() {
        assert_eq!(
            Bits::new(17).unwrap_err().to_string(),
            "17 bits is outside the range of a converter; give 2 to 16"
        );
        assert!(Bits::new(1).is_err());
        let parsed: Result<ConverterPrecision, _> =
            toml::from_str("weight_bits = 4\ninput_bits = 40\noutput_bits = 8");
        let message = parsed.unwrap_err().to_string();
        assert!(message.contains("input_bits = 40") && message.contains("give 2 to 16"), "{message}");
    }

    #[test]
    fn four_bits_over_one_have_fifteen_levels_and_ties_go_to_even() {
        let quantiser = Quantiser::over(7.0, Bits::new(4).unwrap());
        assert_eq!(quantiser.step(), 1.0);
        let codes: Vec<i32> =
            [-9.0, -7.0, -0.5, 0.5, 1.5, 2.4, 2.6, 7.0, 9.0].map(|x| quantiser.code(x)).into();
        assert_eq!(codes, [-7, -7, 0, 0, 2, 2, 3, 7, 7]);
    }

    #[test]
    fn an_empty_range_holds_only_zero() {
        assert_eq!(Quantiser::over(0.0, Bits::new(8).unwrap()).quantise(0.3), 0.0);
    }

    proptest! {
        #[test]
        fn quantising_twice_changes_nothing(
            values in prop::collection::vec(-1e3_f64..1e3, 1..40), bits in 2_u8..=16,
        ) {
            let bits = Bits::new(bits).unwrap();
            let first = Quantiser::of_range(&values, bits);
            let once: Vec<f64> = values.iter().map(|&x| first.quantise(x)).collect();
            let second = Quantiser::of_range(&once, bits);
            for &held in &once {
                prop_assert_eq!(first.quantise(held), held);
                prop_assert_eq!(first.code(held), second.code(held));
            }
        }

        #[test]
        fn the_error_is_at_most_half_an_lsb(
            values in prop::collection::vec(-1e3_f64..1e3, 1..40), bits in 2_u8..=16,
        ) {
            let quantiser = Quantiser::of_range(&values, Bits::new(bits).unwrap());
            for &x in &values {
                // One part in 10¹² beside the half LSB: rounding of the division and the product.
                prop_assert!((quantiser.quantise(x) - x).abs() <= 0.5 * quantiser.step() * (1.0 + 1e-12));
            }
        }
    }
}
