//! Transmission of a weight element against its phase.

use super::Element;

/// Transmission of an element to its two detection ports.
///
/// An LCOS pixel feeds one port only: `plus` holds its transmission, `minus` is 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Transfer {
    pub(crate) plus: f64,
    pub(crate) minus: f64,
}

impl Element {
    /// Transmissions at the phase `phase` (radians).
    ///
    /// * Ring, `D = 1 − 2 r1 r2 a cos φ + (r1 r2 a)²`: drop `(1 − r1²)(1 − r2²) a / D`, through
    ///   `(r2² a² − 2 r1 r2 a cos φ + r1²) / D` (Bogaerts et al., Laser Photonics Rev. 6, 47 (2012)).
    /// * MZI: `(1 ∓ V cos φ) / 2`.
    /// * LCOS: `T0 + (1 − T0) sin²(φ/2)`.
    pub(crate) fn transfer(&self, phase: f64) -> Transfer {
        match *self {
            Self::AddDropRing { input_coupling: r1, drop_coupling: r2, round_trip: a } => {
                let interference = 2.0 * r1 * r2 * a * phase.cos();
                let denominator = 1.0 - interference + (r1 * r2 * a).powi(2);
                Transfer {
                    plus: (1.0 - r1 * r1) * (1.0 - r2 * r2) * a / denominator,
                    minus: (r2 * r2 * a * a - interference + r1 * r1) / denominator,
                }
            }
            Self::BalancedMzi { visibility } => {
                let fringe = visibility * phase.cos();
                Transfer { plus: (1.0 - fringe) / 2.0, minus: (1.0 + fringe) / 2.0 }
            }
            Self::Lcos { floor } => {
                Transfer { plus: floor + (1.0 - floor) * (phase / 2.0).sin().powi(2), minus: 0.0 }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RING: Element = Element::AddDropRing { input_coupling: 0.9, drop_coupling: 0.92, round_trip: 0.98 };

    #[test]
    fn a_ring_on_resonance_has_the_closed_form_of_an_add_drop_filter() {
        let (r1, r2, a) = (0.9_f64, 0.92_f64, 0.98_f64);
        let on = RING.transfer(0.0);
        // At cos φ = 1 the denominator is a square: D = (1 − r1 r2 a)².
        let dip = (1.0 - r1 * r2 * a).powi(2);
        assert!((on.minus - (r2 * a - r1).powi(2) / dip).abs() < 1e-12);
        assert!((on.plus - (1.0 - r1 * r1) * (1.0 - r2 * r2) * a / dip).abs() < 1e-12);
    }

    #[test]
    fn a_lossless_ring_sends_all_light_to_one_port_or_the_other() {
        let lossless = Element::AddDropRing { input_coupling: 0.9, drop_coupling: 0.9, round_trip: 1.0 };
        for step in 0..64 {
            let t = lossless.transfer(f64::from(step) * 0.1);
            assert!((t.plus + t.minus - 1.0).abs() < 1e-12);
        }
        assert!((lossless.transfer(0.0).plus - 1.0).abs() < 1e-12);
    }

    #[test]
    fn near_resonance_the_drop_port_is_a_lorentzian_of_the_ring_s_line_width() {
        let (r1, r2, a) = (0.9_f64, 0.92_f64, 0.98_f64);
        let x = r1 * r2 * a;
        let half_width = (1.0 - x) / x.sqrt();
        let peak = RING.transfer(0.0).plus;
        for step in -10..=10 {
            let phase = f64::from(step) * 0.02;
            let lorentzian = peak / (1.0 + (phase / half_width).powi(2));
            // cos φ = 1 − φ²/2 + φ⁴/24: the relative error is at most φ²/12 = 0.0033 at φ = 0.2.
            assert!((RING.transfer(phase).plus / lorentzian - 1.0).abs() < 0.0034);
        }
    }

    #[test]
    fn a_balanced_mzi_follows_the_sine_squared_law_and_conserves_power() {
        let mzi = Element::BalancedMzi { visibility: 1.0 };
        for step in 0..64 {
            let phase = f64::from(step) * 0.1;
            let t = mzi.transfer(phase);
            assert!((t.plus - (phase / 2.0).sin().powi(2)).abs() < 1e-12);
            assert!((t.plus + t.minus - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn a_dark_pixel_leaks_its_floor_and_a_bright_one_passes_everything() {
        let pixel = Element::Lcos { floor: 0.003 };
        assert!((pixel.transfer(0.0).plus - 0.003).abs() < 1e-15);
        assert!((pixel.transfer(std::f64::consts::PI).plus - 1.0).abs() < 1e-12);
        assert!((pixel.transfer(std::f64::consts::FRAC_PI_2).plus - 0.5015).abs() < 1e-12);
    }
}
