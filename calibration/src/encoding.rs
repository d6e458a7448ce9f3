//! How weights become actuator codes and counts become values: the part that differs between families.

use alora_drivers::{ActuatorFrame, Celsius, InputBatch, InputCode, Readout};
use ndarray::{Array2, Array3, ArrayView2};

use crate::weights::{Cell, WeightMatrix};

/// A weight matrix turned into actuator codes.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// Codes to apply.
    pub frame: ActuatorFrame,
    /// What the calibrated model expects the chip to hold with these codes, `rows × cols`, full scale = 1.
    pub expected: Array2<f64>,
    /// Weight units of one chip unit: decoded values are multiplied by it. Above 1 where the encoding had to
    /// shrink the matrix (spectral norm of a passive mesh).
    pub output_scale: f64,
    /// Cells whose weight the chip cannot reach; they hold the nearest reachable value.
    pub unreachable: Vec<Cell>,
}

/// Input vectors turned into input codes.
#[derive(Clone, Debug)]
pub struct EncodedInputs {
    /// Codes to send: `passes · vectors` frames, then any reference frames that `decode` needs. Pass `p` of vector
    /// `v` is frame `v · passes + p`.
    pub batch: InputBatch,
    /// Frames a vector (2 where signed inputs need a positive and a negative pass).
    pub passes: usize,
    /// Input units of one modulator unit, one a vector: each vector is stretched to the dynamic range of its MVM.
    pub scales: Vec<f64>,
}

impl EncodedInputs {
    /// Makes vector `v` weaker by the factor `over`, or a little more: whole codes keep their ratios to the largest.
    pub(crate) fn weaken(&mut self, v: usize, over: f64) {
        let rows = v * self.passes..(v + 1) * self.passes;
        let codes = || rows.clone().flat_map(|row| self.batch.0.row(row));
        let top = f64::from(codes().map(|code| code.abs()).max().unwrap_or(0).max(1));
        let factor = (top / over.max(1.0)).floor().max(1.0) / top;
        for row in rows {
            self.batch.0.row_mut(row).mapv_inplace(|code| (f64::from(code) * factor).round() as InputCode);
        }
        self.scales[v] /= factor;
    }
}

/// Why a matrix cannot be encoded.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum EncodeError {
    /// The matrix does not have the processor's shape.
    #[error("the matrix is {found_rows} × {found_cols}, the processor holds {rows} × {cols}; tile or pad it")]
    Shape {
        /// Rows of the processor.
        rows: usize,
        /// Columns of the processor.
        cols: usize,
        /// Rows given.
        found_rows: usize,
        /// Columns given.
        found_cols: usize,
    },
    /// The singular value decomposition failed.
    #[error("the singular value decomposition of the matrix did not converge")]
    Svd,
}

/// Encoding of one calibrated processor. Pure: no device, no clock, no randomness.
pub trait Encoding: Send + Sync {
    /// Codes for `weights` (`outputs × inputs`, full scale = 1).
    ///
    /// # Errors
    /// A matrix of another shape than the processor's, or one that cannot be decomposed.
    fn encode(&self, weights: &WeightMatrix) -> Result<Encoded, EncodeError>;

    /// Codes for the input vectors `inputs`, `[vectors, inputs]`, any finite values.
    fn encode_inputs(&self, inputs: ArrayView2<'_, f64>) -> EncodedInputs;

    /// Values of a readout, `[repeats, vectors, outputs]`: dark removed, gains applied, passes joined, in units of
    /// weight × input.
    fn decode(&self, readout: &Readout, inputs: &EncodedInputs, output_scale: f64) -> Array3<f64>;

    /// Largest value of each output that its converter holds, in units of weight × input; `None` where a receiver of several
    /// ranges holds any.
    fn largest_output(&self, _output_scale: f64) -> Option<Vec<f64>> {
        None
    }

    /// The encoding of the chip at this temperature, where it is known how the chip moves with it. It can tell what codes are
    /// expected to hold ([`Encoding::expected`]).
    fn at(&self, _chip: Celsius) -> Option<Box<dyn Encoding>> {
        None
    }

    /// What the chip is expected to hold with these codes, `rows × cols`, full scale = 1, of a matrix that was not shrunk; `None`
    /// where [`Encoded::expected`] holds whatever the temperature.
    fn expected(&self, _frame: &ActuatorFrame) -> Option<Array2<f64>> {
        None
    }

    /// Codes near those of `encoded` that move the weights by `correction`, `rows × cols`, full scale = 1; `expected`
    /// moves with them. What is smaller than the actuators resolve moves nothing. `None`: this encoding knows too little
    /// of the chip for that.
    fn refine(&self, _encoded: &Encoded, _correction: ArrayView2<'_, f64>) -> Option<Encoded> {
        None
    }
}
