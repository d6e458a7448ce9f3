//! How well the parameters are known.
//!
//! The posterior of a linearised fit is sampled by perturbing what went into it: a draw of the noise in every quadrature
//! and of every prior, solved for the parameters, is a draw from it (Papandreou & Yuille, NIPS 23 (2010)). A few
//! draws cannot give the spread of thousands of parameters one by one; but the blocks of the preconditioner nearly
//! can, and the draws tell how far they are off, kind by kind and one by one.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::{
    curvature::Curvature,
    fit::{Fit, Squares},
    gauge::Gauge,
    optics::Fields,
    parameters::{Blocks, Twin},
    setting::Noise,
};

/// Parameters whose spread is looked at, all draws together: fewer draws where there are more of them to a kind.
const LOOKED_AT: usize = 96;
/// Draws at least, and at most.
const DRAWS: (usize, usize) = (6, 24);
/// Share of its squared residual to which a draw is solved.
const GOAL: f64 = 1e-4;
/// Weight of a kind's common ratio against a parameter's own draws, in draws.
const COMMON: f64 = 5.0;

impl Fit<'_> {
    /// Standard uncertainty of every parameter at `twin`, with the noise that the residual shows, in the canonical gauge of
    /// [`Gauge`]; 0 for what is held.
    pub(in crate::coherent) fn uncertainty(&self, twin: &Twin, curvature: &Curvature) -> Vec<f64> {
        let Squares { residual, freedom, .. } = self.squares(twin, self.noise);
        let free = self.prior.sd.iter().filter(|&&sd| sd > 0.0).count() as f64;
        // Each parameter that the data decide takes up one quadrature.
        let quadrature = (residual / (freedom - free).max(0.1 * freedom)).sqrt().max(self.noise.quadrature);
        let noise = Noise { quadrature, ..self.noise };
        let gauge = Gauge::new(self.layout);
        let count = (LOOKED_AT / self.layout.modes()).clamp(DRAWS.0, DRAWS.1);
        let (draws, nearly) = self.draws(twin, curvature, &gauge, noise, count);
        let draws_made = count as f64;
        let mut squares = vec![0.0; twin.values.len()];
        for mut draw in draws {
            in_gauge(&gauge, &twin.blocks, &mut draw);
            squares.iter_mut().zip(&draw).for_each(|(sum, d)| *sum += d * d / draws_made);
        }
        let mut variances = vec![0.0; squares.len()];
        for kind in kinds(&twin.blocks) {
            let members: Vec<usize> = kind.filter(|&k| nearly[k] > 0.0 && squares[k] > 0.0).collect();
            let mut ratios: Vec<f64> = members.iter().map(|&k| squares[k] / nearly[k]).collect();
            ratios.sort_by(f64::total_cmp);
            // Median of χ²/n over its mean (Wilson & Hilferty).
            let skew = (1.0 - 2.0 / (9.0 * draws_made)).powi(3);
            let common = ratios.get(ratios.len() / 2).copied().unwrap_or(1.0) / skew;
            for k in members {
                variances[k] =
                    (draws_made * squares[k] + COMMON * common * nearly[k]) / (draws_made + COMMON);
            }
        }
        variances.into_iter().map(f64::sqrt).collect()
    }

    /// Variance of every parameter about the fit by the preconditioner's blocks alone: nearly right where shifters are told
    /// apart well, and cheap.
    pub(in crate::coherent) fn nearly(&self, twin: &Twin, curvature: &Curvature) -> Vec<f64> {
        let parts = twin.parts();
        let noise = Noise { quadrature: self.rms(twin).max(self.noise.quadrature), ..self.noise };
        let point = self.at(twin, &parts, noise);
        self.preconditioner(&point, curvature, 0.0).variances(&self.prior.sd, |_| ())
    }

    /// Draws of the posterior about `twin`, and the variances that the preconditioner's blocks say.
    fn draws(
        &self,
        twin: &Twin,
        curvature: &Curvature,
        gauge: &Gauge,
        noise: Noise,
        count: usize,
    ) -> (Vec<Vec<f64>>, Vec<f64>) {
        let parts = twin.parts();
        let point = self.at(twin, &parts, noise);
        let precondition = self.preconditioner(&point, curvature, 0.0);
        let draws = (0..count as u64)
            .map(|draw| {
                let fields =
                    |index: usize| self.noise_field(&point.seen[index].by_oscillator, noise, draw, index);
                let mut rhs = self.transpose(&point, &fields);
                let mut rng = ChaCha8Rng::seed_from_u64(0x7072_696f_7200 + draw);
                for (r, &sd) in rhs.iter_mut().zip(&self.prior.sd) {
                    let unit: f64 = StandardNormal.sample(&mut rng);
                    *r += if sd > 0.0 { unit } else { 0.0 };
                }
                let (draw, steps) = self.solve(&point, &precondition, 0.0, &rhs, GOAL);
                tracing::debug!(steps, "draw");
                draw
            })
            .collect();
        let nearly = precondition.variances(&self.prior.sd, |draw| in_gauge(gauge, &twin.blocks, draw));
        (draws, nearly)
    }

    /// A field `v` for which `W v` has the covariance `W`: white noise, and the oscillator's phase at random as the reference
    /// leaves it open.
    fn noise_field(&self, by_oscillator: &Fields, noise: Noise, draw: u64, index: usize) -> Fields {
        let mut rng = ChaCha8Rng::seed_from_u64(0x6e6f_6973_6500 + draw);
        rng.set_stream(index as u64);
        let mut fields = by_oscillator.clone();
        let width = fields.width;
        let turns: Vec<f64> = (0..width)
            .map(|_| {
                let unit: f64 = StandardNormal.sample(&mut rng);
                unit * noise.oscillator
            })
            .collect();
        for mode in 0..self.layout.modes() {
            let valid = self.settings[index].valid.row(mode).to_vec();
            for (k, entry) in fields.row_mut(mode).iter_mut().enumerate() {
                let unit: f64 = StandardNormal.sample(&mut rng);
                *entry = *entry * turns[k % width] + valid[k] * noise.quadrature * unit;
            }
        }
        fields
    }
}

/// A draw in the canonical gauge.
fn in_gauge(gauge: &Gauge, blocks: &Blocks, draw: &mut [f64]) {
    gauge.fix(blocks, draw);
    gauge.centre(blocks, draw);
}

/// Kinds whose blocks are off by about the same factor.
fn kinds(blocks: &Blocks) -> Vec<std::ops::Range<usize>> {
    vec![
        blocks.phase.clone(),
        blocks.slope.clone(),
        blocks.quartic.clone(),
        blocks.crosstalk.clone(),
        blocks.alpha.start..blocks.beta.end,
        blocks.loss.clone(),
        blocks.input.clone(),
        blocks.output.clone(),
        blocks.imbalance.start..blocks.skew.end,
        blocks.offset_i.start..blocks.offset_q.end,
    ]
}
