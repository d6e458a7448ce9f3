//! A photonic linear layer on burn.

use burn::tensor::{Device, Tensor, TensorData};
use ndarray::{Array2, ArrayView2};

use super::{
    ChipModel, FinetuneError,
    execution::{execute, sent},
    programmed::Programmed,
    straight_through::straight_through,
};

/// The product of a linear layer with frozen weights on a chip, straight-through backward. Bias and adapters are digital and
/// stand beside it.
#[derive(Debug)]
pub struct PhotonicLinear {
    programmed: Programmed,
    device: Device,
    /// `W̃ᵀ`, `[in, out]`, cached for the backward pass; `None` where each step draws its own.
    held: Option<Tensor<2>>,
    /// Stands for the frozen weights in the graph.
    frozen: Tensor<2>,
}

impl PhotonicLinear {
    /// Programs `weight`, `[out, in]`, the `layer`-th of its network (frozen errors differ between layers). `device` must be one
    /// that differentiates ([`Device::autodiff`]).
    ///
    /// # Errors
    /// A matrix without weights, or a law that cannot be sampled so.
    pub fn new(
        weight: ArrayView2<'_, f32>,
        chip: &ChipModel,
        layer: u64,
        device: &Device,
    ) -> Result<Self, FinetuneError> {
        chip.check()?;
        let programmed = Programmed::new(weight, chip, layer)?;
        let held = (!programmed.is_redrawn()).then(|| constant(programmed.held.clone(), device));
        Ok(Self { programmed, held, frozen: Tensor::zeros([1, 1], device), device: device.clone() })
    }

    /// `x Wᵀ` as the chip computes it, for `x` `[batch, in]`: `[batch, out]`. `seed` is for what is drawn anew.
    ///
    /// # Errors
    /// Values that burn does not give out.
    pub fn forward(&mut self, x: Tensor<2>, seed: u64) -> Result<Tensor<2>, FinetuneError> {
        self.programmed.redraw(seed);
        let held = match &self.held {
            Some(held) => held.clone(),
            None => constant(self.programmed.held.clone(), &self.device),
        };
        product(x, self.frozen.clone(), &self.programmed, held, seed, &self.device)
    }
}

/// The product of a layer whose weights train: quantised and drawn anew in each step. `weight` is `[out, in]`.
pub(super) fn trained_product(
    x: Tensor<2>,
    weight: Tensor<2>,
    chip: &ChipModel,
    layer: u64,
    seed: u64,
    device: &Device,
) -> Result<Tensor<2>, FinetuneError> {
    let mut programmed = Programmed::new(array(weight.clone())?.view(), chip, layer)?;
    programmed.redraw(seed);
    let held = constant(programmed.held.clone(), device);
    product(x, weight, &programmed, held, seed, device)
}

fn product(
    x: Tensor<2>,
    weight: Tensor<2>,
    programmed: &Programmed,
    held: Tensor<2>,
    seed: u64,
    device: &Device,
) -> Result<Tensor<2>, FinetuneError> {
    let vectors = sent(array(x.clone())?, programmed);
    let y = constant(execute(vectors.view(), programmed, seed), device);
    Ok(straight_through(x, weight, constant(vectors, device), held, y))
}

/// The values of a tensor, row-major.
pub(super) fn array(tensor: Tensor<2>) -> Result<Array2<f32>, FinetuneError> {
    let [rows, cols] = tensor.dims();
    let unreadable = |reason: String| FinetuneError::Tensor { reason };
    let values =
        tensor.inner().into_data().try_into_vec::<f32>().map_err(|error| unreadable(format!("{error:?}")))?;
    Array2::from_shape_vec((rows, cols), values).map_err(|error| unreadable(error.to_string()))
}

/// A tensor that is not differentiated.
pub(super) fn constant(values: Array2<f32>, device: &Device) -> Tensor<2> {
    let shape = [values.nrows(), values.ncols()];
    let (values, _) = values.into_raw_vec_and_offset();
    Tensor::from_data(TensorData::new(values, shape), device)
}
