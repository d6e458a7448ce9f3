//! The photonic product of a group of layers that share their inputs, with its converters, noise and tiles; and its gradients.
//!
//! A chip of `tile_rows × tile_cols` weights holds each layer in tiles. In chip units, full scale 1, for each input vector `x`
//! and each tile of column block `b` (Taniguchi et al., OECC/PSC 2025):
//!
//! ```text
//! x'   = s_x · round(x / s_x)         s_x = r_x / (2^(m−1) − 1)      input converter, range r_x
//! z    = Σ_c w[n, c] x'[c] + noise                                   analog
//! z'   = s_z · round(z / s_z)         s_z = r_z / (2^(p−1) − 1)      output converter, range r_z
//! y[n] = Σ_b scale[b, n] · z'_b[n] + bias[n]                         digital
//! ```
//!
//! Rounding is to the nearest, ties to even. A column block whose codes are all 0 is dark: its outputs are exactly 0, without noise.
//! A range too small for a step of a normal number holds only 0. An input that is not finite makes its outputs NaN.
//!
//! Codes are multiplied as whole numbers, exactly. Weights that are no codes, ideal converters and gradients are held in 24-bit
//! fixed point over the largest magnitude of their row, so that each product of two numbers is off by less than 2⁻²² of the
//! product of those magnitudes. Results are the same on every instruction set and for any number of threads.

mod backward;
mod depth;
mod digits;
mod execution;
mod multiply;
mod noise;
mod packed;
mod range;
mod reading;
mod sent;
mod strips;
#[cfg(test)]
mod tests;

use std::sync::OnceLock;

pub use backward::{BACKWARD_ROWS, InputGradient};
pub use range::{InputRange, ObservedRanges, OutputRange};

use self::{
    backward::BackwardPanels,
    depth::Depth,
    digits::Digits,
    strips::{Cut, Programmed},
};
use super::Isa;

/// Most outputs of a strip that is worked on for all rows at once.
const MOST_NARROW: usize = 256;

/// Fewest strips that are worked on for all rows at once.
const FEWEST_NARROW: usize = 3;

/// One layer of a group.
#[derive(Clone, Debug)]
pub struct Part {
    /// Outputs.
    pub outputs: usize,
    /// Its weights, `[outputs, inputs]`.
    pub held: Held,
    /// Factor that brings an output back from chip units, `[col_blocks, outputs]`; 0 for a row without weights.
    pub scales: Vec<f32>,
    /// Error that each execution draws anew.
    pub noise: OutputNoise,
    /// Added digitally, one an output.
    pub bias: Option<Vec<f32>>,
}

/// Weights on the chip, `[outputs, inputs]` in row-major order.
#[derive(Clone, Debug)]
pub enum Held {
    /// Codes of a weight converter: `w = code / max_code`, every code within `±max_code`.
    Codes {
        /// The codes.
        codes: Vec<i8>,
        /// Largest code of the converter, 1 to 127.
        max_code: i32,
    },
    /// Weights in chip units: with an error that is held, or of a converter of more than 8 bits, or ideal.
    Values(Vec<f32>),
}

/// Noise of an output that is equivalent to drawing δW anew for each vector.
///
/// With independent `δW[n, c] ~ N(0, σ²[n, c])` drawn for each `x'`, `(δW x')[n] ~ N(0, Σ_c σ²[n, c] x'²[c])`, independent over `n`:
/// one normal number an output instead of one a weight, with the same distribution.
#[derive(Clone, Debug)]
pub enum OutputNoise {
    /// No error.
    None,
    /// The same σ for every weight of an output in a column block, in chip units: `[col_blocks, outputs]`.
    Uniform(Vec<f32>),
    /// σ² of every weight in squared chip units, `[outputs, inputs]`; held to 2⁻¹⁵ of the largest of its row.
    PerWeight(Vec<f32>),
}

/// Converters around the chip.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Converters {
    /// Resolution of the inputs, 2 to 16 bits; `None`: ideal.
    pub input_bits: Option<u8>,
    /// Resolution of the outputs, 2 to 16 bits; `None`: ideal.
    pub output_bits: Option<u8>,
    /// Range of the input converter.
    pub input_range: InputRange,
    /// Range of the output converter.
    pub output_range: OutputRange,
}

/// What changes from one execution to the next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Execution {
    /// Seed of the noise.
    pub seed: u64,
    /// Factor on σ of the noise: below 1 while it ramps up.
    pub error_factor: f32,
    /// Instead of the range of a static input converter, where that range is learned.
    pub input_range: Option<f32>,
}

/// A group of layers on the chip, packed for repeated execution.
///
/// Made once for frozen weights; cheap enough to be made anew each step where the weights train.
#[derive(Debug)]
pub struct Product {
    isa: Isa,
    /// How `inputs` are cut into column blocks.
    depth: Depth,
    outputs: usize,
    tile_rows: usize,
    converters: Converters,
    parts: Vec<Programmed>,
    /// Whether strips are worked on for all rows at once.
    closed: bool,
    /// Packed at the first backward pass.
    backward: OnceLock<BackwardPanels>,
}

impl Product {
    /// Packs `parts`, layers with the same `inputs`, for a chip of `tile_rows × tile_cols`, on the fastest instruction set.
    ///
    /// The tables of each part must have the sizes that its documentation states.
    #[must_use]
    pub fn new(
        inputs: usize,
        tile_rows: usize,
        tile_cols: usize,
        parts: Vec<Part>,
        converters: Converters,
    ) -> Self {
        Self::with_isa(inputs, tile_rows, tile_cols, parts, converters, Isa::best())
    }

    /// As [`Self::new`] on a chosen instruction set; one that this machine lacks is replaced by [`Isa::Portable`].
    #[must_use]
    pub fn with_isa(
        inputs: usize,
        tile_rows: usize,
        tile_cols: usize,
        parts: Vec<Part>,
        converters: Converters,
        isa: Isa,
    ) -> Self {
        let outputs = parts.iter().map(|part| part.outputs).sum();
        let tile_rows = tile_rows.clamp(1, usize::max(outputs, 1));
        let (isa, depth) = (isa.or_portable(), Depth::new(inputs, tile_cols));
        let range = converters.output_bits.map(|_| converters.output_range);
        let narrow = Cut::Narrow(tile_rows);
        // Ranges over the batch are known at once where a strip has all of its tiles and rows; with few strips, threads idle.
        let closed = range == Some(OutputRange::Batch)
            && depth.blocks() > 1
            && narrow.size() <= MOST_NARROW
            && outputs >= FEWEST_NARROW * narrow.size();
        let cut = match range {
            Some(OutputRange::Batch) if closed => narrow,
            Some(OutputRange::Vector) => Cut::Tiles(tile_rows),
            _ => Cut::Open,
        };
        let parts = Programmed::all(isa, depth, cut, parts);
        Self { isa, depth, outputs, tile_rows, converters, parts, closed, backward: OnceLock::new() }
    }

    /// Inputs of the group.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.depth.inputs
    }

    /// Outputs of all parts.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Whether the input converter has a range of its own, so that [`Self::backward`] reads the inputs.
    #[must_use]
    pub fn has_static_input_range(&self) -> bool {
        matches!(self.converters.input_range, InputRange::Static(_))
    }

    /// Outputs `[rows, outputs]` of the inputs `x`, `[rows, inputs]`: the parts' side by side. Noise is a function of the seed, the
    /// row, the column block and the output.
    #[must_use]
    pub fn forward(&self, x: &[f32], execution: &Execution) -> Vec<f32> {
        self.forward_with(x, execution, |_, _| ()).0
    }

    /// As [`Self::forward`]; `finish` gets each few rows of the outputs with the number of the first while they are still in the
    /// cache, on the thread that made them, and may go on working on them. What it returns comes in the order of the rows. How
    /// many rows it gets depends on the product alone.
    #[must_use]
    pub fn forward_with<T: Send>(
        &self,
        x: &[f32],
        execution: &Execution,
        finish: impl Fn(usize, &mut [f32]) -> T + Sync,
    ) -> (Vec<f32>, Vec<T>) {
        self.execute(x, execution, None, &finish)
    }

    /// The magnitudes that `x`, `[rows, inputs]`, meets at the converters, from which static ranges are calibrated; with the noise
    /// of seed 0.
    #[must_use]
    pub fn observe(&self, x: &[f32]) -> ObservedRanges {
        let mut observed = ObservedRanges::default();
        let execution = Execution { seed: 0, error_factor: 1.0, input_range: None };
        let _outputs = self.execute(x, &execution, Some(&mut observed), &|_, _| ());
        observed
    }

    /// Form in which the inputs are multiplied.
    fn input_form(&self) -> Digits {
        self.converters.input_bits.map_or(Digits::FINE, |bits| Digits::of_codes(max_code(bits)))
    }

    /// Range of the input converter in `execution`.
    fn input_range(&self, execution: &Execution) -> InputRange {
        match (self.converters.input_range, execution.input_range) {
            (InputRange::Static(_), Some(range)) => InputRange::Static(range),
            (range, _) => range,
        }
    }
}

/// Largest code of a converter of `bits`, `2^(n−1) − 1`.
fn max_code(bits: u8) -> i32 {
    (1 << (bits.clamp(2, 16) - 1)) - 1
}
