//! Dropout whose mask is a function of a seed and a position, so that it need not be kept.

use pulp::Simd;

use super::simd::dispatch;

/// Each number is dropped with `probability`, else divided by `1 − probability` (Srivastava et al., JMLR 15, 1929 (2014)).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// Probability of being dropped, in `[0, 1)`; at 0 nothing is done.
    pub probability: f32,
    /// Names the mask: one for each layer and step.
    pub seed: u64,
}

impl Dropout {
    /// No dropout.
    pub const OFF: Self = Self { probability: 0.0, seed: 0 };

    /// Whether anything is dropped.
    #[must_use]
    pub fn is_on(self) -> bool {
        self.probability > 0.0
    }

    /// `out = mask · x`, where `x` starts at position `first` of the whole.
    ///
    /// # Panics
    /// When the lengths differ.
    pub fn apply(self, first: usize, x: &[f32], out: &mut [f32]) {
        assert_eq!(x.len(), out.len(), "out: as long as x");
        mask(self, first, x, out);
    }

    /// `out += mask · g`: what a gradient by `x̃` adds to the gradient by `x`.
    ///
    /// # Panics
    /// When the lengths differ.
    pub fn apply_and_add(self, first: usize, g: &[f32], out: &mut [f32]) {
        assert_eq!(g.len(), out.len(), "out: as long as g");
        add_masked(self, first, g, out);
    }

    /// Hashes below this are dropped.
    fn threshold(self) -> u32 {
        (f64::from(self.probability) * 4_294_967_296.0) as u32
    }
}

dispatch!(mask_body => fn mask(dropout: Dropout, first: usize, x: &[f32], out: &mut [f32]));
dispatch!(add_masked_body => fn add_masked(dropout: Dropout, first: usize, g: &[f32], out: &mut [f32]));

#[inline(always)]
fn mask_body<S: Simd>(_: S, dropout: Dropout, first: usize, x: &[f32], out: &mut [f32]) {
    let (threshold, scale) = (dropout.threshold(), 1.0 / (1.0 - dropout.probability));
    for (index, (out, x)) in out.iter_mut().zip(x).enumerate() {
        let kept = hash(dropout.seed, first.wrapping_add(index)) >= threshold;
        *out = if kept { x * scale } else { 0.0 };
    }
}

#[inline(always)]
fn add_masked_body<S: Simd>(_: S, dropout: Dropout, first: usize, g: &[f32], out: &mut [f32]) {
    let (threshold, scale) = (dropout.threshold(), 1.0 / (1.0 - dropout.probability));
    for (index, (out, g)) in out.iter_mut().zip(g).enumerate() {
        let kept = hash(dropout.seed, first.wrapping_add(index)) >= threshold;
        *out += if kept { g * scale } else { 0.0 };
    }
}

/// Two rounds of a 32-bit mixer (`lowbias32`, C. Wellons' search for little avalanche bias), each with half of the seed.
///
/// Positions wrap at 2³², beyond any activation.
#[inline(always)]
fn hash(seed: u64, position: usize) -> u32 {
    mix(mix(position as u32 ^ seed as u32) ^ (seed >> 32) as u32 ^ 0x9e37_79b9)
}

#[inline(always)]
fn mix(mut x: u32) -> u32 {
    x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
    x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_dropped_is_the_probability_and_the_mean_stays() {
        for (seed, probability) in [(1, 0.1_f32), (2, 0.5), (0x1234_5678_9abc_def0, 0.9)] {
            let count = 100_000;
            let mut out = vec![0.0; count];
            Dropout { probability, seed }.apply(0, &vec![1.0; count], &mut out);
            let dropped = out.iter().filter(|&&out| out == 0.0).count() as f64 / count as f64;
            let p = f64::from(probability);
            // 4 standard deviations of a binomial share.
            assert!((dropped - p).abs() < 4.0 * (p * (1.0 - p) / count as f64).sqrt(), "{dropped} for {p}");
            let kept = out.iter().find(|&&out| out != 0.0).copied();
            assert_eq!(kept, Some(1.0 / (1.0 - probability)));
        }
    }

    #[test]
    fn the_mask_depends_on_the_position_and_not_on_how_the_row_is_cut() {
        let dropout = Dropout { probability: 0.5, seed: 9 };
        let x: Vec<f32> = (1..=100).map(|x| x as f32).collect();
        let (mut whole, mut parts) = (vec![0.0; 100], vec![0.0; 100]);
        dropout.apply(7, &x, &mut whole);
        dropout.apply(7, &x[..33], &mut parts[..33]);
        dropout.apply(40, &x[33..], &mut parts[33..]);
        assert_eq!(whole, parts);
        let mut other = vec![0.0; 100];
        Dropout { seed: 10, ..dropout }.apply(7, &x, &mut other);
        assert_ne!(whole, other);
    }

    #[test]
    fn masks_of_neighbouring_seeds_and_positions_are_uncorrelated() {
        let count = 100_000;
        let signs = |seed, first| {
            let mut out = vec![0.0; count];
            Dropout { probability: 0.5, seed }.apply(first, &vec![1.0; count], &mut out);
            out.iter().map(|out| f64::from(out - 1.0)).collect::<Vec<_>>()
        };
        let base = signs(5, 0);
        for other in [signs(6, 0), signs(5, 1), signs(5 + (1 << 32), 0), signs(5, 768)] {
            let correlation: f64 = base.iter().zip(&other).map(|(a, b)| a * b).sum::<f64>() / count as f64;
            assert!(correlation.abs() < 4.0 / (count as f64).sqrt(), "{correlation}");
        }
    }
}
