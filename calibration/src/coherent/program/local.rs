//! Ideal interferometers by real ones: the right split, and a screen of phases that is carried on.

use crate::mesh::{Mzi, Splitters};

/// Phase by which the field in each waveguide is ahead of what the ideal mesh would have there.
pub(super) struct Screen(Vec<f64>);

impl Screen {
    pub(super) fn new(modes: usize) -> Self {
        Self(vec![0.0; modes])
    }

    pub(super) fn of(&self, mode: usize) -> f64 {
        self.0[mode]
    }

    pub(super) fn turn(&mut self, mode: usize, phase: f64) {
        self.0[mode] += phase;
    }

    /// Phases of an interferometer with these splitters that splits as `ideal` does, as nearly as it can.
    pub(super) fn mzi(&mut self, upper: usize, ideal: Mzi, splitters: Splitters) -> Mzi {
        let wanted = ideal.matrix(Splitters::default());
        let theta = split_angle(wanted[0][0].norm_sqr(), splitters);
        let bare = Mzi { theta, phi: 0.0 }.matrix(splitters);
        let ahead = self.0[upper] - self.0[upper + 1];
        let relative = |t: [[num_complex::Complex64; 2]; 2]| {
            // Of the larger pair: where a split is nearly bar or cross, the other phase is noise.
            if wanted[0][0].norm() * wanted[0][1].norm() > 1e-6 {
                (t[0][0] * t[0][1].conj()).arg()
            } else {
                (t[0][0] * t[1][1].conj()).arg()
            }
        };
        let phi = relative(wanted) - relative(bare) - ahead;
        let real = Mzi { theta, phi: phi + ahead }.matrix(splitters);
        let behind = self.0[upper + 1];
        let gained = |row: usize| {
            let column = usize::from(wanted[row][1].norm() > wanted[row][0].norm());
            (real[row][column] * wanted[row][column].conj()).arg() + behind
        };
        (self.0[upper], self.0[upper + 1]) = (gained(0), gained(1));
        Mzi { theta, phi }
    }

    /// Phases of an attenuator with this amplitude transmission; its own phase cancels the screen.
    pub(super) fn attenuator(&mut self, mode: usize, transmission: f64, splitters: Splitters) -> Mzi {
        let theta = split_angle(transmission * transmission, splitters);
        let through = Mzi { theta, phi: 0.0 }.matrix(splitters)[0][0];
        let phi = -through.arg() - self.0[mode];
        self.0[mode] = 0.0;
        Mzi { theta, phi }
    }
}

/// θ at which `|T11|²` is nearest to `bar`, which splitters bound to `[sin²(α + β), cos²(α − β)]`.
fn split_angle(bar: f64, splitters: Splitters) -> f64 {
    let lowest = (splitters.alpha + splitters.beta).sin().powi(2);
    let highest = (splitters.alpha - splitters.beta).cos().powi(2);
    let share = ((bar - lowest) / (highest - lowest)).clamp(0.0, 1.0);
    2.0 * share.sqrt().asin()
}

#[cfg(test)]
mod tests {
    use num_complex::Complex64;

    use super::*;

    #[test]
    fn an_interferometer_with_bad_splitters_does_what_the_ideal_one_does_up_to_the_screen() {
        let splitters = Splitters { alpha: 0.06, beta: -0.09 };
        for (theta, phi) in [(1.2, 0.3), (2.4, -2.0), (0.7, 3.0)] {
            let ideal = Mzi { theta, phi };
            let mut screen = Screen(vec![0.4, -1.1]);
            let before = [Complex64::cis(0.4), Complex64::cis(-1.1)];
            let real = screen.mzi(0, ideal, splitters).matrix(splitters);
            let wanted = ideal.matrix(Splitters::default());
            for row in 0..2 {
                for column in 0..2 {
                    let got = real[row][column] * before[column] * Complex64::cis(-screen.of(row));
                    assert!((got - wanted[row][column]).norm() < 1e-12, "{row} {column}");
                }
            }
        }
    }
}
