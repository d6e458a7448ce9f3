//! The backward pass of a prepared adapter.

use rayon::prelude::*;

use super::super::chunks::{add, add_rows};
use super::thin::{Columns, Vector, element, expand, outer, project, vectors};
use super::{AdapterGradients, BLOCK_ROWS, PreparedAdapter};

/// Rows of one partial sum.
const CHUNK_ROWS: usize = 128;

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
        assert_eq!(gradients.a.len(), shape.ranks * shape.inputs, "gradient by A: [parts·k, inputs]");
        assert_eq!(gradients.b.len(), shape.rank * shape.outputs, "gradient by B: [Σ outputs, k]");
        assert!(
            gradients.a_bias.as_ref().is_none_or(|bias| bias.len() == shape.ranks),
            "gradient by a: [parts·k]"
        );
        assert!(
            gradients.b_bias.as_ref().is_none_or(|bias| bias.len() == shape.outputs),
            "gradient by b: [Σ outputs]"
        );
        // The gradient by A x̃ + a, padded.
        let mut gh = vec![0.0; x.len() / shape.inputs * shape.width];
        self.output_side(h, g, &mut gh, gradients.b, gradients.b_bias);
        self.input_side(x, &gh, gradients.a, gradients.a_bias);
        if let Some(gx) = gx {
            assert_eq!(gx.len(), x.len(), "gx: as long as x");
            self.add_input_gradient(&gh, gx);
        }
    }

    /// Fills `gh = factor·Bᵀ g`; adds `factor·Σ g hᵀ` to the gradient by `B` and `factor·Σ g` to that by `b`.
    fn output_side(&self, h: &[f32], g: &[f32], gh: &mut [f32], gb: &mut [f32], gb_bias: Option<&mut [f32]>) {
        let shape = &self.shape;
        let biased = gb_bias.is_some();
        let partials: Vec<_> = (h.par_chunks(CHUNK_ROWS * shape.ranks))
            .zip(g.par_chunks(CHUNK_ROWS * shape.outputs))
            .zip(gh.par_chunks_mut(CHUNK_ROWS * shape.width))
            .map(|((h, g), gh)| {
                let mut sums = (shape.output_sums(), vec![0.0; if biased { shape.outputs } else { 0 }]);
                let mut padded = vec![0.0; BLOCK_ROWS * shape.width];
                let blocks = h.chunks(BLOCK_ROWS * shape.ranks).zip(g.chunks(BLOCK_ROWS * shape.outputs));
                for ((h, g), gh) in blocks.zip(gh.chunks_mut(BLOCK_ROWS * shape.width)) {
                    shape.pad(h, &mut padded);
                    self.output_side_block(&padded[..gh.len()], g, gh, &mut sums.0);
                    if biased {
                        add_rows(g, &mut sums.1);
                    }
                }
                sums
            })
            .collect();
        for (part, outputs) in shape.parts.iter().enumerate() {
            let sums = in_order(partials.iter().map(|(sums, _)| sums[part].as_slice()));
            let gb = &mut gb[shape.rank * outputs.start..shape.rank * outputs.end];
            for (index, gradient) in gb.iter_mut().enumerate() {
                let place = (index % shape.rank, index / shape.rank);
                *gradient += self.factor * element(&sums, shape.padded_rank, place);
            }
        }
        for (gradient, output) in gb_bias.into_iter().flatten().zip(0..) {
            *gradient +=
                self.factor * partials.iter().map(|(_, sums): &(_, Vec<f32>)| sums[output]).sum::<f32>();
        }
    }

    fn output_side_block(&self, h: &[f32], g: &[f32], gh: &mut [f32], sums: &mut [Vec<Vector>]) {
        let shape = &self.shape;
        for ((part, outputs), sums) in shape.parts.iter().enumerate().zip(sums) {
            let g =
                Columns { values: g, stride: shape.outputs, first: outputs.start, columns: outputs.len() };
            project(g, &self.factors.b[part], shape.part(part, &mut *gh));
            outer(shape.part(part, h), g, sums);
        }
    }

    /// Adds `Σ gh x̃ᵀ` to the gradient by `A` and `Σ gh` to that by `a`.
    fn input_side(&self, x: &[f32], gh: &[f32], ga: &mut [f32], ga_bias: Option<&mut [f32]>) {
        let shape = &self.shape;
        let partials: Vec<_> = (x.par_chunks(CHUNK_ROWS * shape.inputs))
            .zip(gh.par_chunks(CHUNK_ROWS * shape.width))
            .enumerate()
            .map(|(chunk, (x, gh))| {
                let mut sums = (vec![[0.0; 16]; vectors(shape.width, shape.inputs)], vec![0.0; shape.width]);
                let mut buffer = Vec::new();
                let blocks = x.chunks(BLOCK_ROWS * shape.inputs).zip(gh.chunks(BLOCK_ROWS * shape.width));
                for (block, (x, gh)) in blocks.enumerate() {
                    let x = self.dropped(chunk * CHUNK_ROWS + block * BLOCK_ROWS, x, &mut buffer);
                    outer(Columns::all(gh, shape.width), Columns::all(x, shape.inputs), &mut sums.0);
                    add_rows(gh, &mut sums.1);
                }
                sums
            })
            .collect();
        let sums = in_order(partials.iter().map(|(sums, _)| sums.as_slice()));
        for (index, gradient) in ga.iter_mut().enumerate() {
            let place = (shape.padded(index / shape.inputs), index % shape.inputs);
            *gradient += element(&sums, shape.width, place);
        }
        for (gradient, j) in ga_bias.into_iter().flatten().zip(0..) {
            *gradient += partials.iter().map(|(_, sums): &(_, Vec<f32>)| sums[shape.padded(j)]).sum::<f32>();
        }
    }

    /// `gx += mask · Aᵀ gh`.
    fn add_input_gradient(&self, gh: &[f32], gx: &mut [f32]) {
        let shape = &self.shape;
        gx.par_chunks_mut(BLOCK_ROWS * shape.inputs)
            .zip(gh.par_chunks(BLOCK_ROWS * shape.width))
            .enumerate()
            .for_each(|(block, (gx, gh))| {
                let gh = Columns::all(gh, shape.width);
                if self.dropout.is_on() {
                    let mut inner = vec![0.0; gx.len()];
                    expand(gh, &self.factors.a, None, Columns::all(inner.as_mut_slice(), shape.inputs));
                    self.dropout.apply_and_add(block * BLOCK_ROWS * shape.inputs, &inner, gx);
                } else {
                    expand(gh, &self.factors.a, None, Columns::all(gx, shape.inputs));
                }
            });
    }
}

/// Sum of the partial sums in their order.
fn in_order<'a>(partials: impl Iterator<Item = &'a [Vector]>) -> Vec<Vector> {
    let mut total = Vec::new();
    for partial in partials {
        total.resize(partial.len(), [0.0; 16]);
        add(partial.as_flattened(), total.as_flattened_mut());
    }
    total
}
