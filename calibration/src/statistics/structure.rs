//! What of the error belongs to rows and columns, and could be taken out digitally.

use ndarray::{ArrayView2, ArrayView3};
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, FisherSnedecor};

use super::linear::{Line, LineSums};

/// Row and column structure of the residuals.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Structure {
    /// rms of the residuals as they are.
    pub sigma_before: f64,
    /// σ once gain and offset of each row and column are taken out, `√(Σr²/(n − k))`, `k = 2·rows + 2·cols − 2`.
    pub sigma_after: f64,
    /// Share of the sum of squares (about the grand mean) between rows, `SS_rows/SS_total`.
    pub row_share: f64,
    /// Probability of a share this large by chance (F test).
    pub row_p_value: f64,
    /// Share between columns.
    pub column_share: f64,
    /// Probability of a share this large by chance (F test).
    pub column_p_value: f64,
    /// Share between elements beyond rows and columns: errors that come back at each programming. With one
    /// programming it cannot be told and is absent.
    pub element_share: Option<f64>,
    /// Line of measured against target of each row, full scale = 1; absent for a row with no kept element.
    pub rows: Vec<RowLine>,
    /// The same for each column.
    pub columns: Vec<RowLine>,
}

/// Gain and offset of one row or column.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RowLine {
    /// Row or column.
    pub index: usize,
    /// Slope, ideally 1.
    pub gain: f64,
    /// Offset, ideally 0.
    pub offset: f64,
}

/// Two-way analysis of the residuals `r` of targets `w`, both `[P, rows, cols]`, full scale = 1, over the elements
/// `kept` (`[rows, cols]`).
///
/// * Shares: two-way analysis of variance with one observation an element and programming (Scheffé, *The Analysis of
///   Variance*, 1959); F tests against what rows and columns leave over. With elements left out it is approximate.
/// * σ after: least squares of `r = a_i + b_j + (g_i + h_j)·w`, by turns over rows and columns until it stands still.
///
/// `None` for fewer than 2 rows or columns, or fewer than twice as many residuals as parameters.
#[must_use]
pub fn structure(
    w: ArrayView3<'_, f64>,
    r: ArrayView3<'_, f64>,
    kept: ArrayView2<'_, bool>,
) -> Option<Structure> {
    let (programmings, rows, cols) = r.dim();
    let points: Vec<Point> = r
        .indexed_iter()
        .filter(|((_, i, j), _)| kept[(*i, *j)])
        .map(|((p, row, col), &residual)| Point { row, col, weight: w[(p, row, col)], residual })
        .collect();
    let parameters = 2 * (rows + cols) - 2;
    if rows < 2 || cols < 2 || points.len() < 2 * parameters {
        return None;
    }
    let n = points.len() as f64;
    let sigma_before = (points.iter().map(|point| point.residual.powi(2)).sum::<f64>() / n).sqrt();
    let left = remove_lines(&points, rows, cols);
    let sigma_after = (left.iter().map(|r| r * r).sum::<f64>() / (n - parameters as f64)).sqrt();

    let grand = points.iter().map(|point| point.residual).sum::<f64>() / n;
    let total: f64 = points.iter().map(|point| (point.residual - grand).powi(2)).sum();
    let by_row = between(&points, grand, rows, |point| point.row);
    let by_column = between(&points, grand, cols, |point| point.col);
    let by_element = between(&points, grand, rows * cols, |point| point.row * cols + point.col);
    let share = |sum: f64| if total > 0.0 { sum / total } else { 0.0 };
    let rest = (total - by_row - by_column).max(0.0);
    let rest_dof = n - (rows + cols - 1) as f64;
    let p_value = |sum: f64, groups: usize| f_test(sum, groups as f64 - 1.0, rest, rest_dof);
    Some(Structure {
        sigma_before,
        sigma_after,
        row_share: share(by_row),
        row_p_value: p_value(by_row, rows),
        column_share: share(by_column),
        column_p_value: p_value(by_column, cols),
        element_share: (programmings > 1).then(|| share((by_element - by_row - by_column).max(0.0))),
        rows: lines(&points, rows, |point| point.row),
        columns: lines(&points, cols, |point| point.col),
    })
}

#[derive(Clone, Copy)]
struct Point {
    row: usize,
    col: usize,
    weight: f64,
    residual: f64,
}

/// `Σ_g n_g (r̄_g − r̄)²`.
fn between(points: &[Point], grand: f64, groups: usize, group: impl Fn(&Point) -> usize) -> f64 {
    let mut sums = vec![(0.0, 0.0); groups];
    for point in points {
        let (sum, count) = &mut sums[group(point)];
        *sum += point.residual - grand;
        *count += 1.0;
    }
    sums.iter().filter(|(_, count)| *count > 0.0).map(|(sum, count)| sum * sum / count).sum()
}

fn f_test(sum: f64, dof: f64, rest: f64, rest_dof: f64) -> f64 {
    if rest <= 0.0 {
        return if sum > 0.0 { 0.0 } else { 1.0 };
    }
    let ratio = (sum / dof) / (rest / rest_dof);
    FisherSnedecor::new(dof, rest_dof).map_or(f64::NAN, |law| law.sf(ratio))
}

fn lines(points: &[Point], groups: usize, group: impl Fn(&Point) -> usize) -> Vec<RowLine> {
    let mut sums = vec![LineSums::default(); groups];
    for point in points {
        sums[group(point)].add(point.weight, point.weight + point.residual);
    }
    sums.iter()
        .enumerate()
        .filter_map(|(index, sums)| sums.line().map(|line| (index, line)))
        .map(|(index, Line { gain, offset })| RowLine { index, gain, offset })
        .collect()
}

/// Residuals left when the line of each row and of each column is taken out.
fn remove_lines(points: &[Point], rows: usize, cols: usize) -> Vec<f64> {
    let mut left: Vec<f64> = points.iter().map(|point| point.residual).collect();
    for _ in 0..100 {
        let moved = take_out(points, &mut left, rows, |point| point.row).max(take_out(
            points,
            &mut left,
            cols,
            |point| point.col,
        ));
        if moved < 1e-9 {
            break;
        }
    }
    left
}

/// Takes the line of each group out of `left`; returns the largest part removed relative to the rms that was there.
fn take_out(points: &[Point], left: &mut [f64], groups: usize, group: impl Fn(&Point) -> usize) -> f64 {
    let mut sums = vec![LineSums::default(); groups];
    for (point, &residual) in points.iter().zip(left.iter()) {
        sums[group(point)].add(point.weight, residual);
    }
    let lines: Vec<Option<Line>> = sums.iter().map(LineSums::line).collect();
    let (mut moved, mut squares) = (0.0_f64, 0.0);
    for (point, residual) in points.iter().zip(left.iter_mut()) {
        squares += *residual * *residual;
        if let Some(line) = lines[group(point)] {
            let part = line.gain * point.weight + line.offset;
            *residual -= part;
            moved = moved.max(part.abs());
        }
    }
    let scale = (squares / points.len().max(1) as f64).sqrt();
    if scale > 0.0 { moved / scale } else { 0.0 }
}
