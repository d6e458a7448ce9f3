//! What stays, what each writing adds, what each reading adds.

use ndarray::{Array3, ArrayView2, ArrayView5, Axis};
use serde::{Deserialize, Serialize};

use super::{
    super::interval::{effective_n, effective_n_of},
    MeanSquare,
};

/// Static error, re-programming and read-out, each a σ with its 95 % interval, in the unit of the residuals.
///
/// The lower end of an interval is 0 when the component may be the noise of those below it alone.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NestedComponents {
    /// What is the same however often the matrix is written, a bias included.
    #[serde(rename = "static")]
    pub static_error: f64,
    /// Its interval.
    pub static_ci95: [f64; 2],
    /// From one writing to the next.
    pub reprogramming: f64,
    /// Its interval.
    pub reprogramming_ci95: [f64; 2],
    /// From one reading to the next of one writing.
    pub readout: f64,
    /// Its interval.
    pub readout_ci95: [f64; 2],
    /// Matrices.
    pub matrices: usize,
    /// Writings of each.
    pub writings: usize,
    /// Readings of each writing.
    pub repeats: usize,
}

/// Balanced nested random effects: `r[p, w, k, i, j] = s[p, i, j] + d[p, w, i, j] + e[p, w, k, i, j]`, writings `w = 1…W` of
/// matrix `p`, readings `k = 1…R` of each.
///
/// With `s²_e` the variance over the readings of a writing, `s²_d` that over the means of the writings, and `r̄` the mean of all
/// readings of a cell, each averaged over the cells:
///
/// * read-out: `σ_e² = ⟨s²_e⟩`;
/// * re-programming: `σ_d² = ⟨s²_d⟩ − σ_e²/R`;
/// * static: `σ_s² = ⟨r̄²⟩ − ⟨s²_d⟩/W`, about zero: a bias is part of it.
///
/// The read-out noise of each cell is its own, and its degrees of freedom are Satterthwaite's, `(ν + 2)(Σs²)²/Σs⁴` of sample variances
/// of `ν` degrees (Biometrics Bull. 2, 110 (1946)).
///
/// Searle, Casella & McCulloch, *Variance Components* (Wiley 1992), chapter 3.6 (analysis of variance); intervals as in
/// [`components`](super::components), with effective degrees of freedom. An actuator that moves several cells at once makes their
/// re-programming errors dependent; where that does not show in rows, columns or matrices the interval is too narrow.
///
/// `residuals` are readings less targets, `[P, W, R, rows, cols]`, `kept` `[rows, cols]`. `None` for `W < 2`, `R < 2`, or no cell.
#[must_use]
pub fn nested_components(
    residuals: ArrayView5<'_, f64>,
    kept: ArrayView2<'_, bool>,
) -> Option<NestedComponents> {
    let (matrices, writings, repeats, _, _) = residuals.dim();
    if matrices == 0 || writings < 2 || repeats < 2 || !kept.iter().any(|&keep| keep) {
        return None;
    }
    let means = residuals.mean_axis(Axis(2))?;
    let readings =
        residuals.map_axis(Axis(2), |reads| sample_variance(reads.iter().copied())).mean_axis(Axis(1))?;
    let writing = means.map_axis(Axis(1), |means| sample_variance(means.iter().copied()));
    let all = means.mean_axis(Axis(1))?;
    let readings = of_strata(&readings, kept, (writings * (repeats - 1)) as f64);
    // As in `components`: sample variances of ν degrees have relative variance 2/ν.
    let degrees = (writings - 1) as f64;
    let writing = MeanSquare {
        value: mean(&writing, kept),
        degrees: effective_n_of(writing.view(), kept, 2.0 / degrees, 2.0 + 4.0 / degrees).n_effective,
    };
    let all = MeanSquare {
        value: mean(&all.mapv(|r| r * r), kept),
        degrees: effective_n(all.view(), kept).n_effective,
    };
    let (static_error, static_ci95) = all.less(writing, 1.0 / writings as f64);
    let (reprogramming, reprogramming_ci95) = writing.less(readings, 1.0 / repeats as f64);
    Some(NestedComponents {
        static_error,
        static_ci95,
        reprogramming,
        reprogramming_ci95,
        readout: readings.value.sqrt(),
        readout_ci95: readings.interval().map(f64::sqrt),
        matrices,
        writings,
        repeats,
    })
}

fn sample_variance(values: impl ExactSizeIterator<Item = f64> + Clone) -> f64 {
    let n = values.len() as f64;
    let mean = values.clone().sum::<f64>() / n;
    values.map(|y| (y - mean).powi(2)).sum::<f64>() / (n - 1.0)
}

/// Mean of sample variances of `degrees` each, which differ from cell to cell.
fn of_strata(variances: &Array3<f64>, kept: ArrayView2<'_, bool>, degrees: f64) -> MeanSquare {
    let value = mean(variances, kept);
    let fourth = mean(&variances.mapv(|s2| s2 * s2), kept);
    let cells = (variances.len_of(Axis(0)) * kept.iter().filter(|&&keep| keep).count()) as f64;
    let all = if fourth > 0.0 { (degrees + 2.0) * cells * value * value / fourth } else { degrees * cells };
    MeanSquare { value, degrees: all.min(degrees * cells).max(1.0) }
}

/// Mean over matrices and kept cells.
fn mean(squares: &Array3<f64>, kept: ArrayView2<'_, bool>) -> f64 {
    let (mut sum, mut count) = (0.0, 0.0);
    for ((_, i, j), square) in squares.indexed_iter() {
        if kept[(i, j)] {
            sum += square;
            count += 1.0;
        }
    }
    sum / f64::max(count, 1.0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use ndarray::{Array2, Array5};
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    use super::*;

    /// Two 12 × 12 matrices, 4 writings, 6 readings of each, with σ of static error, re-programming and read-out.
    fn simulated([of_static, of_writing, of_reading]: [f64; 3], seed: u64) -> NestedComponents {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let mut normal = || -> f64 { StandardNormal.sample(rng) };
        let mut residuals = Array5::zeros((2, 4, 6, 12, 12));
        for mut matrix in residuals.outer_iter_mut() {
            let stays = Array2::from_shape_simple_fn((12, 12), || of_static * normal());
            for mut writing in matrix.outer_iter_mut() {
                let written = Array2::from_shape_simple_fn((12, 12), || of_writing * normal());
                for mut reading in writing.outer_iter_mut() {
                    let noise = Array2::from_shape_simple_fn((12, 12), || of_reading * normal());
                    reading.assign(&(&stays + &written + &noise));
                }
            }
        }
        nested_components(residuals.view(), Array2::from_elem((12, 12), true).view()).unwrap()
    }

    #[test]
    fn three_components_are_told_apart_and_their_intervals_cover() {
        for truth in [[0.010, 0.003, 0.004], [0.002, 0.002, 0.005], [0.001, 0.004, 0.001]] {
            let sets: Vec<NestedComponents> = (0..400).map(|seed| simulated(truth, seed)).collect();
            type Part = fn(&NestedComponents) -> (f64, [f64; 2]);
            let parts: [Part; 3] = [
                |found| (found.static_error, found.static_ci95),
                |found| (found.reprogramming, found.reprogramming_ci95),
                |found| (found.readout, found.readout_ci95),
            ];
            for (part, truth) in parts.into_iter().zip(truth) {
                let mean = sets.iter().map(|set| part(set).0.powi(2)).sum::<f64>() / 400.0;
                let scatter =
                    (sets.iter().map(|set| (part(set).0.powi(2) - mean).powi(2)).sum::<f64>() / 400.0).sqrt();
                // Squares are unbiased but where they are held at 0, which none of these is near.
                assert!((mean - truth * truth).abs() < 4.0 * scatter / 20.0, "{mean} of {}", truth * truth);
                let covered = sets.iter().filter(|set| {
                    let [low, high] = part(set).1;
                    (low..=high).contains(&truth)
                });
                // 95 % of 400: ± 4·√(0.95·0.05/400) = 4.4 %.
                let fraction = covered.count() as f64 / 400.0;
                assert!((fraction - 0.95).abs() < 0.044, "{truth}: {fraction}");
            }
        }
    }

    #[test]
    fn a_component_that_is_absent_has_an_interval_that_begins_at_zero() {
        // One-sided at the lower end: 97.5 % of 200, ± 4·1.1 %.
        let at_zero = (0..200)
            .filter(|&seed| simulated([0.003, 0.0, 0.004], seed).reprogramming_ci95[0] == 0.0)
            .count();
        assert!(at_zero as f64 / 200.0 > 0.975 - 0.044, "{at_zero}");
    }

    #[test]
    fn what_was_written_or_read_once_has_no_components() {
        let kept = Array2::from_elem((2, 2), true);
        for shape in [(1, 1, 3, 2, 2), (1, 3, 1, 2, 2), (0, 3, 3, 2, 2)] {
            assert_eq!(nested_components(Array5::zeros(shape).view(), kept.view()), None);
        }
        let none = Array2::from_elem((2, 2), false);
        assert_eq!(nested_components(Array5::zeros((1, 3, 3, 2, 2)).view(), none.view()), None);
    }
}
