//! The value of a loss.

use burn::tensor::{Tensor, TensorData};

use super::FinetuneError;
use crate::network::NetworkError;

/// The value of a loss.
pub(super) fn value(loss: &Tensor<1>) -> Result<f64, FinetuneError> {
    let data: TensorData = loss.clone().inner().into_data();
    let values =
        data.try_into_vec::<f32>().map_err(|error| NetworkError::Tensor { reason: format!("{error:?}") })?;
    Ok(values.first().copied().map_or(f64::NAN, f64::from))
}
