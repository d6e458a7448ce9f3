//! What a cell gave.

use serde::{Deserialize, Serialize};

/// Accuracy over repeated evaluations, as fractions. Invariant: made of at least one evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Draws {
    /// Mean.
    pub mean: f64,
    /// 5th percentile, interpolated linearly between order statistics.
    pub p5: f64,
    /// Least.
    pub min: f64,
    /// Greatest.
    pub max: f64,
    /// Number of evaluations.
    pub n: usize,
}

impl Draws {
    /// Summary of `accuracies`, 0 to 1 each; `None` without any.
    #[must_use]
    pub fn of(accuracies: &[f64]) -> Option<Self> {
        let mut sorted = accuracies.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (&min, &max) = (sorted.first()?, sorted.last()?);
        let n = sorted.len();
        let place = 0.05 * (n - 1) as f64;
        let below = place as usize;
        let above = sorted[(below + 1).min(n - 1)];
        let p5 = sorted[below] + (above - sorted[below]) * place.fract();
        Some(Self { mean: sorted.iter().sum::<f64>() / n as f64, p5, min, max, n })
    }
}

/// Result of one cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellResult {
    /// Accuracy of the digitally trained base in full precision, 0 to 1.
    pub digital: f64,
    /// Accuracy of the network after training in full precision, with its adapters, 0 to 1.
    pub adapted: f64,
    /// Accuracy through the converters at σ = 0, 0 to 1.
    pub quantised: f64,
    /// Parameters that were trained.
    pub trainable: u64,
    /// Parameters in all.
    pub total: u64,
    /// Wall time of the cell, training included.
    pub seconds: f64,
    /// Mean training loss of epoch 1, 2, …; empty when nothing was trained.
    #[serde(default)]
    pub losses: Vec<f64>,
    /// Accuracy with errors drawn anew for each execution.
    pub fresh: Draws,
    /// Accuracy over chips with frozen errors; `None` when no chip was asked for.
    pub frozen: Option<Draws>,
}

impl CellResult {
    /// A sentence about the first number that cannot be: a network that diverged reports NaN.
    pub(super) fn impossible(&self) -> Option<String> {
        let Self { digital, adapted, quantised, fresh, frozen, seconds, .. } = self;
        let frozen = frozen.iter().flat_map(|draws| draws.named("frozen"));
        let accuracies = [("digital", *digital), ("adapted", *adapted), ("quantised", *quantised)]
            .map(|(name, value)| (name.to_owned(), value));
        let accuracies = accuracies.into_iter().chain(fresh.named("fresh")).chain(frozen);
        if let Some((name, value)) = accuracies.into_iter().find(|(_, value)| !(0.0..=1.0).contains(value)) {
            return Some(format!("the {name} accuracy is {value}, expected a fraction from 0 to 1"));
        }
        if let Some(loss) = self.losses.iter().find(|loss| !loss.is_finite()) {
            return Some(format!("the training loss became {loss}; lower finetune.learning_rate"));
        }
        let timed = seconds.is_finite() && *seconds >= 0.0;
        (!timed).then(|| format!("the cell took {seconds} s, expected zero or more"))
    }
}

impl Draws {
    fn named(&self, kind: &str) -> [(String, f64); 4] {
        let Self { mean, p5, min, max, .. } = *self;
        [("mean", mean), ("5th percentile of the", p5), ("least", min), ("greatest", max)]
            .map(|(name, value)| (format!("{name} {kind}"), value))
    }
}

/// How a cell ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// With a result.
    Done {
        /// It.
        result: CellResult,
    },
    /// Without, e.g. since training diverged.
    Failed {
        /// Why, with causes.
        reason: String,
    },
}

impl Outcome {
    /// The result, if there is one.
    #[must_use]
    pub fn result(&self) -> Option<&CellResult> {
        match self {
            Self::Done { result } => Some(result),
            Self::Failed { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_5th_percentile_lies_between_order_statistics() {
        // numpy.percentile([.5, .6, .7, .8, .9], 5) = 0.52: place 0.05 · 4 = 0.2 of the way to the second.
        let draws = Draws::of(&[0.9, 0.5, 0.7, 0.6, 0.8]).unwrap();
        assert!((draws.p5 - 0.52).abs() < 1e-15);
        assert!((draws.mean - 0.7).abs() < 1e-15);
        assert_eq!((draws.min, draws.max, draws.n), (0.5, 0.9, 5));
        let one = Draws { mean: 0.4, p5: 0.4, min: 0.4, max: 0.4, n: 1 };
        assert_eq!((Draws::of(&[0.4]), Draws::of(&[])), (Some(one), None));
    }

    #[test]
    fn a_number_that_cannot_be_is_told_in_a_sentence() {
        let fresh = Draws::of(&[0.8]).unwrap();
        let good = CellResult {
            digital: 0.9,
            adapted: 0.9,
            quantised: 0.9,
            trainable: 0,
            total: 10,
            seconds: 1.0,
            losses: vec![0.3],
            fresh,
            frozen: None,
        };
        assert_eq!(good.impossible(), None);
        let sentence = |result: CellResult| result.impossible().unwrap();
        let frozen = Some(Draws { p5: 1.5, ..fresh });
        assert_eq!(
            sentence(CellResult { frozen, ..good.clone() }),
            "the 5th percentile of the frozen accuracy is 1.5, expected a fraction from 0 to 1"
        );
        assert_eq!(
            sentence(CellResult { losses: vec![1.0, f64::NAN], ..good.clone() }),
            "the training loss became NaN; lower finetune.learning_rate"
        );
        assert_eq!(
            sentence(CellResult { seconds: -1.0, ..good }),
            "the cell took -1 s, expected zero or more"
        );
    }
}
