//! Quantities as people write them: `4.5 V`, `20 mA`, `10 mW/s`.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::units::{Amperes, Celsius, Volts, Watts};

/// Electric resistance in ohms.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ohms(pub f64);

/// Change of power in watts a second.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WattsPerSecond(pub f64);

/// A number with a unit, written as text.
pub trait Quantity: Copy {
    /// Units that may be written and what each is worth; the first is the one that is printed, worth 1.
    const UNITS: &'static [(&'static str, f64)];

    /// From a number of the first unit.
    fn of(number: f64) -> Self;

    /// As a number of the first unit.
    fn number(self) -> f64;
}

/// Text that is no quantity of the kind that is wanted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not a number with a unit of {units}; write for example \"1.5 {first}\"")]
pub struct QuantityError {
    found: String,
    units: String,
    first: &'static str,
}

macro_rules! quantity {
    ($name:ty, $($unit:literal = $worth:expr),+) => {
        impl Quantity for $name {
            const UNITS: &'static [(&'static str, f64)] = &[$(($unit, $worth)),+];

            fn of(number: f64) -> Self {
                Self(number)
            }

            fn number(self) -> f64 {
                self.0
            }
        }
    };
}

quantity!(Volts, "V" = 1.0, "mV" = 1e-3);
quantity!(Amperes, "A" = 1.0, "mA" = 1e-3, "uA" = 1e-6, "µA" = 1e-6);
quantity!(Watts, "W" = 1.0, "mW" = 1e-3, "uW" = 1e-6, "µW" = 1e-6);
quantity!(Celsius, "°C" = 1.0, "C" = 1.0);
quantity!(Ohms, "Ohm" = 1.0, "Ω" = 1.0, "kOhm" = 1e3, "kΩ" = 1e3);
quantity!(WattsPerSecond, "W/s" = 1.0, "mW/s" = 1e-3);

/// Longest time that may be written, in seconds.
const LONGEST: f64 = 1e6;

impl Quantity for Duration {
    const UNITS: &'static [(&'static str, f64)] = &[("s", 1.0), ("ms", 1e-3), ("us", 1e-6), ("µs", 1e-6)];

    fn of(number: f64) -> Self {
        Self::from_secs_f64(number.clamp(0.0, LONGEST))
    }

    fn number(self) -> f64 {
        self.as_secs_f64()
    }
}

impl fmt::Display for Ohms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&written(*self))
    }
}

impl fmt::Display for WattsPerSecond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&written(*self))
    }
}

/// `4.5 V`: the number that reads back equal, and the unit.
pub(crate) fn written<Q: Quantity>(quantity: Q) -> String {
    format!("{} {}", quantity.number(), Q::UNITS.first().map_or("", |(unit, _)| unit))
}

/// Reads a finite number and a unit.
pub(crate) fn parse<Q: Quantity>(text: &str) -> Result<Q, QuantityError> {
    let refused = || QuantityError {
        found: text.to_owned(),
        units: Q::UNITS.iter().map(|(unit, _)| *unit).collect::<Vec<_>>().join(", "),
        first: Q::UNITS.first().map_or("", |(unit, _)| unit),
    };
    let split = text.find(|c: char| !c.is_ascii_digit() && !"+-.".contains(c)).ok_or_else(refused)?;
    let (number, unit) = text.split_at(split);
    let number: f64 = number.parse().map_err(|_| refused())?;
    let worth = Q::UNITS.iter().find(|(name, _)| *name == unit.trim()).ok_or_else(refused)?.1;
    // A division by 1000 rounds to the nearest number where a product with 0.001 does not: 9 mW is 0.009 W.
    let number = if worth < 1.0 { number / (1.0 / worth).round() } else { number * worth };
    let quantity = Q::of(number);
    // A duration cannot be below zero or endless: what does not come back as written is refused.
    let kept = (quantity.number() - number).abs() <= 1e-9 * (1.0 + number.abs());
    if kept { Ok(quantity) } else { Err(refused()) }
}

/// `#[serde(with = "text")]`: a quantity as `"4.5 V"`.
pub(crate) mod text {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use super::{Quantity, parse, written};

    pub(crate) fn serialize<Q: Quantity, S: Serializer>(quantity: &Q, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&written(*quantity))
    }

    pub(crate) fn deserialize<'de, Q: Quantity, D: Deserializer<'de>>(from: D) -> Result<Q, D::Error> {
        parse(&String::deserialize(from)?).map_err(de::Error::custom)
    }
}

/// `#[serde(with = "optional_text")]`: the same where it may be absent.
pub(crate) mod optional_text {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    use super::{Quantity, parse, written};

    pub(crate) fn serialize<Q: Quantity, S: Serializer>(
        quantity: &Option<Q>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        quantity.map(written).serialize(to)
    }

    pub(crate) fn deserialize<'de, Q: Quantity, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Q>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| parse(&text)).transpose().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn units_are_read_with_and_without_a_prefix_and_a_space() {
        assert_eq!(parse::<Volts>("4.5 V").unwrap(), Volts(4.5));
        assert_eq!(parse::<Volts>("-250mV").unwrap(), Volts(-0.25));
        assert_eq!(parse::<Ohms>("1.2 kΩ").unwrap(), Ohms(1200.0));
        assert_eq!(parse::<WattsPerSecond>("10 mW/s").unwrap(), WattsPerSecond(0.01));
        assert_eq!(parse::<Duration>("5 ms").unwrap(), Duration::from_millis(5));
    }

    #[test]
    fn a_wrong_unit_is_refused_with_the_units_that_are_right() {
        let text = parse::<Volts>("20 mA").unwrap_err().to_string();
        assert_eq!(text, "`20 mA` is not a number with a unit of V, mV; write for example \"1.5 V\"");
        for wrong in ["", "4.5", "V", "4.5 v", "inf V", "NaN V", "1e3 V", "--1 V", "4.5 V V"] {
            assert!(parse::<Volts>(wrong).is_err(), "{wrong}");
        }
        for wrong in ["-1 s", "9999999999 s"] {
            assert!(parse::<Duration>(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_equal(volts in -1e3..1e3f64) {
            prop_assert_eq!(parse::<Volts>(&written(Volts(volts))).unwrap(), Volts(volts));
        }
    }
}
