//! An execution in pieces that a frame holds.

use ndarray::{Array2, s};

use crate::InputCode;

/// Vectors of a piece where an execution is longer than a frame can be. Mocks draw their noise in blocks of this.
const PIECE: usize = 128;
/// Most vectors and repeats of one frame.
const MOST: usize = 255;

/// Part of an execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) first_repeat: usize,
    pub(super) repeats: usize,
    pub(super) first_frame: usize,
    pub(super) frames: usize,
}

/// The pieces of `repeats` passes over `frames` vectors of `inputs` codes and `outputs` counts, pass after pass, in payloads of
/// at most `most` bytes; empty when not even one vector fits.
pub(super) fn chunks(
    repeats: usize,
    frames: usize,
    inputs: usize,
    outputs: usize,
    most: usize,
) -> Vec<Chunk> {
    let asked = |frames: usize| 2 + 2 * frames * inputs;
    let answered = |repeats: usize, frames: usize| 1 + 2 * repeats * frames * outputs;
    let fits = |repeats: usize, frames: usize| asked(frames) <= most && answered(repeats, frames) <= most;
    let mut chunks = Vec::new();
    let passes = repeats;
    if frames <= MOST && fits(1, frames) {
        let together = (most - 1) / (2 * frames.max(1) * outputs.max(1));
        let together = together.clamp(1, MOST);
        for first_repeat in (0..repeats).step_by(together) {
            let repeats = together.min(repeats - first_repeat);
            chunks.push(Chunk { first_repeat, repeats, first_frame: 0, frames });
            if repeats == 1 {
                chunks
                    .extend(end_of_pass(first_repeat, frames, frames).filter(|_| first_repeat + 1 < passes));
            }
        }
        return chunks;
    }
    let Some(piece) = (1..=PIECE).rev().find(|&piece| fits(1, piece)) else { return chunks };
    for first_repeat in 0..repeats {
        for first_frame in (0..frames).step_by(piece) {
            let frames = piece.min(frames - first_frame);
            chunks.push(Chunk { first_repeat, repeats: 1, first_frame, frames });
        }
        let last = frames - (frames - 1) / piece * piece;
        chunks.extend(end_of_pass(first_repeat, frames, last).filter(|_| first_repeat + 1 < passes));
    }
    chunks
}

/// A pass of an odd number of whole pieces ends with one of no vectors: it measures nothing, and tells a simulated board that
/// a new pass begins, where its noise would otherwise go on in the other half of a block.
fn end_of_pass(first_repeat: usize, frames: usize, last: usize) -> Option<Chunk> {
    (last == PIECE && frames % (2 * PIECE) == PIECE).then_some(Chunk {
        first_repeat,
        repeats: 1,
        first_frame: frames,
        frames: 0,
    })
}

/// The input codes of a piece; negative ones in two's complement.
pub(super) fn input_bytes(inputs: &Array2<InputCode>, chunk: &Chunk) -> Vec<u8> {
    let rows = inputs.slice(s![chunk.first_frame..chunk.first_frame + chunk.frames, ..]);
    rows.iter().flat_map(|&code| (code as i16).to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_vector_of_every_pass_is_in_one_piece_that_fits(
            repeats in 1_usize..20, frames in 1_usize..1000, inputs in 1_usize..130, outputs in 1_usize..260,
            most in 1000_usize..40_000,
        ) {
            let pieces = chunks(repeats, frames, inputs, outputs, most);
            let mut seen = vec![0_u8; repeats * frames];
            for chunk in &pieces {
                prop_assert!(2 + 2 * chunk.frames * inputs <= most);
                prop_assert!(2 * chunk.repeats * chunk.frames * outputs < most);
                prop_assert!(chunk.frames <= 255 && chunk.repeats <= 255);
                for repeat in chunk.first_repeat..chunk.first_repeat + chunk.repeats {
                    for frame in chunk.first_frame..chunk.first_frame + chunk.frames {
                        seen[repeat * frames + frame] += 1;
                    }
                }
            }
            prop_assert!(seen.iter().all(|&times| times == 1));
        }
    }
}
