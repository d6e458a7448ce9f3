//! Is there any drift? A permutation test that needs no independence of the elements.

use ndarray::ArrayView2;
use rand::{Rng, seq::SliceRandom};
use serde::{Deserialize, Serialize};

/// Growth of the mean square difference of two readings with the time between them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DriftTest {
    /// Least-squares slope of `(x(t + τ) − x(t))²`, mean over elements, against `τ`, in the unit of the series squared a unit of time.
    pub slope: f64,
    /// Part of the orders of the readings that give a slope as large or larger.
    pub p_value: f64,
    /// Slope that a drift not told from chance does not exceed with 97.5 %: the estimate and what chance adds to none. No bound where
    /// drift is seen: one history of a walk says little of the walk.
    pub most: f64,
}

/// Permutation test of the slope: without drift all orders of the readings are alike, however noise is shared by elements
/// (Fisher, *The Design of Experiments* (1935), §21).
///
/// `times` `[T]`, `series` `[T, elements]`; pairs further apart than half the duration are left out, as in
/// [`structure_function`](super::structure_function). `None` for fewer than 8 readings, no elements, or no permutations.
#[must_use]
pub fn drift_test(
    times: &[f64],
    series: ArrayView2<'_, f64>,
    permutations: usize,
    rng: &mut impl Rng,
) -> Option<DriftTest> {
    let count = times.len();
    if count < 8 || series.nrows() != count || series.ncols() == 0 || permutations == 0 {
        return None;
    }
    let elements = series.ncols() as f64;
    let mut square = vec![0.0; count * count];
    for a in 0..count {
        for b in a + 1..count {
            let sum: f64 = series.row(a).iter().zip(series.row(b)).map(|(x, y)| (x - y).powi(2)).sum();
            square[a * count + b] = sum / elements;
            square[b * count + a] = sum / elements;
        }
    }
    let longest = 0.5 * (times[count - 1] - times[0]) * (1.0 + 1e-9);
    let pairs: Vec<(usize, usize, f64)> = (0..count)
        .flat_map(|a| (a + 1..count).map(move |b| (a, b)))
        .map(|(a, b)| (a, b, times[b] - times[a]))
        .filter(|&(_, _, lag)| lag <= longest)
        .collect();
    let mean = pairs.iter().map(|pair| pair.2).sum::<f64>() / pairs.len().max(1) as f64;
    let spread: f64 = pairs.iter().map(|pair| (pair.2 - mean).powi(2)).sum();
    let slope = |order: &[usize]| {
        let products = pairs.iter().map(|&(a, b, lag)| (lag - mean) * square[order[a] * count + order[b]]);
        products.sum::<f64>() / spread
    };
    let mut order: Vec<usize> = (0..count).collect();
    let found = slope(&order);
    let mut chance: Vec<f64> = (0..permutations)
        .map(|_| {
            order.shuffle(rng);
            slope(&order)
        })
        .collect();
    chance.sort_unstable_by(f64::total_cmp);
    let as_large = chance.iter().filter(|&&slope| slope >= found).count();
    let quantile = chance[((permutations - 1) as f64 * 0.975).round() as usize];
    Some(DriftTest {
        slope: found,
        p_value: (as_large + 1) as f64 / (permutations + 1) as f64,
        most: found.max(0.0) + quantile.max(0.0),
    })
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    use super::*;

    /// Readings with noise of which half is common to all elements, and a common walk of `step` a reading.
    fn readings(step: f64, rng: &mut ChaCha8Rng) -> (Vec<f64>, Array2<f64>) {
        let mut normal = || -> f64 { StandardNormal.sample(rng) };
        let mut walk = 0.0;
        let mut series = Array2::zeros((41, 16));
        for mut row in series.rows_mut() {
            walk += step * normal();
            let shared = normal();
            row.mapv_inplace(|_: f64| walk + shared + normal());
        }
        ((0..41).map(f64::from).collect(), series)
    }

    #[test]
    fn noise_that_elements_share_is_called_drift_as_often_as_the_level_says() {
        let rng = &mut ChaCha8Rng::seed_from_u64(11);
        let called = (0..400)
            .filter(|_| {
                let (times, series) = readings(0.0, rng);
                drift_test(&times, series.view(), 199, rng).is_some_and(|test| test.p_value <= 0.05)
            })
            .count();
        // 20 of 400, within 3.5 binomial standard deviations.
        assert!((5..=35).contains(&called), "{called}");
    }

    #[test]
    fn a_walk_that_is_common_to_all_elements_is_seen_and_one_too_small_for_that_lies_below_the_bound() {
        let rng = &mut ChaCha8Rng::seed_from_u64(12);
        let mut tests = |step: f64| -> Vec<DriftTest> {
            let mut one = || {
                let (times, series) = readings(step, rng);
                drift_test(&times, series.view(), 199, rng)
            };
            (0..200).filter_map(|_| one()).collect()
        };
        let seen = tests(0.7).iter().filter(|test| test.p_value <= 0.05).count();
        assert!(seen >= 160, "{seen} of 200");
        let below = tests(0.1).iter().filter(|test| test.most >= 0.1 * 0.1).count();
        // 97.5 % of 200, within 3.5 binomial standard deviations.
        assert!(below >= 187, "{below} of 200");
    }
}
