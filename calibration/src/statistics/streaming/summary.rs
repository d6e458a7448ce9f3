//! What a stream amounts to.

use serde::{Deserialize, Serialize};

use super::{
    bins::{BINS, Bins},
    moments::Moments,
    places::Places,
};
use crate::statistics::{
    histogram::Histogram,
    moments::{Estimate, MAD_TO_SIGMA, excess_kurtosis_of, skewness_of},
    normality::{AndersonDarling, anderson_darling},
};

/// Mean residual of each row and column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlaceMeans {
    /// Means of the rows.
    pub rows: Vec<f64>,
    /// Means of the columns.
    pub columns: Vec<f64>,
}

/// Statistics of a stream of residuals, in their unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StreamSummary {
    /// Finite residuals.
    pub n: u64,
    /// Residuals left out because they are no finite number.
    pub not_finite: u64,
    /// Mean.
    pub mean: f64,
    /// `√(Σr²/n)`.
    pub rms: f64,
    /// `√(Σ(r − mean)²/n)`.
    pub gaussian_mle: f64,
    /// Skewness `G₁`, as [`crate::statistics::moments::skewness`].
    pub skewness: Option<Estimate>,
    /// Excess kurtosis `G₂`, as [`crate::statistics::moments::excess_kurtosis`].
    pub excess_kurtosis: Option<Estimate>,
    /// Least residual; 0 when there is none.
    pub min: f64,
    /// Greatest residual.
    pub max: f64,
    /// Median, to ± `resolution`.
    pub median: f64,
    /// `1.4826·MAD`, to ± 1.4826·`resolution`.
    pub mad_sigma: f64,
    /// Width of the fine bins from which quantiles are read.
    pub resolution: f64,
    /// Anderson–Darling test of a random subsample.
    pub anderson_darling: Option<AndersonDarling>,
    /// Size of the subsample.
    pub subsample: usize,
    /// Means of rows and columns, where matrices were pushed; what is not finite counts as 0.
    pub structure: Option<PlaceMeans>,
    /// Index of the first fine bin that is kept; bin `BINS/2` begins at 0.
    first: usize,
    /// Counts of the fine bins from there on, without the empty ones at the ends.
    counts: Vec<u64>,
    below: u64,
    above: u64,
}

impl StreamSummary {
    pub(super) fn of(
        moments: &Moments,
        not_finite: u64,
        bins: &Bins,
        subsample: &[f64],
        sums: Option<&Places>,
    ) -> Self {
        let (resolution, all) = bins.filled();
        let first = all.iter().position(|&count| count > 0).unwrap_or(BINS / 2);
        let last = all.iter().rposition(|&count| count > 0).unwrap_or(first);
        let n = moments.n as u64;
        let (m2, m3, m4) = (moments.m2 / moments.n, moments.m3 / moments.n, moments.m4 / moments.n);
        let shaped = n >= 4 && m2 > 0.0;
        let total = (n + not_finite) as f64;
        let means = |sums: &[f64]| sums.iter().map(|sum| sum * sums.len() as f64 / total).collect();
        let mut summary = Self {
            n,
            not_finite,
            mean: moments.mean,
            rms: moments.rms(),
            gaussian_mle: if n > 0 { m2.sqrt() } else { 0.0 },
            skewness: shaped.then(|| skewness_of(moments.n, m2, m3)),
            excess_kurtosis: shaped.then(|| excess_kurtosis_of(moments.n, m2, m4)),
            min: if n > 0 { moments.min } else { 0.0 },
            max: if n > 0 { moments.max } else { 0.0 },
            median: 0.0,
            mad_sigma: 0.0,
            resolution,
            anderson_darling: anderson_darling(subsample),
            subsample: subsample.len(),
            structure: sums.map(|sums| PlaceMeans { rows: means(&sums.rows), columns: means(&sums.columns) }),
            first,
            counts: all[first..=last].to_vec(),
            below: bins.below,
            above: bins.above,
        };
        summary.median = summary.quantile(0.5);
        summary.mad_sigma = MAD_TO_SIGMA * summary.median_deviation();
        summary
    }

    /// Lower edge of the kept bin `k`.
    fn edge(&self, k: usize) -> f64 {
        ((self.first + k) as f64 - (BINS / 2) as f64) * self.resolution
    }

    /// Quantile `p`, linear within a fine bin, so to ± `resolution`; beyond the bins linear up to the extreme. 0 without
    /// residuals.
    #[must_use]
    pub fn quantile(&self, p: f64) -> f64 {
        let mut left = p.clamp(0.0, 1.0) * self.n as f64;
        let within = |low: f64, high: f64, left: f64, count: u64| low + (high - low) * left / count as f64;
        if left < self.below as f64 {
            return within(self.min, self.edge(0), left, self.below);
        }
        left -= self.below as f64;
        for (k, &count) in self.counts.iter().enumerate() {
            if left <= count as f64 && count > 0 {
                return within(self.edge(k), self.edge(k + 1), left, count).clamp(self.min, self.max);
            }
            left -= count as f64;
        }
        let end = self.edge(self.counts.len()).min(self.max);
        if self.above > 0 { within(end, self.max, left.max(0.0), self.above) } else { end }
    }

    /// Residuals at or below `x`, linear within a bin.
    fn up_to(&self, x: f64) -> f64 {
        let position = (x - self.edge(0)) / self.resolution;
        if position.is_nan() || position <= 0.0 {
            return if x < self.edge(0) { 0.0 } else { self.below as f64 };
        }
        let whole = (position as usize).min(self.counts.len());
        let part = self.counts.get(whole).map_or(0.0, |&count| (position - whole as f64) * count as f64);
        self.below as f64 + self.counts[..whole].iter().sum::<u64>() as f64 + part
    }

    /// `median|r − median|` by halving an interval.
    fn median_deviation(&self) -> f64 {
        if self.n == 0 || self.resolution == 0.0 {
            return 0.0;
        }
        let half = 0.5 * self.n as f64;
        let (mut low, mut high) = (0.0, self.max - self.min);
        for _ in 0..60 {
            let d = 0.5 * (low + high);
            if self.up_to(self.median + d) - self.up_to(self.median - d) < half { low = d } else { high = d }
        }
        high
    }

    /// A histogram of at most `most ≥ 2` equal bins, each of `2^k` fine ones; `None` when all residuals are 0 or there are none.
    #[must_use]
    pub fn histogram(&self, most: usize) -> Option<Histogram> {
        if self.n == 0 || self.resolution == 0.0 {
            return None;
        }
        let most = most.max(2);
        let mut group = 1;
        let span = |group: usize| (self.first + self.counts.len() - 1) / group - self.first / group + 1;
        while span(group) > most {
            group *= 2;
        }
        let start = self.first / group;
        let mut counts = vec![0; span(group)];
        for (k, &count) in self.counts.iter().enumerate() {
            counts[(self.first + k) / group - start] += count;
        }
        let edge = |bin: usize| ((start + bin) * group) as f64 * self.resolution;
        let zero = (BINS / 2) as f64 * self.resolution;
        let edges = (0..=counts.len()).map(|bin| edge(bin) - zero).collect();
        Some(Histogram { edges, counts, below: self.below, above: self.above })
    }
}
