//! The backward pass of a prepared adapter.

use rayon::prelude::*;

use super::super::chunks::{add, add_rows};
use super::thin::{Columns, Vector, element, expand, outer, project, vectors};
use super::{AdapterGradients, BLOCK_ROWS, PreparedAdapter};
use crate::kernel::lanes::prefetch_reals;

/// Rows of one partial sum.
const CHUNK_ROWS: usize = 128;

/// What some rows add to the gradients of an adapter.
#[derive(Clone, Debug)]
pub struct PartialGradients {
    /// `Σ hᵀ g` of each part, `[padded_rank, out_p]`.
    outputs: Vec<Vec<Vector>>,
    /// `Σ g`; empty without biases.
    output_bias: Vec<f32>,
    /// `Σ ghᵀ x̃`, `[width, inputs]`.
    inputs: Vec<Vector>,
    /// `Σ gh`.
    input_bias: Vec<f32>,
}

impl PreparedAdapter {
    /// From `g = ∂L/∂y` and the `h` of the forward pass: adds to the gradients, and `∂L/∂x` to `gx` if wanted.
    ///
    /// # Panics
    /// When the lengths do not fit.
    pub fn backward(
        &self,
        x: &[f32],
        h: &[f32],
        g: &[f32],
        gx: Option<&mut [f32]>,
        gradients: AdapterGradients<'_>,
    ) {
        self.check(x, g, h);
        let shape = &self.shape;
        let biased = gradients.b_bias.is_some();
        let chunks = x
            .par_chunks(CHUNK_ROWS * shape.inputs)
            .zip(h.par_chunks(CHUNK_ROWS * shape.ranks))
            .zip(g.par_chunks(CHUNK_ROWS * shape.outputs))
            .enumerate();
        let partial = if let Some(gx) = gx {
            assert_eq!(gx.len(), x.len(), "gx: as long as x");
            let chunks = chunks.zip(gx.par_chunks_mut(CHUNK_ROWS * shape.inputs));
            let rows = |((chunk, ((x, h), g)), gx)| {
                self.backward_rows(chunk * CHUNK_ROWS, [x, h, g], Some(gx), biased)
            };
            chunks.map(rows).collect()
        } else {
            let rows = |(chunk, ((x, h), g))| self.backward_rows(chunk * CHUNK_ROWS, [x, h, g], None, biased);
            chunks.map(rows).collect()
        };
        self.add_gradients(partial, gradients);
    }

    /// The same for some rows of `x`, `h` and `g`, the first being row `first_row` of the whole, on the calling thread: for a
    /// caller that has just made these rows of `gx`. What is returned is added to the gradients by [`Self::add_gradients`], with
    /// the sums for the biases where `biased`.
    ///
    /// # Panics
    /// When the lengths do not fit.
    #[must_use]
    pub fn backward_rows(
        &self,
        first_row: usize,
        [x, h, g]: [&[f32]; 3],
        mut gx: Option<&mut [f32]>,
        biased: bool,
    ) -> PartialGradients {
        self.check(x, g, h);
        let shape = &self.shape;
        let mut sums = PartialGradients {
            outputs: shape.output_sums(),
            output_bias: vec![0.0; if biased { shape.outputs } else { 0 }],
            inputs: vec![[0.0; 16]; vectors(shape.width, shape.inputs)],
            input_bias: vec![0.0; shape.width],
        };
        let mut padded = vec![0.0; BLOCK_ROWS * shape.width];
        // The gradient by A x̃ + a, padded.
        let mut gh = vec![0.0; BLOCK_ROWS * shape.width];
        let mut buffer = Vec::new();
        let blocks = (x.chunks(BLOCK_ROWS * shape.inputs))
            .zip(h.chunks(BLOCK_ROWS * shape.ranks))
            .zip(g.chunks(BLOCK_ROWS * shape.outputs));
        for (block, ((x, h), g)) in blocks.enumerate() {
            let rows = x.len() / shape.inputs;
            let (padded, gh) = (&mut padded[..rows * shape.width], &mut gh[..rows * shape.width]);
            let first = first_row + block * BLOCK_ROWS;
            // Read by columns, which no prefetcher of a processor foresees.
            prefetch_reals(x);
            shape.pad(h, padded);
            self.output_side(padded, g, gh, &mut sums.outputs);
            if biased {
                add_rows(g, &mut sums.output_bias);
            }
            let x = self.dropped(first, x, &mut buffer);
            outer(Columns::all(gh, shape.width), Columns::all(x, shape.inputs), &mut sums.inputs);
            add_rows(gh, &mut sums.input_bias);
            if let Some(gx) = &mut gx {
                let gx = &mut gx[block * BLOCK_ROWS * shape.inputs..][..rows * shape.inputs];
                self.add_input_gradient(first, gh, gx);
            }
        }
        sums
    }

    /// Adds what [`Self::backward_rows`] returned, in the order of the rows, to the gradients.
    ///
    /// # Panics
    /// When the lengths do not fit.
    pub fn add_gradients(&self, partial: Vec<PartialGradients>, gradients: AdapterGradients<'_>) {
        let shape = &self.shape;
        let AdapterGradients { a, b, a_bias, b_bias } = gradients;
        assert_eq!(a.len(), shape.ranks * shape.inputs, "gradient by A: [parts·k, inputs]");
        assert_eq!(b.len(), shape.rank * shape.outputs, "gradient by B: [Σ outputs, k]");
        assert!(a_bias.as_ref().is_none_or(|bias| bias.len() == shape.ranks), "gradient by a: [parts·k]");
        assert!(b_bias.as_ref().is_none_or(|bias| bias.len() == shape.outputs), "gradient by b: [Σ outputs]");
        let Some(sums) = partial.into_iter().reduce(PartialGradients::and) else { return };
        for (sums, outputs) in sums.outputs.iter().zip(&shape.parts) {
            let gradients = &mut b[shape.rank * outputs.start..shape.rank * outputs.end];
            for (index, gradient) in gradients.iter_mut().enumerate() {
                let place = (index % shape.rank, index / shape.rank);
                *gradient += self.factor * element(sums, shape.padded_rank, place);
            }
        }
        for (gradient, sum) in b_bias.into_iter().flatten().zip(&sums.output_bias) {
            *gradient += self.factor * sum;
        }
        for (index, gradient) in a.iter_mut().enumerate() {
            let place = (shape.padded(index / shape.inputs), index % shape.inputs);
            *gradient += element(&sums.inputs, shape.width, place);
        }
        for (gradient, j) in a_bias.into_iter().flatten().zip(0..) {
            *gradient += sums.input_bias[shape.padded(j)];
        }
    }

    /// Fills `gh = factor·Bᵀ g` of some rows, and adds `hᵀ g` to the sums of each part.
    fn output_side(&self, h: &[f32], g: &[f32], gh: &mut [f32], sums: &mut [Vec<Vector>]) {
        let shape = &self.shape;
        for ((part, outputs), sums) in shape.parts.iter().enumerate().zip(sums) {
            let g =
                Columns { values: g, stride: shape.outputs, first: outputs.start, columns: outputs.len() };
            project(g, &self.factors.b[part], shape.part(part, &mut *gh));
            outer(shape.part(part, h), g, sums);
        }
    }

    /// `gx += mask · Aᵀ gh` for some rows.
    fn add_input_gradient(&self, first_row: usize, gh: &[f32], gx: &mut [f32]) {
        let shape = &self.shape;
        let gh = Columns::all(gh, shape.width);
        if self.dropout.is_on() {
            let mut inner = vec![0.0; gx.len()];
            expand(gh, &self.factors.a, None, Columns::all(inner.as_mut_slice(), shape.inputs));
            self.dropout.apply_and_add(first_row * shape.inputs, &inner, gx);
        } else {
            expand(gh, &self.factors.a, None, Columns::all(gx, shape.inputs));
        }
    }
}

impl PartialGradients {
    /// Both together.
    fn and(mut self, other: Self) -> Self {
        for (sums, other) in self.outputs.iter_mut().zip(&other.outputs) {
            add(other.as_flattened(), sums.as_flattened_mut());
        }
        add(&other.output_bias, &mut self.output_bias);
        add(other.inputs.as_flattened(), self.inputs.as_flattened_mut());
        add(&other.input_bias, &mut self.input_bias);
        self
    }
}
