//! The straight-through product as one differentiable operation of burn.

#![cfg_attr(
    feature = "ndarray-device",
    allow(deprecated, reason = "burn 0.22 deprecates burn-ndarray and still ships it")
)]

use burn::{
    backend::{
        Autodiff, Backend, Dispatch, Flex,
        autodiff::{
            checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
            grads::Gradients,
            ops::{Backward, Ops, OpsKind},
        },
        backend_extension,
        tensor::FloatTensor,
    },
    tensor::Tensor,
};

/// `y`, with the gradient of the product that it stands for.
///
/// Forward: `y`, `[batch, out]`, as computed elsewhere. Backward, straight through converters and noise:
/// `∂x = ∂y · W̃`, `∂W = ∂yᵀ · x'`, where `x'`, `[batch, in]`, was sent and `W̃ᵀ`, `[in, out]`, was held.
/// `x` and `weight` (`[out, in]`) only say where the gradients go.
pub(super) fn straight_through(
    x: Tensor<2>,
    weight: Tensor<2>,
    sent: Tensor<2>,
    held: Tensor<2>,
    y: Tensor<2>,
) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as StraightThrough>::straight_through(
        x.into_dispatch(),
        weight.into_dispatch(),
        sent.into_dispatch(),
        held.into_dispatch(),
        y.into_dispatch(),
    ))
}

/// Backends with the operation.
#[backend_extension(Autodiff, Flex, NdArray: cfg(feature = "ndarray-device"))]
pub(super) trait StraightThrough: Backend {
    /// See [`straight_through`].
    #[allow(unused_variables, reason = "only the backward pass reads them")]
    fn straight_through(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        sent: FloatTensor<Self>,
        held: FloatTensor<Self>,
        y: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        y
    }
}

impl StraightThrough for Flex {}

#[cfg(feature = "ndarray-device")]
impl StraightThrough for burn::backend::NdArray {}

#[derive(Debug)]
struct StraightThroughBackward;

impl<B: Backend> Backward<B, 2> for StraightThroughBackward {
    /// `(x', W̃ᵀ)`.
    type State = (B::FloatTensorPrimitive, B::FloatTensorPrimitive);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let (sent, held) = ops.state;
        let [x, weight] = ops.parents;
        let gradient = grads.consume::<B>(&ops.node);
        if let Some(weight) = weight {
            let transposed = B::float_transpose(gradient.clone());
            grads.register::<B>(weight.id, B::float_matmul(transposed, sent));
        }
        if let Some(x) = x {
            grads.register::<B>(x.id, B::float_matmul(gradient, B::float_transpose(held)));
        }
    }
}

impl<B: Backend + StraightThrough, C: CheckpointStrategy> StraightThrough for Autodiff<B, C> {
    fn straight_through(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        sent: FloatTensor<Self>,
        held: FloatTensor<Self>,
        y: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let (x, x_node) = x.into_parts();
        let (weight, weight_node) = weight.into_parts();
        let (sent, held, y) = (sent.into_parts().0, held.into_parts().0, y.into_parts().0);
        let operation =
            StraightThroughBackward.prepare::<C>([x_node, weight_node]).compute_bound().stateful();
        match operation {
            OpsKind::Tracked(prepared) => {
                let y = B::straight_through(x, weight, sent.clone(), held.clone(), y);
                prepared.finish((sent, held), y)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(B::straight_through(x, weight, sent, held, y)),
        }
    }
}
