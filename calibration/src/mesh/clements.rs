//! Clements decomposition of a unitary matrix and its inverse.

use std::f64::consts::PI;

use ndarray::{Array2, ArrayView2};
use num_complex::Complex64;

use super::{
    mzi::{Mzi, Splitters, wrap},
    topology::{Site, Topology},
};

/// Phases of one mesh, each in `[0, 2π)`.
#[derive(Clone, Debug, PartialEq)]
pub struct MeshSettings {
    /// Interferometers in frame order (column by column, upper first), `N (N − 1) / 2` of them.
    pub mzis: Vec<Mzi>,
    /// Phase of each output, after the last column.
    pub outputs: Vec<f64>,
}

impl MeshSettings {
    /// Number of modes.
    #[must_use]
    pub fn modes(&self) -> usize {
        self.outputs.len()
    }

    /// The unitary matrix that an ideal mesh realises with these phases, `N × N`.
    #[must_use]
    pub fn transfer(&self) -> Array2<Complex64> {
        self.transfer_with(&vec![Splitters::default(); self.mzis.len()])
    }

    /// The matrix of a mesh whose interferometer `k` has the splitters `splitters[k]`.
    ///
    /// First-order laws: independent phase errors of standard deviation `σ` on all `N²` shifters give
    /// rms |δU_ij| = σ, whatever `N`; splitter angle errors `σ` give √(2 (N − 1) / N) σ.
    #[must_use]
    pub fn transfer_with(&self, splitters: &[Splitters]) -> Array2<Complex64> {
        let modes = self.modes();
        let mut u = Array2::eye(modes);
        let sites = Topology::new(modes);
        for ((site, mzi), &splitters) in sites.sites().iter().zip(&self.mzis).zip(splitters) {
            rotate_rows(&mut u, site.upper, 0, &mzi.matrix(splitters));
        }
        for (mut row, &phase) in u.rows_mut().into_iter().zip(&self.outputs) {
            let factor = Complex64::cis(phase);
            row.iter_mut().for_each(|entry| *entry *= factor);
        }
        u
    }
}

/// Phases by which a mesh realises the unitary matrix `u` (`N × N`), exact to rounding.
///
/// The matrix is nulled entry by entry along its anti-diagonals, in turn from the right and from the left, by
/// rotations of neighbouring columns and rows (Clements et al., Optica 3, 1460 (2016)); the rotations from the left are
/// then carried through the diagonal that is left. Angles come from `atan2` of moduli, never from a ratio, so that
/// zeros (identity, permutations) need no special case.
///
/// `u` must be unitary: otherwise the result is the mesh of no particular matrix.
#[must_use]
pub fn decompose(u: ArrayView2<'_, Complex64>) -> MeshSettings {
    let modes = u.nrows();
    let mut u = u.as_standard_layout().into_owned();
    let mut from_input = Vec::with_capacity(modes * modes.saturating_sub(1) / 2);
    let mut from_output = Vec::new();
    for diagonal in 0..modes.saturating_sub(1) {
        for step in 0..=diagonal {
            if diagonal % 2 == 0 {
                let (row, upper) = (modes - 1 - step, diagonal - step);
                let mzi = null_left_of_pair(u[[row, upper]], u[[row, upper + 1]]);
                rotate_columns_back(&mut u, upper, row, &mzi.matrix(Splitters::default()));
                u[[row, upper]] = Complex64::ZERO;
                from_input.push((upper, mzi));
            } else {
                let (upper, column) = (modes - 2 - diagonal + step, step);
                let mzi = null_lower_of_pair(u[[upper, column]], u[[upper + 1, column]]);
                rotate_rows(&mut u, upper, column, &mzi.matrix(Splitters::default()));
                u[[upper + 1, column]] = Complex64::ZERO;
                from_output.push((upper, mzi));
            }
        }
    }
    let mut outputs: Vec<f64> = u.diag().iter().map(|entry| entry.arg()).collect();
    // T(θ, φ)ᴴ diag(δ₁, δ₂) = diag(δ₁', δ₂') T(θ, δ₁ − δ₂), with δ₁' = δ₂ + π − θ − φ and δ₂' = δ₂ + π − θ.
    for (upper, mzi) in from_output.into_iter().rev() {
        let (above, below) = (outputs[upper], outputs[upper + 1]);
        outputs[upper] = below + PI - mzi.theta - mzi.phi;
        outputs[upper + 1] = below + PI - mzi.theta;
        from_input.push((upper, Mzi { theta: mzi.theta, phi: above - below }));
    }
    arrange(modes, &from_input, &outputs)
}

/// Puts rotations, listed in the order in which the light meets them, at the earliest free column.
fn arrange(modes: usize, rotations: &[(usize, Mzi)], outputs: &[f64]) -> MeshSettings {
    let topology = Topology::new(modes);
    let mut free_from = vec![0; modes];
    let mut mzis = vec![Mzi::default(); topology.sites().len()];
    for &(upper, mzi) in rotations {
        let column = free_from[upper].max(free_from[upper + 1]);
        free_from[upper] = column + 1;
        free_from[upper + 1] = column + 1;
        mzis[topology.position(Site { column, upper })] = Mzi { theta: wrap(mzi.theta), phi: wrap(mzi.phi) };
    }
    MeshSettings { mzis, outputs: outputs.iter().map(|&phase| wrap(phase)).collect() }
}

/// The rotation for which `(u, v) Tᴴ` has a zero on the left: `u e^{−iφ} S + v C = 0`.
fn null_left_of_pair(u: Complex64, v: Complex64) -> Mzi {
    if u == Complex64::ZERO {
        return Mzi { theta: PI, phi: 0.0 };
    }
    Mzi { theta: 2.0 * v.norm().atan2(u.norm()), phi: u.arg() - v.arg() + PI }
}

/// The rotation for which `T (u, v)ᵀ` has a zero below: `e^{iφ} C u − S v = 0`.
fn null_lower_of_pair(u: Complex64, v: Complex64) -> Mzi {
    if v == Complex64::ZERO {
        return Mzi { theta: PI, phi: 0.0 };
    }
    Mzi { theta: 2.0 * u.norm().atan2(v.norm()), phi: v.arg() - u.arg() }
}

/// Rows `(upper, upper + 1)` of `u` times `t` from the left, from column `first` on.
fn rotate_rows(u: &mut Array2<Complex64>, upper: usize, first: usize, t: &[[Complex64; 2]; 2]) {
    let width = u.ncols();
    let Some(entries) = u.as_slice_mut() else { return }; // never: built in standard layout
    let (above, below) = entries[upper * width..(upper + 2) * width].split_at_mut(width);
    for (a, b) in above[first..].iter_mut().zip(&mut below[first..]) {
        (*a, *b) = (t[0][0] * *a + t[0][1] * *b, t[1][0] * *a + t[1][1] * *b);
    }
}

/// Columns `(upper, upper + 1)` of `u` times `tᴴ` from the right, down to row `last`.
fn rotate_columns_back(u: &mut Array2<Complex64>, upper: usize, last: usize, t: &[[Complex64; 2]; 2]) {
    let width = u.ncols();
    let back = t.map(|row| row.map(|entry| entry.conj()));
    let Some(entries) = u.as_slice_mut() else { return }; // never: built in standard layout
    for row in entries.chunks_mut(width).take(last + 1) {
        let (a, b) = (row[upper], row[upper + 1]);
        row[upper] = a * back[0][0] + b * back[0][1];
        row[upper + 1] = a * back[1][0] + b * back[1][1];
    }
}
