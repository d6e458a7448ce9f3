//! Cells that differ in their seed only, taken together.

use super::{
    cell::{Method, Percent},
    config::Shown,
    plan::SweepPlan,
    result::{CellResult, Outcome},
    store::SweepStore,
};

/// Mean over seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct OverSeeds {
    /// Mean.
    pub(super) mean: f64,
    /// Standard error of the mean, `s/√n` with the sample's standard deviation; `None` for one seed.
    pub(super) standard_error: Option<f64>,
}

impl OverSeeds {
    /// `None` without values.
    pub(super) fn of(values: &[f64]) -> Option<Self> {
        let n = values.len();
        if n == 0 {
            return None;
        }
        let mean = values.iter().sum::<f64>() / n as f64;
        let square = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
        let standard_error = (n > 1).then(|| (square / (n - 1) as f64 / n as f64).sqrt());
        Some(Self { mean, standard_error })
    }
}

/// Which point of which curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct At<'a> {
    pub(super) model: &'a str,
    pub(super) task: &'a str,
    pub(super) method: Method,
    pub(super) bits: u8,
    pub(super) sigma: Percent,
}

/// What the seeds gave at one point.
pub(super) struct Point<'a> {
    results: Vec<&'a CellResult>,
    pub(super) failed: usize,
}

impl<'a> Point<'a> {
    pub(super) fn gather(plan: &'a SweepPlan, store: &'a SweepStore, at: At<'_>) -> Self {
        let mut point = Self { results: Vec::new(), failed: 0 };
        for planned in plan.cells() {
            let cell = &planned.cell;
            let here = At {
                model: &cell.model,
                task: &cell.task,
                method: cell.method,
                bits: cell.bits,
                sigma: cell.sigma,
            };
            if here != at {
                continue;
            }
            match store.record(planned).map(|record| &record.outcome) {
                Some(Outcome::Done { result }) => point.results.push(result),
                Some(Outcome::Failed { .. }) => point.failed += 1,
                None => {}
            }
        }
        point
    }

    /// Accuracy over seeds.
    pub(super) fn accuracy(&self, shown: Shown) -> Option<OverSeeds> {
        let draws = self.results.iter().filter_map(|result| match shown {
            Shown::Fresh => Some(result.fresh),
            Shown::Frozen => result.frozen,
        });
        OverSeeds::of(&draws.map(|draws| draws.mean).collect::<Vec<_>>())
    }

    /// Ends of an error bar: with `several` seeds planned the mean and its standard error both ways, if more than one has a
    /// result; else the least and the greatest draw.
    pub(super) fn bounds(&self, shown: Shown, several: bool) -> Option<(f64, f64)> {
        if several {
            let OverSeeds { mean, standard_error } = self.accuracy(shown)?;
            let error = standard_error?;
            return Some(((mean - error).max(0.0), (mean + error).min(1.0)));
        }
        let result = self.results.first()?;
        let draws = match shown {
            Shown::Fresh => result.fresh,
            Shown::Frozen => result.frozen?,
        };
        (draws.n > 1).then_some((draws.min, draws.max))
    }

    /// Digital accuracy of each seed.
    pub(super) fn digital(&self) -> Vec<f64> {
        self.results.iter().map(|result| result.digital).collect()
    }

    /// Parameters trained, and in all.
    pub(super) fn parameters(&self) -> Option<(u64, u64)> {
        self.results.first().map(|result| (result.trainable, result.total))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_standard_error_is_that_of_the_mean_of_a_sample() {
        let over = OverSeeds::of(&[0.90, 0.92, 0.97]).unwrap();
        // Mean 0.93; squares 9 + 1 + 16 in 10⁻⁴, over n − 1 = 2 and n = 3.
        assert!((over.mean - 0.93).abs() < 1e-15);
        assert!((over.standard_error.unwrap() - (26e-4_f64 / 6.0).sqrt()).abs() < 1e-15);
        assert_eq!(OverSeeds::of(&[0.9]), Some(OverSeeds { mean: 0.9, standard_error: None }));
        assert_eq!(OverSeeds::of(&[]), None);
    }
}
