//! Results that are made piece by piece.

#![expect(unsafe_code, reason = "memory that is written before it is read, but not when it is asked for")]

use rayon::prelude::*;

/// `length` numbers, made in pieces of `piece` by tasks: `task` gets memory that `memory` made, the number of its piece, and the
/// piece. What the tasks return comes in the order of the pieces.
///
/// A piece is zeroed by its task, just before: a large result that is zeroed as a whole has left the cache again when it is written.
pub(crate) fn in_pieces<M, T: Send>(
    length: usize,
    piece: usize,
    memory: impl Fn() -> M + Sync + Send,
    task: impl Fn(&mut M, usize, &mut [f32]) -> T + Sync + Send,
) -> (Vec<f32>, Vec<T>) {
    let mut values: Vec<f32> = Vec::with_capacity(length);
    let pieces = values.spare_capacity_mut()[..length].par_chunks_mut(piece.max(1));
    let returned = pieces
        .enumerate()
        .map_init(memory, |memory, (index, piece)| {
            for value in &mut *piece {
                value.write(0.0);
            }
            // SAFETY: every number of the piece has just been written.
            task(memory, index, unsafe { piece.assume_init_mut() })
        })
        .collect();
    // SAFETY: the pieces are all of the first `length` numbers, and their tasks have ended.
    unsafe { values.set_len(length) };
    (values, returned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_start_as_zeros_and_come_in_order() {
        let (values, returned) = in_pieces(
            10,
            4,
            || (),
            |(), index, piece| {
                assert!(piece.iter().all(|&value| value == 0.0));
                piece.fill(index as f32);
                piece.len()
            },
        );
        assert_eq!(values, [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 2.0, 2.0]);
        assert_eq!(returned, [4, 4, 2]);
        assert_eq!(in_pieces(0, 3, || (), |(), _, _| ()), (Vec::new(), Vec::new()));
    }
}
