//! Plain loops.

use super::{LANES, Operands, PANEL, Sums};

/// See [`super::product`].
pub(super) fn product(operands: &[Operands<'_>], quads: usize, sums: &mut Sums) {
    for (group, sums) in sums.0.iter_mut().enumerate() {
        for (output, sums) in sums.iter_mut().enumerate() {
            *sums = [0; LANES];
            for operand in operands {
                let row_steps = operand.rows[group].chunks_exact(quads);
                let weight_steps = operand.weights[output / PANEL].chunks_exact(quads);
                for (rows, weights) in row_steps.zip(weight_steps) {
                    let first = (output % PANEL) * 4 * quads;
                    for (quad, rows) in rows.iter().enumerate() {
                        let byte = first + 4 * quad;
                        let weights = &weights[byte / 64].0[byte % 64..byte % 64 + 4];
                        for (sum, row) in sums.iter_mut().zip(rows.0.chunks_exact(4)) {
                            for (&weight, &sent) in weights.iter().zip(row) {
                                *sum += i32::from(i16::from(weight) * i16::from(sent));
                            }
                        }
                    }
                }
            }
        }
    }
}
