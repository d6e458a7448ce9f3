//! Matrices within slices, with strides, to read and to write.

#![expect(unsafe_code, reason = "blocks of columns of one buffer go to different threads")]

use std::marker::PhantomData;

/// A matrix to read, `rows × columns`, whose element `(i, j)` is `values[i·row_stride + j·column_stride]`.
/// Invariant: every element is within `values`.
#[derive(Clone, Copy)]
pub struct View<'a> {
    pub(super) values: &'a [f32],
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) row_stride: usize,
    pub(super) column_stride: usize,
}

impl<'a> View<'a> {
    /// All of `values`, row-major with `columns` columns.
    ///
    /// # Panics
    /// When `values` is not a whole number of rows.
    #[must_use]
    pub fn new(values: &'a [f32], columns: usize) -> Self {
        assert!(columns > 0 && values.len().is_multiple_of(columns), "values: a whole number of rows");
        let rows = values.len() / columns;
        Self { values, rows, columns, row_stride: columns, column_stride: 1 }
    }

    /// `columns` columns from `first` on.
    ///
    /// # Panics
    /// When the matrix has fewer columns.
    #[must_use]
    pub fn columns(self, first: usize, columns: usize) -> Self {
        assert!(first + columns <= self.columns, "columns: within the matrix");
        let start = (first * self.column_stride).min(self.values.len());
        Self { values: &self.values[start..], columns, ..self }
    }

    /// `rows` rows from `first` on.
    ///
    /// # Panics
    /// When the matrix has fewer rows.
    #[must_use]
    pub fn rows(self, first: usize, rows: usize) -> Self {
        assert!(first + rows <= self.rows, "rows: within the matrix");
        let start = (first * self.row_stride).min(self.values.len());
        Self { values: &self.values[start..], rows, ..self }
    }

    /// The transpose.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self {
            values: self.values,
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }
}

/// A row-major matrix to write, `rows × columns`, possibly a block of columns of a wider one.
/// Invariant: no other view has any of its elements.
pub struct ViewMut<'a> {
    pub(super) first: *mut f32,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) stride: usize,
    buffer: PhantomData<&'a mut [f32]>,
}

// SAFETY: a view owns its elements like `&mut [f32]` does.
unsafe impl Send for ViewMut<'_> {}

impl<'a> ViewMut<'a> {
    /// All of `values`, row-major with `columns` columns.
    ///
    /// # Panics
    /// When `values` is not a whole number of rows.
    #[must_use]
    pub fn new(values: &'a mut [f32], columns: usize) -> Self {
        assert!(columns > 0 && values.len().is_multiple_of(columns), "values: a whole number of rows");
        let rows = values.len() / columns;
        Self { first: values.as_mut_ptr(), rows, columns, stride: columns, buffer: PhantomData }
    }

    /// Cut into blocks of `rows` rows; the last may have fewer.
    ///
    /// # Panics
    /// When `rows` is 0.
    #[must_use]
    pub fn split_rows(self, rows: usize) -> Vec<Self> {
        assert!(rows > 0, "rows of a block: at least one");
        (0..self.rows)
            .step_by(rows)
            .map(|first| self.block(first, 0, rows.min(self.rows - first), self.columns))
            .collect()
    }

    /// Cut into blocks of `columns` columns.
    ///
    /// # Panics
    /// When the columns of the matrix are not a multiple of `columns`.
    #[must_use]
    pub fn split_columns(self, columns: usize) -> Vec<Self> {
        assert!(columns > 0 && self.columns.is_multiple_of(columns), "columns of a block: a divisor");
        (0..self.columns).step_by(columns).map(|first| self.block(0, first, self.rows, columns)).collect()
    }

    /// One row.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn row(&mut self, row: usize) -> &mut [f32] {
        assert!(row < self.rows, "row: within the matrix");
        // SAFETY: a row within the matrix is within the buffer, and only this view has it.
        unsafe { std::slice::from_raw_parts_mut(self.first.add(row * self.stride), self.columns) }
    }

    /// The block at `(row, column)`; the callers, which consume `self`, make only disjoint ones.
    fn block(&self, row: usize, column: usize, rows: usize, columns: usize) -> Self {
        let first = self.first.wrapping_add(row * self.stride + column);
        Self { first, rows, columns, stride: self.stride, buffer: PhantomData }
    }

    /// The same matrix for a shorter time.
    pub(super) fn reborrow(&mut self) -> ViewMut<'_> {
        self.block(0, 0, self.rows, self.columns)
    }
}
