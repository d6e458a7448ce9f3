//! A fine histogram that grows with what it sees.

use serde::{Deserialize, Serialize};

/// Bins, half of them on either side of 0.
pub(super) const BINS: usize = 8192;
const HALF: f64 = (BINS / 2) as f64;

/// Bins of width `2^exponent` about 0; a bin holds its lower edge.
///
/// Widths are powers of two, so that a coarser grid holds the edges of every other bin of a finer one, and grids of different
/// parts of a stream can be put together without loss.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Bins {
    exponent: Option<i32>,
    counts: Vec<u64>,
    /// Zeros that came before anything else: any width will do for them.
    zeros: u64,
    pub(super) below: u64,
    pub(super) above: u64,
}

impl Default for Bins {
    fn default() -> Self {
        Self { exponent: None, counts: vec![0; BINS], zeros: 0, below: 0, above: 0 }
    }
}

/// First width: the rms of the first block over 256 or less, so that ± 16 rms find room.
const FINENESS: f64 = 256.0;

/// A width is not doubled beyond the rms over this; what lies farther out, beyond 256 rms at least, is only counted.
const COARSEST: f64 = 16.0;

impl Bins {
    pub(super) fn width(&self) -> Option<f64> {
        self.exponent.map(power_of_two)
    }

    fn fits(width: f64, min: f64, max: f64) -> bool {
        max / width < HALF && min / width >= -HALF
    }

    /// A block between `min` and `max` fits as it is.
    pub(super) fn holds(&self, min: f64, max: f64) -> bool {
        self.width().is_some_and(|width| Self::fits(width, min, max))
    }

    /// Makes room for a block between `min` and `max`, where the whole stream has this `rms`; true when all of it fits.
    pub(super) fn make_room(&mut self, min: f64, max: f64, rms: f64) -> bool {
        if self.exponent.is_none() {
            if rms == 0.0 {
                return true;
            }
            self.exponent = Some(((rms / FINENESS).log2().floor() as i32).clamp(-1000, 1000));
            self.counts[BINS / 2] += std::mem::take(&mut self.zeros);
        }
        while let Some(exponent) = self.exponent {
            let width = power_of_two(exponent);
            if Self::fits(width, min, max) {
                return true;
            }
            if 2.0 * width * COARSEST > rms {
                return false;
            }
            self.coarsen();
        }
        true
    }

    /// Bins of twice the width.
    fn coarsen(&mut self) {
        let Some(exponent) = self.exponent else { return };
        let mut coarse = vec![0; BINS];
        for (index, count) in self.counts.iter().enumerate() {
            coarse[index / 2 + BINS / 4] += count;
        }
        self.counts = coarse;
        self.exponent = Some(exponent + 1);
    }

    /// Counts a block that fits. `tally` is scratch, all 0 before and after.
    #[inline(always)]
    pub(super) fn count_block(&mut self, block: &[f64], tally: &mut Tally) {
        let Some(width) = self.width() else {
            self.zeros += block.len() as u64;
            return;
        };
        let scale = width.recip();
        let mut places = [0_u16; PLACES];
        for piece in block.chunks(PLACES) {
            for (place, &x) in places.iter_mut().zip(piece) {
                // Whole and below 2⁵², so that it stands in the last bits of this sum: a conversion would be done one by one.
                *place = ((x * scale + HALF).floor() + TWO_52).to_bits() as u16;
            }
            tally.add(&places[..piece.len()]);
        }
        tally.seen += block.len() as u64;
    }

    /// Counts a block some of which does not fit.
    pub(super) fn count_each(&mut self, block: &[f64]) {
        let Some(width) = self.width() else { return };
        for &x in block {
            let place = x / width + HALF;
            if place < 0.0 {
                self.below += 1;
            } else if place >= BINS as f64 {
                self.above += 1;
            } else {
                self.counts[place as usize] += 1;
            }
        }
    }

    /// Takes over what was tallied on this grid.
    pub(super) fn take(&mut self, tally: &mut Tally) {
        if tally.seen == 0 {
            return;
        }
        for (count, bin) in self.counts.iter_mut().zip(tally.of_bin.iter_mut()) {
            *count += bin.iter().map(|&count| u64::from(count)).sum::<u64>();
            *bin = [0; 2];
        }
        tally.seen = 0;
    }

    pub(super) fn merge(&mut self, mut other: Self) {
        match (self.exponent, other.exponent) {
            (None, Some(_)) => std::mem::swap(self, &mut other),
            (Some(_), Some(_)) => {
                while self.exponent < other.exponent {
                    self.coarsen();
                }
                while other.exponent < self.exponent {
                    other.coarsen();
                }
            }
            (_, None) => {}
        }
        self.counts.iter_mut().zip(&other.counts).for_each(|(a, b)| *a += b);
        self.below += other.below;
        self.above += other.above;
        let zeros = other.zeros;
        if self.exponent.is_some() { self.counts[BINS / 2] += zeros } else { self.zeros += zeros }
    }

    /// Counts and the width of a bin, which is 0 where all values are 0.
    pub(super) fn filled(&self) -> (f64, Vec<u64>) {
        let mut counts = self.counts.clone();
        counts[BINS / 2] += self.zeros;
        (self.width().unwrap_or(0.0), counts)
    }
}

fn power_of_two(exponent: i32) -> f64 {
    2.0_f64.powi(exponent)
}

const TWO_52: f64 = 4_503_599_627_370_496.0;

const PLACES: usize = 1024;

/// Counters that a block is added to quickly.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    /// Two counters a bin, taken in turn: equal neighbours do not wait for one another.
    of_bin: Box<[[u32; 2]; BINS]>,
    seen: u64,
}

impl Default for Tally {
    fn default() -> Self {
        Self { of_bin: Box::new([[0; 2]; BINS]), seen: 0 }
    }
}

impl Tally {
    #[inline(always)]
    fn add(&mut self, places: &[u16]) {
        let (pairs, rest) = places.as_chunks::<2>();
        for &[first, second] in pairs {
            self.of_bin[usize::from(first) % BINS][0] += 1;
            self.of_bin[usize::from(second) % BINS][1] += 1;
        }
        for &place in rest {
            self.of_bin[usize::from(place) % BINS][0] += 1;
        }
    }

    /// Must be taken over before a counter of 32 bits could overflow.
    pub(super) fn is_full(&self) -> bool {
        self.seen > u64::from(u32::MAX / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_counted_in_the_bin_whose_lower_edge_it_reaches() {
        let (mut bins, mut tally) = (Bins::default(), Tally::default());
        // rms 256: width 1.
        let block = [-4096.0, -0.25, 0.0, 0.75, 1.0, 4095.99];
        assert!(bins.make_room(-4096.0, 4095.99, 256.0));
        bins.count_block(&block, &mut tally);
        bins.take(&mut tally);
        let (width, counts) = bins.filled();
        assert_eq!(width, 1.0);
        let found: Vec<_> = (0..BINS).filter(|&bin| counts[bin] > 0).map(|bin| (bin, counts[bin])).collect();
        assert_eq!(found, [(0, 1), (4095, 1), (4096, 2), (4097, 1), (8191, 1)]);
        bins.coarsen();
        let (_, counts) = bins.filled();
        let found: Vec<_> = (0..BINS).filter(|&bin| counts[bin] > 0).map(|bin| (bin, counts[bin])).collect();
        // Width 2: −4096 is bin −2048, −0.25 bin −1, 0 to 1 bin 0, 4095 bin 2047.
        assert_eq!(found, [(2048, 1), (4095, 1), (4096, 3), (6143, 1)]);
    }

    #[test]
    fn a_lone_giant_does_not_coarsen_the_bins() {
        let mut bins = Bins::default();
        assert!(bins.make_room(-1.0, 1.0, 1.0));
        assert!(!bins.make_room(-1.0, 1e6, 1.0));
        // Doubled from 1/256 to 1/16, where bins reach 256.
        assert_eq!(bins.width(), Some(1.0 / 16.0));
        bins.count_each(&[1e6, -300.0, 0.5]);
        assert_eq!((bins.above, bins.below), (1, 1));
    }

    #[test]
    fn zeros_wait_for_a_width() {
        let (mut bins, mut tally) = (Bins::default(), Tally::default());
        assert!(bins.make_room(0.0, 0.0, 0.0));
        bins.count_block(&[0.0; 5], &mut tally);
        assert_eq!(bins.filled().1[BINS / 2], 5);
        assert!(bins.make_room(0.0, 3.0, 1.0));
        assert_eq!((bins.zeros, bins.filled().1[BINS / 2]), (0, 5));
        let mut other = Bins { zeros: 7, ..Bins::default() };
        other.merge(bins);
        assert_eq!(other.filled().1[BINS / 2], 12);
    }
}
