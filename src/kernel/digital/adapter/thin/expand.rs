//! The wide product of a thin matrix.

use pulp::Simd;

use super::{Columns, LANES, Vector, WIDTH, registers, registers_mut};
use crate::kernel::digital::simd::dispatch;

/// Columns of a wide row done for all rows of a block before going on, in vectors: their thin factor stays in the
/// first-level cache.
const TILE: usize = 16;

/// Rows at a time: each vector of the factor is loaded once for all of them, and their sums hide the latency of addition.
const ROWS: usize = 4;

/// `y[r, c] += Σ_j h[r, j]·p[j, c] + bias[c]` for a thin `h`; `p` `[h.columns, y.columns]` and `bias` `[1, y.columns]` in
/// vectors.
pub(in super::super) fn expand(
    h: Columns<&[f32]>,
    p: &[Vector],
    bias: Option<&[Vector]>,
    y: Columns<&mut [f32]>,
) {
    expand_all(h, p, bias, y);
}

dispatch!(expand_body => fn expand_all(h: Columns<&[f32]>, p: &[Vector], bias: Option<&[Vector]>, y: Columns<&mut [f32]>));

/// The thin factor of a tile.
#[derive(Clone, Copy)]
struct Tile<'a> {
    p: &'a [Vector],
    bias: Option<&'a [Vector]>,
}

#[inline(always)]
fn expand_body<S: Simd>(
    simd: S,
    h: Columns<&[f32]>,
    p: &[Vector],
    bias: Option<&[Vector]>,
    y: Columns<&mut [f32]>,
) {
    for first in (0..y.columns.div_ceil(LANES)).step_by(TILE) {
        let tile = Tile { p: &p[first * h.columns..], bias: bias.map(|bias| &bias[first..]) };
        let columns = y.first + first * LANES..y.first + y.columns.min((first + TILE) * LANES);
        let mut h_blocks = h.values.chunks_exact(ROWS * h.stride);
        let mut y_blocks = y.values.chunks_exact_mut(ROWS * y.stride);
        for (h_rows, y_rows) in (&mut h_blocks).zip(&mut y_blocks) {
            let thin: [_; ROWS] = std::array::from_fn(|row| thin_row(h, row, h_rows));
            let mut y_rows = y_rows.chunks_exact_mut(y.stride);
            let wide =
                std::array::from_fn(|_| y_rows.next().map_or(&mut [][..], |row| &mut row[columns.clone()]));
            expand_rows(simd, thin, tile, wide);
        }
        for (row, y_row) in y_blocks.into_remainder().chunks_exact_mut(y.stride).enumerate() {
            expand_rows(simd, [thin_row(h, row, h_blocks.remainder())], tile, [&mut y_row[columns.clone()]]);
        }
    }
}

/// The meant columns of one row, in eights.
#[inline(always)]
fn thin_row<'a>(h: Columns<&[f32]>, row: usize, h_rows: &'a [f32]) -> &'a [[f32; WIDTH]] {
    h_rows[row * h.stride + h.first..][..h.columns].as_chunks().0
}

/// The columns of a tile in `R` rows.
#[inline(always)]
fn expand_rows<S: Simd, const R: usize>(
    simd: S,
    h: [&[[f32; WIDTH]]; R],
    tile: Tile<'_>,
    mut y: [&mut [f32]; R],
) {
    let width = h[0].len() * WIDTH;
    for (index, p) in tile.p.chunks_exact(width).take(y[0].len().div_ceil(LANES)).enumerate() {
        let bias = tile.bias.map(|bias| &bias[index]);
        let first = index * LANES;
        if first + LANES <= y[0].len() {
            let vectors = y.each_mut().map(|y| {
                let (vectors, _) = y[first..first + LANES].as_chunks_mut::<LANES>();
                &mut vectors[0]
            });
            expand_vector(simd, h, p, bias, vectors);
        } else {
            let mut edges = [[0.0; LANES]; R];
            let rest = y[0].len() - first;
            edges.iter_mut().zip(&y).for_each(|(edge, y)| edge[..rest].copy_from_slice(&y[first..]));
            expand_vector(simd, h, p, bias, edges.each_mut());
            edges.iter().zip(&mut y).for_each(|(edge, y)| y[first..].copy_from_slice(&edge[..rest]));
        }
    }
}

/// Sixteen columns of `R` rows.
#[inline(always)]
fn expand_vector<S: Simd, const R: usize>(
    simd: S,
    h: [&[[f32; WIDTH]]; R],
    p: &[Vector],
    bias: Option<&Vector>,
    y: [&mut Vector; R],
) {
    let (p, _) = p.as_chunks::<WIDTH>();
    for register in 0..LANES / S::F32_LANES {
        let mut sums: [S::f32s; R] = std::array::from_fn(|r| registers::<S>(y[r])[register]);
        for (eight, p) in p.iter().enumerate() {
            let h: [&[f32; WIDTH]; R] = std::array::from_fn(|r| &h[r][eight]);
            for j in 0..WIDTH {
                let p = registers::<S>(&p[j])[register];
                for r in 0..R {
                    sums[r] = simd.mul_add_e_f32s(simd.splat_f32s(h[r][j]), p, sums[r]);
                }
            }
        }
        for r in 0..R {
            let sum = bias.map_or(sums[r], |bias| simd.add_f32s(sums[r], registers::<S>(bias)[register]));
            registers_mut::<S>(&mut *y[r])[register] = sum;
        }
    }
}
