//! 256-bit vectors: `vpsignb` and `vpmaddubsw`.

#![expect(unsafe_code, reason = "vector instructions over packed lines")]

use std::arch::x86_64::*;

use super::{Operands, PANEL, Sums};

/// Outputs at a time: their sums for 16 rows fill half of the registers.
const OUTPUTS: usize = 4;

/// See [`super::product`].
pub(super) fn product(operands: &[Operands<'_>], quads: usize, sums: &mut Sums) {
    for group in 0..2 {
        for first in (0..2 * PANEL).step_by(OUTPUTS) {
            // SAFETY: this instruction set is only chosen where the machine has it.
            unsafe { outputs(operands, quads, group, first, sums) };
        }
    }
}

#[target_feature(enable = "avx2")]
fn outputs(operands: &[Operands<'_>], quads: usize, group: usize, first: usize, sums: &mut Sums) {
    let ones = _mm256_set1_epi16(1);
    let mut totals = [[_mm256_setzero_si256(); 2]; OUTPUTS];
    for operand in operands {
        let steps = operand.lines() / quads;
        let mut rows = operand.rows[group].as_ptr().cast::<__m256i>();
        let mut weights = operand.weights[first / PANEL].as_ptr().cast::<i8>();
        // SAFETY: the rows have `steps · quads` lines of two vectors, the panel `steps` times 16 · 4 · quads bytes, of which the
        // outputs `first % 16 ..` + 4 are read.
        unsafe {
            weights = weights.add(first % PANEL * 4 * quads);
            for _ in 0..steps {
                for quad in 0..quads {
                    let sent = [_mm256_load_si256(rows), _mm256_load_si256(rows.add(1))];
                    let sizes = [_mm256_abs_epi8(sent[0]), _mm256_abs_epi8(sent[1])];
                    for (output, totals) in totals.iter_mut().enumerate() {
                        let weight = weights.add((output * quads + quad) * 4).cast::<i32>().read_unaligned();
                        let weight = _mm256_set1_epi32(weight);
                        for half in 0..2 {
                            // |x| · (w · sign x): sums of two stay below 2¹⁵ for codes within ±127.
                            let signed = _mm256_sign_epi8(weight, sent[half]);
                            let pairs = _mm256_maddubs_epi16(sizes[half], signed);
                            totals[half] = _mm256_add_epi32(totals[half], _mm256_madd_epi16(pairs, ones));
                        }
                    }
                    rows = rows.add(2);
                }
                weights = weights.add(PANEL * 4 * quads);
            }
        }
    }
    for (sums, totals) in sums.0[group][first..].iter_mut().zip(totals) {
        // SAFETY: 16 numbers of 32 bits.
        unsafe {
            _mm256_storeu_si256(sums.as_mut_ptr().cast(), totals[0]);
            _mm256_storeu_si256(sums.as_mut_ptr().add(8).cast(), totals[1]);
        }
    }
}
