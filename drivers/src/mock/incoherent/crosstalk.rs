//! Which elements disturb which, and how much.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{CrosstalkLaw, IncoherentSpec};

/// Coefficients below this are left out: 1e-6 rad a radian is a thousandth of any 8-bit step.
const NEGLIGIBLE: f64 = 1e-6;

/// The disturbance of one element by another, by their offset on the grid of elements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Coupling {
    pub(crate) rows: isize,
    pub(crate) cols: isize,
    pub(crate) coefficient: f64,
}

/// Crosstalk on a grid of `rows × cols` elements (the two rails of a weight sit side by side in a row).
#[derive(Clone, Debug)]
pub(crate) struct Crosstalk {
    rows: usize,
    cols: usize,
    couplings: Vec<Coupling>,
    /// Factor of each pair, by coupling and by the element that is disturbed; empty where no pair deviates.
    factors: Vec<Vec<f64>>,
}

/// Offsets of the 4 nearest elements.
const FIRST_RING: [(isize, isize); 4] = [(0, 1), (0, -1), (1, 0), (-1, 0)];
/// Offsets of the second ring of neighbours.
const SECOND_RING: [(isize, isize); 8] =
    [(1, 1), (1, -1), (-1, 1), (-1, -1), (0, 2), (0, -2), (2, 0), (-2, 0)];

impl Crosstalk {
    pub(crate) fn of(spec: &IncoherentSpec) -> Self {
        let (rows, cols) = (spec.rows, spec.cols * spec.rail_count());
        let strength = spec.physics.crosstalk;
        let mut couplings = match spec.crosstalk_law {
            _ if strength == 0.0 => Vec::new(),
            CrosstalkLaw::NearestNeighbour => all(&FIRST_RING, strength),
            CrosstalkLaw::Distance { pitch_col_um, pitch_row_um } => {
                by_distance(rows, cols, strength, pitch_col_um, pitch_row_um)
            }
        };
        if spec.physics.crosstalk_second > 0.0 {
            couplings.extend(all(&SECOND_RING, spec.physics.crosstalk_second));
        }
        Self { rows, cols, couplings, factors: Vec::new() }
    }

    /// The same with a deviation of its own for each pair.
    pub(crate) fn with_spread(self, spread: f64, rng: &mut ChaCha8Rng) -> Self {
        if spread == 0.0 {
            return self;
        }
        let elements = self.rows * self.cols;
        let mut of_pairs = || (0..elements).map(|_| 1.0 + spread * rng.random_range(-1.0..=1.0)).collect();
        let factors = self.couplings.iter().map(|_| of_pairs()).collect();
        Self { factors, ..self }
    }

    /// The coefficient by which `from` disturbs `element`, both as `(row, column)`.
    #[cfg(feature = "answer-key")]
    pub(crate) fn coefficient(&self, element: (usize, usize), from: (usize, usize)) -> f64 {
        let offset = |from: usize, to: usize| from as isize - to as isize;
        let (rows, cols) = (offset(from.0, element.0), offset(from.1, element.1));
        let index = element.0 * self.cols + element.1;
        self.couplings
            .iter()
            .enumerate()
            .filter(|(_, coupling)| (coupling.rows, coupling.cols) == (rows, cols))
            .map(|(number, coupling)| coupling.coefficient * self.factor(number, index))
            .sum()
    }

    fn factor(&self, coupling: usize, element: usize) -> f64 {
        self.factors.get(coupling).map_or(1.0, |factors| factors[element])
    }

    /// Adds to `phase` what each element's `drive_phase` brings to the others: `φ_k += Σ χ_kl h_l`.
    ///
    /// Heater phase is proportional to heater power, so this is a sum of powers, not of voltages.
    pub(crate) fn add(&self, drive_phase: &[f64], phase: &mut [f64]) {
        for (number, coupling) in self.couplings.iter().enumerate() {
            for row in overlap(self.rows, coupling.rows) {
                let from_row = row.wrapping_add_signed(coupling.rows);
                for col in overlap(self.cols, coupling.cols) {
                    let from = from_row * self.cols + col.wrapping_add_signed(coupling.cols);
                    let element = row * self.cols + col;
                    phase[element] += coupling.coefficient * self.factor(number, element) * drive_phase[from];
                }
            }
        }
    }
}

fn all(offsets: &[(isize, isize)], coefficient: f64) -> Vec<Coupling> {
    offsets.iter().map(|&(rows, cols)| Coupling { rows, cols, coefficient }).collect()
}

/// Indices `i` of `0..len` for which `i + offset` is in `0..len` too.
fn overlap(len: usize, offset: isize) -> std::ops::Range<usize> {
    let shift = offset.unsigned_abs().min(len);
    if offset < 0 { shift..len } else { 0..len - shift }
}

fn by_distance(rows: usize, cols: usize, strength: f64, pitch_col: f64, pitch_row: f64) -> Vec<Coupling> {
    let (rows, cols) = (rows as isize, cols as isize);
    let mut couplings = Vec::new();
    for row in 1 - rows..rows {
        for col in 1 - cols..cols {
            let distance = (row as f64 * pitch_row).hypot(col as f64 * pitch_col);
            let coefficient = strength * heat_spread(distance);
            if (row, col) != (0, 0) && coefficient > NEGLIGIBLE {
                couplings.push(Coupling { rows: row, cols: col, coefficient });
            }
        }
    }
    couplings
}

/// Fraction of a heater's phase that appears at the distance `d` in µm: heat-simulation fit of SCATTER
/// (Yin et al., ICCAD 2024, `utils.CrosstalkScheduler`), a polynomial below 23 µm and an exponential beyond.
pub(crate) fn heat_spread(d: f64) -> f64 {
    if d < 23.0 {
        3.551e-7 * d.powi(5) - 1.558e-5 * d.powi(4) - 8.296e-6 * d.powi(3) + 9.896e-3 * d.powi(2)
            - 0.17601 * d
            + 1.0
    } else {
        0.21673 * (-0.12747 * d).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heat_spreads_as_in_the_published_table() {
        for (distance, fraction) in
            [(9.0, 0.130), (15.0, 0.039), (24.0, 0.0102), (30.0, 0.0047), (40.0, 0.0013)]
        {
            // The table is rounded to its last digit.
            assert!((heat_spread(distance) / fraction - 1.0).abs() < 0.03, "{distance} µm");
        }
    }

    #[test]
    fn a_driven_element_disturbs_its_four_neighbours_and_not_itself() {
        let grid = Crosstalk {
            rows: 3,
            cols: 3,
            couplings: [(0, 1), (0, -1), (1, 0), (-1, 0)]
                .map(|(rows, cols)| Coupling { rows, cols, coefficient: 0.01 })
                .to_vec(),
            factors: Vec::new(),
        };
        let mut drive = [0.0; 9];
        drive[4] = 2.0;
        let mut phase = [0.0; 9];
        grid.add(&drive, &mut phase);
        assert_eq!(phase, [0.0, 0.02, 0.0, 0.02, 0.0, 0.02, 0.0, 0.02, 0.0]);
    }

    #[test]
    fn nothing_wraps_around_the_edge_of_the_grid() {
        let grid = Crosstalk {
            rows: 2,
            cols: 2,
            couplings: vec![Coupling { rows: 0, cols: 1, coefficient: 1.0 }],
            factors: Vec::new(),
        };
        let mut phase = [0.0; 4];
        grid.add(&[1.0, 2.0, 3.0, 4.0], &mut phase);
        assert_eq!(phase, [2.0, 0.0, 4.0, 0.0]);
    }
}
