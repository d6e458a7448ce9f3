//! The backward pass: straight through converters and noise.

use std::ops::Range;

use rayon::prelude::*;

use super::{
    Execution, Held, InputRange, Product,
    depth::Depth,
    digits::Digits,
    multiply::{PAIR, PairProduct},
    packed::{Panels, Weights},
    reading::store_rows,
    sent::{Conversions, Sent},
    strips::Programmed,
};
use crate::kernel::{
    int8::{PANEL, Tiles},
    lanes::{LANES, Lanes},
};

/// Groups of 16 rows of a task. Fixed, so that results do not depend on the number of threads.
const TASK_GROUPS: usize = 8;

/// Rows of a piece of the sum of the range's gradient.
const PIECE_ROWS: usize = 64;

/// Gradient of the inputs of a group.
#[derive(Clone, Debug)]
pub struct InputGradient {
    /// `∂x`, `[rows, inputs]`.
    pub x: Vec<f32>,
    /// `∂r` of a static input range; `None` for the others.
    pub range: Option<f32>,
}

/// The weights of all parts, transposed: `[inputs, outputs]`.
#[derive(Debug)]
pub(super) struct BackwardPanels {
    panels: Panels,
    /// Factor of each output's gradient, where it does not depend on the input.
    factors: Option<Vec<f32>>,
}

impl Product {
    /// Straight-through gradient of the inputs for the gradient `g`, `[rows, outputs]`, of the outputs:
    /// `∂x = Σ_n g[n] · scale[n] · w[n]`, with the weights that are held.
    ///
    /// For a static range `r` it passes only where `|x| ≤ r`, and `∂r = Σ ∂x' · (sign(x) if |x| > r, else (x' − x) / r)`
    /// (Esser et al., ICLR 2020, for the range instead of the step). `x`, `[rows, inputs]`, is read for static ranges only, and may
    /// be empty for the others.
    #[must_use]
    pub fn backward(&self, x: &[f32], g: &[f32], execution: &Execution) -> InputGradient {
        let mut gradient = self.through_weights(g);
        let InputRange::Static(range) = self.input_range(execution) else {
            return InputGradient { x: gradient, range: None };
        };
        let sent = self.sent_over(InputRange::Static(range), x);
        let size = self.depth.inputs * PIECE_ROWS;
        let pieces = gradient.par_chunks_mut(size).zip(x.par_chunks(size)).zip(sent.par_chunks(size));
        let sums: Vec<f64> =
            pieces.map(|((gradient, x), sent)| through_static_range(gradient, x, sent, range)).collect();
        InputGradient { x: gradient, range: Some(sums.into_iter().sum::<f64>() as f32) }
    }

    /// `∂x'`.
    fn through_weights(&self, g: &[f32]) -> Vec<f32> {
        let transposed = self.backward.get_or_init(|| BackwardPanels::new(self));
        let (isa, depth) = (self.isa, transposed.panels.packed.depth);
        let sent = Conversions {
            isa,
            depth,
            form: Digits::FINE,
            range: InputRange::Vector,
            factors: transposed.factors.as_deref(),
            squares: false,
        }
        .convert(g);
        let mut gradient = vec![0.0; g.len() / self.outputs * self.depth.inputs];
        let task = TASK_GROUPS * LANES * self.depth.inputs;
        gradient.par_chunks_mut(task).enumerate().for_each(|(task, gradient)| {
            let _tiles = Tiles::configure(isa, depth.quads);
            self.multiply_back(&transposed.panels, &sent, task * TASK_GROUPS, gradient);
        });
        gradient
    }

    /// Rows of `∂x'` from group `first` on.
    fn multiply_back(&self, panels: &Panels, sent: &Sent, first: usize, gradient: &mut [f32]) {
        let inputs = self.depth.inputs;
        let mut product = PairProduct::default();
        let mut lanes: [Lanes<f32>; PAIR] = [[0.0; LANES]; PAIR];
        for (pair, columns) in
            (0..inputs).step_by(PAIR).map(|start| start..(start + PAIR).min(inputs)).enumerate()
        {
            for (index, rows) in gradient.chunks_mut(2 * LANES * inputs).enumerate() {
                let group = first + 2 * index;
                product.multiply(self.isa, panels, &sent.packed, 0, [pair, group]);
                for (half, rows) in rows.chunks_mut(LANES * inputs).enumerate() {
                    let units = &panels.units[pair * PAIR..(pair + 1) * PAIR];
                    product.bring(self.isa, half, units, &sent.conversion(group + half, 0).unit, &mut lanes);
                    store_rows(self.isa, &lanes[..columns.len()], &mut rows[columns.start..], inputs);
                }
            }
        }
    }

    /// Scales that are the same for every column block, `[outputs]`.
    fn shared_scales(&self) -> Option<Vec<f32>> {
        let mut shared = Vec::with_capacity(self.outputs);
        for part in &self.parts {
            let mut blocks = part.scales.chunks_exact(part.outputs);
            let first = blocks.next()?;
            if blocks.any(|block| block != first) {
                return None;
            }
            shared.extend_from_slice(first);
        }
        Some(shared)
    }
}

impl BackwardPanels {
    fn new(product: &Product) -> Self {
        Self::of_codes(product).unwrap_or_else(|| Self::of_values(product))
    }

    /// Codes as they are, where scales and largest codes can be factors of the gradients.
    fn of_codes(product: &Product) -> Option<Self> {
        let mut factors = product.shared_scales()?;
        for part in &product.parts {
            let Held::Codes { max_code, .. } = part.held else { return None };
            let factors = &mut factors[part.first..part.first + part.outputs];
            factors.iter_mut().for_each(|factor| *factor /= max_code as f32);
        }
        let transposed = transpose(product, |part, output, inputs, to: &mut [i8]| {
            if let Held::Codes { codes, .. } = &part.held {
                to.copy_from_slice(&codes[output * product.depth.inputs..][inputs]);
            }
        });
        let panels = panels(product, None, &transposed, |codes| Weights::Codes(codes, 1.0));
        Some(Self { panels, factors: Some(factors) })
    }

    /// Weights times scales.
    fn of_values(product: &Product) -> Self {
        let width = product.depth.width;
        let transposed = transpose(product, |part, output, inputs, to: &mut [f32]| {
            let row = output * product.depth.inputs;
            for (to, input) in to.iter_mut().zip(inputs) {
                let weight = match &part.held {
                    Held::Codes { codes, max_code } => f32::from(codes[row + input]) / *max_code as f32,
                    Held::Values(values) => values[row + input],
                };
                *to = part.scales[input / width * part.outputs + output] * weight;
            }
        });
        let panels = panels(product, Some(Digits::FINE), &transposed, Weights::Values);
        Self { panels, factors: None }
    }
}

/// Packs `[inputs, outputs]`.
fn panels<'a, T: Sync>(
    product: &Product,
    form: Option<Digits>,
    transposed: &'a [T],
    weights: impl Fn(&'a [T]) -> Weights<'a> + Sync,
) -> Panels {
    let outputs = product.outputs;
    let count = product.depth.inputs.div_ceil(PAIR) * 2;
    let depth = Depth::new(outputs, outputs);
    Panels::new(product.isa, depth, form, count, |input| {
        transposed.get(input * outputs..(input + 1) * outputs).map_or(Weights::Padding, &weights)
    })
}

/// `[inputs, outputs of all parts]`; `fetch` gives some inputs' weights of one output of a layer.
fn transpose<T: Copy + Default + Send>(
    product: &Product,
    fetch: impl Fn(&Programmed, usize, Range<usize>, &mut [T]) + Sync,
) -> Vec<T> {
    let (inputs, outputs) = (product.depth.inputs, product.outputs);
    let mut transposed = vec![T::default(); inputs * outputs];
    transposed.par_chunks_mut(PANEL * outputs).enumerate().for_each(|(panel, rows)| {
        let of_panel = panel * PANEL..((panel + 1) * PANEL).min(inputs);
        // Squares: written row by row, each row's share at once.
        let mut square = [[T::default(); PANEL]; PANEL];
        for part in &product.parts {
            for first in (0..part.outputs).step_by(PANEL) {
                let of_square = first..(first + PANEL).min(part.outputs);
                for (square, output) in square.iter_mut().zip(of_square.clone()) {
                    fetch(part, output, of_panel.clone(), &mut square[..of_panel.len()]);
                }
                for (input, row) in rows.chunks_exact_mut(outputs).enumerate() {
                    let row = &mut row[part.first + first..][..of_square.len()];
                    row.iter_mut().zip(&square).for_each(|(to, square)| *to = square[input]);
                }
            }
        }
    });
    transposed
}

/// Masks `∂x'` in place to `∂x`, and returns the gradient of the range.
fn through_static_range(gradient: &mut [f32], x: &[f32], sent: &[f32], range: f32) -> f64 {
    let mut sum = 0.0;
    for ((gradient, &x), &sent) in gradient.iter_mut().zip(x).zip(sent) {
        if x.abs() > range {
            sum += f64::from(*gradient) * f64::from(x.signum());
            *gradient = 0.0;
        } else {
            sum += f64::from(*gradient) * f64::from((sent - x) / range);
        }
    }
    sum
}
