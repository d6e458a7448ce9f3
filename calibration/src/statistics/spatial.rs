//! Do residuals depend on where they lie on the chip?

use serde::{Deserialize, Serialize};
use statrs::function::erf::erfc;

/// Which elements count as near, and how much.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Neighbourhood {
    /// Weight 1 up to this distance, 0 beyond.
    Within(f64),
    /// Weight `1/d`.
    InverseDistance,
}

impl Neighbourhood {
    fn weight(self, distance: f64) -> f64 {
        match self {
            Self::Within(reach) => f64::from(u8::from(distance <= reach)),
            Self::InverseDistance => distance.recip(),
        }
    }
}

/// Moran's I, against values put at random places.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Moran {
    /// `I`: near +1 where neighbours agree, near −1 where they alternate.
    pub i: f64,
    /// Its expectation over random places, `−1/(n − 1)`.
    pub expected: f64,
    /// Its standard deviation over random places.
    pub std_dev: f64,
    /// `(I − E)/sd`.
    pub z: f64,
    /// Two-sided probability of such a `z` for random places (normal law).
    pub p_value: f64,
    /// Pairs of neighbours, each counted once.
    pub pairs: u64,
}

/// Autocorrelation of elements at one distance.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CorrelogramBin {
    /// Mean distance of the pairs.
    pub distance: f64,
    /// Moran's I of the pairs of this bin.
    pub moran: Moran,
}

/// Positions of a `rows × cols` grid in C order, `[x, y]`, columns `pitch[0]` and rows `pitch[1]` apart.
#[must_use]
pub fn grid(rows: usize, cols: usize, pitch: [f64; 2]) -> Vec<[f64; 2]> {
    (0..rows * cols).map(|k| [(k % cols) as f64 * pitch[0], (k / cols) as f64 * pitch[1]]).collect()
}

/// Sums over the pairs of one neighbourhood.
struct PairSums {
    products: f64,
    weights: f64,
    squares: f64,
    of_element: Vec<f64>,
    distance: f64,
    pairs: u64,
}

impl PairSums {
    fn new(n: usize) -> Self {
        Self { products: 0.0, weights: 0.0, squares: 0.0, of_element: vec![0.0; n], distance: 0.0, pairs: 0 }
    }

    fn add(&mut self, (i, j): (usize, usize), weight: f64, product: f64, distance: f64) {
        self.products += weight * product;
        self.weights += weight;
        self.squares += weight * weight;
        self.of_element[i] += weight;
        self.of_element[j] += weight;
        self.distance += distance;
        self.pairs += 1;
    }

    /// `z` centred values, `n ≥ 4` of them.
    fn moran(&self, z: &[f64]) -> Option<Moran> {
        let n = z.len() as f64;
        let m2: f64 = z.iter().map(|z| z * z).sum();
        if self.pairs == 0 || m2 <= 0.0 {
            return None;
        }
        let b2 = n * z.iter().map(|z| z.powi(4)).sum::<f64>() / (m2 * m2);
        // Each pair stands for w_ij and w_ji.
        let s0 = 2.0 * self.weights;
        let s1 = 4.0 * self.squares;
        let s2: f64 = self.of_element.iter().map(|sum| 4.0 * sum * sum).sum();
        let i = n / s0 * 2.0 * self.products / m2;
        let expected = -1.0 / (n - 1.0);
        let first = n * ((n * n - 3.0 * n + 3.0) * s1 - n * s2 + 3.0 * s0 * s0);
        let second = b2 * ((n * n - n) * s1 - 2.0 * n * s2 + 6.0 * s0 * s0);
        let below = (n - 1.0) * (n - 2.0) * (n - 3.0) * s0 * s0;
        let variance = (first - second) / below - expected * expected;
        // Where all places are alike (e.g. all are neighbours) I is a constant but for rounding.
        let std_dev = if variance > 1e-12 * expected * expected { variance.sqrt() } else { 0.0 };
        let z = if std_dev > 0.0 { (i - expected) / std_dev } else { 0.0 };
        let p_value = erfc(z.abs() * std::f64::consts::FRAC_1_SQRT_2);
        Some(Moran { i, expected, std_dev, z, p_value, pairs: self.pairs })
    }
}

/// Centred values; `None` for fewer than 4 or another number of positions.
fn centred(values: &[f64], positions: &[[f64; 2]]) -> Option<Vec<f64>> {
    if values.len() < 4 || values.len() != positions.len() {
        return None;
    }
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    Some(values.iter().map(|value| value - mean).collect())
}

fn distance(a: [f64; 2], b: [f64; 2]) -> f64 {
    (a[0] - b[0]).hypot(a[1] - b[1])
}

/// Moran's `I = n/S₀ · Σ_ij w_ij z_i z_j/Σz²` of `values` at `positions`, both `[n]`, with expectation and variance under
/// randomisation: the values that there are, at places drawn anew (Moran, Biometrika 37, 17 (1950); Cliff & Ord,
/// *Spatial Processes* (1981), chapter 2). Elements at one place are not neighbours.
///
/// `None` for fewer than 4 values, values that are all equal, or no pair of neighbours.
#[must_use]
pub fn moran(values: &[f64], positions: &[[f64; 2]], neighbourhood: Neighbourhood) -> Option<Moran> {
    let z = centred(values, positions)?;
    let mut sums = PairSums::new(z.len());
    for i in 0..z.len() {
        for j in i + 1..z.len() {
            let apart = distance(positions[i], positions[j]);
            let weight = if apart > 0.0 { neighbourhood.weight(apart) } else { 0.0 };
            if weight > 0.0 {
                sums.add((i, j), weight, z[i] * z[j], apart);
            }
        }
    }
    sums.moran(&z)
}

/// Autocorrelation against distance: Moran's I of the pairs whose distance is in `(k·width, (k + 1)·width]`, `k` from 0 to
/// `bins − 1`. Bins without pairs are left out; elements at one place are in none.
///
/// Empty for fewer than 4 values or values that are all equal.
#[must_use]
pub fn correlogram(values: &[f64], positions: &[[f64; 2]], width: f64, bins: usize) -> Vec<CorrelogramBin> {
    let Some(z) = centred(values, positions) else { return Vec::new() };
    let mut sums: Vec<PairSums> = (0..bins).map(|_| PairSums::new(z.len())).collect();
    for i in 0..z.len() {
        for j in i + 1..z.len() {
            let apart = distance(positions[i], positions[j]);
            // A distance that is a whole number of widths but for rounding belongs to the bin below.
            let bin = ((apart / width) * (1.0 - 1e-12)).floor();
            if apart > 0.0 && bin < bins as f64 {
                sums[bin as usize].add((i, j), 1.0, z[i] * z[j], apart);
            }
        }
    }
    sums.iter()
        .filter_map(|sums| {
            let moran = sums.moran(&z)?;
            Some(CorrelogramBin { distance: sums.distance / sums.pairs as f64, moran })
        })
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    use super::*;

    fn permutations(values: &mut Vec<f64>, from: usize, each: &mut impl FnMut(&[f64])) {
        if from == values.len() {
            return each(values);
        }
        for k in from..values.len() {
            values.swap(from, k);
            permutations(values, from + 1, each);
            values.swap(from, k);
        }
    }

    #[test]
    fn expectation_and_variance_are_those_over_all_permutations() {
        let positions = [[0.0, 0.0], [1.0, 0.0], [0.3, 1.0], [2.0, 2.0], [1.1, 0.4], [3.0, 0.2]];
        let mut values = vec![1.0, -0.5, 4.0, 0.2, 2.2, 9.0];
        for neighbourhood in [Neighbourhood::Within(1.2), Neighbourhood::InverseDistance] {
            let claimed = moran(&values, &positions, neighbourhood).unwrap();
            let mut found = Vec::new();
            permutations(&mut values, 0, &mut |values| {
                found.push(moran(values, &positions, neighbourhood).unwrap().i);
            });
            assert_eq!(found.len(), 720);
            let mean = found.iter().sum::<f64>() / 720.0;
            let variance = found.iter().map(|i| (i - mean).powi(2)).sum::<f64>() / 720.0;
            assert!((mean - claimed.expected).abs() < 1e-12, "{mean} {}", claimed.expected);
            assert!((variance.sqrt() - claimed.std_dev).abs() < 1e-12, "{variance} {}", claimed.std_dev);
        }
    }

    #[test]
    fn a_chessboard_and_a_slope_are_the_extremes() {
        let positions = grid(8, 8, [1.0, 1.0]);
        let near = Neighbourhood::Within(1.0);
        let chess: Vec<f64> = (0..64).map(|k| if (k / 8 + k % 8) % 2 == 0 { 1.0 } else { -1.0 }).collect();
        let found = moran(&chess, &positions, near).unwrap();
        assert!((found.i + 1.0).abs() < 1e-12 && found.pairs == 112);
        let slope: Vec<f64> = (0..64).map(|k| f64::from(k % 8)).collect();
        let found = moran(&slope, &positions, near).unwrap();
        assert!(found.i > 0.8 && found.p_value < 1e-12);
    }

    #[test]
    fn white_residuals_are_called_structured_as_often_as_the_level_says() {
        // 5 % of 1000: ± 4·√(0.05·0.95/1000) = 2.8 %.
        let positions = grid(12, 12, [20.0, 35.0]);
        for neighbourhood in [Neighbourhood::Within(35.0), Neighbourhood::InverseDistance] {
            let alarms = (0..1000)
                .filter(|&seed| {
                    let rng = &mut ChaCha8Rng::seed_from_u64(seed);
                    let values: Vec<f64> = (0..144).map(|_| StandardNormal.sample(rng)).collect();
                    moran(&values, &positions, neighbourhood).unwrap().p_value < 0.05
                })
                .count();
            assert!((alarms as f64 / 1000.0 - 0.05).abs() < 0.028, "{neighbourhood:?}: {alarms}");
        }
    }

    #[test]
    fn the_correlogram_falls_as_the_residuals_do() {
        // A moving average of 3 along the rows of 40 × 40: correlation 2/3, 1/3, 0 at 1, 2, 3 columns. With pitches of 1
        // and 100 only pairs within a row are near. Standard error of a correlation: about √(1.4/1600) = 0.03 (Bartlett).
        let rng = &mut ChaCha8Rng::seed_from_u64(4);
        let mut values = Vec::new();
        for _ in 0..40 {
            let white: Vec<f64> = (0..42).map(|_| StandardNormal.sample(rng)).collect();
            values.extend(white.windows(3).map(|three| three.iter().sum::<f64>()));
        }
        let found = correlogram(&values, &grid(40, 40, [1.0, 100.0]), 1.0, 5);
        assert_eq!(found.len(), 5);
        for (bin, expected) in found.iter().zip([2.0 / 3.0, 1.0 / 3.0, 0.0, 0.0, 0.0]) {
            assert!((bin.moran.i - expected).abs() < 4.0 * 0.03, "{} {}", bin.distance, bin.moran.i);
        }
        assert_eq!(found[1].distance, 2.0);
    }

    #[test]
    fn nothing_is_said_of_equal_values_or_lonely_ones() {
        let positions = grid(3, 3, [1.0, 1.0]);
        assert_eq!(moran(&[2.0; 9], &positions, Neighbourhood::InverseDistance), None);
        let values: Vec<f64> = (0..9).map(f64::from).collect();
        assert_eq!(moran(&values, &positions, Neighbourhood::Within(0.5)), None);
        assert_eq!(moran(&values[..8], &positions, Neighbourhood::InverseDistance), None);
        assert!(correlogram(&[2.0; 9], &positions, 1.0, 3).is_empty());
        // All are neighbours of all: I is −1/(n − 1) whatever the values.
        let all = moran(&values, &positions, Neighbourhood::Within(10.0)).unwrap();
        assert!((all.i + 0.125).abs() < 1e-12 && all.z == 0.0 && all.p_value == 1.0);
    }
}
