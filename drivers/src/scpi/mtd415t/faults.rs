//! What the controller says is wrong.

use std::fmt;

/// The controller's error register.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ControllerFaults(pub u16);

/// Bits that a bad line sets.
const LINE: u16 = (1 << 13) | (1 << 14);
/// Bits of the register, in words.
const FAULTS: [(u16, &str); 9] = [
    (0, "not enabled: the enable pin is open"),
    (1, "the controller itself is too hot"),
    (2, "thermal latch-up: at its current limit without effect"),
    (3, "cycling time too short"),
    (4, "no temperature sensor"),
    (5, "no thermoelectric cooler"),
    (6, "the cooler's polarity is reversed"),
    (13, "a value was out of range"),
    (14, "a command was not understood"),
];

impl ControllerFaults {
    /// No fault.
    #[must_use]
    pub fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Without what only says that a value or command did not arrive as it was sent.
    #[must_use]
    pub fn of_the_controller(self) -> Self {
        Self(self.0 & !LINE)
    }

    /// A value or command that did not arrive as it was sent.
    #[must_use]
    pub fn is_of_the_line(self) -> bool {
        self.0 & LINE != 0
    }
}

impl fmt::Display for ControllerFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = FAULTS.iter().filter(|(bit, _)| self.0 & (1 << bit) != 0);
        let mut words: Vec<String> = known.map(|(_, word)| (*word).to_owned()).collect();
        let unknown = FAULTS.iter().fold(self.0, |left, (bit, _)| left & !(1 << bit));
        if unknown != 0 {
            words.push(format!("unknown bits {unknown:#06x}"));
        }
        f.write_str(&if words.is_empty() { "no fault".to_owned() } else { words.join("; ") })
    }
}
