//! Noise of a reading against its photocurrent, found in the residuals.

use super::solve::median;

/// Classes of photocurrent.
const CLASSES: usize = 10;
/// Residuals beyond so many robust deviations count as that many: outliers must not widen every interval.
const CLIP: f64 = 4.0;

/// Variance of one reading at full input power, by its photocurrent.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Noise {
    /// Upper end of each class but the last.
    edges: Vec<f64>,
    variances: Vec<f64>,
}

impl Noise {
    /// The same everywhere.
    pub(super) fn uniform(sd: f64) -> Self {
        Self { edges: Vec::new(), variances: vec![sd * sd] }
    }

    /// From pairs of photocurrent and residual, in classes of equal number.
    pub(super) fn of(mut residuals: Vec<(f64, f64)>) -> Self {
        residuals.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let size = residuals.len().div_ceil(CLASSES).max(1);
        let classes: Vec<_> = residuals.chunks(size).collect();
        let edges = classes.iter().take(classes.len().saturating_sub(1));
        let edges = edges.filter_map(|class| class.last().map(|&(current, _)| current)).collect();
        let variances = classes.iter().map(|class| clipped_variance(class)).collect();
        Self { edges, variances }
    }

    /// Variance at the photocurrent `current`.
    pub(super) fn variance(&self, current: f64) -> f64 {
        let class = self.edges.partition_point(|&edge| edge < current);
        self.variances.get(class).copied().unwrap_or(1.0)
    }

    /// Standard deviation over all classes.
    pub(super) fn rms(&self) -> f64 {
        (self.variances.iter().sum::<f64>() / self.variances.len().max(1) as f64).sqrt()
    }
}

fn clipped_variance(class: &[(f64, f64)]) -> f64 {
    let deviation = 1.4826 * median(class.iter().map(|(_, residual)| residual.abs()).collect());
    let limit = (CLIP * deviation).powi(2);
    let sum: f64 = class.iter().map(|(_, residual)| (residual * residual).min(limit)).sum();
    (sum / class.len().max(1) as f64).max(1e-12)
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    use super::*;

    #[test]
    fn noise_that_grows_with_the_current_is_found_class_by_class_whatever_a_few_outliers_say() {
        let rng = &mut ChaCha8Rng::seed_from_u64(1);
        let mut residuals: Vec<(f64, f64)> = (0..20_000)
            .map(|_| {
                let current: f64 = rng.random();
                let deviate: f64 = StandardNormal.sample(rng);
                (current, (0.1 + current) * deviate)
            })
            .collect();
        residuals.iter_mut().step_by(500).for_each(|(_, residual)| *residual = 100.0);
        let noise = Noise::of(residuals);
        for current in [0.05_f64, 0.45, 0.95] {
            let expected = (0.1 + current).powi(2);
            // 2000 readings a class: 3 % in variance, 4 of them; outliers add 0.2 % · 16; the class's width 2 %.
            let found = noise.variance(current) / expected;
            assert!((0.85..1.2).contains(&found), "{current}: {found}");
        }
    }
}
