//! Low-rank adapters beside a group of layers that share their input (Hu et al., arXiv 2106.09685).
//!
//! Part `p` of the group adds `factor·(B_p (A_p x̃ + a_p) + b_p)` to its outputs, with `x̃ = dropout(x)`.

mod backward;
mod packed;
mod thin;

use rayon::prelude::*;

pub use self::backward::PartialGradients;
use self::packed::{Factors, Shape};
use self::thin::{Columns, expand, project};
use super::chunks::add;
use super::dropout::Dropout;

/// Rows worked on together: their part of `x` and of `g` stays in the second-level cache between the products.
const BLOCK_ROWS: usize = 64;

/// The adapters of a group, borrowed. `k` is the rank.
#[derive(Clone, Copy)]
pub struct GroupAdapter<'a> {
    /// Features of the shared input.
    pub inputs: usize,
    /// Outputs of each part.
    pub outputs: &'a [usize],
    /// `k`, the rank of each part.
    pub rank: usize,
    /// Factor of what is added, `α/k`.
    pub factor: f32,
    /// `A`, the parts stacked: `[parts·k, inputs]`.
    pub a: &'a [f32],
    /// `B`, the parts stacked: `[Σ outputs, k]`.
    pub b: &'a [f32],
    /// `a`, the bias inside: `[parts·k]`.
    pub a_bias: Option<&'a [f32]>,
    /// `b`, the bias outside: `[Σ outputs]`.
    pub b_bias: Option<&'a [f32]>,
    /// On `x`, before `A`.
    pub dropout: Dropout,
}

/// Gradients of a [`GroupAdapter`], of the shapes of its fields: added to.
pub struct AdapterGradients<'a> {
    /// By `A`.
    pub a: &'a mut [f32],
    /// By `B`.
    pub b: &'a mut [f32],
    /// By `a`.
    pub a_bias: Option<&'a mut [f32]>,
    /// By `b`.
    pub b_bias: Option<&'a mut [f32]>,
}

/// A [`GroupAdapter`] made ready for products. Made once a step; its cost is that of one pass over `A` and `B`.
#[derive(Clone, Debug)]
pub struct PreparedAdapter {
    shape: Shape,
    factors: Factors,
    factor: f32,
    dropout: Dropout,
}

impl GroupAdapter<'_> {
    /// Packs the factors.
    ///
    /// # Panics
    /// When the lengths do not fit.
    #[must_use]
    pub fn prepare(&self) -> PreparedAdapter {
        let shape = Shape::of(self);
        let factors = Factors::new(self, &shape);
        PreparedAdapter { shape, factors, factor: self.factor, dropout: self.dropout }
    }
}

impl PreparedAdapter {
    /// Numbers in a row of `h`: `parts·k`.
    #[must_use]
    pub fn ranks(&self) -> usize {
        self.shape.ranks
    }

    /// Adds the adapters' outputs to `y` `[rows, Σ outputs]`; `h = A x̃ + a` `[rows, parts·k]` is kept for the backward
    /// pass.
    ///
    /// # Panics
    /// When the lengths do not fit.
    pub fn forward(&self, x: &[f32], y: &mut [f32], h: &mut [f32]) {
        self.check(x, y, h);
        let shape = &self.shape;
        x.par_chunks(BLOCK_ROWS * shape.inputs)
            .zip(y.par_chunks_mut(BLOCK_ROWS * shape.outputs))
            .zip(h.par_chunks_mut(BLOCK_ROWS * shape.ranks))
            .enumerate()
            .for_each(|(block, ((x, y), h))| self.forward_rows(block * BLOCK_ROWS, x, y, h));
    }

    /// The same for some rows, the first being row `first_row` of the whole, on the calling thread: for a caller that has
    /// just made these rows of `y` and still has them in its cache.
    ///
    /// # Panics
    /// When the lengths do not fit.
    pub fn forward_rows(&self, first_row: usize, x: &[f32], y: &mut [f32], h: &mut [f32]) {
        self.check(x, y, h);
        let shape = &self.shape;
        let mut buffer = Vec::new();
        let x = self.dropped(first_row, x, &mut buffer);
        let mut padded = vec![0.0; x.len() / shape.inputs * shape.width];
        let inputs = Columns::all(x, shape.inputs);
        project(inputs, &self.factors.a_transposed, Columns::all(padded.as_mut_slice(), shape.width));
        for (h, padded) in h.chunks_exact_mut(shape.ranks).zip(padded.chunks_exact_mut(shape.width)) {
            add(&self.factors.a_bias, padded);
            for (h, padded) in h.chunks_exact_mut(shape.rank).zip(padded.chunks_exact(shape.padded_rank)) {
                h.copy_from_slice(&padded[..shape.rank]);
            }
        }
        for (part, outputs) in shape.parts.iter().enumerate() {
            let (first, columns) = (outputs.start, outputs.len());
            let y = Columns { values: &mut *y, stride: shape.outputs, first, columns };
            let bias = self.factors.b_bias[part].as_deref();
            expand(shape.part(part, padded.as_slice()), &self.factors.b_transposed[part], bias, y);
        }
    }

    fn check(&self, x: &[f32], y: &[f32], h: &[f32]) {
        let rows = x.len() / self.shape.inputs;
        assert_eq!(x.len(), rows * self.shape.inputs, "x: [rows, inputs]");
        assert_eq!(y.len(), rows * self.shape.outputs, "y and g: [rows, Σ outputs]");
        assert_eq!(h.len(), rows * self.shape.ranks, "h: [rows, parts·k]");
    }

    /// `x̃`, which is `x` itself without dropout.
    fn dropped<'a>(&self, first_row: usize, x: &'a [f32], buffer: &'a mut Vec<f32>) -> &'a [f32] {
        if !self.dropout.is_on() {
            return x;
        }
        buffer.resize(x.len(), 0.0);
        self.dropout.apply(first_row * self.shape.inputs, x, buffer);
        buffer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::digital::oracle::{assert_close, assert_gradient, random, weigh, wide};

    struct Case {
        rows: usize,
        inputs: usize,
        outputs: Vec<usize>,
        rank: usize,
        dropout: Dropout,
    }

    /// The values of a group's parameters.
    struct Values<T> {
        a: Vec<T>,
        b: Vec<T>,
        a_bias: Vec<T>,
        b_bias: Vec<T>,
    }

    const FACTOR: f32 = 1.5;

    impl Case {
        fn values(&self) -> Values<f32> {
            let (ranks, outputs) = (self.outputs.len() * self.rank, self.outputs.iter().sum::<usize>());
            Values {
                a: random(1, ranks * self.inputs),
                b: random(2, outputs * self.rank),
                a_bias: random(3, ranks),
                b_bias: random(4, outputs),
            }
        }

        fn adapter<'a>(&'a self, values: &'a Values<f32>) -> GroupAdapter<'a> {
            GroupAdapter {
                inputs: self.inputs,
                outputs: &self.outputs,
                rank: self.rank,
                factor: FACTOR,
                a: &values.a,
                b: &values.b,
                a_bias: Some(&values.a_bias),
                b_bias: Some(&values.b_bias),
                dropout: self.dropout,
            }
        }

        /// What is added to y, in plain loops.
        fn exact(&self, x: &[f64], a: &[f64], b: &[f64], a_bias: &[f64], b_bias: &[f64]) -> Vec<f64> {
            let mut mask = vec![0.0; x.len()];
            self.dropout.apply(0, &vec![1.0; x.len()], &mut mask);
            let mut y = Vec::new();
            for row in 0..self.rows {
                let mut output = 0;
                for (part, &outputs) in self.outputs.iter().enumerate() {
                    for _ in 0..outputs {
                        let mut sum = b_bias[output];
                        for k in 0..self.rank {
                            let j = part * self.rank + k;
                            let mut h = a_bias[j];
                            for c in 0..self.inputs {
                                let at = row * self.inputs + c;
                                h += a[j * self.inputs + c] * x[at] * f64::from(mask[at]);
                            }
                            sum += b[output * self.rank + k] * h;
                        }
                        y.push(f64::from(FACTOR) * sum);
                        output += 1;
                    }
                }
            }
            y
        }
    }

    fn check(case: &Case) {
        let values = case.values();
        let adapter = case.adapter(&values).prepare();
        let outputs: usize = case.outputs.iter().sum();
        let (x, g) = (random(5, case.rows * case.inputs), random(6, case.rows * outputs));
        let (mut y, mut h) = (vec![10.0; g.len()], vec![0.0; case.rows * adapter.ranks()]);
        adapter.forward(&x, &mut y, &mut h);
        let wide_values = Values {
            a: wide(&values.a),
            b: wide(&values.b),
            a_bias: wide(&values.a_bias),
            b_bias: wide(&values.b_bias),
        };
        let Values { a, b, a_bias, b_bias } = &wide_values;
        let mut expected = case.exact(&wide(&x), a, b, a_bias, b_bias);
        expected.iter_mut().for_each(|y| *y += 10.0);
        assert_close("y", &y, &expected, 3e-6);

        let mut gradients = Values {
            a: vec![0.0; a.len()],
            b: vec![0.0; b.len()],
            a_bias: vec![0.0; a_bias.len()],
            b_bias: vec![0.0; b_bias.len()],
        };
        let mut gx = vec![0.0; x.len()];
        let views = AdapterGradients {
            a: &mut gradients.a,
            b: &mut gradients.b,
            a_bias: Some(&mut gradients.a_bias),
            b_bias: Some(&mut gradients.b_bias),
        };
        adapter.backward(&x, &h, &g, Some(&mut gx), views);
        let wx = wide(&x);
        assert_gradient("gx", &x, &gx, |x| weigh(&g, &case.exact(x, a, b, a_bias, b_bias)));
        assert_gradient("gA", &values.a, &gradients.a, |a| weigh(&g, &case.exact(&wx, a, b, a_bias, b_bias)));
        assert_gradient("gB", &values.b, &gradients.b, |b| weigh(&g, &case.exact(&wx, a, b, a_bias, b_bias)));
        assert_gradient("ga", &values.a_bias, &gradients.a_bias, |bias| {
            weigh(&g, &case.exact(&wx, a, b, bias, b_bias))
        });
        assert_gradient("gb", &values.b_bias, &gradients.b_bias, |bias| {
            weigh(&g, &case.exact(&wx, a, b, a_bias, bias))
        });
    }

    #[test]
    fn one_layer_with_an_odd_rank_and_ragged_sizes_agrees_with_f64() {
        check(&Case { rows: 11, inputs: 19, outputs: vec![21], rank: 3, dropout: Dropout::OFF });
    }

    #[test]
    fn a_group_of_three_parts_of_different_widths_agrees_with_f64() {
        check(&Case { rows: 9, inputs: 18, outputs: vec![5, 17, 16], rank: 4, dropout: Dropout::OFF });
    }

    #[test]
    fn ranks_wider_than_one_kernel_agree_with_f64() {
        check(&Case { rows: 3, inputs: 17, outputs: vec![6, 3], rank: 29, dropout: Dropout::OFF });
    }

    #[test]
    fn dropout_masks_the_input_of_the_adapter_and_its_gradient_alike() {
        check(&Case {
            rows: 10,
            inputs: 12,
            outputs: vec![7, 4],
            rank: 2,
            dropout: Dropout { probability: 0.4, seed: 7 },
        });
    }

    #[test]
    fn many_blocks_give_the_same_numbers_for_any_number_of_threads() {
        let case = Case {
            rows: 333,
            inputs: 33,
            outputs: vec![20, 30],
            rank: 8,
            dropout: Dropout { probability: 0.1, seed: 3 },
        };
        let values = case.values();
        let (x, g) = (random(5, case.rows * case.inputs), random(6, case.rows * 50));
        let run = |threads| {
            let adapter = case.adapter(&values).prepare();
            let (mut y, mut h, mut gx) = (vec![0.0; g.len()], vec![0.0; case.rows * 16], vec![0.0; x.len()]);
            let (mut a, mut b) = (vec![0.0; values.a.len()], vec![0.0; values.b.len()]);
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            pool.map(|pool| {
                pool.install(|| {
                    adapter.forward(&x, &mut y, &mut h);
                    let gradients = AdapterGradients { a: &mut a, b: &mut b, a_bias: None, b_bias: None };
                    adapter.backward(&x, &h, &g, Some(&mut gx), gradients);
                });
            })
            .ok();
            (y, h, gx, a, b)
        };
        let one = run(1);
        assert_eq!(one, run(3));
        let exact = case.exact(
            &wide(&x),
            &wide(&values.a),
            &wide(&values.b),
            &wide(&values.a_bias),
            &wide(&values.b_bias),
        );
        assert_close("y", &one.0, &exact, 1e-5);
    }
}
