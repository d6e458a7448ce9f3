//! Cutting a layer into tiles of the processor's shape.

use std::{fmt, ops::Range};

use ndarray::{Array2, ArrayView2, s};

/// Weights that a processor holds at once: `rows` outputs × `cols` inputs. Invariant: both at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TileShape {
    rows: usize,
    cols: usize,
}

/// Why a matrix cannot be tiled or put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TilingError {
    /// A tile without weights.
    #[error("a tile of {rows} × {cols} holds no weight; give at least 1 × 1")]
    EmptyTile {
        /// Rows asked.
        rows: usize,
        /// Columns asked.
        cols: usize,
    },
    /// A matrix without weights.
    #[error("a matrix of {rows} × {cols} holds no weight; there is nothing to tile")]
    EmptyMatrix {
        /// Rows found.
        rows: usize,
        /// Columns found.
        cols: usize,
    },
    /// Another number of tiles than the grid has.
    #[error(
        "{found} tiles were given, the grid has {expected}; give one for each place, row block by row block"
    )]
    Count {
        /// Tiles of the grid.
        expected: usize,
        /// Tiles given.
        found: usize,
    },
    /// A tile or matrix of another shape.
    #[error("{what} is {} × {}, expected {} × {}", found.0, found.1, expected.0, expected.1)]
    Shape {
        /// Which array.
        what: &'static str,
        /// Shape expected, rows × columns.
        expected: (usize, usize),
        /// Shape found.
        found: (usize, usize),
    },
}

impl TileShape {
    /// Checks and wraps `rows` outputs × `cols` inputs.
    ///
    /// # Errors
    /// A side of 0.
    pub const fn new(rows: usize, cols: usize) -> Result<Self, TilingError> {
        if rows == 0 || cols == 0 {
            Err(TilingError::EmptyTile { rows, cols })
        } else {
            Ok(Self { rows, cols })
        }
    }

    /// The same, with 1 in place of 0.
    pub(crate) const fn at_least_one(rows: usize, cols: usize) -> Self {
        Self { rows: if rows == 0 { 1 } else { rows }, cols: if cols == 0 { 1 } else { cols } }
    }

    /// Outputs.
    #[must_use]
    pub const fn rows(self) -> usize {
        self.rows
    }

    /// Inputs.
    #[must_use]
    pub const fn cols(self) -> usize {
        self.cols
    }
}

impl fmt::Display for TileShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} × {}", self.rows, self.cols)
    }
}

/// Grid of tiles over an `[out, in]` matrix. Tiles at the lower and right edges are padded with zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiling {
    rows: usize,
    cols: usize,
    shape: TileShape,
}

/// One place of the grid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile {
    /// Position among the row blocks (outputs).
    pub row_block: usize,
    /// Position among the column blocks (inputs).
    pub col_block: usize,
    /// Rows of the matrix that it covers (without padding).
    pub rows: Range<usize>,
    /// Columns of the matrix that it covers (without padding).
    pub cols: Range<usize>,
}

impl Tiling {
    /// Grid over a matrix of `rows` outputs × `cols` inputs.
    ///
    /// # Errors
    /// A matrix without weights.
    pub const fn new(rows: usize, cols: usize, shape: TileShape) -> Result<Self, TilingError> {
        if rows == 0 || cols == 0 {
            Err(TilingError::EmptyMatrix { rows, cols })
        } else {
            Ok(Self { rows, cols, shape })
        }
    }

    /// Rows and columns of the matrix.
    #[must_use]
    pub const fn dim(&self) -> (usize, usize) {
        (self.rows, self.cols)
    }

    /// Shape of each tile.
    #[must_use]
    pub const fn shape(&self) -> TileShape {
        self.shape
    }

    /// Tiles one below the other.
    #[must_use]
    pub const fn row_blocks(&self) -> usize {
        self.rows.div_ceil(self.shape.rows)
    }

    /// Tiles side by side: partial outputs that are summed digitally.
    #[must_use]
    pub const fn col_blocks(&self) -> usize {
        self.cols.div_ceil(self.shape.cols)
    }

    /// Number of tiles.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.row_blocks() * self.col_blocks()
    }

    /// The places of the grid, row block by row block.
    pub fn tiles(&self) -> impl Iterator<Item = Tile> + use<> {
        let Self { rows, cols, shape } = *self;
        let col_blocks = self.col_blocks();
        (0..self.count()).map(move |index| {
            let (row_block, col_block) = (index / col_blocks, index % col_blocks);
            let (top, left) = (row_block * shape.rows, col_block * shape.cols);
            Tile {
                row_block,
                col_block,
                rows: top..(top + shape.rows).min(rows),
                cols: left..(left + shape.cols).min(cols),
            }
        })
    }

    /// The tiles of `matrix`, `[out, in]`, each padded to the tile's shape, in the order of [`Self::tiles`].
    ///
    /// # Errors
    /// A matrix of another shape than the grid's.
    pub fn tile<T: Copy + Default>(&self, matrix: ArrayView2<'_, T>) -> Result<Vec<Array2<T>>, TilingError> {
        if matrix.dim() != self.dim() {
            return Err(TilingError::Shape { what: "the matrix", expected: self.dim(), found: matrix.dim() });
        }
        Ok(self.tiles().map(|tile| self.pad(&tile, matrix)).collect())
    }

    /// Puts padded tiles, in the order of [`Self::tiles`], together again: `[out, in]`, padding dropped.
    ///
    /// # Errors
    /// Another number of tiles, or one of another shape.
    pub fn untile<T: Copy + Default>(&self, tiles: &[Array2<T>]) -> Result<Array2<T>, TilingError> {
        if tiles.len() != self.count() {
            return Err(TilingError::Count { expected: self.count(), found: tiles.len() });
        }
        let expected = (self.shape.rows, self.shape.cols);
        let mut matrix = Array2::default(self.dim());
        for (place, tile) in self.tiles().zip(tiles) {
            if tile.dim() != expected {
                return Err(TilingError::Shape { what: "a tile", expected, found: tile.dim() });
            }
            let part = tile.slice(s![..place.rows.len(), ..place.cols.len()]);
            matrix.slice_mut(s![place.rows, place.cols]).assign(&part);
        }
        Ok(matrix)
    }

    /// The part of `matrix` at `tile`, padded with zeros to the tile's shape.
    fn pad<T: Copy + Default>(&self, tile: &Tile, matrix: ArrayView2<'_, T>) -> Array2<T> {
        let mut padded = Array2::default((self.shape.rows, self.shape.cols));
        padded
            .slice_mut(s![..tile.rows.len(), ..tile.cols.len()])
            .assign(&matrix.slice(s![tile.rows.clone(), tile.cols.clone()]));
        padded
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn edges_are_padded_with_zeros() {
        let tiling = Tiling::new(3, 5, TileShape::new(2, 4).unwrap()).unwrap();
        let tiles = tiling.tile(Array2::from_elem((3, 5), 1.0).view()).unwrap();
        assert_eq!((tiling.row_blocks(), tiling.col_blocks(), tiles.len()), (2, 2, 4));
        assert_eq!(tiles[3], ndarray::array![[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]);
    }

    #[test]
    fn a_matrix_of_another_shape_is_refused() {
        let tiling = Tiling::new(3, 5, TileShape::new(2, 4).unwrap()).unwrap();
        let error = tiling.tile(Array2::from_elem((5, 3), 1.0).view()).unwrap_err();
        assert_eq!(error.to_string(), "the matrix is 5 × 3, expected 3 × 5");
        assert!(TileShape::new(0, 4).is_err());
    }

    proptest! {
        #[test]
        fn tile_then_untile_is_identity(
            rows in 1_usize..40, cols in 1_usize..40, tile_rows in 1_usize..20, tile_cols in 1_usize..20,
        ) {
            let tiling = Tiling::new(rows, cols, TileShape::new(tile_rows, tile_cols).unwrap()).unwrap();
            // Every entry differs, so that no exchange of two goes unseen.
            let matrix = Array2::from_shape_fn((rows, cols), |(row, col)| 1 + row * cols + col);
            let tiles = tiling.tile(matrix.view()).unwrap();
            let weights: usize = tiles.iter().map(|tile| tile.iter().filter(|&&weight| weight != 0).count()).sum();
            prop_assert_eq!(weights, rows * cols);
            prop_assert_eq!(tiling.untile(&tiles).unwrap(), matrix);
        }
    }
}
