//! Networks on burn, with every product of a layer on a simulated chip or in digital arithmetic.
//!
//! A [`Network`] is a model ready to run: its layers are programmed once, its digital parameters are tensors. [`Network::forward`]
//! computes logits from images; parameters that train are handed in by name, so the same network serves training, evaluation and
//! teaching. Activations are matrices `[rows, features]`: a row is an image, a token or a pixel.
//!
//! Attention's own products, norms, activations, softmax and the patch embedding stay digital (Taniguchi et al., OECC/PSC 2025).

mod error;
mod families;
mod host;
mod layers;
mod linear;
mod multiply;
mod operations;
mod parameters;
mod pass;
mod programming;
mod ranges;

use burn::tensor::{Device, Tensor, TensorData};
use ndarray::Array2;

pub use error::NetworkError;
pub use layers::{Arithmetic, Network};
pub use linear::PhotonicLinear;

pub use operations::loss::{Targets, loss};
pub use parameters::{
    adapters_from, initial_adapters, initial_base, input_range_name, stacked_adapters, with_base,
};
pub use pass::{AdapterPass, BatchMoments, Mode, Pass, SeenRange, Watch};
pub use ranges::ConverterRanges;

/// `features`, `[batch, features]`, through the head whose weight and bias are among `trained`, in digital arithmetic.
pub(crate) fn classify(
    architecture: &crate::model::Architecture,
    features: Tensor<2>,
    trained: &std::collections::BTreeMap<String, Tensor<2>>,
) -> Result<Tensor<2>, NetworkError> {
    let head = families::head(architecture);
    let part = |part: &str| {
        let name = format!("{head}.{part}");
        trained.get(&name).cloned().ok_or(NetworkError::NoTensor { name })
    };
    Ok(operations::linear(features, part("weight")?, part("bias")?))
}

/// A tensor that is not differentiated.
pub(crate) fn constant(values: Array2<f32>, device: &Device) -> Tensor<2> {
    let shape = [values.nrows(), values.ncols()];
    let values = if values.is_standard_layout() { values } else { values.as_standard_layout().into_owned() };
    let (values, _) = values.into_raw_vec_and_offset();
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// The values of a tensor, row-major.
pub(crate) fn matrix(tensor: Tensor<2>) -> Result<Array2<f32>, NetworkError> {
    let [rows, cols] = tensor.dims();
    let unreadable = |reason: String| NetworkError::Tensor { reason };
    let values =
        tensor.inner().into_data().try_into_vec::<f32>().map_err(|error| unreadable(format!("{error:?}")))?;
    Array2::from_shape_vec((rows, cols), values).map_err(|error| unreadable(error.to_string()))
}
