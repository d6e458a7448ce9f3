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

/// A batch of input vectors in digits, in groups of 16 rows; an even number of groups.
pub(super) struct Sent {
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

impl Conversions<'_> {
    /// Converts `x`, `[rows, inputs]`.
    pub(super) fn convert(&self, x: &[f32]) -> Sent {
        let groups = x.len().div_ceil(self.depth.inputs * LANES).next_multiple_of(2);
        let ranges = self.block_ranges(x);
        let mut packed = Packed::zeros(self.depth, self.form.count, groups);
        let mut squares =
            if self.squares { Packed::zeros(self.depth, 2, groups) } else { Packed::zeros(self.depth, 0, 0) };
        let zero = Conversion { unit: [0.0; LANES], norm: [0.0; LANES], square_unit: [0.0; LANES] };
        let mut conversions = vec![zero; groups * self.depth.blocks()];
        let rows = x.par_chunks(self.depth.inputs * LANES);
        let targets = packed.each_mut().zip(conversions.par_chunks_mut(self.depth.blocks()));
        if self.squares {
            rows.zip(targets).zip(squares.each_mut()).for_each(|((rows, (lines, conversions)), squares)| {
                self.convert_group(rows, &ranges, lines, Some(squares), conversions);
            });
        } else {
            rows.zip(targets).for_each(|(rows, (lines, conversions))| {
                self.convert_group(rows, &ranges, lines, None, conversions);
            });
        }
        Sent { packed, squares: self.squares.then_some(squares), conversions }
    }

    /// Range of each column block, where it is the same for all rows.
    fn block_ranges(&self, x: &[f32]) -> Vec<Option<f32>> {
        match self.range {
            InputRange::Vector => vec![None; self.depth.blocks()],
            InputRange::Static(range) => vec![Some(range); self.depth.blocks()],
            InputRange::Batch => batch_ranges(self.isa, self.depth, x).into_iter().map(Some).collect(),
        }
    }

    /// Converts up to 16 rows.
    fn convert_group(
        &self,
        rows: &[f32],
        ranges: &[Option<f32>],
        lines: &mut [Line],
        mut squares: Option<&mut [Line]>,
        conversions: &mut [Conversion],
    ) {
        let depth = self.depth;
        // Digits of each row of one block, each row on whole lines: `[digit][row][line]`.
        let row_lines = depth.width.div_ceil(64);
        let mut digits = vec![Line([0; 64]); 3 * LANES * row_lines];
        let (mut scaled, mut squared) = (vec![0.0; depth.width], vec![0.0; depth.width]);
        for (block, (conversion, &range)) in conversions.iter_mut().zip(ranges).enumerate() {
            let inputs = depth.block(block);
            // The last block may be narrower than the one before it.
            digits.fill(Line([0; 64]));
            let mut square_digits = self.squares.then(|| digits.clone());
            for (lane, row) in rows.chunks_exact(depth.inputs).enumerate() {
                let mut values = &row[inputs.clone()];
                if let Some(factors) = self.factors {
                    let factors = &factors[inputs.clone()];
                    scaled.iter_mut().zip(values).zip(factors).for_each(|((to, x), factor)| *to = x * factor);
                    values = &scaled[..inputs.len()];
                }
                let (inverse, unit) = self.step(values, range);
                let square_sum = write_digits(
                    self.isa,
                    values,
                    inverse,
                    self.form,
                    &mut of_row(&mut digits, lane, row_lines),
                );
                conversion.unit[lane] = unit / self.form.spread();
                conversion.norm[lane] = unit * square_sum.sqrt();
                if let Some(square_digits) = &mut square_digits {
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
            interleave(self.isa, depth, block, &digits, row_lines, lines);
            if let (Some(lines), Some(digits)) = (&mut squares, &square_digits) {
                interleave(self.isa, depth, block, digits, row_lines, lines);
            }
        }
    }

    /// `1 / s_x` and `s_x` for `values`: 0 and 0 where the range has no step, NaN where a value is not finite.
    fn step(&self, values: &[f32], range: Option<f32>) -> (f32, f32) {
        let largest = max_abs(self.isa, values);
        if !largest.is_finite() {
            return (0.0, f32::NAN);
        }
        let step = range.unwrap_or(largest) / self.form.largest;
        if step < f32::MIN_POSITIVE { (0.0, 0.0) } else { (inverse_of(step), step) }
    }
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
    let (mut from, mut to) = ([Line([0; 64]); LANES], [Line([0; 64]); LANES]);
    for (digit, digits) in digits.chunks_exact(LANES * row_lines).take(count).enumerate() {
        let first = digit * depth.lines() + block * depth.steps * depth.quads;
        let lines = &mut lines[first..first + depth.steps * depth.quads];
        for (column, lines) in lines.chunks_mut(LANES).enumerate() {
            if column < row_lines {
                for (from, row) in from.iter_mut().zip(digits[column..].iter().step_by(row_lines)) {
                    *from = *row;
                }
                transpose_lines(isa, &from, &mut to);
                lines.copy_from_slice(&to[..lines.len()]);
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

impl Sent {
    /// Conversion of a group in a column block.
    pub(super) fn conversion(&self, group: usize, block: usize) -> &Conversion {
        &self.conversions[group * self.packed.depth.blocks() + block]
    }
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
