//! What the input converter sends.

use rayon::prelude::*;

use super::{
    InputRange, Product,
    depth::Depth,
    digits::{Digits, clamp, inverse_of, max_abs, round, write_digits},
    packed::Packed,
    reading::larger_magnitude,
};
use crate::kernel::{
    Isa,
    lanes::{LANES, Lanes, Line, transpose_lines, vectorised},
};

/// Rows of a task. Fixed, so that results do not depend on the number of threads.
const TASK_ROWS: usize = 64;

/// Groups that a task converts at least.
const MIN_GROUPS: usize = 4;

/// Digits of a number at most.
const MOST_DIGITS: usize = 3;

/// Input vectors in digits, in groups of 16 rows; an even number of groups.
pub(super) struct Sent {
    /// The first group, counted over the batch.
    first: usize,
    pub(super) packed: Packed,
    /// `x'²` in two digits, for noise that differs by weight.
    pub(super) squares: Option<Packed>,
    /// `[group][block]`.
    conversions: Vec<Conversion>,
}

/// Of each row of a group in one column block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Conversion {
    /// Value of the whole number 1; NaN where an input is not finite, 0 where the block is dark.
    pub(super) unit: Lanes<f32>,
    /// `‖x'‖₂`.
    pub(super) norm: Lanes<f32>,
    /// Value of the whole number 1 in the squares.
    pub(super) square_unit: Lanes<f32>,
}

impl Conversion {
    /// Of rows that are not there.
    const NONE: Self = Self { unit: [0.0; LANES], norm: [0.0; LANES], square_unit: [0.0; LANES] };
}

/// How a batch is converted.
pub(super) struct Conversions<'a> {
    pub(super) isa: Isa,
    pub(super) depth: Depth,
    pub(super) form: Digits,
    pub(super) range: InputRange,
    /// Factor of each input before it is converted.
    pub(super) factors: Option<&'a [f32]>,
    /// Whether the squares are wanted.
    pub(super) squares: bool,
}

/// Range of the converter in a column block.
#[derive(Clone, Copy, Debug)]
pub(super) enum BlockRange {
    /// That of each vector.
    Vector,
    /// Known beforehand.
    Known(f32),
    /// The largest magnitude of the batch: where it is finite, every input is.
    Largest(f32),
}

/// Memory for the digits of one group in one block, each row on whole lines: `[digit][row][line]`.
struct Scratch {
    digits: Vec<Line>,
    square_digits: Vec<Line>,
    /// One row times the factors, and its squares.
    values: [Vec<f32>; 2],
}

impl Sent {
    /// Room for `groups` groups, an even number.
    pub(super) fn room(conversions: &Conversions<'_>, groups: usize) -> Self {
        let Conversions { depth, form, squares, .. } = *conversions;
        Self {
            first: 0,
            packed: Packed::zeros(depth, form.count, groups),
            squares: squares.then(|| Packed::zeros(depth, Digits::COARSE.count, groups)),
            conversions: vec![Conversion::NONE; groups * depth.blocks()],
        }
    }

    /// Place of group `group` of the batch.
    pub(super) fn place(&self, group: usize) -> usize {
        group - self.first
    }

    /// Conversion of group `group` of the batch in a column block.
    pub(super) fn conversion(&self, group: usize, block: usize) -> &Conversion {
        &self.conversions[self.place(group) * self.packed.depth.blocks() + block]
    }
}

impl Conversions<'_> {
    /// Converts `x`, `[rows, inputs]`.
    pub(super) fn convert(&self, x: &[f32]) -> Sent {
        let groups = x.len().div_ceil(self.depth.inputs * LANES).next_multiple_of(2);
        let ranges = self.block_ranges(x);
        let mut sent = Sent::room(self, groups);
        let rows = x.par_chunks(self.depth.inputs * LANES);
        let targets = sent.packed.par_each_mut().zip(sent.conversions.par_chunks_mut(self.depth.blocks()));
        if let Some(squares) = &mut sent.squares {
            rows.zip(targets).zip(squares.par_each_mut()).with_min_len(MIN_GROUPS).for_each_init(
                || self.scratch(),
                |scratch, ((rows, (lines, conversions)), squares)| {
                    self.convert_group(rows, &ranges, lines, Some(squares), conversions, scratch);
                },
            );
        } else {
            rows.zip(targets).with_min_len(MIN_GROUPS).for_each_init(
                || self.scratch(),
                |scratch, (rows, (lines, conversions))| {
                    self.convert_group(rows, &ranges, lines, None, conversions, scratch);
                },
            );
        }
        sent
    }

    /// Converts the rows `x` of the batch, whose first is the first of group `first`, to memory that has room for them.
    pub(super) fn convert_some(&self, first: usize, x: &[f32], ranges: &[BlockRange], room: &mut SentRoom) {
        let SentRoom { sent, scratch } = room;
        sent.first = first;
        let rows = x.chunks(self.depth.inputs * LANES);
        let count = rows.len();
        let targets = sent.packed.each_mut().zip(sent.conversions.chunks_mut(self.depth.blocks()));
        if let Some(squares) = &mut sent.squares {
            for ((rows, (lines, conversions)), squares) in rows.zip(targets).zip(squares.each_mut()) {
                self.convert_group(rows, ranges, lines, Some(squares), conversions, scratch);
            }
        } else {
            for (rows, (lines, conversions)) in rows.zip(targets) {
                self.convert_group(rows, ranges, lines, None, conversions, scratch);
            }
        }
        // What an earlier task left is not sent again.
        sent.conversions[count * self.depth.blocks()..].fill(Conversion::NONE);
    }

    /// Memory for tasks that convert up to `groups` groups, an even number.
    pub(super) fn room(&self, groups: usize) -> SentRoom {
        SentRoom { sent: Sent::room(self, groups), scratch: self.scratch() }
    }

    fn scratch(&self) -> Scratch {
        let lines = LANES * self.depth.width.div_ceil(64);
        let squares = if self.squares { MOST_DIGITS * lines } else { 0 };
        Scratch {
            digits: vec![Line([0; 64]); MOST_DIGITS * lines],
            square_digits: vec![Line([0; 64]); squares],
            values: [(); 2].map(|()| vec![0.0; self.depth.width]),
        }
    }

    /// Range of each column block for the rows of `x`.
    pub(super) fn block_ranges(&self, x: &[f32]) -> Vec<BlockRange> {
        match self.range {
            InputRange::Vector => vec![BlockRange::Vector; self.depth.blocks()],
            InputRange::Static(range) => vec![BlockRange::Known(range); self.depth.blocks()],
            InputRange::Batch => {
                batch_ranges(self.isa, self.depth, x).into_iter().map(BlockRange::Largest).collect()
            }
        }
    }

    /// Converts up to 16 rows.
    fn convert_group(
        &self,
        rows: &[f32],
        ranges: &[BlockRange],
        lines: &mut [Line],
        mut squares: Option<&mut [Line]>,
        conversions: &mut [Conversion],
        scratch: &mut Scratch,
    ) {
        let depth = self.depth;
        let row_lines = depth.width.div_ceil(64);
        let Scratch { digits, square_digits, values: [scaled, squared] } = scratch;
        for (block, (conversion, &range)) in conversions.iter_mut().zip(ranges).enumerate() {
            let inputs = depth.block(block);
            if inputs.len() < depth.width || rows.len() < LANES * depth.inputs {
                // Not all of what was there before is written over.
                digits.fill(Line([0; 64]));
                square_digits.fill(Line([0; 64]));
                *conversion = Conversion::NONE;
            }
            for (lane, row) in rows.chunks_exact(depth.inputs).enumerate() {
                let mut values = &row[inputs.clone()];
                if let Some(factors) = self.factors {
                    let scaled = &mut scaled[..inputs.len()];
                    scale(self.isa, values, &factors[inputs.clone()], scaled);
                    values = scaled;
                }
                let (inverse, unit) = self.step(values, range);
                let square_sum =
                    write_digits(self.isa, values, inverse, self.form, &mut of_row(digits, lane, row_lines));
                conversion.unit[lane] = unit / self.form.spread();
                conversion.norm[lane] = unit * square_sum.sqrt();
                if squares.is_some() {
                    squared.iter_mut().zip(values).for_each(|(square, &value)| {
                        let number = clamp(value * inverse, self.form.largest);
                        let number = if self.form.coded { round(number) } else { number };
                        *square = (number / self.form.largest) * (number / self.form.largest);
                    });
                    let form = Digits::COARSE;
                    let mut targets = of_row(square_digits, lane, row_lines);
                    write_digits(self.isa, &squared[..inputs.len()], form.largest, form, &mut targets);
                    let full = unit * self.form.largest;
                    conversion.square_unit[lane] = full * full / form.largest;
                }
            }
            interleave(self.isa, depth, block, digits, row_lines, lines);
            if let Some(lines) = &mut squares {
                interleave(self.isa, depth, block, square_digits, row_lines, lines);
            }
        }
    }

    /// `1 / s_x` and `s_x` for `values`: 0 and 0 where the range has no step, NaN where a value is not finite.
    fn step(&self, values: &[f32], range: BlockRange) -> (f32, f32) {
        let (largest, range) = match range {
            BlockRange::Largest(range) if range.is_finite() => (range, range),
            BlockRange::Largest(range) | BlockRange::Known(range) => (max_abs(self.isa, values), range),
            BlockRange::Vector => {
                let largest = max_abs(self.isa, values);
                (largest, largest)
            }
        };
        if !largest.is_finite() {
            return (0.0, f32::NAN);
        }
        let step = range / self.form.largest;
        if step < f32::MIN_POSITIVE { (0.0, 0.0) } else { (inverse_of(step), step) }
    }
}

/// Memory of a task that converts its own rows.
pub(super) struct SentRoom {
    pub(super) sent: Sent,
    scratch: Scratch,
}

vectorised! {
    /// `to = values · factors`.
    fn scale(values: &[f32], factors: &[f32], to: &mut [f32]) = scale_body
}

#[inline(always)]
fn scale_body(values: &[f32], factors: &[f32], to: &mut [f32]) {
    to.iter_mut().zip(values).zip(factors).for_each(|((to, x), factor)| *to = x * factor);
}

/// The digits of row `lane`.
fn of_row(digits: &mut [Line], lane: usize, row_lines: usize) -> [&mut [i8]; 3] {
    let (a, rest) = digits.split_at_mut(LANES * row_lines);
    let (b, c) = rest.split_at_mut(LANES * row_lines);
    [a, b, c]
        .map(|digit| crate::kernel::lanes::bytes_mut(&mut digit[lane * row_lines..(lane + 1) * row_lines]))
}

/// Brings rows side by side: 4 inputs of 16 rows a line.
fn interleave(isa: Isa, depth: Depth, block: usize, digits: &[Line], row_lines: usize, lines: &mut [Line]) {
    let count = lines.len() / depth.lines();
    for (digit, digits) in digits.chunks_exact(LANES * row_lines).take(count).enumerate() {
        let first = digit * depth.lines() + block * depth.steps * depth.quads;
        let lines = &mut lines[first..first + depth.steps * depth.quads];
        for (column, lines) in lines.chunks_mut(LANES).take(row_lines).enumerate() {
            let from = std::array::from_fn(|row| &digits[row * row_lines + column]);
            if let Some(lines) = lines.as_mut_array() {
                transpose_lines(isa, from, lines);
            } else {
                let mut all = [Line([0; 64]); LANES];
                transpose_lines(isa, from, &mut all);
                lines.copy_from_slice(&all[..lines.len()]);
            }
        }
    }
}

/// `max|x|` of each column block over all rows.
fn batch_ranges(isa: Isa, depth: Depth, x: &[f32]) -> Vec<f32> {
    let of_rows = |rows: &[f32]| -> Vec<f32> {
        let mut maxima = vec![0.0; depth.blocks()];
        for row in rows.chunks_exact(depth.inputs) {
            for (max, part) in maxima.iter_mut().zip(row.chunks(depth.width)) {
                *max = larger_magnitude(*max, max_abs(isa, part));
            }
        }
        maxima
    };
    let each: Vec<Vec<f32>> = x.par_chunks(depth.inputs * TASK_ROWS).map(of_rows).collect();
    each.into_iter().fold(vec![0.0; depth.blocks()], |maxima, other| {
        maxima.into_iter().zip(other).map(|(max, other)| larger_magnitude(max, other)).collect()
    })
}

impl Product {
    /// `x'`, `[rows, inputs]`: what the input converter sends for `x`, for the gradient of the weights.
    #[must_use]
    pub fn sent(&self, x: &[f32]) -> Vec<f32> {
        self.sent_over(self.converters.input_range, x)
    }

    /// [`Self::sent`] over a range of its own.
    pub(super) fn sent_over(&self, range: InputRange, x: &[f32]) -> Vec<f32> {
        let conversions = self.conversions(range);
        let ranges = conversions.block_ranges(x);
        let mut sent = vec![0.0; x.len()];
        let (depth, form) = (self.depth, conversions.form);
        let rows = depth.inputs * TASK_ROWS;
        sent.par_chunks_mut(rows).zip(x.par_chunks(rows)).for_each(|(sent, x)| {
            for (sent, x) in sent.chunks_mut(depth.inputs).zip(x.chunks(depth.inputs)) {
                for ((sent, x), &range) in
                    sent.chunks_mut(depth.width).zip(x.chunks(depth.width)).zip(&ranges)
                {
                    let (inverse, step) = conversions.step(x, range);
                    send(self.isa, x, inverse, step, form, sent);
                }
            }
        });
        sent
    }

    /// How the inputs of this product are converted.
    pub(super) fn conversions(&self, range: InputRange) -> Conversions<'_> {
        Conversions {
            isa: self.isa,
            depth: self.depth,
            form: self.input_form(),
            range,
            factors: None,
            squares: self.parts.iter().any(|part| part.variances.is_some()),
        }
    }
}

vectorised! {
    /// `step · round(x · inverse)`; an ideal converter only clips.
    fn send(x: &[f32], inverse: f32, step: f32, form: Digits, sent: &mut [f32]) = send_body
}

#[inline(always)]
fn send_body(x: &[f32], inverse: f32, step: f32, form: Digits, sent: &mut [f32]) {
    let full = step * form.largest;
    for (sent, &x) in sent.iter_mut().zip(x) {
        *sent = if form.coded { step * round(clamp(x * inverse, form.largest)) } else { clamp(x, full) };
    }
}
