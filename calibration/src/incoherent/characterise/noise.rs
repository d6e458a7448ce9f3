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
