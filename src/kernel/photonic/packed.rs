//! Numbers in digits, packed in the order that the integer kernels read.

use std::ops::Range;

use rayon::prelude::*;

use crate::kernel::{
    Isa,
    int8::{BASE, LARGEST, PANEL, PIECE},
    lanes::{LANES, Lanes, Line, ROUND, vectorised},
};

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
    fn filled(&self, block: usize) -> usize {
        self.block(block).len().div_ceil(self.step())
    }

    /// Steps of block `block` in pieces whose sums fit 32 bits, counted from the block's first.
    pub(super) fn pieces(&self, block: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let filled = self.filled(block);
        (0..filled).step_by(PIECE).map(move |first| first..(first + PIECE).min(filled))
    }

    /// Pieces of a full block.
    fn pieces_a_block(&self) -> usize {
        self.steps.div_ceil(PIECE)
    }

    /// Lines of one digit of a panel or group.
    pub(super) fn lines(&self) -> usize {
        self.blocks() * self.steps * self.quads
    }

    /// Lines of `steps` of block `block`.
    fn lines_of(&self, block: usize, steps: &Range<usize>) -> Range<usize> {
        (block * self.steps + steps.start) * self.quads..(block * self.steps + steps.end) * self.quads
    }
}

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

    /// Each panel's or group's own lines.
    pub(super) fn each_mut(&mut self) -> rayon::slice::ChunksExactMut<'_, Line> {
        let size = (self.digits * self.depth.lines()).max(1);
        self.lines.par_chunks_exact_mut(size)
    }
}

/// How real numbers become whole numbers in digits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Digits {
    /// Number of digits, 1 to 3.
    pub(super) count: usize,
    /// Largest whole number.
    pub(super) largest: f32,
    /// True where the numbers are rounded to codes `−largest ..= largest` before they are held in digits; otherwise the digits
    /// hold as much of the number as they can.
    pub(super) coded: bool,
}

impl Digits {
    /// Codes of a converter with this largest code, at most 32767.
    pub(super) fn of_codes(largest: i32) -> Self {
        let largest = largest as f32;
        let count = LARGEST.iter().take_while(|&&most| most < largest).count() + 1;
        Self { count, largest, coded: true }
    }

    /// Real numbers in two digits: 16 bits.
    pub(super) const COARSE: Self = Self { count: 2, largest: LARGEST[1], coded: false };

    /// Real numbers in three digits: 24 bits, the precision of an `f32` at the top of the range.
    pub(super) const FINE: Self = Self { count: 3, largest: LARGEST[2], coded: false };

    /// Whole number in the digits for each code: codes of several digits are spread over them, since products of their lower digits
    /// are left out.
    pub(super) fn spread(&self) -> f32 {
        if self.coded && self.count > 1 { (LARGEST[self.count - 1] / self.largest).floor() } else { 1.0 }
    }
}

vectorised! {
    /// Writes the digits of `values · inverse`, clamped to the largest number, most significant first: `digits[d][k]`.
    /// Returns the sum of the squares of the codes.
    pub(super) fn write_digits(values: &[f32], inverse: f32, form: Digits, digits: &mut [&mut [i8]; 3]) -> f32
        = write_digits_body
}

#[inline(always)]
fn write_digits_body(values: &[f32], inverse: f32, form: Digits, digits: &mut [&mut [i8]; 3]) -> f32 {
    let [first, second, third] = digits;
    let (coded, largest, spread) = (form.coded, form.largest, form.spread());
    match form.count {
        1 => {
            for (digit, &value) in first.iter_mut().zip(values) {
                *digit = low_byte(clamp(value * inverse, largest));
            }
            // Exact: 127² · 2¹⁷ < 2³¹, and blocks are narrower.
            first.iter().take(values.len()).map(|&code| i32::from(code) * i32::from(code)).sum::<i32>() as f32
        }
        2 => {
            for ((first, second), &value) in first.iter_mut().zip(&mut **second).zip(values) {
                let number = number(value, inverse, largest, coded) * spread;
                let high = round(number * (1.0 / BASE));
                *first = low_byte(high);
                *second = low_byte(number - high * BASE);
            }
            sum_of_squares(values, |value| number(value, inverse, largest, coded))
        }
        _ => {
            let digits = first.iter_mut().zip(&mut **second).zip(&mut **third);
            for (((first, second), third), &value) in digits.zip(values) {
                // Differences of whole multiples are exact.
                let number = number(value, inverse, largest, coded) * spread;
                let high = round(number * (1.0 / (BASE * BASE)));
                let rest = number - high * (BASE * BASE);
                let middle = round(rest * (1.0 / BASE));
                *first = low_byte(high);
                *second = low_byte(middle);
                *third = low_byte(rest - middle * BASE);
            }
            sum_of_squares(values, |value| number(value, inverse, largest, coded))
        }
    }
}

#[inline(always)]
fn number(value: f32, inverse: f32, largest: f32, coded: bool) -> f32 {
    let number = clamp(value * inverse, largest);
    if coded { round(number) } else { number }
}

#[inline(always)]
pub(super) fn clamp(value: f32, largest: f32) -> f32 {
    let value = if value > largest { largest } else { value };
    if value < -largest { -largest } else { value }
}

/// Nearest whole number of a magnitude below 2²², ties to even.
#[inline(always)]
pub(super) fn round(value: f32) -> f32 {
    (value + ROUND) - ROUND
}

/// Nearest whole number within ±127.
#[inline(always)]
fn low_byte(value: f32) -> i8 {
    (value + ROUND).to_bits() as i8
}

/// `Σ f(x)²` in sixteen sums, always in the same order.
#[inline(always)]
fn sum_of_squares(values: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let mut whole = values.chunks_exact(LANES);
    for part in &mut whole {
        for (sum, &value) in sums.iter_mut().zip(part) {
            *sum += f(value) * f(value);
        }
    }
    for (sum, &value) in sums.iter_mut().zip(whole.remainder()) {
        *sum += f(value) * f(value);
    }
    sums.iter().sum()
}

vectorised! {
    /// Largest magnitude: infinite or NaN where a value is.
    pub(super) fn max_abs(values: &[f32]) -> f32 = max_abs_body
}

#[inline(always)]
fn max_abs_body(values: &[f32]) -> f32 {
    // As whole numbers, magnitudes order as they are, with NaN on top.
    let mut maxima = [0_i32; 4 * LANES];
    let mut whole = values.chunks_exact(4 * LANES);
    for part in &mut whole {
        for (max, value) in maxima.iter_mut().zip(part) {
            *max = (*max).max(magnitude(*value));
        }
    }
    for (max, value) in maxima.iter_mut().zip(whole.remainder()) {
        *max = (*max).max(magnitude(*value));
    }
    f32::from_bits(maxima.iter().fold(0, |max, &lane| max.max(lane)) as u32)
}

/// Bits of `|value|`.
#[inline(always)]
pub(super) fn magnitude(value: f32) -> i32 {
    (value.to_bits() & 0x7fff_ffff) as i32
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
            .each_mut()
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

/// `1 / unit`; 0 where the unit is too small to have one.
pub(super) fn inverse_of(unit: f32) -> f32 {
    if unit < f32::MIN_POSITIVE { 0.0 } else { 1.0 / unit }
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
