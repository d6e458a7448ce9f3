//! Noise on the outputs of an execution.

use super::multiply::PAIR;
use crate::kernel::{
    lanes::{LANES, Lanes, vector::Vector, vectorised},
    normal::{self, BLOCK},
};

/// Outputs that a block of normal numbers is for, 16 rows each.
const OUTPUTS: usize = BLOCK / LANES;

/// Which normal numbers the outputs of a pair of panels take: a function of seed, group of rows, column block and output.
#[derive(Clone, Copy)]
pub(super) struct NormalSource {
    seed: u64,
    stream: u64,
    /// First block of normal numbers.
    block: u64,
}

impl NormalSource {
    /// Of the pair of panels `pair` of the group of layers, for 16 rows in a column block.
    pub(super) fn new(seed: u64, rows: usize, column_block: usize, pair: usize) -> Self {
        let stream = ((rows as u64) << 24) | column_block as u64;
        Self { seed, stream, block: (pair * PAIR / OUTPUTS) as u64 }
    }
}

vectorised! {
    /// `z[output][row] += sigmas[output] · norm[row] · ε`.
    pub(super) fn add_uniform(z: &mut [Lanes<f32>], sigmas: &[f32], norm: &Lanes<f32>, source: NormalSource)
        = add_uniform_body<Vector>
}

#[inline(always)]
fn add_uniform_body<V: Vector>(
    z: &mut [Lanes<f32>],
    sigmas: &[f32],
    norm: &Lanes<f32>,
    source: NormalSource,
) {
    let norm = V::load(norm);
    let mut normals = [0.0; BLOCK];
    for (block, (z, sigmas)) in (source.block..).zip(z.chunks_mut(OUTPUTS).zip(sigmas.chunks(OUTPUTS))) {
        normal::fill_block(source.seed, source.stream, block, &mut normals);
        let (normals, _) = normals.as_chunks();
        for ((z, normals), &sigma) in z.iter_mut().zip(normals).zip(sigmas) {
            let amplitude = V::splat(sigma).times(norm);
            V::load(z).plus(amplitude.times(V::load(normals))).store(z);
        }
    }
}

vectorised! {
    /// `z[output][row] += factor · √variance[output][row] · ε`.
    pub(super) fn add_shaped(z: &mut [Lanes<f32>], variance: &[Lanes<f32>; PAIR], factor: f32, source: NormalSource)
        = add_shaped_body<Vector>
}

#[inline(always)]
fn add_shaped_body<V: Vector>(
    z: &mut [Lanes<f32>],
    variance: &[Lanes<f32>; PAIR],
    factor: f32,
    source: NormalSource,
) {
    let factor = V::splat(factor);
    let mut normals = [0.0; BLOCK];
    for (block, (z, variance)) in (source.block..).zip(z.chunks_mut(OUTPUTS).zip(variance.chunks(OUTPUTS))) {
        normal::fill_block(source.seed, source.stream, block, &mut normals);
        let (normals, _) = normals.as_chunks();
        for ((z, normals), variance) in z.iter_mut().zip(normals).zip(variance) {
            // The lowest digits may leave a variance of nothing just below 0.
            let sigma = V::load(variance).zero_below(V::splat(0.0)).root();
            V::load(z).plus(factor.times(sigma).times(V::load(normals))).store(z);
        }
    }
}
