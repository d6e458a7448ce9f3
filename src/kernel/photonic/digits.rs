//! Real numbers in digits.

use crate::kernel::{
    int8::{BASE, LARGEST},
    lanes::{LANES, ROUND, vectorised},
};

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

/// `1 / unit`; 0 where the unit is too small to have one.
pub(super) fn inverse_of(unit: f32) -> f32 {
    if unit < f32::MIN_POSITIVE { 0.0 } else { 1.0 / unit }
}
