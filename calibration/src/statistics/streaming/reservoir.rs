//! A uniform subsample of a stream.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Beta, Distribution};

/// `size` values of a stream, each subset as likely as any other (algorithm L of Li, ACM Trans. Math. Softw. 20, 481 (1994)):
/// it draws a few numbers for each value that it takes, none for the others.
#[derive(Clone, Debug)]
pub(super) struct Reservoir {
    size: usize,
    pub(super) values: Vec<f64>,
    seen: u64,
    /// Index of the next value to be taken.
    next: u64,
    /// Largest of `size` smallest of `seen` uniform numbers.
    threshold: f64,
    rng: ChaCha8Rng,
}

impl Reservoir {
    pub(super) fn new(size: usize, rng: &mut impl Rng) -> Self {
        let rng = ChaCha8Rng::from_rng(rng);
        Self { size, values: Vec::with_capacity(size), seen: 0, next: 0, threshold: 1.0, rng }
    }

    pub(super) fn push(&mut self, block: &[f64]) {
        let free = (self.size - self.values.len()).min(block.len());
        let start = self.seen;
        self.seen += block.len() as u64;
        if free > 0 {
            self.values.extend_from_slice(&block[..free]);
            if self.values.len() < self.size {
                return;
            }
            self.next = start + free as u64;
            self.threshold = 1.0;
            self.skip();
        }
        while self.next < self.seen && self.size > 0 {
            let slot = self.rng.random_range(0..self.size);
            self.values[slot] = block[(self.next - start) as usize];
            self.next += 1;
            self.skip();
        }
    }

    /// Lowers the threshold and passes over the values that stay above it.
    fn skip(&mut self) {
        let exponent = 1.0 / self.size.max(1) as f64;
        self.threshold *= self.uniform().powf(exponent);
        self.pass_over();
    }

    fn pass_over(&mut self) {
        let passed = (self.uniform().ln() / (-self.threshold).ln_1p()).floor();
        // A float beyond u64 saturates: never again.
        self.next = self.next.saturating_add(passed as u64);
    }

    /// In (0, 1].
    fn uniform(&mut self) -> f64 {
        1.0 - self.rng.random::<f64>()
    }

    /// A uniform subsample of both streams together. Both must have the same size.
    pub(super) fn merge(&mut self, mut other: Self) {
        let (mut left, mut right) = (self.seen, other.seen);
        let total = left + right;
        let mut values = Vec::with_capacity(self.size);
        while values.len() < self.size && left + right > 0 {
            // One of the values of both that are left, whichever: it is from here with the share of its stream.
            let from = if self.rng.random_range(0..left + right) < left {
                &mut self.values
            } else {
                &mut other.values
            };
            if from.is_empty() {
                break;
            }
            values.push(from.swap_remove(self.rng.random_range(0..from.len())));
            if std::ptr::eq(from, &other.values) { right -= 1 } else { left -= 1 }
        }
        self.values = values;
        self.seen = total;
        self.next = total;
        if self.values.len() == self.size && self.size > 0 {
            // The size-th smallest of `total` uniform numbers.
            let law = Beta::new(self.size as f64, (total - self.size as u64) as f64 + 1.0);
            self.threshold = law.map_or(1.0, |law| law.sample(&mut self.rng));
            self.pass_over();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often each of 100 values is among the 20 of 4000 samples, pushed in pieces or as parts that are merged.
    fn inclusions(sample: impl Fn(&[f64], &mut ChaCha8Rng) -> Reservoir) -> Vec<f64> {
        let stream: Vec<f64> = (0..100).map(f64::from).collect();
        let mut counts = vec![0.0; 100];
        for seed in 0..4000 {
            let reservoir = sample(&stream, &mut ChaCha8Rng::seed_from_u64(seed));
            assert_eq!(reservoir.values.len(), 20);
            let mut values = reservoir.values;
            values.sort_unstable_by(f64::total_cmp);
            values.dedup();
            assert_eq!(values.len(), 20, "no value twice");
            values.iter().for_each(|&value| counts[value as usize] += 1.0);
        }
        counts
    }

    /// Each is taken 800 times of 4000, sd √(4000·0.2·0.8) = 25.3; 100 values: 4.5 sd fail once in 1500.
    fn uniform(counts: &[f64]) {
        assert!(counts.iter().all(|count| (count - 800.0).abs() < 4.5 * 25.3), "{counts:?}");
        let chi_square: f64 = counts.iter().map(|count| (count - 800.0).powi(2) / 640.0).sum();
        // 99 degrees but for the fixed sum: 99/0.99 ± 4·√198.
        assert!((chi_square - 100.0).abs() < 4.0 * 198.0_f64.sqrt(), "{chi_square}");
    }

    #[test]
    fn every_value_is_as_likely() {
        uniform(&inclusions(|stream, rng| {
            let mut reservoir = Reservoir::new(20, rng);
            stream.chunks(7).for_each(|piece| reservoir.push(piece));
            reservoir
        }));
    }

    #[test]
    fn every_value_is_as_likely_after_a_merge_and_more() {
        uniform(&inclusions(|stream, rng| {
            let [mut first, mut second] = [0, 1].map(|_| Reservoir::new(20, rng));
            first.push(&stream[..15]);
            second.push(&stream[15..70]);
            first.merge(second);
            stream[70..].chunks(11).for_each(|piece| first.push(piece));
            first
        }));
    }
}
