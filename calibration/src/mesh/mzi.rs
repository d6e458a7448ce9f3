//! One Mach–Zehnder interferometer.

use std::f64::consts::TAU;

use num_complex::Complex64;

/// Angles by which the two splitters of an interferometer miss 50:50 (π/4), in radians.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Splitters {
    /// First splitter along the light.
    pub alpha: f64,
    /// Second splitter.
    pub beta: f64,
}

/// Phases of one interferometer, in radians.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Mzi {
    /// Phase on the upper arm, between the splitters. π is bar, 0 is cross.
    pub theta: f64,
    /// Phase on the upper input.
    pub phi: f64,
}

impl Mzi {
    /// Transfer matrix `[[T11, T12], [T21, T22]]` with splitters `π/4 + α` and `π/4 + β`:
    ///
    /// ```text
    /// T = e^{iθ/2} [ e^{iφ}(i S Cm − C Sp)    i C Cp − S Sm ]     C, S  = cos, sin(θ/2)
    ///              [ e^{iφ}(i C Cp + S Sm)   −i S Cm − C Sp ]     Cp, Sp = cos, sin(α+β);  Cm, Sm = cos, sin(α−β)
    /// ```
    ///
    /// Convention of Hamerly's `crossing.py` in the repository `QPG-MIT/meshes`.
    #[must_use]
    pub fn matrix(&self, splitters: Splitters) -> [[Complex64; 2]; 2] {
        let (s, c) = (self.theta / 2.0).sin_cos();
        let (sp, cp) = (splitters.alpha + splitters.beta).sin_cos();
        let (sm, cm) = (splitters.alpha - splitters.beta).sin_cos();
        let common = Complex64::cis(self.theta / 2.0);
        let driven = common * Complex64::cis(self.phi);
        [
            [driven * Complex64::new(-c * sp, s * cm), common * Complex64::new(-s * sm, c * cp)],
            [driven * Complex64::new(s * sm, c * cp), common * Complex64::new(-c * sp, -s * cm)],
        ]
    }
}

/// `angle` in `[0, 2π)`.
pub(crate) fn wrap(angle: f64) -> f64 {
    let wrapped = angle.rem_euclid(TAU);
    if wrapped < TAU { wrapped } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::PI;

    use super::*;

    #[test]
    fn the_matrix_is_unitary_with_any_splitters() {
        let t = Mzi { theta: 1.1, phi: -2.3 }.matrix(Splitters { alpha: 0.07, beta: -0.2 });
        for row in 0..2 {
            for other in 0..2 {
                let product: Complex64 = (0..2).map(|k| t[row][k] * t[other][k].conj()).sum();
                let expected = if row == other { 1.0 } else { 0.0 };
                assert!((product - expected).norm() < 1e-15);
            }
        }
    }

    #[test]
    fn the_splitters_bound_the_reachable_split() {
        // |T11|² lies in [sin²(α+β), cos²(α−β)]: neither perfect cross nor perfect bar.
        let splitters = Splitters { alpha: 0.1, beta: 0.04 };
        let power = |theta| Mzi { theta, phi: 0.4 }.matrix(splitters)[0][0].norm_sqr();
        assert!((power(0.0) - 0.14f64.sin().powi(2)).abs() < 1e-15);
        assert!((power(PI) - 0.06f64.cos().powi(2)).abs() < 1e-15);
    }

    #[test]
    fn wrapping_keeps_the_upper_end_out() {
        assert_eq!(wrap(TAU), 0.0);
        assert_eq!(wrap(-1e-300), 0.0);
        assert!((wrap(-1.0) - (TAU - 1.0)).abs() < 1e-15);
    }
}
