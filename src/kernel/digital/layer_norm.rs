//! Layer normalisation (Ba et al., arXiv 1607.06450): each row to mean 0 and variance 1, then scaled and shifted.

use pulp::Simd;
use rayon::prelude::*;

use super::chunks::{add, lane_sum, lane_sum_pairs, row_chunk, rows_per_chunk, sum_of_chunks};
use super::simd::dispatch;

/// `y = (x − mean)·rstd·γ + β` with `rstd = 1/√(variance + ε)`, the biased variance of each row.
#[derive(Clone, Copy)]
pub struct LayerNorm<'a> {
    /// Scale `[features]`.
    pub gamma: &'a [f32],
    /// Shift `[features]`.
    pub beta: &'a [f32],
    /// Added to the variance.
    pub epsilon: f32,
}

/// What the backward pass needs of the forward pass, one number a row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RowMoments {
    /// Mean of each row.
    pub mean: Vec<f32>,
    /// `1/√(variance + ε)` of each row.
    pub rstd: Vec<f32>,
}

/// Gradients by γ and β, each `[features]`: added to.
pub struct AffineGradients<'a> {
    /// By the scale.
    pub gamma: &'a mut [f32],
    /// By the shift.
    pub beta: &'a mut [f32],
}

impl LayerNorm<'_> {
    /// `x` `[rows, features]` to `y` `[rows, features]`.
    ///
    /// # Panics
    /// When the lengths do not fit.
    pub fn forward(&self, x: &[f32], y: &mut [f32]) -> RowMoments {
        let features = self.gamma.len();
        assert_eq!(features, self.beta.len(), "beta: as long as gamma");
        assert!(x.len() == y.len() && x.len().is_multiple_of(features), "x and y: the same whole rows");
        let rows = x.len() / features;
        let mut moments = RowMoments { mean: vec![0.0; rows], rstd: vec![0.0; rows] };
        let (chunk, chunk_rows) = (row_chunk(features), rows_per_chunk(features));
        (x.par_chunks(chunk).zip(y.par_chunks_mut(chunk)))
            .zip(moments.mean.par_chunks_mut(chunk_rows).zip(moments.rstd.par_chunks_mut(chunk_rows)))
            .for_each(|((x, y), (mean, rstd))| normalise(*self, x, y, mean, rstd));
        moments
    }

    /// From `g = ∂L/∂y`: adds `∂L/∂x` to `gx`, so that a residual path's gradient may already stand there.
    ///
    /// With `x̂ = (x − mean)·rstd` and `h = g·γ`: `∂L/∂x = rstd·(h − mean(h) − x̂·mean(h·x̂))`.
    ///
    /// # Panics
    /// When the lengths do not fit.
    pub fn backward(
        &self,
        x: &[f32],
        moments: &RowMoments,
        g: &[f32],
        gx: &mut [f32],
        parameters: Option<AffineGradients<'_>>,
    ) {
        let features = self.gamma.len();
        assert!(x.len() == g.len() && x.len() == gx.len(), "g and gx: as long as x");
        assert_eq!(moments.mean.len() * features, x.len(), "moments: one a row of x");
        let (chunk, chunk_rows) = (row_chunk(features), rows_per_chunk(features));
        (x.par_chunks(chunk).zip(g.par_chunks(chunk)).zip(gx.par_chunks_mut(chunk)))
            .zip(moments.mean.par_chunks(chunk_rows).zip(moments.rstd.par_chunks(chunk_rows)))
            .for_each(|(((x, g), gx), (mean, rstd))| add_input_gradient(self.gamma, x, mean, rstd, g, gx));
        if let Some(parameters) = parameters {
            let sums = sum_of_chunks(x.len().div_ceil(chunk), 2 * features, |index, sums| {
                let part = index * chunk..((index + 1) * chunk).min(x.len());
                let rows = part.start / features..part.end / features;
                let (mean, rstd) = (&moments.mean[rows.clone()], &moments.rstd[rows]);
                add_parameter_gradients(&x[part.clone()], mean, rstd, &g[part], sums);
            });
            let (gamma, beta) = sums.split_at(features);
            add(gamma, parameters.gamma);
            add(beta, parameters.beta);
        }
    }
}

dispatch!(normalise_body => fn normalise(norm: LayerNorm<'_>, x: &[f32], y: &mut [f32], mean: &mut [f32], rstd: &mut [f32]));
dispatch!(add_input_gradient_body => fn add_input_gradient(gamma: &[f32], x: &[f32], mean: &[f32], rstd: &[f32], g: &[f32], gx: &mut [f32]));
dispatch!(add_parameter_gradients_body => fn add_parameter_gradients(x: &[f32], mean: &[f32], rstd: &[f32], g: &[f32], sums: &mut [f32]));

#[inline(always)]
fn normalise_body<S: Simd>(
    _: S,
    norm: LayerNorm<'_>,
    x: &[f32],
    y: &mut [f32],
    mean: &mut [f32],
    rstd: &mut [f32],
) {
    let features = norm.gamma.len();
    let rows = x.chunks_exact(features).zip(y.chunks_exact_mut(features)).zip(mean.iter_mut().zip(rstd));
    for ((x, y), (mean, rstd)) in rows {
        let m = lane_sum(x, |x| x) / features as f32;
        // The mean is taken off first: the difference of two large squares would lose the variance.
        let variance = lane_sum(x, |x| (x - m) * (x - m)) / features as f32;
        let r = 1.0 / (variance + norm.epsilon).sqrt();
        for ((y, x), (gamma, beta)) in y.iter_mut().zip(x).zip(norm.gamma.iter().zip(norm.beta)) {
            *y = (x - m) * r * gamma + beta;
        }
        (*mean, *rstd) = (m, r);
    }
}

#[inline(always)]
fn add_input_gradient_body<S: Simd>(
    _: S,
    gamma: &[f32],
    x: &[f32],
    mean: &[f32],
    rstd: &[f32],
    g: &[f32],
    gx: &mut [f32],
) {
    let features = gamma.len();
    let inputs = x.chunks_exact(features).zip(g.chunks_exact(features));
    for (((x, g), gx), (&mean, &rstd)) in inputs.zip(gx.chunks_exact_mut(features)).zip(mean.iter().zip(rstd))
    {
        let h_mean = lane_sum_pairs(g, gamma, |g, gamma| g * gamma) / features as f32;
        let slope = weighted_sum(x, mean, g, gamma) * rstd * rstd / features as f32;
        for ((gx, x), (g, gamma)) in gx.iter_mut().zip(x).zip(g.iter().zip(gamma)) {
            *gx += rstd * (g * gamma - h_mean - (x - mean) * slope);
        }
    }
}

/// `Σ (x − mean)·g·γ` of one row.
#[inline(always)]
fn weighted_sum(x: &[f32], mean: f32, g: &[f32], gamma: &[f32]) -> f32 {
    const LANES: usize = 32;
    let mut lanes = [0.0_f32; LANES];
    let ((x, x_rest), (g, g_rest), (gamma, gamma_rest)) =
        (x.as_chunks::<LANES>(), g.as_chunks::<LANES>(), gamma.as_chunks::<LANES>());
    for ((x, g), gamma) in x.iter().zip(g).zip(gamma) {
        for lane in 0..LANES {
            lanes[lane] += (x[lane] - mean) * (g[lane] * gamma[lane]);
        }
    }
    for (sum, (x, (g, gamma))) in lanes.iter_mut().zip(x_rest.iter().zip(g_rest.iter().zip(gamma_rest))) {
        *sum += (x - mean) * (g * gamma);
    }
    lane_sum(&lanes, |lane| lane)
}

#[inline(always)]
fn add_parameter_gradients_body<S: Simd>(
    _: S,
    x: &[f32],
    mean: &[f32],
    rstd: &[f32],
    g: &[f32],
    sums: &mut [f32],
) {
    let features = sums.len() / 2;
    let (gammas, betas) = sums.split_at_mut(features);
    for ((x, g), (&mean, &rstd)) in
        x.chunks_exact(features).zip(g.chunks_exact(features)).zip(mean.iter().zip(rstd))
    {
        for ((gamma, beta), (x, g)) in gammas.iter_mut().zip(betas.iter_mut()).zip(x.iter().zip(g)) {
            *gamma += g * ((x - mean) * rstd);
            *beta += g;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::digital::oracle::{assert_close, assert_gradient, random, weigh, wide};

    const EPSILON: f32 = 1e-6;

    fn exact(x: &[f64], gamma: &[f64], beta: &[f64]) -> Vec<f64> {
        let features = gamma.len();
        let mut y = Vec::new();
        for row in x.chunks(features) {
            let mean = row.iter().sum::<f64>() / features as f64;
            let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / features as f64;
            let rstd = 1.0 / (variance + f64::from(EPSILON)).sqrt();
            y.extend((0..features).map(|c| (row[c] - mean) * rstd * gamma[c] + beta[c]));
        }
        y
    }

    #[test]
    fn rows_of_any_length_and_their_gradients_agree_with_f64() {
        for (rows, features) in [(3, 5), (2, 33), (4, 70)] {
            let x: Vec<f32> = random(1, rows * features).iter().map(|x| 3.0 * x + 2.0).collect();
            let (gamma, beta, g) = (random(2, features), random(3, features), random(4, rows * features));
            let norm = LayerNorm { gamma: &gamma, beta: &beta, epsilon: EPSILON };
            let mut y = vec![0.0; x.len()];
            let moments = norm.forward(&x, &mut y);
            let (wx, wg, wb) = (wide(&x), wide(&gamma), wide(&beta));
            assert_close("y", &y, &exact(&wx, &wg, &wb), 2e-6);

            let (mut gx, mut ggamma, mut gbeta) =
                (vec![0.0; x.len()], vec![0.0; features], vec![0.0; features]);
            let parameters = AffineGradients { gamma: &mut ggamma, beta: &mut gbeta };
            norm.backward(&x, &moments, &g, &mut gx, Some(parameters));
            assert_gradient("gx", &x, &gx, |x| weigh(&g, &exact(x, &wg, &wb)));
            assert_gradient("gγ", &gamma, &ggamma, |gamma| weigh(&g, &exact(&wx, gamma, &wb)));
            assert_gradient("gβ", &beta, &gbeta, |beta| weigh(&g, &exact(&wx, &wg, beta)));
        }
    }

    #[test]
    fn the_input_gradient_is_added_to_what_stands_there() {
        let (x, g, ones) = (random(1, 20), random(2, 20), vec![1.0; 10]);
        let norm = LayerNorm { gamma: &ones, beta: &ones, epsilon: EPSILON };
        let moments = norm.forward(&x, &mut [0.0; 20]);
        let (mut alone, mut beside) = (vec![0.0; 20], vec![5.0; 20]);
        norm.backward(&x, &moments, &g, &mut alone, None);
        norm.backward(&x, &moments, &g, &mut beside, None);
        for (alone, beside) in alone.iter().zip(beside) {
            assert_eq!(alone + 5.0, beside);
        }
    }

    #[test]
    fn a_row_far_from_zero_keeps_its_variance() {
        let x: Vec<f32> = random(5, 64).iter().map(|x| 1000.0 + x).collect();
        let (gamma, beta) = (vec![1.0; 64], vec![0.0; 64]);
        let mut y = vec![0.0; 64];
        LayerNorm { gamma: &gamma, beta: &beta, epsilon: EPSILON }.forward(&x, &mut y);
        // x itself is stored to 2⁻¹⁵ = 3·10⁻⁵; E[x²] − E[x]² in f32 would be off by 6 %.
        assert_close("y", &y, &exact(&wide(&x), &wide(&gamma), &wide(&beta)), 1e-4);
    }
}
