//! 512-bit vectors: `vpdpbusd`.

#![expect(unsafe_code, reason = "vector instructions over packed lines")]

use std::arch::x86_64::*;

use super::{Operands, PANEL, Sums};

/// Outputs at a time: enough sums in flight to hide the latency of the dot product.
const OUTPUTS: usize = 8;

/// See [`super::product`].
pub(super) fn product(operands: &[Operands<'_>], quads: usize, sums: &mut Sums) {
    for first in (0..2 * PANEL).step_by(OUTPUTS) {
        // SAFETY: this instruction set is only chosen where the machine has it.
        unsafe { outputs(operands, quads, first, sums) };
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn outputs(operands: &[Operands<'_>], quads: usize, first: usize, sums: &mut Sums) {
    // The instruction multiplies unsigned by signed: rows are sent as x + 128, and 128 Σ w is taken away beforehand.
    let offset = _mm512_set1_epi8(-128);
    let mut totals = [[_mm512_setzero_si512(); 2]; OUTPUTS];
    for operand in operands {
        let panel = first / PANEL;
        for (totals, &sum) in totals.iter_mut().zip(&operand.weight_sums[panel][first % PANEL..]) {
            for total in totals {
                *total = _mm512_sub_epi32(*total, _mm512_set1_epi32(128 * sum));
            }
        }
        let steps = operand.lines() / quads;
        // No closures below: they would not be compiled for these vectors.
        let [mut first_rows, mut second_rows] = operand.rows.map(|rows| rows.as_ptr().cast::<__m512i>());
        let mut weights = operand.weights[panel].as_ptr().cast::<i8>();
        // SAFETY: each group has `steps · quads` lines, the panel `steps` times 16 · 4 · quads bytes, of which the outputs
        // `first % 16 ..` + 8 are read.
        unsafe {
            weights = weights.add(first % PANEL * 4 * quads);
            for _ in 0..steps {
                for quad in 0..quads {
                    let sent = [
                        _mm512_xor_si512(_mm512_load_si512(first_rows), offset),
                        _mm512_xor_si512(_mm512_load_si512(second_rows), offset),
                    ];
                    for (output, totals) in totals.iter_mut().enumerate() {
                        let weight = weights.add((output * quads + quad) * 4).cast::<i32>().read_unaligned();
                        let weight = _mm512_set1_epi32(weight);
                        for (total, sent) in totals.iter_mut().zip(sent) {
                            *total = _mm512_dpbusd_epi32(*total, sent, weight);
                        }
                    }
                    (first_rows, second_rows) = (first_rows.add(1), second_rows.add(1));
                }
                weights = weights.add(PANEL * 4 * quads);
            }
        }
    }
    for (output, totals) in totals.into_iter().enumerate() {
        for (sums, total) in sums.0.iter_mut().zip(totals) {
            // SAFETY: 16 numbers of 32 bits.
            unsafe { _mm512_storeu_si512(sums[first + output].as_mut_ptr().cast(), total) };
        }
    }
}
