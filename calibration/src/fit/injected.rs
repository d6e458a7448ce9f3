//! Pairs with an error that is known, to test estimators against.

use ndarray::{Array2, Array3, Array4};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::pairs::{Pairs, PairsError};

/// A Gaussian error made up from known parts, full scale = 1:
/// `y[p, k, i, j] = w[p, i, j] + element[i, j] + programming[p, i, j] + readout[p, k, i, j]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Injected {
    /// Programmings, `P`.
    pub programmings: usize,
    /// Readings of each, `R`.
    pub repeats: usize,
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub cols: usize,
    /// σ of an error drawn anew at each programming.
    pub programming: f64,
    /// σ of an error that an element keeps over all programmings.
    pub element: f64,
    /// σ of one reading.
    pub readout: f64,
    /// Elements that hold a random weight whatever is asked; the first in C order.
    pub stuck: usize,
}

impl Default for Injected {
    /// 16 × 16, 10 programmings, 3 readings, 1.2 % programming and 0.4 % read-out.
    fn default() -> Self {
        Self {
            programmings: 10,
            repeats: 3,
            rows: 16,
            cols: 16,
            programming: 0.012,
            element: 0.0,
            readout: 0.004,
            stuck: 0,
        }
    }
}

impl Injected {
    /// What the programming component must come out as: `√(programming² + element²)`.
    #[must_use]
    pub fn static_sigma(&self) -> f64 {
        self.programming.hypot(self.element)
    }

    /// What the rms of the means must come out as: `√(programming² + element² + readout²/R)`.
    #[must_use]
    pub fn rms(&self) -> f64 {
        self.static_sigma().hypot(self.readout / (self.repeats as f64).sqrt())
    }

    /// Pairs of that seed: targets uniform in `[−1, 1]`, the first of them 1, so that full scale is exactly 1.
    ///
    /// # Errors
    /// Fewer pairs than [`Pairs::MINIMUM`].
    pub fn pairs(&self, seed: u64) -> Result<Pairs, PairsError> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (p, r, rows, cols) = (self.programmings, self.repeats, self.rows, self.cols);
        let mut target = Array3::from_shape_simple_fn((p, rows, cols), || rng.random_range(-1.0..=1.0));
        if let Some(first) = target.first_mut() {
            *first = 1.0;
        }
        let kept = Array2::from_shape_simple_fn((rows, cols), || normal(self.element, &mut rng));
        let held = Array2::from_shape_simple_fn((rows, cols), || rng.random_range(-1.0..=1.0));
        let fresh = Array3::from_shape_simple_fn((p, rows, cols), || normal(self.programming, &mut rng));
        let measured = Array4::from_shape_fn((p, r, rows, cols), |(p, _, i, j)| {
            let programmed = if i * cols + j < self.stuck {
                held[(i, j)]
            } else {
                target[(p, i, j)] + kept[(i, j)] + fresh[(p, i, j)]
            };
            programmed + normal(self.readout, &mut rng)
        });
        Pairs::new(target, measured)
    }
}

fn normal(sigma: f64, rng: &mut impl Rng) -> f64 {
    let unit: f64 = StandardNormal.sample(rng);
    sigma * unit
}
