//! Matrix products of f32 over the crate `gemm`, cut into fixed blocks of rows.
//!
//! `gemm` runs each block on one thread, so a product does not depend on the number of threads.

#![expect(unsafe_code, reason = "gemm takes pointers")]

mod view;

use rayon::prelude::*;

pub use self::view::{View, ViewMut};
use super::chunks::{add, sum_of_chunks};

/// Rows of the product made by one task: many enough to pay for packing the other factor again.
const BLOCK_ROWS: usize = 192;

/// Products with no more rows than this and a long inner dimension are cut along that instead.
const FEW_ROWS: usize = 96;

/// Inner dimension of one task of such a product.
const BLOCK_DEPTH: usize = 2048;

/// How a product enters its destination: `out = scale · product + keep · out`.
#[derive(Clone, Copy, Debug)]
pub struct Update {
    /// Factor of the product.
    pub scale: f32,
    /// Factor of what stands in the destination; at 0 it is not read.
    pub keep: f32,
}

impl Update {
    /// `out = product`.
    pub const SET: Self = Self { scale: 1.0, keep: 0.0 };
    /// `out += product`.
    pub const ADD: Self = Self { scale: 1.0, keep: 1.0 };

    /// `out = scale · product`.
    #[must_use]
    pub const fn scaled(scale: f32) -> Self {
        Self { scale, keep: 0.0 }
    }
}

/// `a bᵀ`: `a` `[m, k]`, `b` `[n, k]`, `out` `[m, n]`.
///
/// # Panics
/// When the lengths are not whole rows or do not fit.
pub fn matmul_nt(a: &[f32], b: &[f32], k: usize, update: Update, out: &mut [f32]) {
    let (a, b) = (View::new(a, k), View::new(b, k).transposed());
    multiply(a, b, update, ViewMut::new(out, b.columns));
}

/// `a b`: `a` `[m, k]`, `b` `[k, n]`, `out` `[m, n]`.
///
/// # Panics
/// When the lengths are not whole rows or do not fit.
pub fn matmul_nn(a: &[f32], b: &[f32], k: usize, update: Update, out: &mut [f32]) {
    let a = View::new(a, k);
    let b = View::new(b, b.len() / k.max(1));
    multiply(a, b, update, ViewMut::new(out, b.columns));
}

/// `aᵀ b`: `a` `[m, k]`, `b` `[m, n]`, `out` `[k, n]`.
///
/// # Panics
/// When the lengths are not whole rows or do not fit.
pub fn matmul_tn(a: &[f32], b: &[f32], m: usize, update: Update, out: &mut [f32]) {
    let (k, n) = (a.len() / m.max(1), b.len() / m.max(1));
    multiply(View::new(a, k).transposed(), View::new(b, n), update, ViewMut::new(out, n));
}

/// `out = scale · a b + keep · out` on all threads, in fixed blocks.
///
/// # Panics
/// When the shapes do not fit.
pub fn multiply(a: View<'_>, b: View<'_>, update: Update, out: ViewMut<'_>) {
    assert_eq!(a.columns, b.rows, "inner dimensions");
    assert_eq!((a.rows, b.columns), (out.rows, out.columns), "shape of the product");
    if a.rows <= FEW_ROWS && a.columns >= 2 * BLOCK_DEPTH {
        multiply_by_depth(a, b, update, out);
        return;
    }
    let blocks: Vec<_> = out.split_rows(BLOCK_ROWS).into_iter().enumerate().collect();
    blocks.into_par_iter().for_each(|(index, mut block)| {
        multiply_serial(a.rows(index * BLOCK_ROWS, block.rows), b, update, &mut block);
    });
}

/// The same, as a sum of products of blocks of the inner dimension.
fn multiply_by_depth(a: View<'_>, b: View<'_>, update: Update, mut out: ViewMut<'_>) {
    let depth = a.columns;
    let product = sum_of_chunks(depth.div_ceil(BLOCK_DEPTH), a.rows * b.columns, |block, sum| {
        let first = block * BLOCK_DEPTH;
        let length = BLOCK_DEPTH.min(depth - first);
        let sum = &mut ViewMut::new(sum, b.columns);
        multiply_serial(a.columns(first, length), b.rows(first, length), Update::SET, sum);
    });
    for (row, product) in product.chunks_exact(b.columns).enumerate() {
        let out = out.row(row);
        if update.keep == 0.0 {
            out.fill(0.0);
        } else if update.keep != 1.0 {
            out.iter_mut().for_each(|out| *out *= update.keep);
        }
        if update.scale == 1.0 {
            add(product, out);
        } else {
            out.iter_mut().zip(product).for_each(|(out, product)| *out += update.scale * product);
        }
    }
}

/// `out = scale · a b + keep · out` on the calling thread.
///
/// # Panics
/// When the shapes do not fit.
pub fn multiply_serial(a: View<'_>, b: View<'_>, update: Update, out: &mut ViewMut<'_>) {
    assert_eq!(a.columns, b.rows, "inner dimensions");
    let out = out.reborrow();
    assert_eq!((a.rows, b.columns), (out.rows, out.columns), "shape of the product");
    // SAFETY: the three views hold every element that their shape and strides reach, and `out` shares none with the others.
    unsafe {
        gemm::gemm(
            out.rows,
            out.columns,
            a.columns,
            out.first,
            1,
            out.stride as isize,
            update.keep != 0.0,
            a.values.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.values.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            update.keep,
            update.scale,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::digital::oracle::{assert_close, random};

    /// Relative to the largest entry: sums of k rounded products of order 1, √k · 2⁻²⁴ each way.
    const TOLERANCE: f64 = 1e-5;

    fn product(
        a: impl Fn(usize, usize) -> f32,
        b: impl Fn(usize, usize) -> f32,
        (m, k, n): (usize, usize, usize),
    ) -> Vec<f64> {
        let element = |row, column| (0..k).map(|i| f64::from(a(row, i)) * f64::from(b(i, column))).sum();
        (0..m * n).map(|index| element(index / n, index % n)).collect()
    }

    #[test]
    fn the_three_forms_agree_with_sums_in_f64() {
        for (m, k, n) in [(1, 1, 1), (3, 5, 7), (65, 64, 65), (400, 33, 10), (7, 5000, 9)] {
            let (a, b) = (random(1, m * k), random(2, k * n));
            let mut out = vec![0.0; m * n];
            matmul_nn(&a, &b, k, Update::SET, &mut out);
            assert_close(
                "nn",
                &out,
                &product(|r, i| a[r * k + i], |i, c| b[i * n + c], (m, k, n)),
                TOLERANCE,
            );
            matmul_nt(&a, &b, k, Update::SET, &mut out);
            assert_close(
                "nt",
                &out,
                &product(|r, i| a[r * k + i], |i, c| b[c * k + i], (m, k, n)),
                TOLERANCE,
            );
            matmul_tn(&a, &b, k, Update::SET, &mut out);
            assert_close(
                "tn",
                &out,
                &product(|r, i| a[i * m + r], |i, c| b[i * n + c], (m, k, n)),
                TOLERANCE,
            );
        }
    }

    #[test]
    fn an_update_scales_the_product_and_keeps_a_share_of_the_destination() {
        for k in [6, 4200] {
            let (a, b, old) = (random(1, 4 * k), random(2, 3 * k), random(3, 12));
            let expected: Vec<f64> = product(|r, i| a[r * k + i], |i, c| b[c * k + i], (4, k, 3))
                .iter()
                .zip(&old)
                .map(|(product, old)| 0.5 * product - 2.0 * f64::from(*old))
                .collect();
            let mut out = old.clone();
            matmul_nt(&a, &b, k, Update { scale: 0.5, keep: -2.0 }, &mut out);
            assert_close("update", &out, &expected, TOLERANCE);
        }
    }

    #[test]
    fn blocks_of_columns_are_written_without_touching_their_neighbours() {
        let (a, b) = (random(1, 6), random(2, 6));
        let mut out = vec![9.0; 12];
        for (index, mut block) in ViewMut::new(&mut out, 6).split_columns(2).into_iter().enumerate() {
            if index == 1 {
                multiply_serial(View::new(&a, 3), View::new(&b, 2), Update::SET, &mut block);
            }
        }
        let expected = product(|r, i| a[r * 3 + i], |i, c| b[i * 2 + c], (2, 3, 2));
        assert_close("block", &[out[2], out[3], out[8], out[9]], &expected, TOLERANCE);
        assert_eq!([out[0], out[1], out[4], out[5], out[6], out[7], out[10], out[11]], [9.0; 8]);
    }

    #[test]
    fn the_number_of_threads_does_not_change_a_product() {
        let (a, b) = (random(1, 700 * 70), random(2, 70 * 50));
        let run = |threads| {
            let mut out = vec![0.0; 700 * 50];
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            pool.map(|pool| pool.install(|| matmul_nn(&a, &b, 70, Update::SET, &mut out))).ok();
            out
        };
        assert_eq!(run(1), run(3));
    }
}
