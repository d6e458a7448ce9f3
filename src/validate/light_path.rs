//! A Clements mesh from its parts: the reference for the closed forms of the library.

use std::f64::consts::FRAC_PI_4;

use alora_calibration::mesh::{MeshSettings, Splitters};
use ndarray::Array2;
use num_complex::Complex64;

/// The matrix of a mesh by following the light: phase φ on the upper input, splitter, phase θ on the upper arm,
/// splitter, column by column (Clements et al., Optica 3, 1460 (2016)), then the output phases.
///
/// A splitter of angle `x` is `[[cos x, i sin x], [i sin x, cos x]]`.
pub(super) fn follow(settings: &MeshSettings, splitters: &[Splitters]) -> Array2<Complex64> {
    let modes = settings.outputs.len();
    let mut field = Array2::eye(modes);
    let sites = (0..modes).flat_map(|column| (column % 2..modes - 1).step_by(2));
    for ((upper, mzi), splitter) in sites.zip(&settings.mzis).zip(splitters) {
        shift(&mut field, upper, mzi.phi);
        split(&mut field, upper, FRAC_PI_4 + splitter.alpha);
        shift(&mut field, upper, mzi.theta);
        split(&mut field, upper, FRAC_PI_4 + splitter.beta);
    }
    for (mode, &phase) in settings.outputs.iter().enumerate() {
        shift(&mut field, mode, phase);
    }
    field
}

/// [`follow`] with perfect splitters.
pub(super) fn follow_ideal(settings: &MeshSettings) -> Array2<Complex64> {
    follow(settings, &vec![Splitters::default(); settings.mzis.len()])
}

fn shift(field: &mut Array2<Complex64>, mode: usize, phase: f64) {
    let turn = Complex64::cis(phase);
    field.row_mut(mode).mapv_inplace(|entry| entry * turn);
}

fn split(field: &mut Array2<Complex64>, upper: usize, angle: f64) {
    let (through, across) = (Complex64::new(angle.cos(), 0.0), Complex64::new(0.0, angle.sin()));
    for column in 0..field.ncols() {
        let (a, b) = (field[(upper, column)], field[(upper + 1, column)]);
        field[(upper, column)] = through * a + across * b;
        field[(upper + 1, column)] = across * a + through * b;
    }
}
