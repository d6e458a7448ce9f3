//! The fit of a sweep: `z(u) = A + B e^{i (1 + ρ) u}`.

use num_complex::Complex64;

/// Largest departure of a shifter's Vπ law from the data sheet that a sweep looks for.
const RHO_RANGE: f64 = 0.2;
const GRID: usize = 81;

/// Result of a fit over one or more series that share `ρ`.
#[derive(Clone, Debug)]
pub(super) struct Sinusoid {
    /// Departure from the nominal slope.
    pub(super) rho: f64,
    /// `(A, B)` of each series.
    pub(super) terms: Vec<(Complex64, Complex64)>,
}

impl Sinusoid {
    /// Least squares over `ρ` in ±20 % (grid, then golden section), linear in `A` and `B` of every series.
    ///
    /// `drive[p]` is the nominal phase of point `p`; each series has one value a point.
    pub(super) fn fit(drive: &[f64], series: &[Vec<Complex64>]) -> Self {
        let cost = |rho: f64| series.iter().map(|z| residual(drive, z, rho)).sum::<f64>();
        let step = 2.0 * RHO_RANGE / (GRID - 1) as f64;
        let grid = |index: usize| -RHO_RANGE + step * index as f64;
        let best = (0..GRID)
            .map(|k| (k, cost(grid(k))))
            .fold((0, f64::INFINITY), |best, this| if this.1 < best.1 { this } else { best });
        let rho = golden(cost, grid(best.0) - step, grid(best.0) + step);
        Self { rho, terms: series.iter().map(|z| solve(drive, z, rho)).collect() }
    }

    /// Mean amplitude of modulation.
    pub(super) fn strength(&self) -> f64 {
        self.terms.iter().map(|(_, b)| b.norm()).sum::<f64>() / self.terms.len() as f64
    }
}

/// `(A, B)` by least squares.
pub(super) fn solve(drive: &[f64], z: &[Complex64], rho: f64) -> (Complex64, Complex64) {
    let n = drive.len() as f64;
    let (mut sum_e, mut sum_z, mut sum_ez) = (Complex64::ZERO, Complex64::ZERO, Complex64::ZERO);
    for (&u, &z) in drive.iter().zip(z) {
        let e = Complex64::cis((1.0 + rho) * u);
        sum_e += e;
        sum_z += z;
        sum_ez += e.conj() * z;
    }
    let determinant = n * n - sum_e.norm_sqr();
    if determinant <= 1e-9 * n * n {
        return (sum_z / n, Complex64::ZERO);
    }
    let b = (sum_ez * n - sum_e.conj() * sum_z) / determinant;
    ((sum_z - sum_e * b) / n, b)
}

/// `B` of the least-squares fit `Re(B e^{i (1+ρ) u}) = b₁ cos − b₂ sin` to real values.
pub(super) fn real_phasor(drive: &[f64], shown: &[Complex64], rho: f64) -> Complex64 {
    let (mut cc, mut ss, mut cs, mut cy, mut sy) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (&u, y) in drive.iter().zip(shown) {
        let (s, c) = ((1.0 + rho) * u).sin_cos();
        (cc, ss, cs) = (cc + c * c, ss + s * s, cs + c * s);
        (cy, sy) = (cy + c * y.re, sy + s * y.re);
    }
    let determinant = cc * ss - cs * cs;
    Complex64::new((cy * ss - sy * cs) / determinant, -(sy * cc - cy * cs) / determinant)
}

/// Slope that fits the real series of one output best; ±20 % in steps of 0.1 %.
pub(super) fn real_slope(drive: &[f64], shown: &[Vec<Complex64>]) -> f64 {
    let cost = |rho: f64| -> f64 {
        shown
            .iter()
            .map(|y| {
                let b = real_phasor(drive, y, rho);
                drive
                    .iter()
                    .zip(y)
                    .map(|(&u, y)| ((b * Complex64::cis((1.0 + rho) * u)).re - y.re).powi(2))
                    .sum::<f64>()
            })
            .sum()
    };
    (-200..=200)
        .map(|step| f64::from(step) * 1e-3)
        .map(|rho| (rho, cost(rho)))
        .fold((0.0, f64::INFINITY), |best, this| if this.1 < best.1 { this } else { best })
        .0
}

fn residual(drive: &[f64], z: &[Complex64], rho: f64) -> f64 {
    let (a, b) = solve(drive, z, rho);
    drive.iter().zip(z).map(|(&u, z)| (z - a - b * Complex64::cis((1.0 + rho) * u)).norm_sqr()).sum()
}

fn golden(cost: impl Fn(f64) -> f64, mut low: f64, mut high: f64) -> f64 {
    let ratio = 0.618_033_988_749_894_9;
    let (mut x1, mut x2) = (high - ratio * (high - low), low + ratio * (high - low));
    let (mut f1, mut f2) = (cost(x1), cost(x2));
    for _ in 0..24 {
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
    (low + high) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_gives_back_slope_offset_and_phase() {
        let drive: Vec<f64> = (0..24).map(|k| 6.3 * f64::from(k) / 23.0).collect();
        let (a, b) = (Complex64::new(0.2, -0.1), Complex64::new(-0.3, 0.4));
        let z: Vec<_> = drive.iter().map(|u| a + b * Complex64::cis(1.037 * u)).collect();
        let fit = Sinusoid::fit(&drive, &[z]);
        assert!((fit.rho - 0.037).abs() < 1e-6);
        assert!((fit.terms[0].0 - a).norm() < 1e-5 && (fit.terms[0].1 - b).norm() < 1e-5);
    }
}
