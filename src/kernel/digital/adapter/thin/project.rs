//! The thin product of a wide matrix.

use pulp::{Simd, bytemuck};

use super::{Columns, LANES, Vector, WIDTH, registers, registers_mut, vectors};
use crate::kernel::digital::simd::dispatch;

/// Rows at a time.
const ROWS: usize = 8;
/// Vectors of the factor between two checks of bounds.
const STEP: usize = 8;

/// `h[r, j] = Σ_c x[r, c]·p[c, j]` for a thin `h`; `p` as [`pack_projection`] makes it.
pub(in super::super) fn project(x: Columns<&[f32]>, p: &[Vector], h: Columns<&mut [f32]>) {
    let (width, values) = (h.columns, h.values);
    let (whole, half) = p.split_at(width / LANES * x.columns);
    for (block, p) in whole.chunks_exact(x.columns).enumerate() {
        let first = h.first + block * LANES;
        project_one(x, p, Columns { values: &mut *values, stride: h.stride, first, columns: LANES });
    }
    if !half.is_empty() {
        let first = h.first + width / LANES * LANES;
        project_two(x, half, Columns { values, stride: h.stride, first, columns: WIDTH });
    }
}

/// The `p` of [`project`] from `element(c, j)` of `[columns, width]`: for each 16 columns of `h` one vector for each column
/// of `x`; for the 8 that may be left one vector for each two, whose lane `2j + s` belongs to the `s`-th of the two.
pub(in super::super) fn pack_projection(
    columns: usize,
    width: usize,
    element: impl Fn(usize, usize) -> f32,
) -> Vec<Vector> {
    let whole = width / LANES * LANES;
    let mut packed = Vec::with_capacity(vectors(width, columns) + columns);
    for first in (0..whole).step_by(LANES) {
        packed.extend(
            (0..columns).map(|c| std::array::from_fn::<_, LANES, _>(|lane| element(c, first + lane))),
        );
    }
    if whole < width {
        let lane =
            |c, lane| if c + lane % 2 < columns { element(c + lane % 2, whole + lane / 2) } else { 0.0 };
        packed.extend((0..columns).step_by(2).map(|c| std::array::from_fn::<_, LANES, _>(|l| lane(c, l))));
    }
    packed
}

dispatch!(one_body => fn project_one(x: Columns<&[f32]>, p: &[Vector], h: Columns<&mut [f32]>));
dispatch!(two_body => fn project_two(x: Columns<&[f32]>, p: &[Vector], h: Columns<&mut [f32]>));

#[inline(always)]
fn one_body<S: Simd>(simd: S, x: Columns<&[f32]>, p: &[Vector], h: Columns<&mut [f32]>) {
    let (mut row, stride) = (0, h.stride);
    let mut blocks = h.values.chunks_exact_mut(ROWS * stride);
    for block in &mut blocks {
        let sums = rows_by_one::<S, ROWS>(simd, x, p, row);
        for (h_row, sums) in block.chunks_exact_mut(stride).zip(&sums) {
            h_row[h.first..][..LANES].copy_from_slice(sums);
        }
        row += ROWS;
    }
    for h_row in blocks.into_remainder().chunks_exact_mut(stride) {
        let [sums] = rows_by_one::<S, 1>(simd, x, p, row);
        h_row[h.first..][..LANES].copy_from_slice(&sums);
        row += 1;
    }
}

#[inline(always)]
fn two_body<S: Simd>(simd: S, x: Columns<&[f32]>, p: &[Vector], h: Columns<&mut [f32]>) {
    let (mut row, stride) = (0, h.stride);
    let mut blocks = h.values.chunks_exact_mut(ROWS * stride);
    for block in &mut blocks {
        let sums = rows_by_two::<S, ROWS>(simd, x, p, row);
        for (h_row, sums) in block.chunks_exact_mut(stride).zip(&sums) {
            h_row[h.first..][..WIDTH].copy_from_slice(&folded(sums));
        }
        row += ROWS;
    }
    for h_row in blocks.into_remainder().chunks_exact_mut(stride) {
        let [sums] = rows_by_two::<S, 1>(simd, x, p, row);
        h_row[h.first..][..WIDTH].copy_from_slice(&folded(&sums));
        row += 1;
    }
}

/// Sums of neighbours.
#[inline(always)]
fn folded(sums: &Vector) -> [f32; WIDTH] {
    std::array::from_fn(|j| sums[2 * j] + sums[2 * j + 1])
}

/// Rows `row..row + R` of `x`, cut into steps of `N` columns.
#[inline(always)]
fn steps<const R: usize, const N: usize>(x: Columns<&[f32]>, row: usize) -> [(&[[f32; N]], &[f32]); R] {
    std::array::from_fn(|r| x.values[(row + r) * x.stride + x.first..][..x.columns].as_chunks())
}

/// Products of rows `row..row + R`, one column of `x` at a time.
#[inline(always)]
fn rows_by_one<S: Simd, const R: usize>(
    simd: S,
    x: Columns<&[f32]>,
    p: &[Vector],
    row: usize,
) -> [Vector; R] {
    let rows = steps::<R, STEP>(x, row);
    let (p, p_rest) = p.as_chunks::<STEP>();
    let mut out = [[0.0; LANES]; R];
    for register in 0..LANES / S::F32_LANES {
        let mut sums = [simd.splat_f32s(0.0); R];
        for (step, p) in p.iter().enumerate() {
            let x: [&[f32; STEP]; R] = std::array::from_fn(|r| &rows[r].0[step]);
            for c in 0..STEP {
                let p = registers::<S>(&p[c])[register];
                for r in 0..R {
                    sums[r] = simd.mul_add_e_f32s(simd.splat_f32s(x[r][c]), p, sums[r]);
                }
            }
        }
        for (c, p) in p_rest.iter().enumerate() {
            for r in 0..R {
                let x = simd.splat_f32s(rows[r].1[c]);
                sums[r] = simd.mul_add_e_f32s(x, registers::<S>(p)[register], sums[r]);
            }
        }
        for r in 0..R {
            registers_mut::<S>(&mut out[r])[register] = sums[r];
        }
    }
    out
}

/// Products of rows `row..row + R`, two columns of `x` at a time: all lanes are used though the product has only eight.
#[inline(always)]
fn rows_by_two<S: Simd, const R: usize>(
    simd: S,
    x: Columns<&[f32]>,
    p: &[Vector],
    row: usize,
) -> [Vector; R] {
    let rows = steps::<R, { 2 * STEP }>(x, row);
    let (p, p_rest) = p.as_chunks::<STEP>();
    let mut out = [[0.0; LANES]; R];
    for register in 0..LANES / S::F32_LANES {
        let mut sums = [simd.splat_f32s(0.0); R];
        let whole = rows[0].0.len();
        for (step, p) in p.iter().enumerate().take(whole) {
            let x: [&[f32; 2 * STEP]; R] = std::array::from_fn(|r| &rows[r].0[step]);
            for c in 0..STEP {
                let p = registers::<S>(&p[c])[register];
                for r in 0..R {
                    let x = splat_two(simd, [x[r][2 * c], x[r][2 * c + 1]], register);
                    sums[r] = simd.mul_add_e_f32s(x, p, sums[r]);
                }
            }
        }
        // Less than a step is left of the row; its factor may fill one, if the row is odd.
        for (c, p) in p[whole..].as_flattened().iter().chain(p_rest).enumerate() {
            for r in 0..R {
                let second = rows[r].1.get(2 * c + 1).copied().unwrap_or(0.0);
                let x = splat_two(simd, [rows[r].1[2 * c], second], register);
                sums[r] = simd.mul_add_e_f32s(x, registers::<S>(p)[register], sums[r]);
            }
        }
        for r in 0..R {
            registers_mut::<S>(&mut out[r])[register] = sums[r];
        }
    }
    out
}

/// Two numbers in turn in all lanes of a register: one load, as of a double.
#[inline(always)]
fn splat_two<S: Simd>(simd: S, pair: [f32; 2], register: usize) -> S::f32s {
    let doubles = [simd.splat_f64s(bytemuck::cast(pair))];
    let (registers, _) = S::as_simd_f32s(bytemuck::cast_slice(&doubles));
    // More than one only where a register holds a single number.
    registers[register % registers.len()]
}
