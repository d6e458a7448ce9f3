//! Products of numbers in digits, brought back to real numbers.

use super::packed::{Packed, Panels};
use crate::kernel::{
    Isa,
    int8::{self, BASE, Operands, PANEL, Sums},
    lanes::{LANES, Lanes, vector::Vector, vectorised},
};

/// Outputs of a pair of panels.
pub(super) const PAIR: usize = 2 * PANEL;

/// Levels of digits that are kept: a product's weight below the highest.
const LOWEST_LEVEL: usize = 2;

/// Products of a pair of panels with two groups of rows.
pub(super) struct PairProduct {
    /// Sums of the only level, where there is only one.
    whole: Sums,
    /// Sums of all levels otherwise, in units of the lowest: `[group][output][row]`.
    real: [[Lanes<f32>; PAIR]; 2],
    /// Whether `real` holds the product.
    is_real: bool,
}

impl Default for PairProduct {
    fn default() -> Self {
        Self { whole: Sums([[[0; LANES]; PAIR]; 2]), real: [[[0.0; LANES]; PAIR]; 2], is_real: false }
    }
}

impl PairProduct {
    /// Multiplies the pair `pair` of `panels` by the groups `group` and `group + 1` of `rows` in column block `block`.
    ///
    /// Products of digits of the same weight make a level; levels below the third are left out.
    pub(super) fn multiply(
        &mut self,
        isa: Isa,
        panels: &Panels,
        rows: &Packed,
        block: usize,
        [pair, group]: [usize; 2],
    ) {
        let depth = rows.depth;
        let (weight_digits, row_digits) = (panels.packed.digits, rows.digits);
        let full = weight_digits + row_digits - 2;
        self.is_real = full > 0 || depth.pieces(block).nth(1).is_some();
        let mut first = true;
        for steps in depth.pieces(block) {
            let operands = |weight_digit: usize, row_digit: usize| Operands {
                weights: [0, 1].map(|i| panels.packed.lines(2 * pair + i, weight_digit, block, &steps)),
                rows: [0, 1].map(|i| rows.lines(group + i, row_digit, block, &steps)),
                weight_sums: [0, 1].map(|i| panels.sums(2 * pair + i, weight_digit, block, steps.start)),
            };
            for level in (0..=full.min(LOWEST_LEVEL)).rev() {
                let mut of_level = [operands(0, 0); LOWEST_LEVEL + 1];
                let mut count = 0;
                for weight_digit in (level + 1).saturating_sub(row_digits)..=level.min(weight_digits - 1) {
                    of_level[count] = operands(weight_digit, level - weight_digit);
                    count += 1;
                }
                int8::product(isa, &of_level[..count], depth.quads, &mut self.whole);
                if self.is_real {
                    let weight = BASE.powi((full - level) as i32);
                    add_level(isa, &self.whole, weight, first, &mut self.real);
                    first = false;
                }
            }
        }
    }

    /// Brings the products for group `half` to real numbers, `z[output][row]`: times `units[output] · unit[row]`.
    pub(super) fn bring(
        &self,
        isa: Isa,
        half: usize,
        units: &[f32],
        unit: &Lanes<f32>,
        z: &mut [Lanes<f32>],
    ) {
        if self.is_real {
            bring_real(isa, &self.real[half], units, unit, z);
        } else {
            bring_whole(isa, &self.whole.0[half], units, unit, z);
        }
    }
}

vectorised! {
    /// `real (+)= weight · sums`.
    fn add_level(sums: &Sums, weight: f32, first: bool, real: &mut [[Lanes<f32>; PAIR]; 2]) = add_level_body<Vector>
}

#[inline(always)]
fn add_level_body<V: Vector>(sums: &Sums, weight: f32, first: bool, real: &mut [[Lanes<f32>; PAIR]; 2]) {
    let weight = V::splat(weight);
    for (real, sums) in real.as_flattened_mut().iter_mut().zip(sums.0.as_flattened()) {
        let value = weight.times(V::convert(sums));
        if first { value } else { V::load(real).plus(value) }.store(real);
    }
}

vectorised! {
    /// `z = sum · (units[output] · unit[row])`.
    fn bring_whole(sums: &[Lanes<i32>; PAIR], units: &[f32], unit: &Lanes<f32>, z: &mut [Lanes<f32>])
        = bring_whole_body<Vector>
}

#[inline(always)]
fn bring_whole_body<V: Vector>(
    sums: &[Lanes<i32>; PAIR],
    units: &[f32],
    unit: &Lanes<f32>,
    z: &mut [Lanes<f32>],
) {
    let unit = V::load(unit);
    for ((z, sums), &factor) in z.iter_mut().zip(sums).zip(units) {
        V::convert(sums).times(V::splat(factor).times(unit)).store(z);
    }
}

vectorised! {
    /// As [`bring_whole`].
    fn bring_real(sums: &[Lanes<f32>; PAIR], units: &[f32], unit: &Lanes<f32>, z: &mut [Lanes<f32>])
        = bring_real_body<Vector>
}

#[inline(always)]
fn bring_real_body<V: Vector>(
    sums: &[Lanes<f32>; PAIR],
    units: &[f32],
    unit: &Lanes<f32>,
    z: &mut [Lanes<f32>],
) {
    let unit = V::load(unit);
    for ((z, sums), &factor) in z.iter_mut().zip(sums).zip(units) {
        V::load(sums).times(V::splat(factor).times(unit)).store(z);
    }
}
