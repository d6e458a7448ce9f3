//! An adapter's factors as the thin products want them: ranks padded with zeros to a multiple of eight.

use std::ops::Range;

use super::GroupAdapter;
use super::thin::{Columns, Vector, WIDTH, pack, pack_projection, vectors};

/// Sizes of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) inputs: usize,
    /// Of all parts together.
    pub(super) outputs: usize,
    /// Each part's range of outputs.
    pub(super) parts: Vec<Range<usize>>,
    /// `k`.
    pub(super) rank: usize,
    /// `parts·k`.
    pub(super) ranks: usize,
    /// `k`, padded.
    pub(super) padded_rank: usize,
    /// `parts·k`, each padded.
    pub(super) width: usize,
}

impl Shape {
    /// # Panics
    /// When a slice of the adapter does not fit.
    pub(super) fn of(adapter: &GroupAdapter<'_>) -> Self {
        let mut outputs = 0;
        let parts: Vec<_> = adapter
            .outputs
            .iter()
            .map(|count| {
                outputs += count;
                outputs - count..outputs
            })
            .collect();
        let ranks = parts.len() * adapter.rank;
        assert!(ranks > 0 && adapter.inputs > 0 && outputs > 0, "a group has inputs, outputs and a rank");
        assert_eq!(adapter.a.len(), ranks * adapter.inputs, "A: [parts·k, inputs]");
        assert_eq!(adapter.b.len(), adapter.rank * outputs, "B: [Σ outputs, k]");
        assert!(adapter.a_bias.is_none_or(|bias| bias.len() == ranks), "a: [parts·k]");
        assert!(adapter.b_bias.is_none_or(|bias| bias.len() == outputs), "b: [Σ outputs]");
        let padded_rank = adapter.rank.next_multiple_of(WIDTH);
        let width = parts.len() * padded_rank;
        Self { inputs: adapter.inputs, outputs, parts, rank: adapter.rank, ranks, padded_rank, width }
    }

    /// Where the `j`-th of all ranks stands after padding.
    pub(super) fn padded(&self, j: usize) -> usize {
        j / self.rank * self.padded_rank + j % self.rank
    }

    /// The rank that stands at `padded`, if it is none of the padding.
    pub(super) fn unpadded(&self, padded: usize) -> Option<usize> {
        let within = padded % self.padded_rank;
        (within < self.rank).then_some(padded / self.padded_rank * self.rank + within)
    }

    /// `h` `[rows, parts·k]` into `[rows, width]`. What pads stays as it is.
    pub(super) fn pad(&self, h: &[f32], padded: &mut [f32]) {
        for (h, padded) in h.chunks_exact(self.ranks).zip(padded.chunks_exact_mut(self.width)) {
            for (h, padded) in h.chunks_exact(self.rank).zip(padded.chunks_exact_mut(self.padded_rank)) {
                padded[..self.rank].copy_from_slice(h);
            }
        }
    }

    /// The columns of part `part` in a padded matrix.
    pub(super) fn part<T>(&self, part: usize, values: T) -> Columns<T> {
        Columns { values, stride: self.width, first: part * self.padded_rank, columns: self.padded_rank }
    }

    /// Zeroed sums of the shape of each part's `Bᵀ`, `[padded_rank, out_p]`.
    pub(super) fn output_sums(&self) -> Vec<Vec<Vector>> {
        self.parts.iter().map(|part| vec![[0.0; 16]; vectors(self.padded_rank, part.len())]).collect()
    }
}

/// `A`, `B` and `b`, padded; `B` and `b` times the factor.
#[derive(Clone, Debug)]
pub(super) struct Factors {
    /// `A` `[width, inputs]`, in vectors.
    pub(super) a: Vec<Vector>,
    /// `Aᵀ` `[inputs, width]`, to project.
    pub(super) a_transposed: Vec<Vector>,
    /// `a` `[width]`.
    pub(super) a_bias: Vec<f32>,
    /// `B_p` `[out_p, padded_rank]` of each part, to project.
    pub(super) b: Vec<Vec<Vector>>,
    /// `B_pᵀ` `[padded_rank, out_p]`, in vectors.
    pub(super) b_transposed: Vec<Vec<Vector>>,
    /// `b` of each part, `[1, out_p]`, in vectors.
    pub(super) b_bias: Vec<Option<Vec<Vector>>>,
}

impl Factors {
    pub(super) fn new(adapter: &GroupAdapter<'_>, shape: &Shape) -> Self {
        let a = |j: usize, c: usize| shape.unpadded(j).map_or(0.0, |j| adapter.a[j * shape.inputs + c]);
        let b = |j: usize, output: usize| {
            if j < shape.rank { adapter.factor * adapter.b[output * shape.rank + j] } else { 0.0 }
        };
        let a_bias =
            |j| shape.unpadded(j).zip(adapter.a_bias).map_or(0.0, |(j, bias): (usize, &[f32])| bias[j]);
        let part_bias = |part: &Range<usize>| {
            adapter
                .b_bias
                .map(|bias| pack(1, part.len(), |_, output| adapter.factor * bias[part.start + output]))
        };
        Self {
            a: pack(shape.width, shape.inputs, a),
            a_transposed: pack_projection(shape.inputs, shape.width, |c, j| a(j, c)),
            a_bias: (0..shape.width).map(a_bias).collect(),
            b: (shape.parts.iter())
                .map(|part| {
                    pack_projection(part.len(), shape.padded_rank, |output, j| b(j, part.start + output))
                })
                .collect(),
            b_transposed: (shape.parts.iter())
                .map(|part| pack(shape.padded_rank, part.len(), |j, output| b(j, part.start + output)))
                .collect(),
            b_bias: shape.parts.iter().map(part_bias).collect(),
        }
    }
}
