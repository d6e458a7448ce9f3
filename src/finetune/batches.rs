//! Order and form of training batches.

use burn::tensor::{Device, Tensor, TensorData, loss::cross_entropy_with_logits};
use ndarray::{Array2, Axis};
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::{FinetuneError, linear::constant};
use crate::{dataset::Dataset, model::Mlp};

/// Refuses images and labels that the network cannot take.
pub(super) fn check_fit(data: &Dataset, model: &Mlp) -> Result<(), FinetuneError> {
    let name = || data.name.clone();
    if data.is_empty() {
        return Err(FinetuneError::NoImages { name: name() });
    }
    let layers = model.layers();
    let (expected, found) = (layers[0].weight.ncols(), data.images.ncols());
    if expected != found {
        return Err(FinetuneError::Inputs { name: name(), expected, found });
    }
    let classes = layers[layers.len() - 1].weight.nrows();
    match data.labels.iter().enumerate().find(|(_, label)| usize::from(**label) >= classes) {
        Some((index, &label)) => Err(FinetuneError::Label { name: name(), index, label, classes }),
        None => Ok(()),
    }
}

/// Indices of the batches of one epoch, each image once.
pub(super) fn shuffled(images: usize, batch_size: usize, rng: &mut ChaCha8Rng) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..images).collect();
    order.shuffle(rng);
    order.chunks(batch_size).map(<[usize]>::to_vec).collect()
}

/// The images of `batch`, `[batch, pixels]`.
pub(super) fn images(data: &Dataset, batch: &[usize]) -> Array2<f32> {
    data.images.select(Axis(0), batch)
}

/// Mean cross entropy of `logits`, `[batch, classes]`, against the labels of `batch`.
pub(super) fn cross_entropy(
    logits: Tensor<2>,
    data: &Dataset,
    batch: &[usize],
    device: &Device,
) -> Tensor<1> {
    let mut targets = Array2::zeros(logits.dims());
    for (row, &image) in batch.iter().enumerate() {
        targets[(row, usize::from(data.labels[image]))] = 1.0;
    }
    cross_entropy_with_logits(logits, constant(targets, device))
}

/// The value of a loss.
pub(super) fn value(loss: &Tensor<1>) -> Result<f64, FinetuneError> {
    let data: TensorData = loss.clone().inner().into_data();
    let values =
        data.try_into_vec::<f32>().map_err(|error| FinetuneError::Tensor { reason: format!("{error:?}") })?;
    Ok(values.first().copied().map_or(f64::NAN, f64::from))
}
