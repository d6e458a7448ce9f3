//! The resonance line that all rings of a bank share in shape.

use alora_drivers::datasheet::NominalElement;

/// Line of the nominal ring: `L(φ) = 1 / (1 + F sin²(φ/2))`, `F = 4x/(1 − x)²`, `x = r1 r2 a`.
///
/// Both ports of an add-drop ring are straight lines in `L` (Bogaerts et al., Laser Photonics Rev. 6, 47 (2012)): drop
/// `= peak · L`, through `= 1 − dip · L`, with `peak = (1 − r1²)(1 − r2²) a/(1 − x)²` and
/// `dip = (1 − r1²)(1 − r2² a²)/(1 − x)²`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Line {
    finesse: f64,
    /// Drop transmission on resonance.
    pub(super) peak: f64,
    /// What the through port lacks on resonance.
    pub(super) dip: f64,
}

impl Line {
    /// `None` for another kind of element.
    pub(super) fn of(element: &NominalElement) -> Option<Self> {
        let NominalElement::AddDropRing { input_coupling: r1, drop_coupling: r2, round_trip: a } = *element
        else {
            return None;
        };
        let x = r1 * r2 * a;
        let rest = (1.0 - x).powi(2);
        Some(Self {
            finesse: 4.0 * x / rest,
            peak: (1.0 - r1 * r1) * (1.0 - r2 * r2) * a / rest,
            dip: (1.0 - r1 * r1) * (1.0 - (r2 * a).powi(2)) / rest,
        })
    }

    /// `L(φ)`.
    pub(super) fn level(&self, phase: f64) -> f64 {
        1.0 / (1.0 + self.finesse * (phase / 2.0).sin().powi(2))
    }

    /// `L(φ)` and `dL/dφ`.
    pub(super) fn level_and_slope(&self, phase: f64) -> (f64, f64) {
        let (sine, cosine) = (phase / 2.0).sin_cos();
        let level = 1.0 / (1.0 + self.finesse * sine * sine);
        (level, -self.finesse * sine * cosine * level * level)
    }

    /// The phase at or below resonance at which `L` is nearest to `level`.
    pub(super) fn phase_for(&self, level: f64) -> f64 {
        if level >= 1.0 {
            return 0.0;
        }
        let sine = ((1.0 / level.max(1e-12) - 1.0) / self.finesse).sqrt();
        -2.0 * sine.min(1.0).asin()
    }

    /// Half the full width at half maximum, in radians.
    pub(super) fn half_width(&self) -> f64 {
        -self.phase_for(0.5)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::incoherent::law::Law;

    const RING: NominalElement =
        NominalElement::AddDropRing { input_coupling: 0.99, drop_coupling: 0.985, round_trip: 0.996 };

    #[test]
    fn drop_less_through_of_the_line_is_the_law_of_the_data_sheet() {
        let line = Line::of(&RING).unwrap();
        for step in -30..30 {
            let phase = f64::from(step) * 0.1;
            let weight = (line.peak + line.dip) * line.level(phase) - 1.0;
            assert!((weight - RING.signal(phase)).abs() < 1e-12, "{phase}");
        }
    }

    #[test]
    fn the_inverse_undoes_the_line_below_resonance_and_the_slope_is_its_derivative() {
        let line = Line::of(&RING).unwrap();
        for step in 0..300 {
            let phase = -f64::from(step) * 0.01;
            assert!((line.phase_for(line.level(phase)) - phase).abs() < 1e-9, "{phase}");
            let difference = (line.level(phase + 1e-6) - line.level(phase - 1e-6)) / 2e-6;
            // Central difference: error h²/6 · L''' < 1e-6 for this line (L''' < 4e5).
            assert!((line.level_and_slope(phase).1 - difference).abs() < 1e-5, "{phase}");
        }
    }
}
