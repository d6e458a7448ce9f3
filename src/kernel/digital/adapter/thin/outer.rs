//! The sum over rows of a thin and a wide matrix.

use pulp::Simd;

use super::{Columns, LANES, Vector, WIDTH, registers, registers_mut};
use crate::kernel::digital::simd::dispatch;

/// `out[j, c] += Σ_r h[r, j]·x[r, c]` for a thin `h`; `out` `[h.columns, x.columns]` in vectors.
pub(in super::super) fn outer(h: Columns<&[f32]>, x: Columns<&[f32]>, out: &mut [Vector]) {
    outer_all(h, x, out);
}

dispatch!(outer_body => fn outer_all(h: Columns<&[f32]>, x: Columns<&[f32]>, out: &mut [Vector]));

#[inline(always)]
fn outer_body<S: Simd>(simd: S, h: Columns<&[f32]>, x: Columns<&[f32]>, out: &mut [Vector]) {
    for (index, out) in out.chunks_exact_mut(h.columns).enumerate() {
        let first = index * LANES;
        let x = Columns { first: x.first + first, columns: LANES.min(x.columns - first), ..x };
        let (eights, _) = out.as_chunks_mut::<WIDTH>();
        for (block, out) in eights.iter_mut().enumerate() {
            let h = Columns { first: h.first + block * WIDTH, ..h };
            for register in 0..LANES / S::F32_LANES {
                if x.columns == LANES {
                    outer_eight::<S, true>(simd, h, x, register, out);
                } else {
                    outer_eight::<S, false>(simd, h, x, register, out);
                }
            }
        }
    }
}

/// One register of eight rows of `hᵀ x`, for sixteen columns of `x` or for fewer at its edge.
#[inline(always)]
fn outer_eight<S: Simd, const WHOLE: bool>(
    simd: S,
    h: Columns<&[f32]>,
    x: Columns<&[f32]>,
    register: usize,
    out: &mut [Vector; WIDTH],
) {
    let mut sums = [simd.splat_f32s(0.0); WIDTH];
    let mut edge = [0.0; LANES];
    for (h_row, x_row) in h.values.chunks_exact(h.stride).zip(x.values.chunks_exact(x.stride)) {
        let Some(h) = h_row[h.first..].first_chunk::<WIDTH>() else { break };
        let x = if WHOLE {
            let Some(x) = x_row[x.first..].first_chunk::<LANES>() else { break };
            registers::<S>(x)[register]
        } else {
            edge[..x.columns].copy_from_slice(&x_row[x.first..][..x.columns]);
            registers::<S>(&edge)[register]
        };
        for j in 0..WIDTH {
            sums[j] = simd.mul_add_e_f32s(simd.splat_f32s(h[j]), x, sums[j]);
        }
    }
    for j in 0..WIDTH {
        let out = &mut registers_mut::<S>(&mut out[j])[register];
        *out = simd.add_f32s(*out, sums[j]);
    }
}
