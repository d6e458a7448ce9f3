//! Hidden truth of the mock, for tests only.

use std::f64::consts::PI;

use ndarray::Array2;
use num_complex::Complex64;

use super::CoherentMock;
use crate::{Radians, Volts};

impl CoherentMock {
    /// Transfer matrix from input amplitude to detector field with the codes held now, `outputs × inputs`,
    /// detector gains not included.
    #[must_use]
    pub fn true_transfer(&mut self) -> Array2<Complex64> {
        self.settle_optics();
        let modes = self.spec.modes;
        Array2::from_shape_fn((modes, modes), |(row, col)| {
            Complex64::new(self.transfer.re[row * modes + col], self.transfer.im[row * modes + col])
        })
    }

    /// Phase of every shifter with the codes held now, in frame order.
    #[must_use]
    pub fn true_phases(&mut self) -> Vec<Radians> {
        self.settle_optics();
        let (kelvin, stuck) = self.propagated_for.clone().unwrap_or_default();
        self.phases(kelvin, &stuck).into_iter().map(Radians).collect()
    }

    /// Vπ of every shifter, in frame order.
    #[must_use]
    pub fn true_v_pi(&self) -> Vec<Volts> {
        self.truth.gamma.iter().map(|gamma| Volts((PI / gamma).sqrt())).collect()
    }

    /// Gain of every output's detectors.
    #[must_use]
    pub fn true_output_gain(&self) -> &[f64] {
        &self.truth.output_gain[..self.spec.modes]
    }
}
