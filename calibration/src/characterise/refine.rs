//! What program-and-verify needs of an encoding.

use ndarray::ArrayView2;

use crate::encoding::{Encoded, Encoding};

/// An encoding that can move what is programmed by a little.
pub trait Refine: Encoding {
    /// Codes near those of `encoded` that move the weights by `correction`, `rows × cols`, full scale = 1; `expected`
    /// moves with them.
    ///
    /// A correction that is smaller than what the actuators can resolve moves nothing: whoever measures must not be
    /// made to chase the noise of rounding.
    fn refine(&self, encoded: &Encoded, correction: ArrayView2<'_, f64>) -> Encoded;
}
