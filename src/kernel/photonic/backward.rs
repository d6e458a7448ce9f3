//! The backward pass: straight through converters and noise.

use rayon::prelude::*;

use super::{
    Execution, Held, InputRange, Product,
    multiply::{PAIR, PairProduct},
    packed::{Depth, Digits, Panels, Weights},
    reading::store_rows,
    sent::{Conversions, Sent},
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
        let inputs = product.depth.inputs;
        let depth = Depth::new(product.outputs, product.outputs);
        let count = inputs.div_ceil(PAIR) * 2;
        let codes: Option<Vec<(&[i8], f32)>> = product
            .parts
            .iter()
            .map(|part| match &part.held {
                Held::Codes { codes, max_code } => Some((&codes[..], 1.0 / *max_code as f32)),
                Held::Values(_) => None,
            })
            .collect();
        if let (Some(codes), Some(scales)) = (codes, product.shared_scales()) {
            let transposed = transpose(product, |part, cell| codes[part].0[cell]);
            let weights =
                |input: usize| match transposed.get(input * product.outputs..(input + 1) * product.outputs) {
                    Some(codes) => Weights::Codes(codes, 1.0),
                    None => Weights::Padding,
                };
            let units = product
                .parts
                .iter()
                .zip(&codes)
                .flat_map(|(part, code)| std::iter::repeat_n(code.1, part.outputs));
            let factors = scales.iter().zip(units).map(|(scale, unit)| scale * unit).collect();
            let panels = Panels::new(product.isa, depth, None, count, weights);
            return Self { panels, factors: Some(factors) };
        }
        let transposed = transpose(product, |part, cell| {
            let part = &product.parts[part];
            let (output, input) = (cell / inputs, cell % inputs);
            let scale = part.scales[input / product.depth.width * part.outputs + output];
            match &part.held {
                Held::Codes { codes, max_code } => scale * (f32::from(codes[cell]) / *max_code as f32),
                Held::Values(values) => scale * values[cell],
            }
        });
        let weights =
            |input: usize| match transposed.get(input * product.outputs..(input + 1) * product.outputs) {
                Some(values) => Weights::Values(values),
                None => Weights::Padding,
            };
        Self { panels: Panels::new(product.isa, depth, Some(Digits::FINE), count, weights), factors: None }
    }
}

/// `[inputs, outputs of all parts]` from `cell(part, output · inputs + input)`.
fn transpose<T: Copy + Default + Send>(product: &Product, cell: impl Fn(usize, usize) -> T + Sync) -> Vec<T> {
    let (inputs, outputs) = (product.depth.inputs, product.outputs);
    let mut transposed = vec![T::default(); inputs * outputs];
    transposed.par_chunks_mut(PANEL * outputs).enumerate().for_each(|(panel, rows)| {
        for (index, part) in product.parts.iter().enumerate() {
            for output in 0..part.outputs {
                for (offset, row) in rows.chunks_exact_mut(outputs).enumerate() {
                    row[part.first + output] = cell(index, output * inputs + panel * PANEL + offset);
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
