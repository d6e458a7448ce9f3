//! Least squares for a few parameters.

use serde::{Deserialize, Serialize};

/// `measured = gain · target + offset`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Slope.
    pub gain: f64,
    /// Value at target 0.
    pub offset: f64,
}

/// Sums for a least-squares line, one point at a time.
#[derive(Clone, Copy, Debug, Default)]
pub struct LineSums {
    n: f64,
    x: f64,
    y: f64,
    xx: f64,
    xy: f64,
}

impl LineSums {
    /// Takes the point `(x, y)`.
    pub fn add(&mut self, x: f64, y: f64) {
        self.n += 1.0;
        self.x += x;
        self.y += y;
        self.xx += x * x;
        self.xy += x * y;
    }

    /// `Σ(x − x̄)²`: a slope from noise of standard deviation `σ` has standard error `σ/√` of it. 0 for no points.
    #[must_use]
    pub fn spread(&self) -> f64 {
        if self.n > 0.0 { (self.xx - self.x * self.x / self.n).max(0.0) } else { 0.0 }
    }

    /// Least-squares line: `gain = cov(x, y)/var(x)`, `offset = ȳ − gain·x̄`.
    ///
    /// `None` for fewer than 2 points or when all `x` are equal (the slope is undefined).
    #[must_use]
    pub fn line(&self) -> Option<Line> {
        let spread = self.spread();
        if self.n < 2.0 || spread <= 1e-12 * self.xx {
            return None;
        }
        let gain = (self.xy - self.x * self.y / self.n) / spread;
        Some(Line { gain, offset: (self.y - gain * self.x) / self.n })
    }
}

/// Solves `A x = b` for `N` unknowns by Gaussian elimination with partial pivoting; `None` when `A` is singular.
#[must_use]
pub fn solve<const N: usize>(mut a: [[f64; N]; N], mut b: [f64; N]) -> Option<[f64; N]> {
    for k in 0..N {
        let pivot = (k..N).max_by(|&i, &j| a[i][k].abs().total_cmp(&a[j][k].abs()))?;
        a.swap(k, pivot);
        b.swap(k, pivot);
        if a[k][k].abs() < f64::MIN_POSITIVE {
            return None;
        }
        let (above, below) = a.split_at_mut(k + 1);
        let (top, right) = (&above[k], b[k]);
        for (row, value) in below.iter_mut().zip(&mut b[k + 1..]) {
            let factor = row[k] / top[k];
            for (entry, pivot) in row.iter_mut().zip(top).skip(k) {
                *entry -= factor * pivot;
            }
            *value -= factor * right;
        }
    }
    for k in (0..N).rev() {
        let known: f64 = (k + 1..N).map(|j| a[k][j] * b[j]).sum();
        b[k] = (b[k] - known) / a[k][k];
    }
    b.iter().all(|x| x.is_finite()).then_some(b)
}
