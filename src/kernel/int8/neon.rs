//! 128-bit vectors of 64-bit ARM: `smull` and `sadalp`.

#![expect(unsafe_code, reason = "vector instructions over packed lines")]

use std::arch::aarch64::*;

use super::{Operands, PANEL, Sums};

/// Outputs at a time: their sums for 4 rows, in halves, and the operands fit the registers.
const OUTPUTS: usize = 8;

/// See [`super::product`].
pub(super) fn product(operands: &[Operands<'_>], quads: usize, sums: &mut Sums) {
    for group in 0..2 {
        for first in (0..2 * PANEL).step_by(OUTPUTS) {
            for quarter in 0..4 {
                // SAFETY: every 64-bit ARM has these vectors.
                unsafe { outputs(operands, quads, [group, first, quarter], sums) };
            }
        }
    }
}

#[target_feature(enable = "neon")]
fn outputs(operands: &[Operands<'_>], quads: usize, place: [usize; 3], sums: &mut Sums) {
    let [group, first, quarter] = place;
    // Rows 0 and 1 of the quarter in the first half, 2 and 3 in the second; each row in two sums.
    let mut totals = [[vdupq_n_s32(0); 2]; OUTPUTS];
    for operand in operands {
        let steps = operand.lines() / quads;
        let mut rows = operand.rows[group].as_ptr().cast::<i8>();
        let mut weights = operand.weights[first / PANEL].as_ptr().cast::<i8>();
        // SAFETY: the rows have `steps · quads` lines, the panel `steps` times 16 · 4 · quads bytes, of which the outputs
        // `first % 16 ..` + 8 are read.
        unsafe {
            rows = rows.add(16 * quarter);
            weights = weights.add(first % PANEL * 4 * quads);
            for _ in 0..steps {
                for quad in 0..quads {
                    let sent = vld1q_s8(rows);
                    for (output, totals) in totals.iter_mut().enumerate() {
                        let weight = weights.add((output * quads + quad) * 4).cast::<i32>().read_unaligned();
                        let weight = vreinterpret_s8_s32(vdup_n_s32(weight));
                        totals[0] = vpadalq_s16(totals[0], vmull_s8(vget_low_s8(sent), weight));
                        totals[1] = vpadalq_s16(totals[1], vmull_s8(vget_high_s8(sent), weight));
                    }
                    rows = rows.add(64);
                }
                weights = weights.add(PANEL * 4 * quads);
            }
        }
    }
    for (sums, totals) in sums.0[group][first..].iter_mut().zip(totals) {
        // SAFETY: 4 numbers of 32 bits from 4 · quarter of 16.
        unsafe { vst1q_s32(sums.as_mut_ptr().add(4 * quarter), vpaddq_s32(totals[0], totals[1])) };
    }
}
