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
    sent::{BlockRange, Conversions, Sent},
    strips::Programmed,
};
use crate::kernel::{
    int8::{PANEL, Tiles},
    lanes::{LANES, Lanes},
    pieces::in_pieces,
};

/// Groups of 16 rows of a task. Fixed, so that results do not depend on the number of threads.
const TASK_GROUPS: usize = 8;

/// Rows that are worked on together in the backward pass, fewer at the end.
pub const BACKWARD_ROWS: usize = TASK_GROUPS * LANES;

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
        self.backward_with(x, g, execution, |_, _| ()).0
    }

    /// As [`Self::backward`]; `finish` gets each [`BACKWARD_ROWS`] rows of `∂x` with the number of the first while they are still in
    /// the cache, on the thread that made them, and may go on working on them. What it returns comes in the order of the rows.
    #[must_use]
    pub fn backward_with<T: Send>(
        &self,
        x: &[f32],
        g: &[f32],
        execution: &Execution,
        finish: impl Fn(usize, &mut [f32]) -> T + Sync,
    ) -> (InputGradient, Vec<T>) {
        let transposed = self.backward.get_or_init(|| BackwardPanels::new(self));
        let conversions = Conversions {
            isa: self.isa,
            depth: transposed.panels.packed.depth,
            form: Digits::FINE,
            range: InputRange::Vector,
            factors: transposed.factors.as_deref(),
            squares: false,
        };
        let range = match self.input_range(execution) {
            InputRange::Static(range) => Some(range),
            InputRange::Vector | InputRange::Batch => None,
        };
        let inputs = self.depth.inputs;
        let (gradient, returned) = in_pieces(
            g.len() / self.outputs * inputs,
            BACKWARD_ROWS * inputs,
            || conversions.room(TASK_GROUPS),
            |room, task, gradient| {
                let first = task * BACKWARD_ROWS;
                let g = &g[first * self.outputs..][..gradient.len() / inputs * self.outputs];
                conversions.convert_some(0, g, &[BlockRange::Vector], room);
                self.multiply_back(&transposed.panels, &room.sent, gradient);
                let of_range = range.map(|range| {
                    let x = &x[first * inputs..][..gradient.len()];
                    let sent = self.sent_over(InputRange::Static(range), x);
                    through_static_range(gradient, x, &sent, range)
                });
                (of_range, finish(first, gradient))
            },
        );
        let (of_range, finished): (Vec<Option<f64>>, Vec<T>) = returned.into_iter().unzip();
        let range = range.map(|_| of_range.into_iter().flatten().sum::<f64>() as f32);
        (InputGradient { x: gradient, range }, finished)
    }

    /// Rows of `∂x'`.
    fn multiply_back(&self, panels: &Panels, sent: &Sent, gradient: &mut [f32]) {
        let inputs = self.depth.inputs;
        let _tiles = Tiles::configure(self.isa, panels.packed.depth.quads);
        let mut product = PairProduct::default();
        let mut lanes: [Lanes<f32>; PAIR] = [[0.0; LANES]; PAIR];
        for (pair, columns) in
            (0..inputs).step_by(PAIR).map(|start| start..(start + PAIR).min(inputs)).enumerate()
        {
            for (index, rows) in gradient.chunks_mut(2 * LANES * inputs).enumerate() {
                let group = 2 * index;
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
