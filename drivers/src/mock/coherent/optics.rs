//! Field propagation through the simulated chip.

use super::geometry::Interferometer;

/// Transfer matrix of the chip, row-major, real and imaginary parts apart.
#[derive(Clone, Debug)]
pub(super) struct Transfer {
    pub(super) modes: usize,
    pub(super) re: Vec<f64>,
    pub(super) im: Vec<f64>,
}

/// The four entries of one interferometer, `(re, im)` each.
type Entries = [(f64, f64); 4];

/// Matrix of an interferometer: phase φ on the upper input, splitter π/4 + α, phase θ on the upper arm,
/// splitter π/4 + β (convention of Hamerly's `crossing.py` in the repository `QPG-MIT/meshes`).
fn entries(theta: f64, phi: f64, (alpha, beta): (f64, f64), transmission: f64) -> Entries {
    let (s, c) = (theta / 2.0).sin_cos();
    let (sp, cp) = (alpha + beta).sin_cos();
    let (sm, cm) = (alpha - beta).sin_cos();
    let common = rotate(transmission, 0.0, theta / 2.0);
    let driven = rotate(common.0, common.1, phi);
    [
        multiply(driven, (-c * sp, s * cm)),
        multiply(common, (-s * sm, c * cp)),
        multiply(driven, (s * sm, c * cp)),
        multiply(common, (-c * sp, -s * cm)),
    ]
}

fn rotate(re: f64, im: f64, angle: f64) -> (f64, f64) {
    let (s, c) = angle.sin_cos();
    (re * c - im * s, re * s + im * c)
}

fn multiply(a: (f64, f64), b: (f64, f64)) -> (f64, f64) {
    (a.0 * b.0 - a.1 * b.1, a.0 * b.1 + a.1 * b.0)
}

impl Transfer {
    /// Propagates all inputs at once through the path with the given phases, in frame order.
    pub(super) fn propagate(
        modes: usize,
        path: &[Interferometer],
        phases: &[f64],
        splitters: &[(f64, f64)],
        transmission: &[f64],
        input_gain: &[f64],
    ) -> Self {
        let mut field = Self { modes, re: vec![0.0; modes * modes], im: vec![0.0; modes * modes] };
        for (mode, &gain) in input_gain.iter().enumerate() {
            field.re[mode * modes + mode] = gain;
        }
        for (index, element) in path.iter().enumerate() {
            let matrix = entries(
                phases[element.theta],
                phases[element.theta + 1],
                splitters[index],
                transmission[index],
            );
            if element.attenuator {
                field.scale_row(element.upper, matrix[0]);
            } else {
                field.mix_rows(element.upper, &matrix);
            }
        }
        for mode in 0..modes {
            let (s, c) = phases[2 * modes * modes + mode].sin_cos();
            field.scale_row(mode, (c, s));
        }
        field
    }

    fn scale_row(&mut self, row: usize, factor: (f64, f64)) {
        let range = row * self.modes..(row + 1) * self.modes;
        for (re, im) in self.re[range.clone()].iter_mut().zip(&mut self.im[range]) {
            (*re, *im) = multiply((*re, *im), factor);
        }
    }

    fn mix_rows(&mut self, upper: usize, matrix: &Entries) {
        let modes = self.modes;
        let middle = (upper + 1) * modes;
        let (above_re, below_re) = self.re[upper * modes..middle + modes].split_at_mut(modes);
        let (above_im, below_im) = self.im[upper * modes..middle + modes].split_at_mut(modes);
        let [t11, t12, t21, t22] = *matrix;
        for (((ar, ai), br), bi) in above_re.iter_mut().zip(above_im).zip(below_re).zip(below_im) {
            let (a, b) = ((*ar, *ai), (*br, *bi));
            *ar = t11.0 * a.0 - t11.1 * a.1 + t12.0 * b.0 - t12.1 * b.1;
            *ai = t11.0 * a.1 + t11.1 * a.0 + t12.0 * b.1 + t12.1 * b.0;
            *br = t21.0 * a.0 - t21.1 * a.1 + t22.0 * b.0 - t22.1 * b.1;
            *bi = t21.0 * a.1 + t21.1 * a.0 + t22.0 * b.1 + t22.1 * b.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use num_complex::Complex64;

    use super::*;
    use crate::mock::coherent::geometry::light_path;

    fn phases(count: usize) -> Vec<f64> {
        (0..count).map(|k| (k as f64 * 1.7).sin() * 3.0).collect()
    }

    /// Propagates one vector step by step: shifter, splitter, shifter, splitter.
    fn naive(modes: usize, phases: &[f64], angle: f64, loss: f64, input: &[Complex64]) -> Vec<Complex64> {
        let splitter = |a: Complex64, b: Complex64, error: f64| {
            let (s, c) = (std::f64::consts::FRAC_PI_4 + error).sin_cos();
            (a * c + Complex64::i() * b * s, Complex64::i() * a * s + b * c)
        };
        let mut field = input.to_vec();
        for element in light_path(modes) {
            let a = field[element.upper] * Complex64::cis(phases[element.theta + 1]);
            let b = if element.attenuator { Complex64::ZERO } else { field[element.upper + 1] };
            let (a, b) = splitter(a, b, angle);
            let (a, b) = splitter(a * Complex64::cis(phases[element.theta]), b, -2.0 * angle);
            field[element.upper] = a * loss;
            if !element.attenuator {
                field[element.upper + 1] = b * loss;
            }
        }
        field.iter().zip(&phases[2 * modes * modes..]).map(|(&y, &phase)| y * Complex64::cis(phase)).collect()
    }

    #[test]
    fn the_transfer_matrix_agrees_with_propagating_one_vector_step_by_step() {
        for modes in [2, 5, 8] {
            let phases = phases(2 * modes * modes + modes);
            let (angle, loss) = (0.03, 0.98);
            let path = light_path(modes);
            let transfer = Transfer::propagate(
                modes,
                &path,
                &phases,
                &vec![(angle, -2.0 * angle); path.len()],
                &vec![loss; path.len()],
                &vec![1.0; modes],
            );
            let input: Vec<_> = (0..modes).map(|j| Complex64::new(0.3 + j as f64, -0.1 * j as f64)).collect();
            for (row, expected) in naive(modes, &phases, angle, loss, &input).into_iter().enumerate() {
                let got: Complex64 = (0..modes)
                    .map(|j| {
                        Complex64::new(transfer.re[row * modes + j], transfer.im[row * modes + j]) * input[j]
                    })
                    .sum();
                assert!((got - expected).norm() < 1e-12, "row {row}: {got} against {expected}");
            }
        }
    }

    #[test]
    fn theta_pi_is_bar_and_theta_zero_is_cross() {
        let bar = entries(std::f64::consts::PI, 0.0, (0.0, 0.0), 1.0);
        assert!(bar[1].0.hypot(bar[1].1) < 1e-15 && (bar[0].0.hypot(bar[0].1) - 1.0).abs() < 1e-15);
        let cross = entries(0.0, 0.0, (0.0, 0.0), 1.0);
        assert!(cross[0].0.hypot(cross[0].1) < 1e-15 && (cross[1].0.hypot(cross[1].1) - 1.0).abs() < 1e-15);
    }
}
