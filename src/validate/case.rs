//! One claim and what came of it.

/// How far the measured value may be from the expected one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tolerance {
    /// `|measured − expected| ≤ t`.
    Within(f64),
    /// `measured ≤ expected`.
    AtMost,
    /// `measured ≥ expected`.
    AtLeast,
}

/// A claim, what it is compared with, and what was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// The claim, in words.
    pub claim: String,
    /// Against what: an analytic law, a published figure, numpy.
    pub against: String,
    /// Measured value.
    pub measured: f64,
    /// Expected value.
    pub expected: f64,
    /// How far apart they may be.
    pub tolerance: Tolerance,
    /// Unit of both, e.g. `%`, or empty.
    pub unit: &'static str,
}

impl Case {
    /// `measured` must be within `distance` of `expected`.
    pub(super) fn within(
        claim: impl Into<String>,
        against: impl Into<String>,
        measured: f64,
        expected: f64,
        distance: f64,
    ) -> Self {
        let tolerance = Tolerance::Within(distance);
        Self { claim: claim.into(), against: against.into(), measured, expected, tolerance, unit: "" }
    }

    /// `measured` must not exceed `limit`.
    pub(super) fn at_most(
        claim: impl Into<String>,
        against: impl Into<String>,
        measured: f64,
        limit: f64,
    ) -> Self {
        Self { tolerance: Tolerance::AtMost, ..Self::within(claim, against, measured, limit, 0.0) }
    }

    /// The same case in `unit`.
    pub(super) fn in_unit(self, unit: &'static str) -> Self {
        Self { unit, ..self }
    }

    /// True when the measured value is within the tolerance. A value that is no number never is.
    #[must_use]
    pub fn passed(&self) -> bool {
        match self.tolerance {
            Tolerance::Within(distance) => (self.measured - self.expected).abs() <= distance,
            Tolerance::AtMost => self.measured <= self.expected,
            Tolerance::AtLeast => self.measured >= self.expected,
        }
    }

    /// How far a stored measurement may be from a new one before the document is out of date: a fifth of the
    /// tolerance, or of a limit. A processor's own order of summation moves a count by one now and then.
    pub(super) fn slack(&self) -> f64 {
        0.2 * match self.tolerance {
            Tolerance::Within(distance) => distance,
            Tolerance::AtMost | Tolerance::AtLeast => self.expected.abs().max(1e-12),
        }
    }
}
