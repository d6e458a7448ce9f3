//! Randomness that depends on nothing but the seed and the place in the training run.

use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// One pass over the training images: with the seed it fixes their order and augmentation, so a run that is resumed
/// sees the same images as one that was never stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Epoch {
    /// Seed of the run.
    pub seed: u64,
    /// Which pass, from 0.
    pub number: u64,
}

impl Epoch {
    /// The indices `0..images`, each once, in this pass's order.
    #[must_use]
    pub fn order(&self, images: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..images).collect();
        order.shuffle(&mut generator(self.seed, Purpose::Order { epoch: self.number }));
        order
    }

    /// The generator for the augmentation of one record of the source.
    pub(super) fn augmentation(&self, record: usize) -> ChaCha8Rng {
        generator(self.seed, Purpose::Augmentation { epoch: self.number, record: record as u64 })
    }
}

/// What numbers are drawn for: each purpose has its own stream.
pub(super) enum Purpose {
    Strata,
    Order { epoch: u64 },
    Augmentation { epoch: u64, record: u64 },
}

/// A generator keyed with seed and purpose: the key has room for all of it, so no two places share a stream.
pub(super) fn generator(seed: u64, purpose: Purpose) -> ChaCha8Rng {
    let words = match purpose {
        Purpose::Strata => [seed, 0, 0, 0],
        Purpose::Order { epoch } => [seed, 1, epoch, 0],
        Purpose::Augmentation { epoch, record } => [seed, 2, epoch, record],
    };
    let mut key = [0; 32];
    for (bytes, word) in key.chunks_exact_mut(8).zip(words) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_an_epoch_is_a_permutation_that_only_seed_and_number_change() {
        let epoch = Epoch { seed: 4, number: 2 };
        let order = epoch.order(1000);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..1000));
        assert_eq!(order, epoch.order(1000));
        assert_ne!(order, Epoch { number: 3, ..epoch }.order(1000));
        assert_ne!(order, Epoch { seed: 5, ..epoch }.order(1000));
    }
}
