//! Products with one thin factor, of a multiple of 8 columns: what a low-rank adapter is made of.
//!
//! A general product would pack the wide factor before use; here it is read once, in place. The thin factors, and sums of
//! their shape, are kept in vectors of 16 lanes: element `(j, c)` of `[width, columns]` is lane `c mod 16` of vector
//! `⌊c/16⌋·width + j`.

mod expand;
mod outer;
mod project;

pub(super) use self::expand::expand;
pub(super) use self::outer::outer;
pub(super) use self::project::{pack_projection, project};

/// Widths are multiples of this.
pub(super) const WIDTH: usize = 8;
/// Numbers of a row that are worked on together.
pub(super) const LANES: usize = 16;

/// A thin factor's vector.
pub(super) type Vector = [f32; LANES];

/// Vectors of a thin factor `[width, columns]`.
pub(super) fn vectors(width: usize, columns: usize) -> usize {
    width * columns.div_ceil(LANES)
}

/// `element(j, c)` for all of `[width, columns]`; 0 beyond the last column.
pub(super) fn pack(width: usize, columns: usize, element: impl Fn(usize, usize) -> f32) -> Vec<Vector> {
    let mut packed = Vec::with_capacity(vectors(width, columns));
    for first in (0..columns).step_by(LANES) {
        let lane = |j, lane| if first + lane < columns { element(j, first + lane) } else { 0.0 };
        packed.extend((0..width).map(|j| std::array::from_fn::<_, LANES, _>(|l| lane(j, l))));
    }
    packed
}

/// Element `(j, c)` of what [`pack`] makes.
pub(super) fn element(packed: &[Vector], width: usize, (j, column): (usize, usize)) -> f32 {
    packed[column / LANES * width + j][column % LANES]
}

/// Columns `first..first + columns` of a row-major matrix of `stride` columns.
#[derive(Clone, Copy)]
pub(super) struct Columns<T> {
    /// The whole matrix.
    pub(super) values: T,
    /// Its columns.
    pub(super) stride: usize,
    /// The first that is meant.
    pub(super) first: usize,
    /// How many are meant.
    pub(super) columns: usize,
}

impl<T> Columns<T> {
    /// All columns of `values`.
    pub(super) fn all(values: T, columns: usize) -> Self {
        Self { values, stride: columns, first: 0, columns }
    }
}

/// Registers of a vector.
#[inline(always)]
fn registers<S: pulp::Simd>(vector: &Vector) -> &[S::f32s] {
    S::as_simd_f32s(vector).0
}

/// Registers of a vector, to write.
#[inline(always)]
fn registers_mut<S: pulp::Simd>(vector: &mut Vector) -> &mut [S::f32s] {
    S::as_mut_simd_f32s(vector).0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::digital::oracle::{assert_close, random};
    use crate::kernel::digital::simd::each;

    /// Rows, columns of the wide matrix, its stride and first column, and the width of the thin one.
    const CASES: [[usize; 5]; 5] =
        [[1, 1, 1, 0, 8], [9, 16, 20, 3, 8], [17, 37, 40, 2, 16], [5, 270, 270, 0, 24], [8, 31, 33, 1, 40]];

    #[test]
    fn thin_products_of_any_shape_agree_with_f64_on_every_instruction_set() {
        each::instruction_set(|set| {
            for [rows, columns, stride, first, width] in CASES {
                let x = random(1, rows * stride);
                let wide = Columns { values: x.as_slice(), stride, first, columns };
                let factor = random(2, width * columns);
                let p = |j: usize, c: usize| factor[j * columns + c];
                let at = |r: usize, c: usize| f64::from(x[r * stride + first + c]);

                // The thin matrix stands between others that must not change.
                let mut h = vec![7.0; rows * (width + 2)];
                let thin = Columns { values: h.as_mut_slice(), stride: width + 2, first: 1, columns: width };
                project(wide, &pack_projection(columns, width, |c, j| p(j, c)), thin);
                let expected =
                    (0..rows * (width + 2)).map(|index| match (index / (width + 2), index % (width + 2)) {
                        (r, j) if (1..=width).contains(&j) => {
                            (0..columns).map(|c| at(r, c) * f64::from(p(j - 1, c))).sum()
                        }
                        _ => 7.0,
                    });
                assert_close(&format!("{set:?} project"), &h, &expected.collect::<Vec<f64>>(), 2e-6);

                let h_random = random(3, rows * width);
                let thin = Columns::all(h_random.as_slice(), width);
                let (mut y, bias) = (x.clone(), random(4, columns));
                let packed = (pack(width, columns, p), pack(1, columns, |_, c| bias[c]));
                expand(
                    thin,
                    &packed.0,
                    Some(&packed.1),
                    Columns { values: y.as_mut_slice(), stride, first, columns },
                );
                let expected = (0..rows * stride).map(|index| match (index / stride, index % stride) {
                    (r, c) if (first..first + columns).contains(&c) => {
                        let product = |j| f64::from(h_random[r * width + j]) * f64::from(p(j, c - first));
                        f64::from(x[index])
                            + f64::from(bias[c - first])
                            + (0..width).map(product).sum::<f64>()
                    }
                    _ => f64::from(x[index]),
                });
                assert_close(&format!("{set:?} expand"), &y, &expected.collect::<Vec<f64>>(), 2e-6);

                let mut out = pack(width, columns, |_, _| 1.0);
                outer(thin, wide, &mut out);
                let unpacked: Vec<f32> =
                    (0..width * columns).map(|i| element(&out, width, (i / columns, i % columns))).collect();
                let expected = (0..width * columns).map(|index| {
                    1.0 + (0..rows)
                        .map(|r| f64::from(h_random[r * width + index / columns]) * at(r, index % columns))
                        .sum::<f64>()
                });
                assert_close(&format!("{set:?} outer"), &unpacked, &expected.collect::<Vec<f64>>(), 2e-6);
            }
        });
    }
}
