//! Weights as the processor sees them: normalised to its full scale.

use std::fmt;

use ndarray::{Array2, ArrayView2};

/// Position of a weight: output row, input column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Cell {
    /// Output.
    pub row: usize,
    /// Input.
    pub col: usize,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "(row {}, column {})", self.row, self.col)
    }
}

/// Target weights in units of the processor's full scale, `rows × cols`.
///
/// Invariant: every entry is finite and within `[−1, 1]`; there is at least one.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightMatrix(Array2<f64>);

/// Why an array is not a [`WeightMatrix`].
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum WeightError {
    /// NaN or infinity.
    #[error("the weight at {cell} is {value}; every weight must be a finite number")]
    NotFinite {
        /// Where.
        cell: Cell,
        /// What was found.
        value: f64,
    },
    /// Beyond full scale.
    #[error(
        "the weight at {cell} is {value}, outside full scale (−1 to 1); divide the matrix by its largest magnitude"
    )]
    OutOfRange {
        /// Where.
        cell: Cell,
        /// What was found.
        value: f64,
    },
    /// No entries.
    #[error("the weight matrix is empty ({rows} × {cols})")]
    Empty {
        /// Rows found.
        rows: usize,
        /// Columns found.
        cols: usize,
    },
}

impl WeightMatrix {
    /// Checks and wraps `weights`, `rows × cols`.
    ///
    /// # Errors
    /// An entry that is not finite or is outside `[−1, 1]`, or an empty array.
    pub fn new(weights: Array2<f64>) -> Result<Self, WeightError> {
        let (rows, cols) = weights.dim();
        if weights.is_empty() {
            return Err(WeightError::Empty { rows, cols });
        }
        for ((row, col), &value) in weights.indexed_iter() {
            let cell = Cell { row, col };
            if !value.is_finite() {
                return Err(WeightError::NotFinite { cell, value });
            }
            if value.abs() > 1.0 {
                return Err(WeightError::OutOfRange { cell, value });
            }
        }
        Ok(Self(weights))
    }

    /// The weights, `rows × cols`.
    #[must_use]
    pub fn view(&self) -> ArrayView2<'_, f64> {
        self.0.view()
    }

    /// `(rows, cols)`.
    #[must_use]
    pub fn dim(&self) -> (usize, usize) {
        self.0.dim()
    }

    /// Largest magnitude.
    #[must_use]
    pub fn max_abs(&self) -> f64 {
        self.0.iter().fold(0.0, |max, value| value.abs().max(max))
    }

    /// The array itself.
    #[must_use]
    pub fn into_inner(self) -> Array2<f64> {
        self.0
    }
}
