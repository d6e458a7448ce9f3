//! Batch normalisation (Ioffe and Szegedy, arXiv 1502.03167) of `[rows, channels]`, with running or batch statistics.

use pulp::Simd;
use rayon::prelude::*;

use super::chunks::{add, row_chunk, sum_of_chunks};
use super::layer_norm::AffineGradients;
use super::simd::dispatch;

/// `y = (x − mean)/√(variance + ε)·γ + β`, channel by channel.
#[derive(Clone, Copy)]
pub struct BatchNorm<'a> {
    /// Scale `[channels]`.
    pub gamma: &'a [f32],
    /// Shift `[channels]`.
    pub beta: &'a [f32],
    /// Added to the variance.
    pub epsilon: f32,
}

/// Mean and variance of each channel.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelMoments {
    /// `[channels]`.
    pub mean: Vec<f32>,
    /// `[channels]`; of a batch: with the divisor `rows`.
    pub variance: Vec<f32>,
}

impl ChannelMoments {
    /// Of the rows of `x` `[rows, channels]`.
    ///
    /// # Panics
    /// When `x` is not a whole number of rows, at least one.
    #[must_use]
    pub fn of_batch(x: &[f32], channels: usize) -> Self {
        assert!(
            channels > 0 && !x.is_empty() && x.len().is_multiple_of(channels),
            "x: whole rows, at least one"
        );
        let rows = (x.len() / channels) as f32;
        let mut mean = chunk_sums(x, channels, |x, sums| add_squares(x, None, sums));
        mean.iter_mut().for_each(|mean| *mean /= rows);
        // About the mean: the difference of two large squares would lose the variance.
        let mut variance = chunk_sums(x, channels, |x, sums| add_squares(x, Some(&mean), sums));
        variance.iter_mut().for_each(|variance| *variance /= rows);
        Self { mean, variance }
    }

    /// Moves running statistics towards those of a batch of `rows` rows, as PyTorch: `running += momentum·(batch −
    /// running)`, the variance with the divisor `rows − 1`.
    pub fn update(&mut self, batch: &Self, rows: usize, momentum: f32) {
        let unbiased = rows as f32 / rows.saturating_sub(1).max(1) as f32;
        for (running, batch) in self.mean.iter_mut().zip(&batch.mean) {
            *running += momentum * (batch - *running);
        }
        for (running, batch) in self.variance.iter_mut().zip(&batch.variance) {
            *running += momentum * (batch * unbiased - *running);
        }
    }
}

/// How the statistics came about, which the gradient depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistics {
    /// Constants.
    Running,
    /// Those of `x` itself.
    Batch,
}

impl BatchNorm<'_> {
    /// `x` `[rows, channels]` to `y`, with `moments`.
    ///
    /// # Panics
    /// When the lengths do not fit.
    pub fn forward(&self, x: &[f32], moments: &ChannelMoments, y: &mut [f32]) {
        let channels = self.channels(x, moments);
        assert_eq!(x.len(), y.len(), "y: as long as x");
        let rstd = self.rstd(moments);
        let scale: Vec<f32> = rstd.iter().zip(self.gamma).map(|(rstd, gamma)| rstd * gamma).collect();
        let shift: Vec<f32> = (0..channels)
            .map(|channel| self.beta[channel] - moments.mean[channel] * scale[channel])
            .collect();
        let chunk = row_chunk(channels);
        y.par_chunks_mut(chunk).zip(x.par_chunks(chunk)).for_each(|(y, x)| affine(&scale, x, &shift, y));
    }

    /// From `g = ∂L/∂y`: `∂L/∂x` in `gx`, overwritten, and the gradients by γ and β.
    ///
    /// With `x̂` normalised and means over rows: `∂L/∂x = γ·rstd·(g − mean(g) − x̂·mean(g·x̂))` for batch statistics,
    /// `γ·rstd·g` for running ones.
    ///
    /// # Panics
    /// When the lengths do not fit.
    pub fn backward(
        &self,
        x: &[f32],
        (moments, statistics): (&ChannelMoments, Statistics),
        g: &[f32],
        gx: &mut [f32],
        parameters: Option<AffineGradients<'_>>,
    ) {
        let channels = self.channels(x, moments);
        assert!(x.len() == g.len() && x.len() == gx.len(), "g and gx: as long as x");
        let rstd = self.rstd(moments);
        let scale: Vec<f32> = rstd.iter().zip(self.gamma).map(|(rstd, gamma)| rstd * gamma).collect();
        let (mut slope, mut shift) = (vec![0.0; channels], vec![0.0; channels]);
        if statistics == Statistics::Batch || parameters.is_some() {
            let sums = self.gradient_sums(x, moments, g, &rstd);
            let (gamma, beta) = sums.split_at(channels);
            if statistics == Statistics::Batch {
                let rows = (x.len() / channels) as f32;
                for channel in 0..channels {
                    slope[channel] = -scale[channel] * rstd[channel] * gamma[channel] / rows;
                    shift[channel] = -scale[channel] * beta[channel] / rows;
                }
            }
            if let Some(parameters) = parameters {
                add(gamma, parameters.gamma);
                add(beta, parameters.beta);
            }
        }
        let chunk = row_chunk(channels);
        (gx.par_chunks_mut(chunk).zip(x.par_chunks(chunk)).zip(g.par_chunks(chunk)))
            .for_each(|((gx, x), g)| input_gradient(&[&moments.mean, &slope, &shift, &scale], x, g, gx));
    }

    fn channels(&self, x: &[f32], moments: &ChannelMoments) -> usize {
        let channels = self.gamma.len();
        assert!(channels > 0 && x.len().is_multiple_of(channels), "x: [rows, channels]");
        let lengths = [self.beta.len(), moments.mean.len(), moments.variance.len()];
        assert_eq!(lengths, [channels; 3], "beta, mean and variance: [channels]");
        channels
    }

    fn rstd(&self, moments: &ChannelMoments) -> Vec<f32> {
        moments.variance.iter().map(|variance| 1.0 / (variance + self.epsilon).sqrt()).collect()
    }

    /// `Σ g·x̂`, then `Σ g`, `[2·channels]`.
    fn gradient_sums(&self, x: &[f32], moments: &ChannelMoments, g: &[f32], rstd: &[f32]) -> Vec<f32> {
        let channels = rstd.len();
        let chunk = row_chunk(channels);
        let mut sums = sum_of_chunks(x.len().div_ceil(chunk), 2 * channels, |index, sums| {
            let part = index * chunk..((index + 1) * chunk).min(x.len());
            add_gradients(&moments.mean, &x[part.clone()], &g[part], sums);
        });
        sums.iter_mut().zip(rstd).for_each(|(sum, rstd)| *sum *= rstd);
        sums
    }
}

/// `Σ partial(rows of a chunk)`, in order.
fn chunk_sums(x: &[f32], channels: usize, partial: impl Fn(&[f32], &mut [f32]) + Sync) -> Vec<f32> {
    let chunk = row_chunk(channels);
    sum_of_chunks(x.len().div_ceil(chunk), channels, |index, sums| {
        partial(&x[index * chunk..((index + 1) * chunk).min(x.len())], sums);
    })
}

dispatch!(affine_body => fn affine(scale: &[f32], x: &[f32], shift: &[f32], y: &mut [f32]));
dispatch!(add_squares_body => fn add_squares(x: &[f32], mean: Option<&[f32]>, sums: &mut [f32]));
dispatch!(add_gradients_body => fn add_gradients(mean: &[f32], x: &[f32], g: &[f32], sums: &mut [f32]));
dispatch!(input_gradient_body => fn input_gradient(channels: &[&[f32]; 4], x: &[f32], g: &[f32], gx: &mut [f32]));

#[inline(always)]
fn affine_body<S: Simd>(_: S, scale: &[f32], x: &[f32], shift: &[f32], y: &mut [f32]) {
    let channels = scale.len();
    for (y, x) in y.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
        for ((y, x), (scale, shift)) in y.iter_mut().zip(x).zip(scale.iter().zip(shift)) {
            *y = x * scale + shift;
        }
    }
}

/// Adds `x`, or `(x − mean)²` if a mean is given.
#[inline(always)]
fn add_squares_body<S: Simd>(_: S, x: &[f32], mean: Option<&[f32]>, sums: &mut [f32]) {
    for x in x.chunks_exact(sums.len()) {
        match mean {
            None => sums.iter_mut().zip(x).for_each(|(sum, x)| *sum += x),
            Some(mean) => sums
                .iter_mut()
                .zip(x.iter().zip(mean))
                .for_each(|(sum, (x, mean))| *sum += (x - mean) * (x - mean)),
        }
    }
}

/// Adds `g·(x − mean)`, then `g`.
#[inline(always)]
fn add_gradients_body<S: Simd>(_: S, mean: &[f32], x: &[f32], g: &[f32], sums: &mut [f32]) {
    let channels = mean.len();
    let (gammas, betas) = sums.split_at_mut(channels);
    for (x, g) in x.chunks_exact(channels).zip(g.chunks_exact(channels)) {
        for (((gamma, beta), mean), (x, g)) in
            gammas.iter_mut().zip(betas.iter_mut()).zip(mean).zip(x.iter().zip(g))
        {
            *gamma += g * (x - mean);
            *beta += g;
        }
    }
}

/// `gx = scale·g + slope·(x − mean) + shift`.
#[inline(always)]
fn input_gradient_body<S: Simd>(_: S, channels: &[&[f32]; 4], x: &[f32], g: &[f32], gx: &mut [f32]) {
    let [mean, slope, shift, scale] = *channels;
    for ((x, g), gx) in
        x.chunks_exact(mean.len()).zip(g.chunks_exact(mean.len())).zip(gx.chunks_exact_mut(mean.len()))
    {
        let constants = mean.iter().zip(slope).zip(shift.iter().zip(scale));
        for (((x, g), gx), ((mean, slope), (shift, scale))) in x.iter().zip(g).zip(gx).zip(constants) {
            *gx = scale * g + slope * (x - mean) + shift;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::digital::oracle::{assert_close, assert_gradient, random, weigh, wide};

    const EPSILON: f32 = 1e-5;

    fn batch_moments(x: &[f64], channels: usize) -> (Vec<f64>, Vec<f64>) {
        let rows = (x.len() / channels) as f64;
        let mean: Vec<f64> =
            (0..channels).map(|c| x.iter().skip(c).step_by(channels).sum::<f64>() / rows).collect();
        let variance = (0..channels)
            .map(|c| x.iter().skip(c).step_by(channels).map(|x| (x - mean[c]).powi(2)).sum::<f64>() / rows)
            .collect();
        (mean, variance)
    }

    fn exact(x: &[f64], (mean, variance): &(Vec<f64>, Vec<f64>), gamma: &[f64], beta: &[f64]) -> Vec<f64> {
        let channels = gamma.len();
        x.iter()
            .enumerate()
            .map(|(i, x)| {
                let c = i % channels;
                (x - mean[c]) / (variance[c] + f64::from(EPSILON)).sqrt() * gamma[c] + beta[c]
            })
            .collect()
    }

    #[test]
    fn batch_statistics_and_all_gradients_through_them_agree_with_f64() {
        let (rows, channels) = (13, 5);
        let x: Vec<f32> = random(1, rows * channels).iter().map(|x| 2.0 * x + 1.0).collect();
        let (gamma, beta, g) = (random(2, channels), random(3, channels), random(4, x.len()));
        let norm = BatchNorm { gamma: &gamma, beta: &beta, epsilon: EPSILON };
        let moments = ChannelMoments::of_batch(&x, channels);
        let (wx, wg, wb) = (wide(&x), wide(&gamma), wide(&beta));
        let expected = batch_moments(&wx, channels);
        assert_close("mean", &moments.mean, &expected.0, 1e-6);
        assert_close("variance", &moments.variance, &expected.1, 1e-6);
        let mut y = vec![0.0; x.len()];
        norm.forward(&x, &moments, &mut y);
        assert_close("y", &y, &exact(&wx, &expected, &wg, &wb), 2e-6);

        let (mut gx, mut ggamma, mut gbeta) = (vec![0.0; x.len()], vec![0.0; channels], vec![0.0; channels]);
        let parameters = AffineGradients { gamma: &mut ggamma, beta: &mut gbeta };
        norm.backward(&x, (&moments, Statistics::Batch), &g, &mut gx, Some(parameters));
        assert_gradient("gx", &x, &gx, |x| weigh(&g, &exact(x, &batch_moments(x, channels), &wg, &wb)));
        assert_gradient("gγ", &gamma, &ggamma, |gamma| weigh(&g, &exact(&wx, &expected, gamma, &wb)));
        assert_gradient("gβ", &beta, &gbeta, |beta| weigh(&g, &exact(&wx, &expected, &wg, beta)));
    }

    #[test]
    fn running_statistics_are_constants_for_the_gradient() {
        let (x, g) = (random(1, 24), random(2, 24));
        let (gamma, beta) = (random(3, 4), random(4, 4));
        let moments = ChannelMoments { mean: random(5, 4), variance: vec![0.5, 1.0, 2.0, 4.0] };
        let norm = BatchNorm { gamma: &gamma, beta: &beta, epsilon: EPSILON };
        let (mut gx, mut ggamma, mut gbeta) = (vec![0.0; 24], vec![0.0; 4], vec![0.0; 4]);
        let parameters = AffineGradients { gamma: &mut ggamma, beta: &mut gbeta };
        norm.backward(&x, (&moments, Statistics::Running), &g, &mut gx, Some(parameters));
        let running = (wide(&moments.mean), wide(&moments.variance));
        let (wx, wg, wb) = (wide(&x), wide(&gamma), wide(&beta));
        assert_gradient("gx", &x, &gx, |x| weigh(&g, &exact(x, &running, &wg, &wb)));
        assert_gradient("gγ", &gamma, &ggamma, |gamma| weigh(&g, &exact(&wx, &running, gamma, &wb)));
        assert_gradient("gβ", &beta, &gbeta, |beta| weigh(&g, &exact(&wx, &running, &wg, beta)));
    }

    #[test]
    fn running_statistics_move_as_in_pytorch() {
        // torch.nn.BatchNorm1d(1): x = 1, 2, 4 has mean 7/3 and unbiased variance 7/3.
        let batch = ChannelMoments::of_batch(&[1.0, 2.0, 4.0], 1);
        let mut running = ChannelMoments { mean: vec![0.0], variance: vec![1.0] };
        running.update(&batch, 3, 0.1);
        assert_close("mean", &running.mean, &[0.7 / 3.0], 1e-6);
        assert_close("variance", &running.variance, &[0.9 + 0.7 / 3.0], 1e-6);
    }
}
