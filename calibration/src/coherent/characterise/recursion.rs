//! From what light meets inside the meshes to the phase of every shifter.
//!
//! Sweeps from outside show, for every shifter, the row `v` of the transfer matrix from the inputs to its place, up to a
//! phase. Column by column from the input side, with `L` the known rows before a column and ideal splitters:
//!
//! * `v_θ` of an interferometer on `(m, m + 1)` is `a L_m + b L_{m+1}` with `e^{iφ} = i a / b`;
//! * what the next shifters see of its outputs gives θ: with `(a, b)` their parts along `(e^{iφ} L_m, L_{m+1})`, the upper output has
//!   `(a, b) ~ (S, C)`, the lower `(C, −S)`, `S, C = sin, cos (θ/2)`.
//!
//! Directions of `L` are taken from the measured rows wherever they are seen, so that only phases accumulate errors.

use ndarray::{Array1, Array2};
use num_complex::Complex64;

use crate::{
    coherent::twin::Layout,
    mesh::{Site, Topology},
};

/// What was seen of the interior.
pub(super) struct Views<'a> {
    pub(super) layout: &'a Layout,
    /// From the inputs to each shifter, a unit vector up to a phase; `None` where the shifter shows nothing.
    pub(super) ways_in: &'a [Option<Array1<Complex64>>],
    /// The whole matrix, rows of unit length.
    pub(super) matrix: &'a Array2<Complex64>,
}

/// Share of its length that a measured row must keep beyond its neighbour to be taken for a direction.
const CLEAR: f64 = 0.3;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mesh {
    V,
    U,
}

/// The next shifter that sees a waveguide.
enum Next {
    /// At its own waveguide: the row itself.
    Direct(usize),
    /// θ of an interferometer into whose lower port it leads.
    Lower(usize),
    /// The output.
    Output(usize),
    /// None before its light is mixed with that of its partner.
    Hidden,
}

impl Views<'_> {
    /// Total phase of every shifter under the codes of the sweeps, radians; attenuators open and their φ 0 by choice of
    /// gauge.
    pub(super) fn phases(&self) -> Vec<f64> {
        let topology = &self.layout.topology;
        let modes = topology.modes();
        let mut phases = vec![0.0; topology.shifters()];
        let mut rows: Vec<Array1<Complex64>> = (0..modes)
            .map(|mode| {
                Array1::from_shape_fn(modes, |k| if k == mode { Complex64::ONE } else { Complex64::ZERO })
            })
            .collect();
        self.through(Mesh::V, &mut rows, &mut phases);
        for mode in 0..modes {
            phases[topology.attenuator_theta(mode)] = std::f64::consts::PI;
            rows[mode].mapv_inplace(|entry| -entry);
        }
        self.through(Mesh::U, &mut rows, &mut phases);
        for (mode, row) in rows.iter().enumerate() {
            phases[topology.output_phase(mode)] = product(row, &self.matrix.row(mode).to_owned()).arg();
        }
        phases
    }

    fn through(&self, mesh: Mesh, rows: &mut [Array1<Complex64>], phases: &mut [f64]) {
        let topology = &self.layout.topology;
        for column in 0..topology.modes() {
            for &site in topology.sites().iter().filter(|site| site.column == column) {
                let theta = theta_of(topology, mesh, site);
                let upper = site.upper;
                if let Some(way) = &self.ways_in[theta + 1] {
                    rows[upper] = aligned(way, &rows[upper]);
                }
                if let Some(way) = &self.ways_in[theta] {
                    let rest = way - &(&rows[upper] * product(&rows[upper], way));
                    if length(&rest) > CLEAR {
                        rows[upper + 1] = aligned(&rest, &rows[upper + 1]);
                    }
                    let (a, b) = (product(&rows[upper], way), product(&rows[upper + 1], way));
                    phases[theta + 1] = (Complex64::i() * a * b.conj()).arg();
                } else {
                    phases[theta + 1] = self.phi_from_outputs(mesh, site, rows);
                }
                phases[theta] = self.theta(mesh, site, rows, phases[theta + 1]);
                propagate(rows, upper, phases[theta], phases[theta + 1]);
            }
        }
    }

    /// φ of an interferometer whose θ shows nothing, from what the next shifters see of its outputs.
    fn phi_from_outputs(&self, mesh: Mesh, site: Site, rows: &[Array1<Complex64>]) -> f64 {
        // Upper output: (a, b) ~ (e^{iφ} S, C); lower: (e^{iφ} C, −S).
        let turn: Complex64 = [(site.upper, 1.0), (site.upper + 1, -1.0)]
            .into_iter()
            .filter_map(|(output, sign)| {
                let way = self.seen(self.next(mesh, site.column, output))?;
                let (a, b) = (product(&rows[site.upper], &way), product(&rows[site.upper + 1], &way));
                Some(a * b.conj() * sign)
            })
            .sum();
        turn.arg()
    }

    fn seen(&self, next: Next) -> Option<Array1<Complex64>> {
        match next {
            Next::Direct(shifter) | Next::Lower(shifter) => self.ways_in[shifter].clone(),
            Next::Output(mode) => Some(self.matrix.row(mode).to_owned()),
            Next::Hidden => None,
        }
    }

    /// θ from what the next shifters see of both outputs.
    fn theta(&self, mesh: Mesh, site: Site, rows: &[Array1<Complex64>], phi: f64) -> f64 {
        let mut gram = [[0.0; 2]; 2];
        for (output, lower) in [(site.upper, false), (site.upper + 1, true)] {
            let Some(way) = self.seen(self.next(mesh, site.column, output)) else { continue };
            let a = product(&rows[site.upper], &way) * Complex64::cis(-phi);
            let b = product(&rows[site.upper + 1], &way);
            // In the unknowns (S, C): upper C a − S b = 0, lower S a + C b = 0.
            let equation = if lower { [a, b] } else { [-b, a] };
            for i in 0..2 {
                for j in 0..2 {
                    gram[i][j] += (equation[i].conj() * equation[j]).re;
                }
            }
        }
        // The eigenvector of the smaller eigenvalue of [[p, r], [r, q]] lies at ½ atan2(2r, p − q) + π/2.
        let angle = 0.5 * (2.0 * gram[0][1]).atan2(gram[0][0] - gram[1][1]) + std::f64::consts::FRAC_PI_2;
        2.0 * angle.cos().atan2(angle.sin())
    }

    fn next(&self, mesh: Mesh, column: usize, mode: usize) -> Next {
        let topology = &self.layout.topology;
        let modes = topology.modes();
        for later in column + 1..modes {
            let upper = later % 2 == mode % 2;
            if upper && mode + 1 < modes {
                return Next::Direct(theta_of(topology, mesh, Site { column: later, upper: mode }) + 1);
            }
            if !upper && mode > 0 {
                let site = Site { column: later, upper: mode - 1 };
                return if later == column + 1 {
                    Next::Lower(theta_of(topology, mesh, site))
                } else {
                    Next::Hidden
                };
            }
        }
        match mesh {
            Mesh::V => Next::Direct(topology.attenuator_theta(mode) + 1),
            Mesh::U => Next::Output(mode),
        }
    }
}

fn theta_of(topology: &Topology, mesh: Mesh, site: Site) -> usize {
    let position = topology.position(site);
    match mesh {
        Mesh::V => topology.v_theta(position),
        Mesh::U => topology.u_theta(position),
    }
}

/// Through an ideal interferometer.
fn propagate(rows: &mut [Array1<Complex64>], upper: usize, theta: f64, phi: f64) {
    let (s, c) = (theta / 2.0).sin_cos();
    let common = Complex64::cis(theta / 2.0) * Complex64::i();
    let driven = &rows[upper] * Complex64::cis(phi);
    let lower = rows[upper + 1].clone();
    rows[upper] = (&driven * s + &lower * c).mapv(|entry| entry * common);
    rows[upper + 1] = (&driven * c - &lower * s).mapv(|entry| entry * common);
}

/// `Σ x̄ y`.
fn product(x: &Array1<Complex64>, y: &Array1<Complex64>) -> Complex64 {
    x.iter().zip(y).map(|(x, y)| x.conj() * y).sum()
}

fn length(x: &Array1<Complex64>) -> f64 {
    x.iter().map(Complex64::norm_sqr).sum::<f64>().sqrt()
}

/// The unit vector along `way` in phase with `known`.
fn aligned(way: &Array1<Complex64>, known: &Array1<Complex64>) -> Array1<Complex64> {
    let turn = Complex64::cis(product(way, known).arg()) / length(way).max(f64::MIN_POSITIVE);
    way.mapv(|entry| entry * turn)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coherent::twin::{Chip, Fields, Twin};

    /// Rows of the transfer matrix to every shifter of an ideal chip, turned by arbitrary phases.
    fn ways(layout: &Layout, phases: &[f64]) -> (Vec<Option<Array1<Complex64>>>, Array2<Complex64>) {
        let modes = layout.modes();
        let parts = Twin::zeros(layout).parts();
        let mut fields = Fields::identity(modes);
        let tape = Chip::new(layout, &parts, phases).record(&mut fields);
        let size = 2 * modes;
        let row = |index: usize| {
            let row = &tape[index * size..(index + 1) * size];
            Array1::from_shape_fn(modes, |k| Complex64::new(row[k], row[modes + k]))
        };
        let ways = (0..layout.shifters())
            .map(|shifter| {
                let way = if shifter >= 2 * modes * modes {
                    row(5 * modes * modes + shifter - 2 * modes * modes)
                } else {
                    row(5 * (shifter / 2) + usize::from(shifter % 2 == 0))
                };
                let turn = Complex64::cis(shifter as f64) / length(&way);
                Some(way.mapv(|entry| entry * turn))
            })
            .collect();
        (ways, Array2::from_shape_fn((modes, modes), |(i, j)| fields.at(i, j)))
    }

    #[test]
    fn an_ideal_chip_is_known_from_its_interior_up_to_the_gauge() {
        for modes in [2, 3, 4, 5, 8] {
            let layout = Layout::new(modes);
            let mut phases: Vec<f64> =
                (0..layout.shifters()).map(|k| 3.0 * (k as f64 * 1.37 + 0.2).sin()).collect();
            for mode in 0..modes {
                phases[layout.topology.attenuator_theta(mode)] = std::f64::consts::PI;
            }
            let (ways_in, matrix) = ways(&layout, &phases);
            let found = Views { layout: &layout, ways_in: &ways_in, matrix: &matrix }.phases();
            let parts = Twin::zeros(&layout).parts();
            let mut fields = Fields::identity(modes);
            Chip::new(&layout, &parts, &found).forward(&mut fields);
            for ((i, j), entry) in matrix.indexed_iter() {
                assert!((fields.at(i, j) - entry).norm() < 1e-9, "{modes}: {i} {j}");
            }
        }
    }
}
