//! How the inputs of a product are cut into column blocks, steps and pieces.

use std::ops::Range;

use crate::kernel::int8::PIECE;

/// How the inputs of a product are cut: column blocks, each padded to whole steps of the same number of inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Depth {
    /// Inputs.
    pub(super) inputs: usize,
    /// Inputs of a column block; the last may have fewer.
    pub(super) width: usize,
    /// Lines of a step, 1 to 16: a step has `4 · quads` inputs.
    pub(super) quads: usize,
    /// Steps of a column block.
    pub(super) steps: usize,
}

impl Depth {
    /// Steps of at most 64 inputs, as short as their number allows.
    pub(super) fn new(inputs: usize, width: usize) -> Self {
        let width = width.min(inputs).max(1);
        let steps = width.div_ceil(64);
        Self { inputs, width, quads: width.div_ceil(steps).div_ceil(4), steps }
    }

    /// Column blocks.
    pub(super) fn blocks(&self) -> usize {
        self.inputs.div_ceil(self.width)
    }

    /// Inputs of block `block`.
    pub(super) fn block(&self, block: usize) -> Range<usize> {
        block * self.width..((block + 1) * self.width).min(self.inputs)
    }

    /// Inputs of a step.
    pub(super) fn step(&self) -> usize {
        4 * self.quads
    }

    /// Steps that block `block` fills.
    pub(super) fn filled(&self, block: usize) -> usize {
        self.block(block).len().div_ceil(self.step())
    }

    /// Steps of block `block` in pieces whose sums fit 32 bits, counted from the block's first.
    pub(super) fn pieces(&self, block: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let filled = self.filled(block);
        (0..filled).step_by(PIECE).map(move |first| first..(first + PIECE).min(filled))
    }

    /// Pieces of a full block.
    pub(super) fn pieces_a_block(&self) -> usize {
        self.steps.div_ceil(PIECE)
    }

    /// Lines of one digit of a panel or group.
    pub(super) fn lines(&self) -> usize {
        self.blocks() * self.steps * self.quads
    }

    /// Lines of `steps` of block `block`.
    pub(super) fn lines_of(&self, block: usize, steps: &Range<usize>) -> Range<usize> {
        (block * self.steps + steps.start) * self.quads..(block * self.steps + steps.end) * self.quads
    }
}
