//! What is taken for likely of a ring's parameters before its readings are looked at.

use super::{
    bank::{BIAS, FIRST_PAIR, NEAREST, OFF, PAIRS, PARAMETERS, QUARTIC, SPAN, SWING, Theta},
    global::Errors,
    solve::median,
    sweeps::Swept,
};

/// Tolerances about the sweep of a ring: share of the nominal swing, radians, share of the span.
const LEVEL: f64 = 0.1;
const PHASE: f64 = 0.1;
const EFFICIENCY: f64 = 0.15;
/// Quartic term and crosstalk as they are taken for likely before any ring is known.
const QUARTIC_SD: f64 = 0.03;
const NEAR_SD: f64 = 0.05;
const FAR_SD: f64 = 0.005;
/// Least spreads over the rings, so that no parameter is ever taken for known.
const LEAST_QUARTIC: f64 = 2e-3;
const LEAST_NEAR: f64 = 2e-3;
const LEAST_FAR: f64 = 2e-4;
/// Stands for a parameter that a ring does not have.
const ABSENT: f64 = 1e-9;

/// Independent Gaussians.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Prior {
    pub(super) mean: Theta,
    pub(super) sd: Theta,
}

impl Prior {
    /// About what the sweep found; `still` is what a ring that does not follow its heater is taken for, and `swing` the
    /// nominal swing.
    pub(super) fn about(swept: &Swept, still: &Theta, swing: f64) -> Self {
        let mean = match swept {
            Swept::Sound(theta) | Swept::Odd(theta) => *theta,
            Swept::Still => *still,
        };
        let follows = !matches!(swept, Swept::Still);
        let mut sd = [0.0; PARAMETERS];
        sd[OFF] = LEVEL * swing;
        sd[SWING] = LEVEL * swing;
        sd[BIAS] = PHASE;
        sd[SPAN] = if follows { (EFFICIENCY * mean[SPAN]).max(1e-3) } else { ABSENT };
        sd[QUARTIC] = if follows { QUARTIC_SD } else { ABSENT };
        sd[FIRST_PAIR..FIRST_PAIR + NEAREST].fill(NEAR_SD);
        sd[FIRST_PAIR + NEAREST..].fill(FAR_SD);
        Self { mean, sd }
    }
}

/// Puts mean and spread over the sound rings in the place of the guesses (empirical Bayes; Efron & Morris, JASA 68, 117
/// (1973)): for the quartic term, the nearest neighbours, the diagonal ones and those two away.
pub(super) fn learn(priors: &mut [Prior], rings: &[Theta], errors: &Errors, sound: &[bool]) {
    let classes: [(std::ops::Range<usize>, f64); 4] = [
        (QUARTIC..QUARTIC + 1, LEAST_QUARTIC),
        (FIRST_PAIR..FIRST_PAIR + NEAREST, LEAST_NEAR),
        (FIRST_PAIR + NEAREST..FIRST_PAIR + 8, LEAST_FAR),
        (FIRST_PAIR + 8..FIRST_PAIR + PAIRS, LEAST_FAR),
    ];
    for (parameters, least) in classes {
        let mut known = Vec::new();
        for ring in (0..rings.len()).filter(|&ring| sound[ring]) {
            for parameter in parameters.clone() {
                let error = errors.rings[ring][parameter];
                // Where the data say less than the prior there is nothing to learn.
                if error < 0.7 * priors[ring].sd[parameter] {
                    known.push((rings[ring][parameter], error));
                }
            }
        }
        let Some((mean, sd)) = spread(&known) else { continue };
        for (prior, _) in priors.iter_mut().zip(sound).filter(|(_, sound)| **sound) {
            for parameter in parameters.clone() {
                prior.mean[parameter] = mean;
                prior.sd[parameter] = sd.max(least);
            }
        }
    }
}

/// Mean and true spread of estimates with errors: the variance found less that of the errors.
fn spread(known: &[(f64, f64)]) -> Option<(f64, f64)> {
    if known.len() < 8 {
        return None;
    }
    let centre = median(known.iter().map(|(value, _)| *value).collect());
    let scale = 1.4826 * median(known.iter().map(|(value, _)| (value - centre).abs()).collect());
    let kept: Vec<_> = known.iter().filter(|(value, _)| (value - centre).abs() <= 4.0 * scale).collect();
    let n = kept.len().max(1) as f64;
    let mean = kept.iter().map(|(value, _)| value).sum::<f64>() / n;
    let variance = kept.iter().map(|(value, error)| (value - mean).powi(2) - error * error).sum::<f64>() / n;
    Some((mean, variance.max(0.0).sqrt()))
}
