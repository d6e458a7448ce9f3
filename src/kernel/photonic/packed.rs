//! Numbers in digits, packed in the order that the integer kernels read.

use std::ops::Range;

use rayon::prelude::*;

use super::{
    depth::Depth,
    digits::{Digits, inverse_of, max_abs, write_digits},
};
use crate::kernel::{
    Isa,
    int8::{PANEL, PIECE},
    lanes::{LANES, Lanes, Line, prefetch},
};

/// Panels of weights or groups of rows in digits: `[index][digit][line]`.
#[derive(Clone, Debug)]
pub(super) struct Packed {
    pub(super) depth: Depth,
    pub(super) digits: usize,
    lines: Vec<Line>,
}

impl Packed {
    /// Zeros for `count` panels or groups.
    pub(super) fn zeros(depth: Depth, digits: usize, count: usize) -> Self {
        Self { depth, digits, lines: vec![Line([0; 64]); count * digits * depth.lines()] }
    }

    /// Lines of digit `digit` of `index` in `steps` of `block`.
    pub(super) fn lines(&self, index: usize, digit: usize, block: usize, steps: &Range<usize>) -> &[Line] {
        let first = (index * self.digits + digit) * self.depth.lines();
        let lines = self.depth.lines_of(block, steps);
        &self.lines[first + lines.start..first + lines.end]
    }

    /// Asks for the `part`-th of `parts` of the lines of `block` of the pair that starts at `index`, if there is one.
    pub(super) fn prefetch(&self, index: usize, block: usize, part: usize, parts: usize) {
        let depth = self.depth;
        for first in (index * self.digits..(index + 2) * self.digits).map(|digit| digit * depth.lines()) {
            let lines = depth.lines_of(block, &(0..depth.filled(block)));
            if let Some(lines) = self.lines.get(first + lines.start..first + lines.end) {
                let size = lines.len().div_ceil(parts);
                prefetch(lines.chunks(size).nth(part).unwrap_or_default());
            }
        }
    }

    /// Each panel's or group's own lines.
    pub(super) fn each_mut(&mut self) -> std::slice::ChunksExactMut<'_, Line> {
        let size = self.size();
        self.lines.chunks_exact_mut(size)
    }

    /// The same, for tasks.
    pub(super) fn par_each_mut(&mut self) -> rayon::slice::ChunksExactMut<'_, Line> {
        let size = self.size();
        self.lines.par_chunks_exact_mut(size)
    }

    /// Lines of a panel or group.
    fn size(&self) -> usize {
        (self.digits * self.depth.lines()).max(1)
    }
}

/// Weights in panels of 16 outputs.
#[derive(Clone, Debug)]
pub(super) struct Panels {
    pub(super) packed: Packed,
    /// Value of the whole number 1, one an output.
    pub(super) units: Vec<f32>,
    /// Sums of each digit: `[panel][digit][block][piece]`.
    sums: Vec<Lanes<i32>>,
}

/// One output's weights.
#[derive(Clone, Copy)]
pub(super) enum Weights<'a> {
    /// An output that is only there to fill a panel.
    Padding,
    /// Whole numbers within ±127, and the value of 1.
    Codes(&'a [i8], f32),
    /// Real numbers.
    Values(&'a [f32]),
}

impl Panels {
    /// Packs `count` panels, an even number; `weights(n)` are those of the `n`-th output, `depth.inputs` numbers.
    pub(super) fn new<'a>(
        isa: Isa,
        depth: Depth,
        form: Option<Digits>,
        count: usize,
        weights: impl Fn(usize) -> Weights<'a> + Sync,
    ) -> Self {
        let digits = form.map_or(1, |form| form.count);
        let mut packed = Packed::zeros(depth, digits, count);
        let mut units = vec![0.0; count * PANEL];
        let pieces = depth.pieces_a_block();
        let mut sums = vec![[0; LANES]; count * digits * depth.blocks() * pieces];
        let sums_a_panel = (digits * depth.blocks() * pieces).max(1);
        let each = packed
            .par_each_mut()
            .zip(units.par_chunks_exact_mut(PANEL))
            .zip(sums.par_chunks_exact_mut(sums_a_panel));
        each.enumerate().for_each(|(panel, ((lines, units), sums))| {
            let mut buffers = vec![0_i8; 3 * depth.width];
            for (output, unit) in units.iter_mut().enumerate() {
                let weights = weights(panel * PANEL + output);
                *unit = match (weights, form) {
                    (Weights::Padding, _) => continue,
                    (Weights::Codes(_, unit), _) => unit,
                    (Weights::Values(values), form) => {
                        max_abs(isa, values) / form.map_or(1.0, |form| form.largest)
                    }
                };
                for block in 0..depth.blocks() {
                    let inputs = depth.block(block);
                    let length = inputs.len();
                    let (a, rest) = buffers.split_at_mut(depth.width);
                    let (b, c) = rest.split_at_mut(depth.width);
                    match (weights, form) {
                        (Weights::Padding, _) => {}
                        (Weights::Codes(codes, _), _) => a[..length].copy_from_slice(&codes[inputs]),
                        (Weights::Values(values), form) => {
                            let inverse = inverse_of(*unit);
                            let mut targets = [&mut a[..length], &mut b[..length], &mut c[..length]];
                            write_digits(
                                isa,
                                &values[inputs],
                                inverse,
                                form.unwrap_or(Digits::FINE),
                                &mut targets,
                            );
                        }
                    }
                    for digit in 0..digits {
                        let digit_values = &buffers[digit * depth.width..][..length];
                        let first = digit * depth.lines();
                        place(&mut lines[first..], depth, block, output, digit_values);
                        let first = (digit * depth.blocks() + block) * pieces;
                        for (sums, part) in
                            sums[first..].iter_mut().zip(digit_values.chunks(PIECE * depth.step()))
                        {
                            sums[output] = part.iter().map(|&digit| i32::from(digit)).sum();
                        }
                    }
                }
            }
        });
        Self { packed, units, sums }
    }

    /// Sums of digit `digit` of the weights of `panel` in the piece of `block` that starts at `step`.
    pub(super) fn sums(&self, panel: usize, digit: usize, block: usize, step: usize) -> &Lanes<i32> {
        let depth = &self.packed.depth;
        let place = (panel * self.packed.digits + digit) * depth.blocks() + block;
        &self.sums[place * depth.pieces_a_block() + step / PIECE]
    }
}

/// Writes the digits of one output of one block into the lines of a panel.
fn place(lines: &mut [Line], depth: Depth, block: usize, output: usize, digits: &[i8]) {
    let (step, quads) = (depth.step(), depth.quads);
    for (index, part) in digits.chunks(step).enumerate() {
        let lines = &mut lines[(block * depth.steps + index) * quads..][..quads];
        if step == 64 {
            lines[output].0[..part.len()].copy_from_slice(part);
        } else {
            // An output's step may go over the end of a line.
            for (byte, &digit) in (output * step..).zip(part) {
                lines[byte / 64].0[byte % 64] = digit;
            }
        }
    }
}
