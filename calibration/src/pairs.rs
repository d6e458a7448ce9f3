//! Pairs of target and measured weight: the one input of the fit, whether from a record or from a user's file.

mod files;

use ndarray::{Array3, Array4, ArrayD, ArrayView3, ArrayView4, Axis, IxDyn};

use crate::weights::Cell;

pub use files::read_pairs;

/// Targets and readings.
///
/// Invariant: shapes agree, every value is finite, there are at least [`Pairs::MINIMUM`] pairs, and a target is
/// not 0 (the reference of σ would be undefined).
#[derive(Clone, Debug, PartialEq)]
pub struct Pairs {
    target: Array3<f64>,
    measured: Array4<f64>,
    reference: f64,
    grid: bool,
}

/// Why arrays are not [`Pairs`].
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PairsError {
    /// Shapes that do not belong together.
    #[error(
        "`target` has shape {target:?} and `measured` {measured:?}; expected rows × cols or P × rows × cols for `target`, and for `measured` the same, or with repeats P × R × rows × cols"
    )]
    Shape {
        /// Shape of the targets.
        target: Vec<usize>,
        /// Shape of the readings.
        measured: Vec<usize>,
    },
    /// A target that is no number.
    #[error(
        "`target` of programming {programming} at {cell} is {value}; every value must be a finite number, remove or repair it"
    )]
    Target {
        /// Programming, from 0.
        programming: usize,
        /// Where.
        cell: Cell,
        /// What was found.
        value: f64,
    },
    /// A reading that is no number.
    #[error(
        "`measured` of programming {programming}, repeat {repeat} at {cell} is {value}; every value must be a finite number, remove or repair it"
    )]
    Measured {
        /// Programming, from 0.
        programming: usize,
        /// Repeat, from 0.
        repeat: usize,
        /// Where.
        cell: Cell,
        /// What was found.
        value: f64,
    },
    /// Too few to say anything.
    #[error(
        "there are {found} pairs of target and measured, at least {} are needed; measure more",
        Pairs::MINIMUM
    )]
    TooFew {
        /// Pairs found.
        found: usize,
    },
    /// All targets 0.
    #[error("all {found} targets are 0, so σ has no full scale to refer to; program weights that are not 0")]
    ZeroTargets {
        /// Pairs found.
        found: usize,
    },
}

impl Pairs {
    /// Fewest pairs that are accepted: below, a variance and its interval say nothing.
    pub const MINIMUM: usize = 3;

    /// Pairs of an array of elements: `target` `[P, rows, cols]`, `measured` `[P, R, rows, cols]`, any unit.
    ///
    /// # Errors
    /// Shapes that differ, a value that is not finite, fewer than [`Pairs::MINIMUM`] pairs, or all targets 0.
    pub fn new(target: Array3<f64>, measured: Array4<f64>) -> Result<Self, PairsError> {
        Self::checked(target, measured, true)
    }

    /// Pairs of no known position: `target` and `measured` of equal length, one reading each.
    ///
    /// # Errors
    /// As [`Pairs::new`].
    pub fn list(target: Vec<f64>, measured: Vec<f64>) -> Result<Self, PairsError> {
        let shapes = PairsError::Shape { target: vec![target.len()], measured: vec![measured.len()] };
        let (n, m) = (target.len(), measured.len());
        let target = Array3::from_shape_vec((1, 1, n), target);
        let measured = Array4::from_shape_vec((1, 1, 1, m), measured);
        match (target, measured) {
            (Ok(target), Ok(measured)) if n == m => Self::checked(target, measured, false),
            _ => Err(shapes),
        }
    }

    /// Pairs from arrays of any accepted shape (see [`PairsError::Shape`]). A `target` of rows × cols also goes with
    /// a `measured` of R × rows × cols: repeats of the one programming.
    ///
    /// # Errors
    /// As [`Pairs::new`].
    pub fn from_arrays(target: ArrayD<f64>, measured: ArrayD<f64>) -> Result<Self, PairsError> {
        let shapes =
            PairsError::Shape { target: target.shape().to_vec(), measured: measured.shape().to_vec() };
        let (t, m) = match (target.shape(), measured.shape()) {
            (&[n], &[k]) if n == k => ([1, 1, n], [1, 1, 1, n]),
            (&[rows, cols], &[r, c]) if (r, c) == (rows, cols) => ([1, rows, cols], [1, 1, rows, cols]),
            (&[rows, cols], &[n, r, c]) | (&[rows, cols], &[1, n, r, c]) if (r, c) == (rows, cols) => {
                ([1, rows, cols], [1, n, rows, cols])
            }
            (&[p, rows, cols], &[q, r, c]) if (q, r, c) == (p, rows, cols) => {
                ([p, rows, cols], [p, 1, rows, cols])
            }
            (&[p, rows, cols], &[q, n, r, c]) if (q, r, c) == (p, rows, cols) => {
                ([p, rows, cols], [p, n, rows, cols])
            }
            _ => return Err(shapes),
        };
        let grid = target.ndim() > 1;
        let target = standard(target, &t).into_dimensionality();
        let measured = standard(measured, &m).into_dimensionality();
        match (target, measured) {
            (Ok(target), Ok(measured)) => Self::checked(target, measured, grid),
            _ => Err(shapes),
        }
    }

    fn checked(target: Array3<f64>, measured: Array4<f64>, grid: bool) -> Result<Self, PairsError> {
        let (p, rows, cols) = target.dim();
        let (mp, repeats, mrows, mcols) = measured.dim();
        if (p, rows, cols) != (mp, mrows, mcols) || (repeats == 0 && !target.is_empty()) {
            let (target, measured) = (target.shape().to_vec(), measured.shape().to_vec());
            return Err(PairsError::Shape { target, measured });
        }
        let found = target.len();
        if found < Self::MINIMUM {
            return Err(PairsError::TooFew { found });
        }
        if let Some(((programming, row, col), &value)) =
            target.indexed_iter().find(|(_, value)| !value.is_finite())
        {
            return Err(PairsError::Target { programming, cell: Cell { row, col }, value });
        }
        if let Some(((programming, repeat, row, col), &value)) =
            measured.indexed_iter().find(|(_, value)| !value.is_finite())
        {
            return Err(PairsError::Measured { programming, repeat, cell: Cell { row, col }, value });
        }
        let reference = target.iter().fold(0.0_f64, |max, w| max.max(w.abs()));
        if reference == 0.0 {
            return Err(PairsError::ZeroTargets { found });
        }
        Ok(Self { target, measured, reference, grid })
    }

    /// Asked weights, `[P, rows, cols]`.
    #[must_use]
    pub fn target(&self) -> ArrayView3<'_, f64> {
        self.target.view()
    }

    /// Readings, `[P, R, rows, cols]`.
    #[must_use]
    pub fn measured(&self) -> ArrayView4<'_, f64> {
        self.measured.view()
    }

    /// Full scale: the largest target magnitude, in the unit of the data. Every reported σ is divided by it.
    #[must_use]
    pub fn reference(&self) -> f64 {
        self.reference
    }

    /// True when rows and columns are positions on a processor; false for a list of pairs.
    #[must_use]
    pub fn is_grid(&self) -> bool {
        self.grid
    }

    /// Readings of each programming, `R`.
    #[must_use]
    pub fn repeats(&self) -> usize {
        self.measured.len_of(Axis(1))
    }

    /// Mean over the repeats, `[P, rows, cols]`, in the unit of the data.
    #[must_use]
    pub fn means(&self) -> Array3<f64> {
        let mut sums = self.measured.sum_axis(Axis(1));
        let repeats = self.repeats() as f64;
        sums.mapv_inplace(|sum| sum / repeats);
        sums
    }

    /// Residuals `r = (mean over repeats of measured − target) / full scale`, `[P, rows, cols]`.
    #[must_use]
    pub fn residuals(&self) -> Array3<f64> {
        let mut residuals = self.means();
        residuals.zip_mut_with(&self.target, |mean, target| *mean = (*mean - target) / self.reference);
        residuals
    }

    /// Targets (`[P, rows, cols]`) and readings (`[P, R, rows, cols]`).
    #[must_use]
    pub fn into_arrays(self) -> (Array3<f64>, Array4<f64>) {
        (self.target, self.measured)
    }
}

/// `array` in C order with the shape `shape` of the same number of elements.
fn standard(array: ArrayD<f64>, shape: &[usize]) -> ArrayD<f64> {
    let elements: Vec<f64> = array.iter().copied().collect();
    ArrayD::from_shape_vec(IxDyn(shape), elements).unwrap_or(array)
}
