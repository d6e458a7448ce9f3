//! What is taken for likely of a ring's parameters before its readings are looked at.

use std::ops::Range;

use super::{
    bank::{
        BIAS, BankModel, FIRST_PAIR, FIRST_TAIL, IN_ROW, NEAREST, OFF, PAIRS, PARAMETERS, QUARTIC, SPAN,
        SWING, Theta,
    },
    global::Errors,
    solve::median,
    sweeps::Swept,
};

/// Tolerances about the sweep of a ring: share of the nominal swing, radians, share of the span.
const LEVEL: f64 = 0.1;
const PHASE: f64 = 0.1;
const EFFICIENCY: f64 = 0.15;
/// Standard errors from which a spread is taken for seen.
const SEEN: f64 = 2.0;
/// Share by which variances are trusted: a smaller excess may be theirs.
const TRUST: f64 = 0.2;
/// Stands for a parameter that a ring does not have.
pub(super) const ABSENT: f64 = 1e-6;
/// Classes of parameters that are alike over the rings of a bank.
pub(super) const CLASSES: usize = 5;
/// The class of the tails.
pub(super) const TAILS: usize = 4;

/// Parameters whose values over the rings have one mean and one spread.
struct Class {
    parameters: Range<usize>,
    /// Mean that is taken for likely, and its tolerance.
    mean: f64,
    tolerance: f64,
    /// Spread over the rings before any is known, and the least: no parameter is ever taken for known.
    spread: f64,
    least: f64,
}

/// Quartic term; crosstalk of the nearest, the diagonal and those two away; tails.
const OF_BANK: [Class; CLASSES] = [
    Class { parameters: QUARTIC..QUARTIC + 1, mean: 0.0, tolerance: 0.03, spread: 0.01, least: 5e-4 },
    Class {
        parameters: FIRST_PAIR..FIRST_PAIR + NEAREST,
        mean: 0.0,
        tolerance: 0.05,
        spread: 0.02,
        least: 1e-3,
    },
    Class {
        parameters: FIRST_PAIR + NEAREST..FIRST_PAIR + 8,
        mean: 0.0,
        tolerance: 0.01,
        spread: 2e-3,
        least: 1e-4,
    },
    Class { parameters: FIRST_PAIR + 8..FIRST_TAIL, mean: 0.0, tolerance: 0.01, spread: 2e-3, least: 1e-4 },
    Class { parameters: FIRST_TAIL..PARAMETERS, mean: 1.0, tolerance: 0.2, spread: 0.1, least: 0.01 },
];

/// The class of a parameter, if it has one.
pub(super) fn class_of(parameter: usize) -> Option<usize> {
    OF_BANK.iter().position(|class| class.parameters.contains(&parameter))
}

/// Mean of each class that is taken for likely, and its tolerance.
pub(super) fn hyperprior() -> [(f64, f64); CLASSES] {
    std::array::from_fn(|class| (OF_BANK[class].mean, OF_BANK[class].tolerance))
}

/// Independent Gaussians.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Prior {
    pub(super) mean: Theta,
    pub(super) sd: Theta,
}

impl Prior {
    /// About what the sweep found of ring `ring`, without tails; `still` is what a ring that does not follow its heater
    /// is taken for, and `swing` the nominal swing.
    pub(super) fn about(swept: &Swept, still: &Theta, swing: f64) -> Self {
        let mean = match swept {
            Swept::Sound(theta) | Swept::Odd(theta) => *theta,
            Swept::Still => *still,
        };
        let mut sd = [ABSENT; PARAMETERS];
        sd[OFF] = LEVEL * swing;
        sd[SWING] = LEVEL * swing;
        sd[BIAS] = PHASE;
        if !matches!(swept, Swept::Still) {
            sd[SPAN] = (EFFICIENCY * mean[SPAN]).max(1e-3);
            sd[QUARTIC] = OF_BANK[0].spread;
        }
        Self { mean, sd }
    }

    /// The same with the crosstalk of those neighbours that there are.
    pub(super) fn among(mut self, model: &BankModel, ring: usize) -> Self {
        for pair in 0..PAIRS {
            let parameter = FIRST_PAIR + pair;
            if let (Some(_), Some(class)) = (model.neighbour(ring, pair), class_of(parameter)) {
                self.sd[parameter] = OF_BANK[class].spread;
            }
        }
        self
    }

    /// The same with the tails of those neighbours that there are.
    pub(super) fn with_tails(mut self, model: &BankModel, ring: usize) -> Self {
        for (side, pair) in IN_ROW.into_iter().enumerate() {
            if model.neighbour(ring, pair).is_some() {
                self.mean[FIRST_TAIL + side] = OF_BANK[TAILS].mean;
                self.sd[FIRST_TAIL + side] = OF_BANK[TAILS].spread;
            }
        }
        self
    }

    /// The class of a parameter that this ring has.
    pub(super) fn class(&self, parameter: usize) -> Option<usize> {
        class_of(parameter).filter(|_| self.sd[parameter] > ABSENT)
    }
}

/// Puts the spread over the rings that was found in the place of the guess, class by class (empirical Bayes; Efron &
/// Morris, JASA 68, 117 (1973)).
pub(super) fn learn_spreads(priors: &mut [Prior], rings: &[Theta], errors: &Errors) {
    for (class, of_bank) in OF_BANK.iter().enumerate() {
        let mut known = Vec::new();
        for ((prior, theta), error) in priors.iter().zip(rings).zip(&errors.rings) {
            for parameter in of_bank.parameters.clone().filter(|&p| prior.class(p) == Some(class)) {
                // What the readings alone say: the prior's share taken out of value and error.
                let share = (error[parameter] / prior.sd[parameter]).powi(2);
                if share < 0.9 {
                    let deviation = (theta[parameter] - prior.mean[parameter]) / (1.0 - share);
                    known.push((deviation, error[parameter].powi(2) / (1.0 - share)));
                }
            }
        }
        let Some(spread) = spread(&known) else { continue };
        for prior in priors.iter_mut() {
            for parameter in of_bank.parameters.clone().filter(|&p| class_of(p) == Some(class)) {
                if prior.sd[parameter] > ABSENT {
                    prior.sd[parameter] = spread.max(of_bank.least);
                }
            }
        }
    }
}

/// True spread of deviations of known variance: the variance found less theirs, each weighed by its precision (after
/// DerSimonian & Laird, Control. Clin. Trials 7, 177 (1986)); outliers left out.
fn spread(known: &[(f64, f64)]) -> Option<f64> {
    if known.len() < 8 {
        return None;
    }
    let scale = 1.4826 * median(known.iter().map(|(deviation, _)| deviation.abs()).collect());
    let (mut excess, mut weights, mut doubt, mut expected) = (0.0, 0.0, 0.0, 0.0);
    for (deviation, variance) in known.iter().filter(|(deviation, _)| deviation.abs() <= 4.0 * scale) {
        let weight = (variance + scale * scale).powi(-2);
        excess += weight * (deviation * deviation - variance);
        weights += weight;
        expected += weight * variance;
        // Without a spread, the square of a deviation has the variance 2 s⁴.
        doubt += 2.0 * (weight * variance).powi(2);
    }
    Some(if excess > f64::max(SEEN * doubt.sqrt(), TRUST * expected) {
        (excess / weights).sqrt()
    } else {
        0.0
    })
}
