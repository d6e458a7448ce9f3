//! Statistics of arbitrarily many residuals in one pass and bounded memory.

mod bins;
mod moments;
mod places;
mod reservoir;
mod summary;

use rand::Rng;

pub use summary::{PlaceMeans, StreamSummary};

use self::{
    bins::{Bins, Tally},
    moments::Moments,
    places::Places,
    reservoir::Reservoir,
};

/// Values that are taken through all sums while they lie in the nearest cache.
const BLOCK: usize = 2048;

/// Residuals kept at random for the test of normality.
pub const SUBSAMPLE: usize = 4096;

/// Accumulator of a stream of residuals: 170 kB and the sums of rows and columns, whatever their number.
///
/// Moments are those of the two-pass estimators of [`super::moments`] to rounding: each block of 2048 is taken about its own mean
/// and merged (Chan, Golub & LeVeque 1983; Pébay 2008). Quantiles and MAD are read off a histogram of 8192 bins, whose width
/// is between rms/512 and rms/256 of the first block, and grows to rms/16 at most where later ones reach farther. Bits do not
/// depend on the processor's instruction set, nor on how the stream is cut except for rounding and the first width.
#[derive(Clone, Debug)]
pub struct Streaming {
    moments: Moments,
    not_finite: u64,
    bins: Bins,
    tally: Tally,
    reservoir: Reservoir,
    places: Option<Places>,
}

/// Two streams that cannot be put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// Rows and columns differ.
    #[error(
        "one stream is of matrices of {0}×{1}, the other of {2}×{3}; sums of rows and columns cannot be added"
    )]
    Shapes(usize, usize, usize, usize),
    /// A part ends within a matrix.
    #[error("a stream ends within a matrix; push whole matrices before putting streams together")]
    WithinMatrix,
}

impl Streaming {
    /// For residuals without order; `rng` seeds the subsample.
    #[must_use]
    pub fn new(rng: &mut impl Rng) -> Self {
        Self {
            moments: Moments::default(),
            not_finite: 0,
            bins: Bins::default(),
            tally: Tally::default(),
            reservoir: Reservoir::new(SUBSAMPLE, rng),
            places: None,
        }
    }

    /// For residuals of `rows × columns` matrices in C order, one matrix after the other; sums of rows and columns are kept.
    #[must_use]
    pub fn of_matrices(rows: usize, columns: usize, rng: &mut impl Rng) -> Self {
        Self { places: Some(Places::new(rows, columns)), ..Self::new(rng) }
    }

    /// Takes residuals. What is no finite number is counted apart, and is 0 in the sums of its row and column.
    pub fn push_slice(&mut self, residuals: &[f64]) {
        pulp::Arch::new().dispatch(Push { streaming: self, residuals });
    }

    /// Puts another stream's statistics to these, as if its residuals had followed.
    ///
    /// # Errors
    /// Matrices of different shapes, or a stream that ends within a matrix. Nothing is changed then.
    pub fn merge(&mut self, mut other: Self) -> Result<(), MergeError> {
        let shape = |places: &Option<Places>| {
            places.as_ref().map_or((0, 0), |places| (places.rows.len(), places.columns.len()))
        };
        let (own, its) = (shape(&self.places), shape(&other.places));
        if own != its {
            return Err(MergeError::Shapes(own.0, own.1, its.0, its.1));
        }
        if [&self.places, &other.places].into_iter().flatten().any(|places| !places.at_start()) {
            return Err(MergeError::WithinMatrix);
        }
        self.bins.take(&mut self.tally);
        other.bins.take(&mut other.tally);
        self.bins.merge(other.bins);
        self.moments.merge(&other.moments);
        self.not_finite += other.not_finite;
        self.reservoir.merge(other.reservoir);
        if let (Some(places), Some(its)) = (&mut self.places, &other.places) {
            places.merge(its);
        }
        Ok(())
    }

    /// The statistics so far.
    #[must_use]
    pub fn summary(&self) -> StreamSummary {
        let mut bins = self.bins.clone();
        bins.take(&mut self.tally.clone());
        StreamSummary::of(&self.moments, self.not_finite, &bins, &self.reservoir.values, self.places.as_ref())
    }

    #[inline(always)]
    fn push_block(&mut self, block: &[f64]) {
        let moments = Moments::of_block(block);
        if moments.mean.is_finite() && moments.m4.is_finite() {
            if let Some(places) = &mut self.places {
                places.push(block);
            }
            self.push_finite(block, moments);
        } else {
            self.push_some(block);
        }
    }

    #[inline(always)]
    fn push_finite(&mut self, block: &[f64], moments: Moments) {
        self.moments.merge(&moments);
        let mut fits = self.bins.holds(moments.min, moments.max);
        if !fits || self.tally.is_full() {
            self.bins.take(&mut self.tally);
            fits = self.bins.make_room(moments.min, moments.max, self.moments.rms());
        }
        if fits {
            self.bins.count_block(block, &mut self.tally)
        } else {
            self.bins.count_each(block)
        }
        self.reservoir.push(block);
    }

    /// A block that holds what is no finite number.
    #[cold]
    fn push_some(&mut self, block: &[f64]) {
        let finite: Vec<f64> = block.iter().copied().filter(|x| x.is_finite()).collect();
        self.not_finite += (block.len() - finite.len()) as u64;
        if let Some(places) = &mut self.places {
            let zeroed: Vec<f64> = block.iter().map(|&x| if x.is_finite() { x } else { 0.0 }).collect();
            places.push(&zeroed);
        }
        if !finite.is_empty() {
            self.push_finite(&finite, Moments::of_block(&finite));
        }
    }
}

struct Push<'a> {
    streaming: &'a mut Streaming,
    residuals: &'a [f64],
}

impl pulp::WithSimd for Push<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _simd: S) {
        for block in self.residuals.chunks(BLOCK) {
            self.streaming.push_block(block);
        }
    }
}
