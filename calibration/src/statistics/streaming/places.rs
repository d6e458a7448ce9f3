//! Sums of rows and columns.

use serde::{Deserialize, Serialize};

/// Sums over all matrices of a stream in C order, one matrix after the other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Places {
    pub(super) rows: Vec<f64>,
    pub(super) columns: Vec<f64>,
    row: usize,
    column: usize,
}

impl Places {
    pub(super) fn new(rows: usize, columns: usize) -> Self {
        Self { rows: vec![0.0; rows], columns: vec![0.0; columns], row: 0, column: 0 }
    }

    /// The next value is the first of a matrix.
    pub(super) fn at_start(&self) -> bool {
        self.row == 0 && self.column == 0
    }

    #[inline(always)]
    pub(super) fn push(&mut self, mut block: &[f64]) {
        while !block.is_empty() && !self.rows.is_empty() && !self.columns.is_empty() {
            let (piece, rest) = block.split_at(block.len().min(self.columns.len() - self.column));
            let sums = &mut self.columns[self.column..self.column + piece.len()];
            sums.iter_mut().zip(piece).for_each(|(sum, x)| *sum += x);
            let mut lanes = [0.0; 8];
            let (chunks, left) = piece.as_chunks::<8>();
            for chunk in chunks {
                lanes.iter_mut().zip(chunk).for_each(|(lane, x)| *lane += x);
            }
            lanes.iter_mut().zip(left).for_each(|(lane, x)| *lane += x);
            self.rows[self.row] += lanes.iter().sum::<f64>();
            self.column += piece.len();
            if self.column == self.columns.len() {
                self.column = 0;
                self.row = (self.row + 1) % self.rows.len();
            }
            block = rest;
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.rows.iter_mut().zip(&other.rows).for_each(|(a, b)| *a += b);
        self.columns.iter_mut().zip(&other.columns).for_each(|(a, b)| *a += b);
    }
}
