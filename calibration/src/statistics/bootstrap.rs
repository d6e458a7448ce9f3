//! Intervals of σ where residuals hang together: bootstrap over clusters.

use ndarray::{ArrayView2, ArrayView3};
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, Normal};

use super::moments::{quantile, sorted};

/// Sum of squares of residuals that are resampled together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Squares {
    /// Number of residuals.
    pub n: f64,
    /// `Σr²`.
    pub sum: f64,
}

impl Squares {
    /// Of a sample.
    #[must_use]
    pub fn of(residuals: &[f64]) -> Self {
        Self { n: residuals.len() as f64, sum: residuals.iter().map(|r| r * r).sum() }
    }

    fn add(&mut self, other: Self) {
        self.n += other.n;
        self.sum += other.sum;
    }

    fn rms(self) -> f64 {
        if self.n > 0.0 { (self.sum / self.n).sqrt() } else { 0.0 }
    }
}

/// What is drawn anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resampling {
    /// Clusters, each with all that it holds.
    Clusters,
    /// Clusters, and within each cluster drawn its parts. Wider: it counts the scatter of the parts twice.
    TwoLevel,
}

/// σ with bootstrap intervals.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BootstrapSigma {
    /// `√(Σr²/n)`.
    pub sigma: f64,
    /// 95 % interval between the 2.5 % and 97.5 % quantiles of the resamples.
    pub percentile_ci95: [f64; 2],
    /// 95 % interval corrected for bias and acceleration (BCa): the one to quote.
    pub bca_ci95: [f64; 2],
    /// `ẑ₀`, correction for bias in standard deviations.
    pub bias_correction: f64,
    /// `â`, how fast the standard error grows with σ.
    pub acceleration: f64,
    /// Clusters.
    pub clusters: usize,
    /// Resamples.
    pub resamples: usize,
}

/// Fewest clusters: with less no interval can be trusted, and below 20 or so it is too narrow still.
pub const FEWEST_CLUSTERS: usize = 5;

/// Residuals `r`, `[P, rows, cols]`, of kept elements (`[rows, cols]`) by programming (the cluster) and row (its parts).
#[must_use]
pub fn by_programming(r: ArrayView3<'_, f64>, kept: ArrayView2<'_, bool>) -> Vec<Vec<Squares>> {
    grouped(r, kept, r.dim().0, r.dim().1, |p, i| (p, i))
}

/// The same by row of the processor (the cluster) and programming (its parts): where a row's amplifier or modulator errs at
/// each programming alike.
#[must_use]
pub fn by_row(r: ArrayView3<'_, f64>, kept: ArrayView2<'_, bool>) -> Vec<Vec<Squares>> {
    grouped(r, kept, r.dim().1, r.dim().0, |p, i| (i, p))
}

fn grouped(
    r: ArrayView3<'_, f64>,
    kept: ArrayView2<'_, bool>,
    clusters: usize,
    parts: usize,
    place: impl Fn(usize, usize) -> (usize, usize),
) -> Vec<Vec<Squares>> {
    let mut groups = vec![vec![Squares::default(); parts]; clusters];
    for ((p, i, j), &residual) in r.indexed_iter() {
        if kept[(i, j)] {
            let (cluster, part) = place(p, i);
            groups[cluster][part].add(Squares { n: 1.0, sum: residual * residual });
        }
    }
    for parts in &mut groups {
        parts.retain(|part| part.n > 0.0);
    }
    groups.retain(|parts| !parts.is_empty());
    groups
}

/// Bootstrap of σ over `clusters`, each a list of parts (one part where there is no second level).
///
/// Whole clusters are drawn with replacement, so that whatever their residuals share stays together (Davison & Hinkley,
/// *Bootstrap Methods and their Application* (1997), section 3.8; Field & Welsh, J. R. Stat. Soc. B 69, 369 (2007)).
/// BCa: quantiles at `Φ(ẑ₀ + (ẑ₀ + z)/(1 − â(ẑ₀ + z)))`, `ẑ₀ = Φ⁻¹(#{σ* < σ̂}/B)`, `â = Σd³/6(Σd²)^{3/2}` with
/// `d` the jackknife differences over clusters (Efron, JASA 82, 171 (1987)).
///
/// `None` for fewer than [`FEWEST_CLUSTERS`] clusters, an empty one, fewer than 100 resamples, or residuals that are all 0.
#[must_use]
pub fn bootstrap_sigma(
    clusters: &[Vec<Squares>],
    resampling: Resampling,
    resamples: usize,
    rng: &mut impl Rng,
) -> Option<BootstrapSigma> {
    let totals: Vec<Squares> = clusters.iter().map(|parts| total(parts)).collect();
    let all = total(&totals);
    let empty = clusters.iter().any(Vec::is_empty) || totals.iter().any(|cluster| cluster.n <= 0.0);
    if clusters.len() < FEWEST_CLUSTERS || empty || resamples < 100 || all.sum <= 0.0 {
        return None;
    }
    let sigma = all.rms();
    let drawn: Vec<f64> = (0..resamples)
        .map(|_| {
            let mut sample = Squares::default();
            for _ in 0..clusters.len() {
                let cluster = rng.random_range(0..clusters.len());
                match resampling {
                    Resampling::Clusters => sample.add(totals[cluster]),
                    Resampling::TwoLevel => {
                        let parts = &clusters[cluster];
                        for _ in 0..parts.len() {
                            sample.add(parts[rng.random_range(0..parts.len())]);
                        }
                    }
                }
            }
            sample.rms()
        })
        .collect();
    let correction = Correction::of(&drawn, sigma, &without(&totals, all))?;
    let ordered = sorted(&drawn);
    Some(BootstrapSigma {
        sigma,
        percentile_ci95: [0.025, 0.975].map(|p| quantile(&ordered, p)),
        bca_ci95: [0.025, 0.975].map(|p| quantile(&ordered, correction.level(p))),
        bias_correction: correction.bias,
        acceleration: correction.acceleration,
        clusters: clusters.len(),
        resamples,
    })
}

fn total(parts: &[Squares]) -> Squares {
    parts.iter().fold(Squares::default(), |mut sum, &part| {
        sum.add(part);
        sum
    })
}

/// σ without each cluster in turn.
fn without(totals: &[Squares], all: Squares) -> Vec<f64> {
    totals
        .iter()
        .map(|cluster| Squares { n: all.n - cluster.n, sum: (all.sum - cluster.sum).max(0.0) }.rms())
        .collect()
}

/// BCa: at which quantiles of the resamples the ends of an interval lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Correction {
    /// `ẑ₀`.
    bias: f64,
    /// `â`.
    acceleration: f64,
}

impl Correction {
    /// From the resamples, the estimate, and the estimates without each cluster; `None` without resamples.
    pub(super) fn of(drawn: &[f64], estimate: f64, without: &[f64]) -> Option<Self> {
        let (n, clusters) = (drawn.len() as f64, without.len() as f64);
        // Half of the ties, and never all or none: Φ⁻¹ must be finite.
        let part = |&x: &f64| {
            if x < estimate {
                1.0
            } else if x == estimate {
                0.5
            } else {
                0.0
            }
        };
        let share = drawn.iter().map(part).sum::<f64>() / n;
        let normal = Normal::new(0.0, 1.0).ok()?;
        let mean = without.iter().sum::<f64>() / clusters;
        let (mut squares, mut cubes) = (0.0, 0.0);
        for value in without {
            let d = mean - value;
            squares += d * d;
            cubes += d * d * d;
        }
        let acceleration = if squares > 0.0 { cubes / (6.0 * squares.powf(1.5)) } else { 0.0 };
        let bias = (!drawn.is_empty()).then(|| normal.inverse_cdf(share.clamp(0.5 / n, 1.0 - 0.5 / n)))?;
        Some(Self { bias, acceleration })
    }

    /// Quantile of the resamples that stands for quantile `p` of the estimate.
    pub(super) fn level(self, p: f64) -> f64 {
        Normal::new(0.0, 1.0).map_or(p, |normal| {
            let z = self.bias + normal.inverse_cdf(p);
            normal.cdf(self.bias + z / (1.0 - self.acceleration * z))
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use ndarray::{Array2, Array3};
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    use super::*;
    use crate::statistics::interval::sigma_ci95;

    const SETS: u64 = 400;

    /// 50 programmings of 8 × 4, an error 0.8 common to each programming and 0.6 of each element: σ = 1.
    fn clustered(rng: &mut impl Rng) -> Array3<f64> {
        let mut r = Array3::from_shape_simple_fn((50, 8, 4), || -> f64 { StandardNormal.sample(rng) }) * 0.6;
        for mut matrix in r.outer_iter_mut() {
            let common: f64 = StandardNormal.sample(rng);
            matrix += 0.8 * common;
        }
        r
    }

    fn coverage(interval: impl Fn(&Array3<f64>, &mut ChaCha8Rng) -> [f64; 2]) -> f64 {
        let covered = (0..SETS)
            .filter(|&seed| {
                let rng = &mut ChaCha8Rng::seed_from_u64(seed);
                let r = clustered(rng);
                let [low, high] = interval(&r, rng);
                (low..=high).contains(&1.0)
            })
            .count();
        covered as f64 / SETS as f64
    }

    /// 4 binomial standard errors of 95 % over the sets.
    fn bound() -> f64 {
        4.0 * (0.95 * 0.05 / SETS as f64).sqrt()
    }

    fn bootstrapped(r: &Array3<f64>, resampling: Resampling, rng: &mut ChaCha8Rng) -> BootstrapSigma {
        let kept = Array2::from_elem((8, 4), true);
        bootstrap_sigma(&by_programming(r.view(), kept.view()), resampling, 1000, rng).unwrap()
    }

    #[test]
    fn the_corrected_interval_covers_where_matrices_share_an_error() {
        let covered = coverage(|r, rng| bootstrapped(r, Resampling::Clusters, rng).bca_ci95);
        assert!((covered - 0.95).abs() <= bound(), "{covered}");
    }

    #[test]
    fn two_levels_cover_too() {
        let covered = coverage(|r, rng| bootstrapped(r, Resampling::TwoLevel, rng).bca_ci95);
        assert!(covered >= 0.95 - bound(), "{covered}");
    }

    #[test]
    fn counting_every_residual_does_not_cover() {
        // Var(r²) within a programming is correlated: Var of the mean square is 2(0.8⁴/50 + …), 14 times that of 1600
        // independent ones, so the interval is 3.7 times too narrow and covers about 40 %.
        let covered = coverage(|r, _| sigma_ci95(Squares::of(r.as_slice().unwrap()).rms(), r.len() as f64));
        assert!(covered < 0.6, "{covered}");
    }

    #[test]
    fn independent_clusters_give_the_chi_square_interval() {
        // 2000 Gaussian residuals as clusters of 1: width 3.92 σ/√2n, of which the bootstrap's quantiles vary by 3 %.
        let rng = &mut ChaCha8Rng::seed_from_u64(9);
        let clusters: Vec<Vec<Squares>> = (0..2000)
            .map(|_| {
                let residual: f64 = StandardNormal.sample(rng);
                vec![Squares::of(&[residual])]
            })
            .collect();
        let found = bootstrap_sigma(&clusters, Resampling::Clusters, 4000, rng).unwrap();
        let exact = sigma_ci95(found.sigma, 2000.0);
        for (found, exact) in found.bca_ci95.iter().zip(exact) {
            // A quantile at 2.5 % of 4000 varies by √(p(1−p)/B)/φ(z) = 0.042 standard errors σ/√2n = 0.0158; and Var(r²)
            // itself is known to √(24/2000)/2 = 5 %, half of it in the width: 1.96·0.027 standard errors. Together 0.07.
            assert!((found - exact).abs() < 4.0 * 0.07 * 0.0158, "{found} {exact}");
        }
    }

    #[test]
    fn groups_follow_matrices_or_rows_and_leave_out_what_is_not_kept() {
        let r = Array3::from_shape_fn((3, 2, 2), |(p, i, j)| (p * 4 + i * 2 + j) as f64);
        let mut kept = Array2::from_elem((2, 2), true);
        kept[(1, 0)] = false;
        let matrices = by_programming(r.view(), kept.view());
        assert_eq!((matrices.len(), matrices[0].len()), (3, 2));
        assert_eq!(matrices[0][1], Squares { n: 1.0, sum: 9.0 });
        let rows = by_row(r.view(), kept.view());
        assert_eq!((rows.len(), rows[1].len()), (2, 3));
        assert_eq!(rows[1][2], Squares { n: 1.0, sum: 121.0 });
    }

    #[test]
    fn too_little_gives_no_interval() {
        let rng = &mut ChaCha8Rng::seed_from_u64(0);
        let one = vec![Squares { n: 4.0, sum: 1.0 }];
        assert!(bootstrap_sigma(&vec![one.clone(); 4], Resampling::Clusters, 1000, rng).is_none());
        assert!(bootstrap_sigma(&vec![one.clone(); 5], Resampling::Clusters, 99, rng).is_none());
        let equal = bootstrap_sigma(&vec![one; 5], Resampling::TwoLevel, 100, rng).unwrap();
        assert_eq!((equal.bca_ci95, equal.acceleration), ([0.5, 0.5], 0.0));
    }
}
