//! Sweeps are accepted by what they are sure of, or measured again, or told by name.

use super::{
    Work,
    start::{Group, SILENT, measure, median},
    sweep::{Response, Series, Swept},
};
use crate::{
    characterise::CharacteriseError,
    coherent::{characterisation::SweepTally, twin::Layout},
};

/// Most that a sweep may leave open of a phase at 0 V, radians, and of a slope.
const PHASE: f64 = 0.05;
const SLOPE: f64 = 0.01;
/// Points of the second sweep over those of the first.
const AGAIN: usize = 2;
/// Share of the random settings that may be given up for second sweeps: as many frames are measured as without.
const SPARE: f64 = 0.1;

/// All sweeps of one characterisation.
pub(super) struct Trials {
    /// Frames that may still be spent, and those that were.
    spare: usize,
    pub(super) spent: usize,
    pub(super) tally: SweepTally,
    /// Shifters that are not sure even so.
    unsure: Vec<usize>,
}

/// One group's sweep.
pub(super) struct Trial<'a> {
    pub(super) group: &'a Group,
    pub(super) series: Series,
    pub(super) swept: Swept,
}

impl Trials {
    /// `settings` random settings are to be measured.
    pub(super) fn new(settings: usize) -> Self {
        let spare = (SPARE * settings as f64) as usize;
        Self { spare, spent: 0, tally: SweepTally::default(), unsure: Vec::new() }
    }

    /// The sweep of `trial`, or of it and a second one where that leaves too much open about a shifter which is not
    /// silent. `usual` is the response of a sound shifter.
    pub(super) async fn settle(
        &mut self,
        work: &mut Work<'_, '_>,
        trial: Trial<'_>,
        background: &[alora_drivers::Code],
        usual: f64,
    ) -> Result<Swept, CharacteriseError> {
        let Trial { group, series, swept } = trial;
        let unsure = |swept: &Swept| -> Vec<usize> {
            let each = group.shifters.iter().zip(&swept.responses);
            each.filter(|(_, response)| !sure(response) && response.strength >= SILENT * usual)
                .map(|(&shifter, _)| shifter)
                .collect()
        };
        let most = |of: fn(&Response) -> f64| swept.responses.iter().map(of).fold(0.0, f64::max);
        let (phase, slope) = (most(|response| response.doubt.phase), most(|response| response.doubt.slope));
        tracing::debug!(group.name, phase, slope, "swept");
        let first = unsure(&swept);
        let silent = swept.responses.iter().filter(|response| response.strength < SILENT * usual).count();
        self.tally.accepted += group.shifters.len() - first.len() - silent;
        if first.is_empty() {
            return Ok(swept);
        }
        let points = AGAIN * series.drives.nrows();
        if points > self.spare {
            self.unsure.extend(first);
            return Ok(swept);
        }
        self.spare -= points;
        self.spent += points;
        self.tally.retried += first.len();
        let name = format!("{}-again", group.name);
        let both = series.and(&measure(work, &name, group, background, points).await?);
        let swept = both.take_apart(work.layout.modes());
        self.unsure.extend(unsure(&swept));
        Ok(swept)
    }

    /// The tally, with the names of those that are not sure.
    pub(super) fn told(self, layout: &Layout) -> SweepTally {
        let mut unsure = self.unsure;
        unsure.sort_unstable();
        let failed = unsure.into_iter().map(|shifter| layout.name(shifter)).collect();
        SweepTally { failed, ..self.tally }
    }
}

fn sure(response: &Response) -> bool {
    response.doubt.phase <= PHASE && response.doubt.slope <= SLOPE
}

/// Median response of a group: that of a sound shifter while most are sound.
pub(super) fn usual(swept: &Swept) -> f64 {
    median(&swept.responses.iter().map(|response| response.strength).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use num_complex::Complex64;
    use rand::{RngExt, SeedableRng, seq::SliceRandom};
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    use super::*;

    /// Slope of the second of three shifters found over `count` noisy sweeps less the true one, over its stated uncertainty.
    fn pulls(noise: f64, count: u64) -> Vec<f64> {
        let (modes, points) = (3, 26);
        let true_slopes = [0.03, -0.05, 0.08];
        (0..count)
            .map(|seed| {
                let mut rng = ChaCha8Rng::seed_from_u64(seed);
                let mut drives = Array2::zeros((points, 3));
                for k in 0..3 {
                    let mut levels: Vec<f64> = (0..points).map(|p| 9.0 * p as f64 / 25.0).collect();
                    levels.shuffle(&mut rng);
                    drives.column_mut(k).iter_mut().zip(levels).for_each(|(drive, level)| *drive = level);
                }
                let mut unit = || Complex64::new(rng.random_range(-1.0..1.0), rng.random_range(-1.0..1.0));
                let constant: Vec<Complex64> = (0..9).map(|_| unit()).collect();
                let rank_one: Vec<Vec<Complex64>> = (0..3)
                    .map(|_| {
                        let (u, v): (Vec<_>, Vec<_>) =
                            ((0..3).map(|_| unit()).collect(), (0..3).map(|_| unit()).collect());
                        (0..9).map(|index| u[index / 3] * v[index % 3]).collect()
                    })
                    .collect();
                let mut matrices = Array2::zeros((points, 9));
                for point in 0..points {
                    for entry in 0..9 {
                        let waves: Complex64 = (0..3)
                            .map(|k| {
                                rank_one[k][entry]
                                    * Complex64::cis((1.0 + true_slopes[k]) * drives[(point, k)])
                            })
                            .sum();
                        let (re, im): (f64, f64) =
                            (StandardNormal.sample(&mut rng), StandardNormal.sample(&mut rng));
                        matrices[(point, entry)] = constant[entry] + waves + noise * Complex64::new(re, im);
                    }
                }
                let swept = Series { drives, matrices }.take_apart(modes);
                let response = &swept.responses[1];
                (response.slope - true_slopes[1]) / response.doubt.slope
            })
            .collect()
    }

    #[test]
    fn slopes_of_sweeps_are_as_far_off_as_their_uncertainties_say() {
        let pulls = pulls(0.05, 60);
        let mean_square = pulls.iter().map(|pull| pull * pull).sum::<f64>() / pulls.len() as f64;
        // χ² of 60 over 60 is within 1 ± 4 · √(2/60).
        assert!((mean_square - 1.0).abs() < 0.73, "{mean_square}");
    }
}
