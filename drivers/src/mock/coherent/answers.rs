//! What a simulated chip was made with, for those who examine a finished characterisation.

use std::f64::consts::PI;

use super::{CoherentSpec, truth::Truth};

/// The making of one simulated chip. A characterisation never sees it; who compares a finished one against it does.
#[derive(Clone, Debug, PartialEq)]
pub struct CoherentAnswers {
    /// Phase at 0 V of each shifter, radians, in frame order.
    pub phase_at_zero: Vec<f64>,
    /// `π / Vπ²` of each shifter over the nominal one.
    pub slope: Vec<f64>,
    /// Relative V⁴ term at a phase of π.
    pub quartic: Vec<f64>,
    /// Angles of both splitters of each interferometer from π/4, radians: V mesh, attenuators, U mesh.
    pub splitters: Vec<(f64, f64)>,
    /// `(victim, aggressor, phase at the one per phase of the other)`.
    pub crosstalk: Vec<(usize, usize, f64)>,
    /// Shifters that do not respond.
    pub stuck: Vec<usize>,
    /// Shifters that respond weakly.
    pub weak: Vec<usize>,
}

impl CoherentSpec {
    /// The chip of that seed.
    #[must_use]
    pub fn answers(&self, seed: u64) -> CoherentAnswers {
        let truth = Truth::draw(self, seed);
        let nominal = PI / (self.v_pi.0 * self.v_pi.0);
        CoherentAnswers {
            slope: truth.gamma.iter().map(|gamma| gamma / nominal).collect(),
            crosstalk: (truth.crosstalk.iter())
                .map(|pair| (pair.victim, pair.aggressor, pair.coefficient))
                .collect(),
            phase_at_zero: truth.phase_at_zero,
            quartic: truth.quartic,
            splitters: truth.splitters,
            stuck: truth.stuck,
            weak: truth.weak,
        }
    }
}
