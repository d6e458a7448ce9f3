//! Physical units as types: a number without a unit does not cross a function boundary.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! unit {
    ($(#[$doc:meta])* $name:ident, $symbol:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub f64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                if let Some(digits) = f.precision() {
                    write!(f, "{:.*} {}", digits, self.0, $symbol)
                } else {
                    write!(f, "{} {}", self.0, $symbol)
                }
            }
        }
    };
}

unit!(
    /// Electric potential in volts.
    Volts, "V"
);
unit!(
    /// Temperature in degrees Celsius.
    Celsius, "°C"
);
unit!(
    /// Optical phase in radians.
    Radians, "rad"
);
unit!(
    /// Electric current in amperes.
    Amperes, "A"
);
unit!(
    /// Power, electric or optical, in watts.
    Watts, "W"
);
unit!(
    /// Wavelength in nanometres.
    Nanometres, "nm"
);
