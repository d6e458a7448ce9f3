//! Hadamard matrices that can be built without a table.

use ndarray::Array2;
use serde::{Deserialize, Serialize};

/// How a Hadamard matrix is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Construction {
    /// `H[i, j] = (−1)^popcount(i & j)`, orders 1, 2, 4, 8, … (Sylvester, Phil. Mag. 34, 461 (1867)).
    Sylvester,
    /// `I + S` with the quadratic character of the `prime ≡ 3 (mod 4)`, order `prime + 1` (Paley, J. Math. Phys. 12, 311
    /// (1933), first construction).
    Paley {
        /// The prime.
        prime: usize,
    },
}

/// An order for which a Hadamard matrix can be built here: a power of two, or a prime `≡ 3 (mod 4)` and one.
///
/// Invariant: the construction gives a matrix of this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct HadamardOrder {
    order: usize,
    construction: Construction,
}

impl HadamardOrder {
    /// `order` itself, where it can be built.
    #[must_use]
    pub fn exactly(order: usize) -> Option<Self> {
        if order.is_power_of_two() {
            return Some(Self { order, construction: Construction::Sylvester });
        }
        let prime = order.checked_sub(1)?;
        (prime % 4 == 3 && is_prime(prime))
            .then_some(Self { order, construction: Construction::Paley { prime } })
    }

    /// The least order from `least` on.
    #[must_use]
    pub fn at_least(least: usize) -> Self {
        let power = least.next_power_of_two();
        (least..power)
            .find_map(Self::exactly)
            .unwrap_or(Self { order: power, construction: Construction::Sylvester })
    }

    /// The order.
    #[must_use]
    pub fn order(self) -> usize {
        self.order
    }

    /// How the matrix is built.
    #[must_use]
    pub fn construction(self) -> Construction {
        self.construction
    }

    /// `H`, `[order, order]` of ±1 with `H Hᵀ = order · I`, first row and column all +1.
    #[must_use]
    pub fn matrix(self) -> Array2<f64> {
        let shape = (self.order, self.order);
        match self.construction {
            Construction::Sylvester => {
                Array2::from_shape_fn(shape, |(i, j)| if (i & j).count_ones() % 2 == 0 { 1.0 } else { -1.0 })
            }
            Construction::Paley { prime } => {
                let character = quadratic_character(prime);
                // I + S, S = [[0, 1], [−1, Q]], all rows but the first turned over so that the first column is +1.
                Array2::from_shape_fn(shape, |(i, j)| match (i, j) {
                    (0, _) | (_, 0) => 1.0,
                    (i, j) if i == j => -1.0,
                    (i, j) => -character[(prime + i - j) % prime],
                })
            }
        }
    }
}

/// `χ(x)` for `x` in `0 .. prime`: +1 for squares, −1 for others, 0 for 0.
fn quadratic_character(prime: usize) -> Vec<f64> {
    let mut character = vec![-1.0; prime];
    for x in 1..prime {
        character[x * x % prime] = 1.0;
    }
    character[0] = 0.0;
    character
}

fn is_prime(n: usize) -> bool {
    n > 1 && (2..).take_while(|d| d * d <= n).all(|d| !n.is_multiple_of(d))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_matrix_is_hadamard_and_normalised() {
        for least in 1..=140 {
            let found = HadamardOrder::at_least(least);
            let h = found.matrix();
            let order = found.order();
            assert!(order >= least && h.dim() == (order, order));
            assert!(h.iter().all(|entry| entry.abs() == 1.0));
            assert!(h.row(0).iter().chain(h.column(0)).all(|&entry| entry == 1.0));
            let product = h.dot(&h.t());
            let expected = Array2::<f64>::eye(order) * order as f64;
            assert_eq!(product, expected, "{found:?}");
        }
    }

    #[test]
    fn the_orders_are_the_known_ones() {
        let buildable: Vec<usize> = (1..=72).filter(|&n| HadamardOrder::exactly(n).is_some()).collect();
        assert_eq!(buildable, [1, 2, 4, 8, 12, 16, 20, 24, 32, 44, 48, 60, 64, 68, 72]);
    }
}
