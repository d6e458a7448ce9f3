//! Central moments of blocks, and how they are put together.

use serde::{Deserialize, Serialize};

/// Number, mean, sums of powers of `x − mean`, and extremes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Moments {
    pub(super) n: f64,
    pub(super) mean: f64,
    pub(super) m2: f64,
    pub(super) m3: f64,
    pub(super) m4: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

impl Default for Moments {
    fn default() -> Self {
        Self { n: 0.0, mean: 0.0, m2: 0.0, m3: 0.0, m4: 0.0, min: f64::INFINITY, max: f64::NEG_INFINITY }
    }
}

/// Sums are kept in this many lanes, so that every instruction set adds in the same order and gives the same bits.
const LANES: usize = 16;

impl Moments {
    /// Of a block that lies in the cache: once for the mean and the extremes, once for the powers about the mean.
    ///
    /// The mean of a block that holds a value that is no finite number is none either.
    #[inline(always)]
    pub(super) fn of_block(block: &[f64]) -> Self {
        let n = block.len() as f64;
        let (chunks, rest) = block.as_chunks::<LANES>();
        let mut sums = [0.0_f64; LANES];
        let mut least = [f64::INFINITY; LANES];
        let mut most = [f64::NEG_INFINITY; LANES];
        let mut see = |lane: usize, x: f64| {
            sums[lane] += x;
            least[lane] = if x < least[lane] { x } else { least[lane] };
            most[lane] = if x > most[lane] { x } else { most[lane] };
        };
        for chunk in chunks {
            chunk.iter().enumerate().for_each(|(lane, &x)| see(lane, x));
        }
        rest.iter().enumerate().for_each(|(lane, &x)| see(lane, x));
        let mean = total(&sums) / n;
        let [mut p1, mut p2, mut p3, mut p4] = [[0.0_f64; LANES]; 4];
        let mut add = |lane: usize, x: f64| {
            let d = x - mean;
            let d2 = d * d;
            p1[lane] += d;
            p2[lane] += d2;
            p3[lane] += d2 * d;
            p4[lane] += d2 * d2;
        };
        for chunk in chunks {
            chunk.iter().enumerate().for_each(|(lane, &x)| add(lane, x));
        }
        rest.iter().enumerate().for_each(|(lane, &x)| add(lane, x));
        // What rounding left in the mean: Σd is not quite 0.
        let left = total(&p1) / n;
        let (s2, s3, s4) = (total(&p2), total(&p3), total(&p4));
        Self {
            n,
            mean: mean + left,
            m2: s2 - n * left * left,
            m3: s3 - 3.0 * left * s2,
            m4: s4 - 4.0 * left * s3,
            min: least.into_iter().fold(f64::INFINITY, f64::min),
            max: most.into_iter().fold(f64::NEG_INFINITY, f64::max),
        }
    }

    /// Moments of both samples together (Chan, Golub & LeVeque, Am. Stat. 37, 242 (1983); third and fourth: Pébay, Sandia
    /// report SAND2008-6212 (2008)).
    pub(super) fn merge(&mut self, other: &Self) {
        if other.n == 0.0 {
            return;
        }
        if self.n == 0.0 {
            *self = *other;
            return;
        }
        let (a, b) = (*self, *other);
        let n = a.n + b.n;
        let delta = b.mean - a.mean;
        let (share, step) = (a.n * b.n / n, delta / n);
        self.n = n;
        self.mean = a.mean + b.n * step;
        self.m2 = a.m2 + b.m2 + delta * delta * share;
        self.m3 =
            a.m3 + b.m3 + delta * delta * step * share * (a.n - b.n) + 3.0 * step * (a.n * b.m2 - b.n * a.m2);
        self.m4 = a.m4
            + b.m4
            + delta * delta * step * step * share * (a.n * a.n - a.n * b.n + b.n * b.n)
            + 6.0 * step * step * (a.n * a.n * b.m2 + b.n * b.n * a.m2)
            + 4.0 * step * (a.n * b.m3 - b.n * a.m3);
        self.min = a.min.min(b.min);
        self.max = a.max.max(b.max);
    }

    /// `√(Σx²/n)`.
    pub(super) fn rms(&self) -> f64 {
        if self.n > 0.0 { (self.mean * self.mean + self.m2 / self.n).sqrt() } else { 0.0 }
    }
}

#[inline(always)]
fn total(lanes: &[f64; LANES]) -> f64 {
    lanes.iter().sum()
}
