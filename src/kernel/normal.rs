//! Standard normal numbers as a pure function of seed, stream and position.

#![expect(unsafe_code, reason = "loops compiled for vectors found at run time")]

use super::{Isa, lanes::vectorised};

/// Numbers made at a time: counters × words.
pub(super) const BLOCK: usize = 256;

/// Counters of a block.
const COUNTERS: usize = BLOCK / 4;

/// Rounds of Philox here: 7 pass all of TestU01's BigCrush (Salmon et al., table 2).
const ROUNDS: usize = 7;

/// Fills `out` with independent standard normal numbers: `out[i]` is a function of `seed`, `stream` and `first + i` alone, so that
/// a sequence cut anywhere, on any number of threads and any machine, is the same.
///
/// Counters through Philox4x32 with 7 rounds (Salmon et al., SC'11), then Box and Muller (Ann. Math. Stat. 29, 610 (1958)):
/// `√(−2 ln u) · (cos 2πv, sin 2πv)`, with polynomials good to 2 · 10⁻⁵. `u` has 30 bits, so no number exceeds 6.6.
pub fn fill_normal(seed: u64, stream: u64, first: u64, out: &mut [f32]) {
    fill_normal_on(Isa::best(), seed, stream, first, out);
}

vectorised! {
    /// [`fill_normal`] on a chosen instruction set.
    pub(super) fn fill_normal_on(seed: u64, stream: u64, first: u64, out: &mut [f32]) = fill
}

/// The body of [`fill_normal`].
#[inline(always)]
pub(super) fn fill(seed: u64, stream: u64, first: u64, out: &mut [f32]) {
    let mut block = first / BLOCK as u64;
    let mut skipped = (first % BLOCK as u64) as usize;
    let mut rest = out;
    let mut normals = [0.0; BLOCK];
    while !rest.is_empty() {
        let count = rest.len().min(BLOCK - skipped);
        let (part, after) = std::mem::take(&mut rest).split_at_mut(count);
        fill_block(seed, stream, block, &mut normals);
        part.copy_from_slice(&normals[skipped..skipped + count]);
        (rest, block, skipped) = (after, block + 1, 0);
    }
}

/// The numbers `256 block ..` of a stream.
#[inline(always)]
pub(super) fn fill_block(seed: u64, stream: u64, block: u64, out: &mut [f32; BLOCK]) {
    let key = [seed as u32, (seed >> 32) as u32];
    // Counters run through `block · 64 + j`: the lower half cannot carry into the upper one within a block.
    let first = block * COUNTERS as u64;
    let (low, high) = (u64::from(first as u32), first >> 32);
    let (stream_low, stream_high) = (u64::from(stream as u32), stream >> 32);
    // Two words of 32 bits in each of 64: halves of the radius and of the angle of two pairs.
    let (mut radii, mut angles) = ([0_u64; COUNTERS], [0_u64; COUNTERS]);
    for (j, (radius, angle)) in radii.iter_mut().zip(&mut angles).enumerate() {
        let words = philox::<ROUNDS>([low + j as u64, high, stream_low, stream_high], key);
        *radius = (words[0] & 0xffff_ffff) | (words[1] << 32);
        *angle = (words[2] & 0xffff_ffff) | (words[3] << 32);
    }
    // SAFETY: both are 512 bytes without invalid values; the order of the halves only names the numbers differently.
    let (radii, angles) = unsafe {
        (
            std::mem::transmute::<[u64; COUNTERS], [u32; BLOCK / 2]>(radii),
            std::mem::transmute::<[u64; COUNTERS], [u32; BLOCK / 2]>(angles),
        )
    };
    let (first, second) = out.split_at_mut(BLOCK / 2);
    for (((first, second), radius), angle) in first.iter_mut().zip(second).zip(radii).zip(angles) {
        (*first, *second) = pair(radius, angle);
    }
}

/// Philox4x32 (Salmon et al., SC'11) of a counter and a key, words of 32 bits in the lower halves.
///
/// The upper halves of what comes out are unspecified.
#[inline(always)]
fn philox<const ROUNDS: usize>(counter: [u64; 4], key: [u32; 2]) -> [u64; 4] {
    let [mut c0, mut c1, mut c2, mut c3] = counter;
    let [mut k0, mut k1] = key;
    for _ in 0..ROUNDS {
        // Products of 32 bits by 32 bits; their lower halves are words 1 and 3 as they are.
        let (p0, p1) = ((c0 & 0xffff_ffff) * 0xd251_1f53, (c2 & 0xffff_ffff) * 0xcd9e_8d57);
        (c0, c2) = ((p1 >> 32) ^ c1 ^ u64::from(k0), (p0 >> 32) ^ c3 ^ u64::from(k1));
        (c1, c3) = (p1, p0);
        (k0, k1) = (k0.wrapping_add(0x9e37_79b9), k1.wrapping_add(0xbb67_ae85));
    }
    [c0, c1, c2, c3]
}

/// A pair of independent normal numbers from 32 bits for the radius and 32 for the angle.
#[inline(always)]
fn pair(radius: u32, angle: u32) -> (f32, f32) {
    // 31 bits: signed numbers convert in one instruction; odd: never 0.
    let radius = log_term(((radius >> 1) | 1) as i32 as f32).sqrt();
    // A direction within the first quarter turn, `π/4 + φ`, and the signs of both coordinates from the two highest bits.
    let (sin, cos) = sin_cos((angle << 2) as i32 as f32 * (std::f32::consts::FRAC_PI_4 / 2_147_483_648.0));
    let signed = |value: f32, bits: u32| f32::from_bits(value.to_bits() ^ (bits & 0x8000_0000));
    (signed(radius * (cos - sin), angle), signed(radius * (cos + sin), angle << 1))
}

/// `−2 ln(k / 2³¹)` for a whole number `k` of 1 to 2³¹ (relative error below 10⁻⁵).
#[inline(always)]
fn log_term(k: f32) -> f32 {
    const OF_OCTAVE: f32 = -2.0 * std::f32::consts::LN_2;
    // k = m · 2^e with m in [√½, √2): subtracting the bits of √½ first makes the exponent round that way.
    let bits = k.to_bits().wrapping_sub(0x3f35_04f3);
    let exponent = (bits as i32 >> 23) as f32;
    let z = f32::from_bits((bits & 0x007f_ffff).wrapping_add(0x3f35_04f3)) - 1.0;
    // Minimax of −2 ln(1 + z) / z.
    let mut p = 0.285_841_46_f32;
    for coefficient in [-0.441_118_87, 0.508_065_4, -0.665_160_5, 0.999_804_4, -2.000_009] {
        p = p * z + coefficient;
    }
    // Exactly 0 beside the polynomial in the highest octave.
    p * z + (exponent * OF_OCTAVE - 31.0 * OF_OCTAVE)
}

/// Sine and cosine of an angle within ±π/4, over √2 (relative error below 2 · 10⁻⁵; minimax).
#[inline(always)]
fn sin_cos(angle: f32) -> (f32, f32) {
    use std::f32::consts::FRAC_1_SQRT_2;
    const SIN: [f32; 3] =
        [0.999_998_5 * FRAC_1_SQRT_2, -0.166_623_83 * FRAC_1_SQRT_2, 0.008_150_06 * FRAC_1_SQRT_2];
    const COS: [f32; 3] =
        [0.999_988_23 * FRAC_1_SQRT_2, -0.499_685_53 * FRAC_1_SQRT_2, 0.040_362_35 * FRAC_1_SQRT_2];
    let square = angle * angle;
    let sin = ((SIN[2] * square + SIN[1]) * square + SIN[0]) * angle;
    let cos = (COS[2] * square + COS[1]) * square + COS[0];
    (sin, cos)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use statrs::distribution::{ContinuousCDF, Normal};

    use super::*;

    fn words<const ROUNDS: usize>(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
        philox::<ROUNDS>(counter.map(u64::from), key).map(|word| word as u32)
    }

    #[test]
    fn philox_gives_the_published_words() {
        // Known answers of the authors' library Random123.
        let pi = ([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]);
        assert_eq!(words::<10>([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(words::<10>(pi.0, pi.1), [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]);
        assert_eq!(words::<7>([0; 4], [0; 2]), [0x5f6f_b709, 0x0d89_3f64, 0x4f12_1f81, 0x4f73_0a48]);
        assert_eq!(words::<7>(pi.0, pi.1), [0x4dfc_caba, 0x190a_87f0, 0xc473_62ba, 0xb6b5_242a]);
    }

    #[test]
    fn the_polynomials_are_those_of_the_functions() {
        for step in 1..=100_000_u32 {
            let whole = f64::from(step) / 100_000.0 * 2_147_483_648.0;
            // From 1 up in octaves, and evenly up to 2³¹.
            for k in [whole as f32, (whole.log2() * f64::from(step) / 100_000.0).exp2() as f32] {
                let exact = -2.0 * (f64::from(k) / 2_147_483_648.0).ln();
                assert!((f64::from(log_term(k)) - exact).abs() <= 1e-5 * exact, "−2 ln of {k}");
            }
            let angle = (step as f32 / 50_000.0 - 1.0) * std::f32::consts::FRAC_PI_4;
            let (sin, cos) = sin_cos(angle);
            let exact = [f64::from(angle).sin(), f64::from(angle).cos()];
            for (found, exact) in [sin, cos].into_iter().zip(exact) {
                let exact = exact * std::f64::consts::FRAC_1_SQRT_2;
                assert!((f64::from(found) - exact).abs() <= 2e-5 * exact.abs(), "{angle}");
            }
        }
    }

    #[test]
    fn a_sequence_cut_anywhere_is_the_same_on_every_instruction_set() {
        let mut whole = vec![0.0; 3000];
        fill_normal_on(Isa::Portable, 5, 9, 40, &mut whole);
        for isa in Isa::available() {
            let mut parts = vec![0.0; 3000];
            let (mut first, mut size) = (0, 1);
            while first < 3000 {
                let end = (first + size).min(3000);
                fill_normal_on(isa, 5, 9, 40 + first as u64, &mut parts[first..end]);
                (first, size) = (end, 3 * size + 1);
            }
            assert_eq!(whole, parts, "{isa:?}");
        }
    }

    /// Mean of the products of `a` and `b`, in standard errors of independent standard normal numbers.
    fn correlation(a: &[f32], b: &[f32]) -> f64 {
        let sum: f64 = a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
        sum / (a.len() as f64).sqrt()
    }

    #[test]
    fn the_numbers_are_standard_normal_and_uncorrelated() {
        let n = 1 << 20;
        let drawn = |seed, stream| {
            let mut values = vec![0.0; n];
            fill_normal(seed, stream, 0, &mut values);
            values
        };
        let mut values = drawn(11, 0);
        // 14 correlations within 4.5 standard errors: a false alarm in 10 000 choices of the seed.
        for lag in [1, 2, 3, 4, 16, 32, 64, BLOCK / 2, BLOCK, 4096] {
            assert!(correlation(&values[lag..], &values[..n - lag]).abs() < 4.5, "lag {lag}");
        }
        for other in [drawn(11, 1), drawn(12, 0), drawn(11, 1 << 32), drawn(11 << 32, 0)] {
            assert!(correlation(&values, &other).abs() < 4.5);
        }
        // The two halves of a block come from the same pairs: their squares too, var((a² − 1)(b² − 1)) = 4.
        let squares = |half: usize| -> Vec<f32> {
            values.chunks_exact(BLOCK).flat_map(|b| &b[half..half + BLOCK / 2]).map(|a| a * a - 1.0).collect()
        };
        assert!(correlation(&squares(0), &squares(BLOCK / 2)).abs() < 4.5 * 2.0);
        let moment = |power: i32| values.iter().map(|&a| f64::from(a).powi(power)).sum::<f64>() / n as f64;
        // Standard errors of the first four moments: 1, √2, √15 and √96 over √n.
        for (power, expected, variance) in [(1, 0.0, 1.0_f64), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)]
        {
            let bound = 4.5 * (variance / n as f64).sqrt();
            assert!((moment(power) - expected).abs() < bound, "moment {power}: {}", moment(power));
        }
        // Far tails: P(|x| > t), 4.5 standard deviations of the count.
        let normal = Normal::new(0.0, 1.0).unwrap();
        for t in [3.0, 3.5, 4.0, 4.5] {
            let far = values.iter().filter(|&&a| f64::from(a.abs()) > t).count() as f64;
            let expected = n as f64 * 2.0 * normal.sf(t);
            assert!((far - expected).abs() < 4.5 * expected.sqrt(), "{t}: {far} against {expected}");
        }
        // Kolmogorov–Smirnov: D √n exceeds 1.95 with probability 0.001.
        values.sort_by(f32::total_cmp);
        let distance = values.iter().enumerate().fold(0.0_f64, |worst, (rank, &value)| {
            let expected = normal.cdf(f64::from(value));
            let below = (expected - rank as f64 / n as f64).abs();
            worst.max(below).max((expected - (rank + 1) as f64 / n as f64).abs())
        });
        assert!(distance * (n as f64).sqrt() < 1.95, "{distance}");
    }
}
