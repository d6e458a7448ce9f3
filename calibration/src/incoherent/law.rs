//! Laws of the weight elements as the data sheet gives them, with their inverses.

use std::f64::consts::PI;

use alora_drivers::datasheet::NominalElement;

/// One branch of an element's law on which the weight rises with the phase.
pub(crate) struct Branch {
    pub(crate) lowest: f64,
    pub(crate) highest: f64,
}

/// Law of an element: signal `f(φ)` between two extremes, rising on [`Branch`].
///
/// * Ring, `x = r1 r2 a`, `K = (1 − r1²)(1 − r2²) a − r2² a² − r1²`: `f = (K + 2x cos φ) / (1 + x² − 2x cos φ)`,
///   drop minus through of an add-drop filter (Bogaerts et al., Laser Photonics Rev. 6, 47 (2012)).
/// * MZI: `f = −cos φ`.
/// * LCOS: `f = sin²(φ/2)`.
pub(crate) trait Law {
    /// `f(φ)`.
    fn signal(&self, phase: f64) -> f64;
    /// `df/dφ`.
    fn slope(&self, phase: f64) -> f64;
    /// The phase on the rising branch at which `f` is nearest to `signal`.
    fn phase_for(&self, signal: f64) -> f64;
    /// The rising branch.
    fn branch(&self) -> Branch;
}

struct Ring {
    /// `x = r1 r2 a`.
    x: f64,
    /// `K`.
    k: f64,
}

impl Ring {
    fn new(r1: f64, r2: f64, a: f64) -> Self {
        Self { x: r1 * r2 * a, k: (1.0 - r1 * r1) * (1.0 - r2 * r2) * a - (r2 * a).powi(2) - r1 * r1 }
    }

    fn denominator(&self, cosine: f64) -> f64 {
        1.0 + self.x * self.x - 2.0 * self.x * cosine
    }
}

impl Law for NominalElement {
    fn signal(&self, phase: f64) -> f64 {
        match *self {
            Self::AddDropRing { input_coupling, drop_coupling, round_trip } => {
                let ring = Ring::new(input_coupling, drop_coupling, round_trip);
                let cosine = phase.cos();
                (ring.k + 2.0 * ring.x * cosine) / ring.denominator(cosine)
            }
            Self::BalancedMzi => -phase.cos(),
            Self::Lcos => (phase / 2.0).sin().powi(2),
        }
    }

    fn slope(&self, phase: f64) -> f64 {
        match *self {
            Self::AddDropRing { input_coupling, drop_coupling, round_trip } => {
                let ring = Ring::new(input_coupling, drop_coupling, round_trip);
                let (sine, cosine) = phase.sin_cos();
                let numerator = 2.0 * ring.x * (1.0 + ring.x * ring.x + ring.k);
                -sine * numerator / ring.denominator(cosine).powi(2)
            }
            Self::BalancedMzi => phase.sin(),
            Self::Lcos => phase.sin() / 2.0,
        }
    }

    fn phase_for(&self, signal: f64) -> f64 {
        match *self {
            Self::AddDropRing { input_coupling, drop_coupling, round_trip } => {
                let ring = Ring::new(input_coupling, drop_coupling, round_trip);
                let cosine = (signal * (1.0 + ring.x * ring.x) - ring.k) / (2.0 * ring.x * (1.0 + signal));
                if signal <= -1.0 { -PI } else { -cosine.clamp(-1.0, 1.0).acos() }
            }
            Self::BalancedMzi => (-signal).clamp(-1.0, 1.0).acos(),
            Self::Lcos => 2.0 * signal.clamp(0.0, 1.0).sqrt().asin(),
        }
    }

    fn branch(&self) -> Branch {
        match self {
            Self::AddDropRing { .. } => Branch { lowest: -PI, highest: 0.0 },
            Self::BalancedMzi | Self::Lcos => Branch { lowest: 0.0, highest: PI },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAWS: [NominalElement; 3] = [
        NominalElement::AddDropRing { input_coupling: 0.85, drop_coupling: 0.9, round_trip: 0.98 },
        NominalElement::BalancedMzi,
        NominalElement::Lcos,
    ];

    #[test]
    fn the_inverse_of_a_law_undoes_it_on_the_rising_branch() {
        for law in LAWS {
            let Branch { lowest, highest } = law.branch();
            for step in 1..100 {
                let phase = lowest + (highest - lowest) * f64::from(step) / 100.0;
                assert!((law.phase_for(law.signal(phase)) - phase).abs() < 1e-9, "{law:?} at {phase}");
            }
        }
    }

    #[test]
    fn the_slope_of_a_law_is_its_derivative() {
        let h = 1e-5;
        for law in LAWS {
            for step in -30..30 {
                let phase = f64::from(step) * 0.1;
                let difference = (law.signal(phase + h) - law.signal(phase - h)) / (2.0 * h);
                // Central difference: error h²/6 · f''' < 1e-8 for these laws.
                assert!((law.slope(phase) - difference).abs() < 1e-7, "{law:?} at {phase}");
            }
        }
    }
}
