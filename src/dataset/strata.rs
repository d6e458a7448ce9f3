//! Drawing images class by class.

use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::epoch::{Purpose, generator};

/// Sorted indices of `n` images, each class in proportion to its count. `n` is less than the number of labels.
///
/// Largest remainder: a class of `c` among `N` gets `⌊n·c/N⌋`, and the classes with the largest remainders one more.
pub(super) fn proportional(labels: &[usize], classes: usize, n: usize, seed: u64) -> Vec<usize> {
    let mut strata = shuffled(labels, classes, seed);
    let share = |stratum: &Vec<usize>| (n as u128 * stratum.len() as u128, labels.len() as u128);
    let mut quota: Vec<usize> = strata
        .iter()
        .map(|stratum| {
            let (product, total) = share(stratum);
            // At most the class's own count.
            (product / total) as usize
        })
        .collect();
    let mut by_remainder: Vec<usize> = (0..classes).collect();
    by_remainder.sort_by_key(|&class| {
        let (product, total) = share(&strata[class]);
        std::cmp::Reverse(product % total)
    });
    let left = n - quota.iter().sum::<usize>();
    by_remainder[..left].iter().for_each(|&class| quota[class] += 1);
    strata.iter_mut().zip(quota).for_each(|(stratum, quota)| stratum.truncate(quota));
    let mut chosen = strata.concat();
    chosen.sort_unstable();
    chosen
}

/// For each image, whether it belongs to the `share` held out of its class.
pub(super) fn held_out(labels: &[usize], classes: usize, share: f64, seed: u64) -> Vec<bool> {
    let mut out = vec![false; labels.len()];
    for stratum in shuffled(labels, classes, seed) {
        let count = (share * stratum.len() as f64).round() as usize;
        // Either side of a class of two or more has an image; a class of one is kept.
        let count = count.max(1).min(stratum.len().saturating_sub(1));
        stratum[..count].iter().for_each(|&index| out[index] = true);
    }
    out
}

/// Indices of each class, in random order.
fn shuffled(labels: &[usize], classes: usize, seed: u64) -> Vec<Vec<usize>> {
    let mut strata = vec![Vec::new(); classes];
    labels.iter().enumerate().for_each(|(index, &label)| strata[label].push(index));
    let mut rng: ChaCha8Rng = generator(seed, Purpose::Strata);
    strata.iter_mut().for_each(|stratum| stratum.shuffle(&mut rng));
    strata
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_sample_has_the_size_asked_for_and_every_class_within_one_of_its_share(
            labels in proptest::collection::vec(0_usize..7, 2..200), part in 0.0_f64..1.0, seed: u64
        ) {
            let n = (part * labels.len() as f64) as usize;
            let chosen = proportional(&labels, 7, n, seed);
            prop_assert_eq!(chosen.len(), n);
            prop_assert!(chosen.is_sorted_by(|a, b| a < b));
            for class in 0..7 {
                let count = |indices: &mut dyn Iterator<Item = usize>| {
                    indices.filter(|&index| labels[index] == class).count() as f64
                };
                let share = n as f64 * count(&mut (0..labels.len())) / labels.len() as f64;
                prop_assert!((count(&mut chosen.iter().copied()) - share).abs() < 1.0);
            }
        }

        #[test]
        fn either_side_of_a_split_has_every_class_of_two_or_more(
            labels in proptest::collection::vec(0_usize..5, 1..60), share in 0.001_f64..0.999, seed: u64
        ) {
            let out = held_out(&labels, 5, share, seed);
            for class in 0..5 {
                let held = (0..labels.len()).filter(|&i| labels[i] == class && out[i]).count();
                let all = labels.iter().filter(|&&label| label == class).count();
                let allowed = if all < 2 { 0..1 } else { 1..all };
                prop_assert!(allowed.contains(&held), "{} of {}", held, all);
            }
        }
    }
}
