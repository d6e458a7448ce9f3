//! Multi-head self-attention without a mask (Vaswani et al., arXiv 1706.03762): `softmax(Q Kᵀ/√d_h) V`.
//!
//! The softmax is kept as one number a row, the logarithm of its normaliser, and computed again backward: at 197 tokens
//! and 12 heads the rows themselves would be 15 MB for a batch of 8, in every layer.

use pulp::Simd;
use rayon::prelude::*;

use super::chunks::{lane_max, lane_sum, lane_sum_pairs};
use super::elementary::exp;
use super::matmul::{Update, View, ViewMut, multiply_serial};
use super::simd::dispatch;
use crate::kernel::pieces::in_pieces;

/// Sizes of an attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attention {
    /// Images.
    pub batch: usize,
    /// Tokens of each.
    pub tokens: usize,
    /// Heads.
    pub heads: usize,
    /// Features of a token: `heads·d_h`.
    pub width: usize,
}

/// Buffers of a task: two matrices `[tokens, tokens]`.
#[derive(Default)]
struct Scratch {
    weights: Vec<f32>,
    gradient: Vec<f32>,
}

impl Attention {
    /// `qkv` `[batch·tokens, 3·width]`, blocks of columns q, k, v, to `[batch·tokens, width]`; and the logarithm of each softmax's
    /// normaliser, `[batch, heads, tokens]`, which the backward pass wants.
    ///
    /// # Panics
    /// When the lengths do not fit.
    #[must_use]
    pub fn forward(&self, qkv: &[f32]) -> (Vec<f32>, Vec<f32>) {
        assert_eq!(qkv.len(), 3 * self.len(), "qkv: [batch·tokens, 3·width]");
        let image = self.tokens * self.width;
        let (out, normalisers) = in_pieces(
            self.len(),
            image,
            || (),
            |(), image, out| {
                let mut normalisers = vec![0.0; self.heads * self.tokens];
                let outs = self.per_head(out, self.width);
                outs.into_par_iter().zip(normalisers.par_chunks_mut(self.tokens)).enumerate().for_each_init(
                    Scratch::default,
                    |scratch, (head, (mut out, normalisers))| {
                        let [q, k, v] = self.head(qkv, [image, head]);
                        let weights = self.scores(q, k, &mut scratch.weights);
                        softmax(weights, normalisers);
                        multiply_serial(View::new(weights, self.tokens), v, Update::SET, &mut out[0]);
                    },
                );
                normalisers
            },
        );
        (out, normalisers.concat())
    }

    /// From `g = ∂L/∂out` `[batch·tokens, width]`: `∂L/∂qkv` `[batch·tokens, 3·width]`.
    ///
    /// With `P` the softmax and `dP = g Vᵀ`: `dV = Pᵀ g`, `dS = P∘(dP − rowsum(P∘dP))/√d_h`, `dQ = dS K`, `dK = dSᵀ Q`.
    ///
    /// # Panics
    /// When the lengths do not fit.
    #[must_use]
    pub fn backward(&self, qkv: &[f32], normalisers: &[f32], g: &[f32]) -> Vec<f32> {
        assert_eq!(qkv.len(), 3 * self.len(), "qkv: [batch·tokens, 3·width]");
        assert_eq!(g.len(), self.len(), "g: [batch·tokens, width]");
        assert_eq!(
            normalisers.len(),
            self.batch * self.heads * self.tokens,
            "normalisers: [batch, heads, tokens]"
        );
        let image = 3 * self.tokens * self.width;
        in_pieces(
            qkv.len(),
            image,
            || (),
            |(), image, gradients| {
                let normalisers = &normalisers[image * self.heads * self.tokens..];
                let gradients = self.per_head(gradients, 3 * self.width);
                gradients.into_par_iter().zip(normalisers.par_chunks(self.tokens)).enumerate().for_each_init(
                    Scratch::default,
                    |scratch, (head, (mut gradients, normalisers))| {
                        let [q, k, v] = self.head(qkv, [image, head]);
                        let [g] = self.head(g, [image, head]);
                        let weights = self.scores(q, k, &mut scratch.weights);
                        softmax_again(normalisers, weights);
                        scratch.gradient.resize(weights.len(), 0.0);
                        let d = scratch.gradient.as_mut_slice();
                        multiply_serial(g, v.transposed(), Update::SET, &mut ViewMut::new(d, self.tokens));
                        softmax_gradient(self.scale(), self.tokens, weights, d);
                        let (weights, d) = (View::new(weights, self.tokens), View::new(d, self.tokens));
                        multiply_serial(d, k, Update::SET, &mut gradients[0]);
                        multiply_serial(d.transposed(), q, Update::SET, &mut gradients[1]);
                        multiply_serial(weights.transposed(), g, Update::SET, &mut gradients[2]);
                    },
                );
            },
        )
        .0
    }

    fn len(&self) -> usize {
        self.batch * self.tokens * self.width
    }

    /// `1/√d_h`.
    fn scale(&self) -> f32 {
        1.0 / ((self.width / self.heads) as f32).sqrt()
    }

    /// The blocks of `width` columns of one image, each cut down to one head, `[tokens, d_h]`.
    fn head<'a, const N: usize>(&self, values: &'a [f32], [image, head]: [usize; 2]) -> [View<'a>; N] {
        let d = self.width / self.heads;
        let image = View::new(values, N * self.width).rows(image * self.tokens, self.tokens);
        std::array::from_fn(|block| image.columns(block * self.width + head * d, d))
    }

    /// The same to write, for every head of one image: `columns/width` views each.
    fn per_head<'a>(&self, image: &'a mut [f32], columns: usize) -> Vec<Vec<ViewMut<'a>>> {
        assert!(self.heads > 0 && self.width.is_multiple_of(self.heads), "width: a multiple of the heads");
        let mut heads: Vec<Vec<_>> = (0..self.heads).map(|_| Vec::new()).collect();
        let blocks = ViewMut::new(image, columns).split_columns(self.width / self.heads);
        for (index, block) in blocks.into_iter().enumerate() {
            heads[index % self.heads].push(block);
        }
        heads
    }

    /// `Q Kᵀ/√d_h`, `[tokens, tokens]`.
    fn scores<'a>(&self, q: View<'_>, k: View<'_>, buffer: &'a mut Vec<f32>) -> &'a mut [f32] {
        buffer.resize(self.tokens * self.tokens, 0.0);
        multiply_serial(
            q,
            k.transposed(),
            Update::scaled(self.scale()),
            &mut ViewMut::new(buffer, self.tokens),
        );
        buffer
    }
}

dispatch!(softmax_body => fn softmax(scores: &mut [f32], normalisers: &mut [f32]));
dispatch!(softmax_again_body => fn softmax_again(normalisers: &[f32], scores: &mut [f32]));
dispatch!(softmax_gradient_body => fn softmax_gradient(scale: f32, tokens: usize, weights: &[f32], d: &mut [f32]));

/// Each row to its softmax, and the logarithm of the normaliser, `max + ln Σ e^(s − max)`.
#[inline(always)]
fn softmax_body<S: Simd>(simd: S, scores: &mut [f32], normalisers: &mut [f32]) {
    let tokens = normalisers.len();
    for (row, normaliser) in scores.chunks_exact_mut(tokens).zip(normalisers) {
        let max = lane_max(row);
        for score in row.iter_mut() {
            *score = exp(simd, *score - max);
        }
        let sum = lane_sum(row, |weight| weight);
        let inverse = 1.0 / sum;
        for weight in row.iter_mut() {
            *weight *= inverse;
        }
        *normaliser = max + sum.ln();
    }
}

/// The same softmax from the normalisers.
#[inline(always)]
fn softmax_again_body<S: Simd>(simd: S, normalisers: &[f32], scores: &mut [f32]) {
    for (row, normaliser) in scores.chunks_exact_mut(normalisers.len()).zip(normalisers) {
        for score in row.iter_mut() {
            *score = exp(simd, *score - normaliser);
        }
    }
}

/// `d ← scale·P∘(d − rowsum(P∘d))`.
#[inline(always)]
fn softmax_gradient_body<S: Simd>(_: S, scale: f32, tokens: usize, weights: &[f32], d: &mut [f32]) {
    for (weights, d) in weights.chunks_exact(tokens).zip(d.chunks_exact_mut(tokens)) {
        let mean = lane_sum_pairs(weights, d, |weight, d| weight * d);
        for (d, weight) in d.iter_mut().zip(weights) {
            *d = scale * weight * (*d - mean);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::digital::oracle::{assert_close, assert_gradient, random, weigh, wide};

    fn exact(attention: Attention, qkv: &[f64]) -> Vec<f64> {
        let Attention { batch, tokens, heads, width } = attention;
        let d = width / heads;
        let at = |image: usize, token: usize, block: usize, head: usize, c: usize| {
            qkv[(image * tokens + token) * 3 * width + block * width + head * d + c]
        };
        let mut out = vec![0.0; batch * tokens * width];
        for image in 0..batch {
            for head in 0..heads {
                for token in 0..tokens {
                    let weights: Vec<f64> = (0..tokens)
                        .map(|other| {
                            let dot: f64 = (0..d)
                                .map(|c| at(image, token, 0, head, c) * at(image, other, 1, head, c))
                                .sum();
                            (dot / (d as f64).sqrt()).exp()
                        })
                        .collect();
                    let sum: f64 = weights.iter().sum();
                    for c in 0..d {
                        let mixed: f64 =
                            (0..tokens).map(|other| weights[other] * at(image, other, 2, head, c)).sum();
                        out[(image * tokens + token) * width + head * d + c] = mixed / sum;
                    }
                }
            }
        }
        out
    }

    #[test]
    fn attention_and_its_gradient_agree_with_f64() {
        for (batch, tokens, heads, width) in [(1, 1, 1, 2), (2, 5, 2, 6), (1, 35, 1, 4)] {
            let attention = Attention { batch, tokens, heads, width };
            let qkv = random(1, batch * tokens * 3 * width);
            let g = random(2, batch * tokens * width);
            let (out, normalisers) = attention.forward(&qkv);
            assert_close("out", &out, &exact(attention, &wide(&qkv)), 2e-6);
            let gqkv = attention.backward(&qkv, &normalisers, &g);
            assert_gradient("gqkv", &qkv, &gqkv, |qkv| weigh(&g, &exact(attention, qkv)));
        }
    }

    #[test]
    fn scores_far_apart_neither_overflow_nor_vanish() {
        let attention = Attention { batch: 1, tokens: 3, heads: 1, width: 1 };
        // Scores of ±10⁴: only the largest of each row counts.
        let qkv = [100.0, 100.0, 1.0, 100.0, -100.0, 2.0, -100.0, 0.0, 3.0];
        let (out, normalisers) = attention.forward(&qkv);
        assert_eq!(out, [1.0, 1.0, 2.0]);
        let gqkv = attention.backward(&qkv, &normalisers, &[1.0; 3]);
        // e^−87 stands for what f32 cannot hold.
        assert_close("gv", &[gqkv[2], gqkv[5], gqkv[8]], &[2.0, 1.0, 0.0], 1e-30);
    }
}
