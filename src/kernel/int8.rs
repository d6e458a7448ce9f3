//! Exact products of 8-bit whole numbers, 32 outputs × 32 rows at a time.
//!
//! Everything photonic goes through here: codes of converters are whole numbers, and real numbers are held in up to three digits of
//! a large base ([`BASE`]), so that a product of real numbers is a handful of products of whole numbers. Sums are exact, hence the same
//! on every instruction set.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;

#[cfg(target_arch = "x86_64")]
pub(super) use amx::Tiles;

use super::{
    Isa,
    lanes::{LANES, Lanes, Line},
};

/// Base of the digits. Balanced digits would run from −127 to 127, which every instruction set multiplies without saturation, in
/// base 255 already; one less leaves room for the rounding of the quotients that find them.
pub(super) const BASE: f32 = 254.0;

/// Largest numbers in one, two and three digits: the first digit reaches 127.
pub(super) const LARGEST: [f32; 3] = [127.0, 127.0 * BASE, 127.0 * BASE * BASE];

/// Outputs of a panel of weights.
pub(super) const PANEL: usize = 16;

/// Steps of a product whose sum is sure to fit 32 bits: 3 · 512 · 64 · 127² < 2³¹.
pub(super) const PIECE: usize = 512;

/// Sums of 32 outputs for 32 rows: `[row / 16][output][row % 16]`.
#[derive(Clone)]
#[repr(C, align(64))]
pub(super) struct Sums(pub(super) [[Lanes<i32>; 2 * PANEL]; 2]);

/// Two panels of weights and two groups of rows, cut to the same steps.
///
/// A step is `quads` lines, that is `4 · quads` inputs. A line of rows holds 4 inputs of 16 rows, `[row][input]`; the lines of a step
/// of a panel hold `[output][input]`, 16 outputs × `4 · quads` inputs.
#[derive(Clone, Copy)]
pub(super) struct Operands<'a> {
    /// Lines of each panel.
    pub(super) weights: [&'a [Line]; 2],
    /// Lines of each group.
    pub(super) rows: [&'a [Line]; 2],
    /// Sum of the weights of each output of each panel.
    #[cfg_attr(
        not(target_arch = "x86_64"),
        expect(dead_code, reason = "for multiplying with an offset, on x86")
    )]
    pub(super) weight_sums: [&'a Lanes<i32>; 2],
}

impl Operands<'_> {
    /// Lines that all four have.
    fn lines(&self) -> usize {
        self.weights.iter().chain(&self.rows).map(|lines| lines.len()).min().unwrap_or(0)
    }
}

/// `sums[row][output] = Σ` over the operands (at most 3) of `Σ_inputs weight · row`.
///
/// On [`Isa::Amx`] a guard [`Tiles`] of the same `quads` must be alive on this thread.
pub(super) fn product(isa: Isa, operands: &[Operands<'_>], quads: usize, sums: &mut Sums) {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Amx => amx::product(operands, quads, sums),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512Vnni => avx512::product(operands, quads, sums),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => avx2::product(operands, quads, sums),
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => neon::product(operands, quads, sums),
        _ => portable::product(operands, quads, sums),
    }
}

/// Stands in for the guard of the tile registers where there are none.
#[cfg(not(target_arch = "x86_64"))]
pub(super) struct Tiles;

#[cfg(not(target_arch = "x86_64"))]
impl Tiles {
    /// Nothing to configure.
    pub(super) fn configure(_: Isa, _: usize) -> Self {
        Self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines from a linear congruential generator, with the extremes at its start.
    fn lines(count: usize, seed: u64) -> Vec<Line> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 33) % 255) as i16 - 127
        };
        let mut lines: Vec<Line> = (0..count).map(|_| Line(std::array::from_fn(|_| next() as i8))).collect();
        lines[0] =
            Line(std::array::from_fn(|i| if (i as u64 + seed).is_multiple_of(3) { 127 } else { -127 }));
        lines
    }

    #[test]
    fn sums_are_those_of_the_plain_loop_on_every_instruction_set() {
        for (steps, quads) in [(1, 1), (1, 4), (3, 5), (2, 16), (13, 16), (7, 13)] {
            let weights: Vec<_> = (0..4).map(|seed| lines(steps * quads, seed)).collect();
            let rows: Vec<_> = (4..8).map(|seed| lines(steps * quads, seed)).collect();
            let weight = |panel: usize, output: usize, input: usize| {
                let (step, rest) = (input / (4 * quads), input % (4 * quads));
                let byte = output * 4 * quads + rest;
                i32::from(weights[panel][step * quads + byte / 64].0[byte % 64])
            };
            let weight_sums: Vec<Lanes<i32>> = (0..4)
                .map(|panel| {
                    std::array::from_fn(|output| {
                        (0..4 * steps * quads).map(|k| weight(panel, output, k)).sum()
                    })
                })
                .collect();
            let operands: Vec<Operands<'_>> = [0, 2]
                .map(|i| Operands {
                    weights: [&weights[i], &weights[i + 1]],
                    rows: [&rows[i], &rows[i + 1]],
                    weight_sums: [&weight_sums[i], &weight_sums[i + 1]],
                })
                .into();
            let expected: [[Lanes<i32>; 32]; 2] = std::array::from_fn(|group| {
                std::array::from_fn(|output| {
                    std::array::from_fn(|row| {
                        let of_pair = |i: usize| -> i32 {
                            (0..4 * steps * quads)
                                .map(|k| {
                                    let sent = rows[i + group][k / 4].0[4 * row + k % 4];
                                    weight(i + output / 16, output % 16, k) * i32::from(sent)
                                })
                                .sum()
                        };
                        of_pair(0) + of_pair(2)
                    })
                })
            });
            for isa in Isa::available() {
                let mut sums = Sums([[[7; LANES]; 32]; 2]);
                let _tiles = Tiles::configure(isa, quads);
                product(isa, &operands, quads, &mut sums);
                assert!(sums.0 == expected, "{isa:?}: {steps} steps of {quads} quads");
            }
        }
    }
}
