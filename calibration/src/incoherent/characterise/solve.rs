//! Small symmetric systems.

/// Lower Cholesky factor of a symmetric positive definite matrix. `None` when it is not.
pub(super) struct Cholesky<const N: usize>([[f64; N]; N]);

impl<const N: usize> Cholesky<N> {
    pub(super) fn of(mut a: [[f64; N]; N]) -> Option<Self> {
        for i in 0..N {
            for j in 0..=i {
                let dot: f64 = (0..j).map(|k| a[i][k] * a[j][k]).sum();
                let rest = a[i][j] - dot;
                if i == j {
                    if rest <= 0.0 || !rest.is_finite() {
                        return None;
                    }
                    a[i][i] = rest.sqrt();
                } else {
                    a[i][j] = rest / a[j][j];
                }
            }
        }
        Some(Self(a))
    }

    /// `A⁻¹ b`.
    pub(super) fn solve(&self, mut b: [f64; N]) -> [f64; N] {
        let l = &self.0;
        for i in 0..N {
            let dot: f64 = (0..i).map(|k| l[i][k] * b[k]).sum();
            b[i] = (b[i] - dot) / l[i][i];
        }
        for i in (0..N).rev() {
            let dot: f64 = (i + 1..N).map(|k| l[k][i] * b[k]).sum();
            b[i] = (b[i] - dot) / l[i][i];
        }
        b
    }

    /// `A⁻¹`.
    pub(super) fn inverse(&self) -> [[f64; N]; N] {
        std::array::from_fn(|i| {
            let mut unit = [0.0; N];
            unit[i] = 1.0;
            self.solve(unit)
        })
    }
}

/// Median; 0 of nothing.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_system_is_solved_and_an_indefinite_one_refused() {
        let a = [[4.0, 2.0, 0.0], [2.0, 5.0, 1.0], [0.0, 1.0, 3.0]];
        let x = Cholesky::of(a).unwrap().solve([2.0, 4.0, 7.0]);
        for (row, b) in a.iter().zip([2.0, 4.0, 7.0]) {
            let product: f64 = row.iter().zip(x).map(|(a, x)| a * x).sum();
            assert!((product - b).abs() < 1e-12);
        }
        assert!(Cholesky::of([[1.0, 2.0], [2.0, 1.0]]).is_none());
    }
}
