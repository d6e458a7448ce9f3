//! How work is cut for the threads, and sums along it.
//!
//! The cut depends on the shapes alone, and partial sums are added in the order of the chunks: a result is the same
//! whatever the number of threads.

use pulp::Simd;
use rayon::prelude::*;

use super::simd::dispatch;

/// Numbers in a chunk: 128 KB of f32, which stays in the second-level cache and outweighs the cost of a task.
const CHUNK: usize = 32 * 1024;

/// Rows of `features` numbers in one chunk.
pub(super) fn rows_per_chunk(features: usize) -> usize {
    (CHUNK / features.max(1)).max(1)
}

/// Numbers of a chunk that holds whole rows.
pub(super) fn row_chunk(features: usize) -> usize {
    rows_per_chunk(features) * features.max(1)
}

/// Numbers of a chunk where rows do not matter.
pub(super) const fn element_chunk() -> usize {
    CHUNK
}

/// Sum over the chunks `0..count` of what `partial(chunk, sum)` adds to a zeroed vector of `length`, in order.
pub(super) fn sum_of_chunks(
    count: usize,
    length: usize,
    partial: impl Fn(usize, &mut [f32]) + Sync,
) -> Vec<f32> {
    let partials: Vec<Vec<f32>> = (0..count)
        .into_par_iter()
        .map(|chunk| {
            let mut sum = vec![0.0; length];
            partial(chunk, &mut sum);
            sum
        })
        .collect();
    let mut partials = partials.into_iter();
    let mut total = partials.next().unwrap_or_else(|| vec![0.0; length]);
    partials.for_each(|partial| add(&partial, &mut total));
    total
}

/// `total += values`, element by element.
///
/// # Panics
/// When the lengths differ.
pub(super) fn add(values: &[f32], total: &mut [f32]) {
    assert_eq!(values.len(), total.len(), "a sum and what is added to it: of one length");
    for (total, value) in total.iter_mut().zip(values) {
        *total += value;
    }
}

/// Adds the column sums of `values` `[rows, columns]` to `sums` `[columns]`.
///
/// # Panics
/// When `values` is not a whole number of rows.
pub fn add_column_sums(values: &[f32], sums: &mut [f32]) {
    let columns = sums.len();
    assert!(columns > 0 && values.len().is_multiple_of(columns), "values: a whole number of rows");
    let chunk = row_chunk(columns);
    let total = sum_of_chunks(values.len().div_ceil(chunk), columns, |index, sum| {
        let end = ((index + 1) * chunk).min(values.len());
        add_rows(&values[index * chunk..end], sum);
    });
    add(&total, sums);
}

/// Adds every row of `values` to `sum`, on the calling thread.
pub(super) fn add_rows(values: &[f32], sum: &mut [f32]) {
    add_each_row(values, sum);
}

dispatch!(add_rows_body => fn add_each_row(values: &[f32], sum: &mut [f32]));

#[inline(always)]
fn add_rows_body<S: Simd>(_: S, values: &[f32], sum: &mut [f32]) {
    for row in values.chunks_exact(sum.len()) {
        for (sum, value) in sum.iter_mut().zip(row) {
            *sum += value;
        }
    }
}

/// Lanes of a running sum.
const LANES: usize = 32;

/// `Σ f(a)` in 32 running sums: the order is the same on every instruction set.
#[inline(always)]
pub(super) fn lane_sum(a: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let (whole, rest) = a.as_chunks::<LANES>();
    for a in whole {
        for lane in 0..LANES {
            lanes[lane] += f(a[lane]);
        }
    }
    for (sum, &a) in lanes.iter_mut().zip(rest) {
        *sum += f(a);
    }
    fold(lanes, |a, b| a + b)
}

/// `Σ f(a, b)` over two rows of one length, as [`lane_sum`].
#[inline(always)]
pub(super) fn lane_sum_pairs(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            lanes[lane] += f(a[lane], b[lane]);
        }
    }
    for (sum, (&a, &b)) in lanes.iter_mut().zip(a_rest.iter().zip(b_rest)) {
        *sum += f(a, b);
    }
    fold(lanes, |a, b| a + b)
}

/// Largest of `values`, or −∞ of none.
#[inline(always)]
pub(super) fn lane_max(values: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (whole, rest) = values.as_chunks::<LANES>();
    for values in whole {
        for (max, &value) in lanes.iter_mut().zip(values) {
            *max = if value > *max { value } else { *max };
        }
    }
    for (max, &value) in lanes.iter_mut().zip(rest) {
        *max = if value > *max { value } else { *max };
    }
    fold(lanes, |a, b| if b > a { b } else { a })
}

/// Folds the lanes in halves.
#[inline(always)]
fn fold(mut lanes: [f32; LANES], join: impl Fn(f32, f32) -> f32) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] = join(lanes[lane], lanes[lane + width]);
        }
        width /= 2;
    }
    lanes[0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::digital::oracle::random;

    #[test]
    fn column_sums_are_the_sums_of_the_columns_and_are_added() {
        let (rows, columns) = (3001, 37);
        let values = random(1, rows * columns);
        let mut sums = vec![1.0; columns];
        add_column_sums(&values, &mut sums);
        for (column, sum) in sums.iter().enumerate() {
            let exact: f64 = (0..rows).map(|row| f64::from(values[row * columns + column])).sum();
            // 3001 terms of order 1 in f32: rounding of about √3001 · 2⁻²⁴ · 55.
            assert!((f64::from(*sum) - 1.0 - exact).abs() < 1e-3);
        }
    }

    #[test]
    fn the_number_of_threads_does_not_change_a_sum() {
        let values = random(2, 5000 * 48);
        let sums = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            let mut sums = vec![0.0; 48];
            pool.map(|pool| pool.install(|| add_column_sums(&values, &mut sums))).ok();
            sums
        };
        assert_eq!(sums(1), sums(3));
        assert_ne!(sums(1), vec![0.0; 48]);
    }

    #[test]
    fn the_largest_of_a_ragged_row_is_found_wherever_it_stands() {
        for length in [1, 31, 32, 33, 65, 197] {
            for place in 0..length {
                let mut values = vec![-3.0; length];
                values[place] = -1.0;
                assert_eq!(lane_max(&values), -1.0);
            }
        }
    }
}
