//! Sweeps of many shifters at once: what each of them does alone.
//!
//! Shifters that no light meets one after another (one kind of one column) add up: with `u_k` their data-sheet phases,
//! the matrix is `M = A + Σ_k B_k e^{i (1 + ρ_k) u_k}`, and `B_k` has rank one: (from shifter k to the outputs) times (from the
//! inputs to it). Each shifter runs through the same levels, uniform in V², in an order of its own, which tells them apart.

use ndarray::{Array1, Array2, Axis};
use ndarray_linalg::QR;
use num_complex::Complex64;

/// Readings of a sweep.
#[derive(Clone, Debug)]
pub(super) struct Series {
    /// Data-sheet phase of each swept shifter, `[points, swept]`.
    pub(super) drives: Array2<f64>,
    /// The matrix at each point, flattened, `[points, outputs · inputs]`.
    pub(super) matrices: Array2<Complex64>,
}

/// What a sweep says of one shifter.
#[derive(Clone, Debug)]
pub(super) struct Response {
    /// Departure `ρ` of its slope from the data sheet.
    pub(super) slope: f64,
    /// `B`, `[outputs, inputs]`.
    pub(super) modulation: Array2<Complex64>,
    /// From the inputs to the shifter: unit vector, up to a phase.
    pub(super) way_in: Array1<Complex64>,
    /// rms of `B` over its entries.
    pub(super) strength: f64,
    pub(super) doubt: Doubt,
}

/// Standard uncertainties by what the sweep leaves over, each given the other is unknown; heat of neighbours, which bends a
/// sweep in a smooth way, is not in them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doubt {
    /// Of the phase at 0 V, radians.
    pub(super) phase: f64,
    /// Of `ρ`.
    pub(super) slope: f64,
}

impl Doubt {
    /// With `h` the shifter's wave and `g = u h`, both without what the other waves could be, `α = |h|²`, `β = h̄·g`, `γ = |g|²`: the
    /// inverse of the normal equations of phase, `ρ` and amplitude of one pattern `B`, `variance` that of a quadrature over `|B|²`.
    fn new(h: &Array1<Complex64>, g: &Array1<Complex64>, variance: f64) -> Self {
        let square = |x: &Array1<Complex64>| x.iter().map(Complex64::norm_sqr).sum::<f64>();
        let (alpha, gamma) = (square(h), square(g));
        let beta: Complex64 = h.iter().zip(g).map(|(h, g)| h.conj() * g).sum();
        let rest = alpha * gamma - beta.norm_sqr();
        if alpha > 0.0 && rest > 1e-12 * alpha * gamma {
            let phase = (alpha * gamma - beta.im * beta.im) / (alpha * rest);
            Self { phase: (variance * phase).sqrt(), slope: (variance * alpha / rest).sqrt() }
        } else {
            Self { phase: f64::INFINITY, slope: f64::INFINITY }
        }
    }
}

/// A sweep taken apart.
#[derive(Clone, Debug)]
pub(super) struct Swept {
    /// `A`, `[outputs, inputs]`.
    pub(super) constant: Array2<Complex64>,
    pub(super) responses: Vec<Response>,
}

/// Slopes that are looked for: from a heater with a tenth of its phase to one a fifth too strong.
const SLOPES: (f64, f64) = (-0.95, 0.22);
const GRID: usize = 79;
/// Passes over the shifters, each with the others' slopes as they are.
const PASSES: usize = 4;
const GOLDEN_STEPS: usize = 22;

impl Series {
    /// Least squares over all `A`, `B_k` and `ρ_k`; every `ρ_k` is looked for over its whole range.
    pub(super) fn take_apart(&self, modes: usize) -> Swept {
        let count = self.drives.ncols();
        let mut slopes = vec![0.0; count];
        for pass in 0..PASSES {
            for k in 0..count {
                slopes[k] = self.best_slope(&slopes, k, pass);
            }
        }
        let basis = self.basis(&slopes);
        let coefficients = least_squares(&basis, &self.matrices);
        let left = &self.matrices - &basis.dot(&coefficients);
        let freedom = 2 * left.ncols() * left.nrows().saturating_sub(count + 1);
        let variance =
            left.iter().map(Complex64::norm_sqr).sum::<f64>() / freedom.saturating_sub(count).max(1) as f64;
        let square =
            |row: usize| Array2::from_shape_fn((modes, modes), |(i, j)| coefficients[(row, i * modes + j)]);
        let responses = (0..count)
            .map(|k| {
                let modulation = square(k + 1);
                let strength = rms(&modulation);
                let doubt =
                    self.doubt(&slopes, k, variance / (strength * strength * modulation.len() as f64));
                Response { slope: slopes[k], way_in: right_vector(&modulation), strength, doubt, modulation }
            })
            .collect();
        Swept { constant: square(0), responses }
    }

    fn doubt(&self, slopes: &[f64], k: usize, variance: f64) -> Doubt {
        let mut others = self.basis(slopes);
        let wave = others.column(k + 1).to_owned();
        others.remove_index(Axis(1), k + 1);
        let Ok((q, _)) = others.qr() else { return Doubt { phase: f64::INFINITY, slope: f64::INFINITY } };
        let conjugate = q.t().mapv(|entry| entry.conj());
        let rest = |x: Array1<Complex64>| &x - &q.dot(&conjugate.dot(&x));
        let steep = &wave * &self.drives.column(k).mapv(|drive| Complex64::new(drive, 0.0));
        Doubt::new(&rest(wave), &rest(steep), variance)
    }

    /// Both series of the same shifters.
    pub(super) fn and(mut self, other: &Self) -> Self {
        // One group of shifters of one processor: the widths are the same.
        let (drives, matrices) = (other.drives.view(), other.matrices.view());
        if self.drives.append(Axis(0), drives).is_ok() {
            let _same_width = self.matrices.append(Axis(0), matrices);
        }
        self
    }

    /// `1, e^{i (1 + ρ_k) u_k}` at every point.
    fn basis(&self, slopes: &[f64]) -> Array2<Complex64> {
        Array2::from_shape_fn((self.drives.nrows(), slopes.len() + 1), |(point, column)| match column {
            0 => Complex64::ONE,
            k => Complex64::cis((1.0 + slopes[k - 1]) * self.drives[(point, k - 1)]),
        })
    }

    /// The slope of shifter `k` that explains most of what the others leave over.
    fn best_slope(&self, slopes: &[f64], k: usize, pass: usize) -> f64 {
        let mut others = self.basis(slopes);
        others.remove_index(Axis(1), k + 1);
        let Ok((q, _)) = others.qr() else { return slopes[k] };
        let conjugate = q.t().mapv(|entry| entry.conj());
        let left = &self.matrices - &q.dot(&conjugate.dot(&self.matrices));
        // `w̄ L L̄ᵀ w` costs a matrix as large as the sweep is long, however many entries a reading has.
        let gram = left.dot(&left.t().mapv(|entry| entry.conj()));
        let explained = |slope: f64| -> f64 {
            let wave = Array1::from_shape_fn(self.drives.nrows(), |point| {
                Complex64::cis((1.0 + slope) * self.drives[(point, k)])
            });
            let wave = &wave - &q.dot(&conjugate.dot(&wave));
            let norm: f64 = wave.iter().map(Complex64::norm_sqr).sum();
            if norm < 1e-6 {
                return 0.0;
            }
            wave.iter().zip(&gram.dot(&wave)).map(|(w, along)| (w.conj() * along).re).sum::<f64>() / norm
        };
        let step = (SLOPES.1 - SLOPES.0) / (GRID - 1) as f64;
        let centre = if pass == 0 {
            (0..GRID)
                .map(|index| SLOPES.0 + step * index as f64)
                .map(|slope| (slope, explained(slope)))
                .fold((0.0, 0.0), |best, this| if this.1 > best.1 { this } else { best })
                .0
        } else {
            slopes[k]
        };
        golden(|slope| -explained(slope), centre - step, centre + step)
    }
}

/// Coefficients `[columns of basis, columns of values]`.
fn least_squares(basis: &Array2<Complex64>, values: &Array2<Complex64>) -> Array2<Complex64> {
    let Ok((q, r)) = basis.qr() else { return Array2::zeros((basis.ncols(), values.ncols())) };
    let mut x = q.t().mapv(|entry| entry.conj()).dot(values);
    for row in (0..r.nrows()).rev() {
        for below in row + 1..r.nrows() {
            let factor = r[(row, below)];
            let known = x.row(below).to_owned();
            x.row_mut(row).zip_mut_with(&known, |entry, known| *entry -= factor * known);
        }
        let pivot = r[(row, row)];
        x.row_mut(row).mapv_inplace(|entry| entry / pivot);
    }
    x
}

fn rms(matrix: &Array2<Complex64>) -> f64 {
    (matrix.iter().map(Complex64::norm_sqr).sum::<f64>() / matrix.len() as f64).sqrt()
}

/// `v` of the nearest `u vᵀ`, a unit vector, by power iteration from the strongest row.
fn right_vector(matrix: &Array2<Complex64>) -> Array1<Complex64> {
    let norm = |v: &Array1<Complex64>| v.iter().map(Complex64::norm_sqr).sum::<f64>().sqrt();
    let mut v = matrix
        .rows()
        .into_iter()
        .map(|row| row.to_owned())
        .fold(Array1::zeros(matrix.ncols()), |best, row| if norm(&row) > norm(&best) { row } else { best });
    for _ in 0..8 {
        let u = matrix.dot(&v.mapv(|entry| entry.conj()));
        v = matrix.t().dot(&u.mapv(|entry| entry.conj())).mapv(|entry: Complex64| entry);
        let size = norm(&v);
        if size == 0.0 {
            break;
        }
        v.mapv_inplace(|entry| entry / size);
    }
    v
}

pub(super) fn golden(cost: impl Fn(f64) -> f64, mut low: f64, mut high: f64) -> f64 {
    let ratio = 0.618_033_988_749_894_9;
    let (mut x1, mut x2) = (high - ratio * (high - low), low + ratio * (high - low));
    let (mut f1, mut f2) = (cost(x1), cost(x2));
    for _ in 0..GOLDEN_STEPS {
        if f1 < f2 {
            (high, x2, f2) = (x2, x1, f1);
            x1 = high - ratio * (high - low);
            f1 = cost(x1);
        } else {
            (low, x1, f1) = (x1, x2, f2);
            x2 = low + ratio * (high - low);
            f2 = cost(x2);
        }
    }
    f64::midpoint(low, high)
}
