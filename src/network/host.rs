//! The bridge between our own kernels and burn's automatic differentiation.
//!
//! Every hot operation of a network (photonic product, norms, activation, attention) is a pure function of `f32` slices with a
//! derivative of its own. One custom operation of burn carries them all: it opens the tensors, calls the function, and keeps what
//! the derivative needs until the backward pass.

#![cfg_attr(
    feature = "ndarray-device",
    allow(deprecated, reason = "burn 0.22 deprecates burn-ndarray and still ships it")
)]

use std::{fmt::Debug, sync::Arc};
#[cfg(feature = "ndarray-device")]
use std::{
    future::Future,
    task::{Context, Poll, Waker},
};

use burn::{
    backend::{
        Autodiff, Backend, Dispatch, Flex,
        autodiff::{
            checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
            grads::Gradients,
            ops::{Backward, Ops, OpsKind},
        },
        backend_extension,
        flex::FlexTensor,
        tensor::FloatTensor,
    },
    tensor::{Tensor, TensorData},
};

/// Values of a tensor, row-major.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Values<'a> {
    /// Length of each dimension.
    pub(super) shape: &'a [usize],
    /// As many as the shape says; none where the operation did not retain them.
    pub(super) values: &'a [f32],
}

/// Result of an operation.
#[derive(Debug)]
pub(super) struct Computed {
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<f32>,
    /// For the backward pass; `None` where it was not asked for.
    pub(super) derivative: Option<Arc<dyn Derivative>>,
}

/// A function of tensors.
pub(super) trait Operation: Debug + Send + Sync {
    /// The result for `inputs`. `differentiate` asks for the derivative too.
    fn forward(&self, inputs: &[Values<'_>], differentiate: bool) -> Computed;

    /// Whether the derivative reads this input.
    fn retains(&self, input: usize) -> bool;
}

/// What a backward pass needs of its forward pass.
pub(super) trait Derivative: Debug + Send + Sync {
    /// From the gradient of the result to those of the inputs that are `wanted`; `None` or anything for the others.
    /// `inputs` have no values where they were not retained.
    fn backward(&self, inputs: &[Values<'_>], gradient: Gradient, wanted: &[bool]) -> Vec<Option<Vec<f32>>>;
}

/// Gradient of a result, row-major.
#[derive(Debug)]
pub(super) struct Gradient(FlexTensor);

impl Gradient {
    /// Its values.
    pub(super) fn values(&self) -> &[f32] {
        self.0.as_slice().unwrap_or_default()
    }

    /// Its values to write over: without a copy where nothing else holds them.
    pub(super) fn into_values(self) -> Vec<f32> {
        self.0.into_data().try_into_vec().unwrap_or_default()
    }
}

/// Most inputs that an operation takes.
pub(super) const ARITY: usize = 7;

/// A tensor whose rank the operation knows.
pub(super) type Erased = burn::backend::DispatchTensor;

/// Applies `operation` to `inputs`, at least 1 and at most [`ARITY`].
pub(super) fn apply<const D: usize>(inputs: Vec<Erased>, operation: Arc<dyn Operation>) -> Tensor<D> {
    let arity = inputs.len();
    let mut inputs = inputs;
    if let Some(first) = inputs.first().cloned() {
        // The places left over hold the first input once more; nothing reads them, and no gradient goes there.
        inputs.resize(ARITY, first);
    }
    let mut inputs = inputs.into_iter();
    let mut next = || inputs.next();
    let all = (next(), next(), next(), next(), next(), next(), next());
    let (Some(a), Some(b), Some(c), Some(d), Some(e), Some(f), Some(g)) = all else {
        return Tensor::empty([0; D], &burn::tensor::Device::flex());
    };
    Tensor::from_dispatch(<Dispatch as HostOperation>::host_operation(a, b, c, d, e, f, g, arity, operation))
}

/// Backends on which [`Operation`]s run.
#[backend_extension(Autodiff, Flex, NdArray: cfg(feature = "ndarray-device"))]
pub(super) trait HostOperation: Backend {
    /// See [`apply`].
    #[allow(clippy::too_many_arguments, reason = "burn's macro takes no arrays of tensors")]
    fn host_operation(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        d: FloatTensor<Self>,
        e: FloatTensor<Self>,
        f: FloatTensor<Self>,
        g: FloatTensor<Self>,
        arity: usize,
        operation: Arc<dyn Operation>,
    ) -> FloatTensor<Self>;
}

/// Backends whose tensors lie in this process's memory.
pub(super) trait HostTensor: Backend {
    /// The tensor in row-major order.
    fn contiguous(tensor: FloatTensor<Self>) -> FlexTensor;
    /// A tensor of `values`.
    fn tensor(shape: Vec<usize>, values: Vec<f32>) -> FloatTensor<Self>;
}

impl HostTensor for Flex {
    fn contiguous(tensor: FlexTensor) -> FlexTensor {
        tensor.to_contiguous()
    }

    fn tensor(shape: Vec<usize>, values: Vec<f32>) -> FlexTensor {
        FlexTensor::from_data(TensorData::new(values, shape))
    }
}

#[cfg(feature = "ndarray-device")]
impl HostTensor for burn::backend::NdArray {
    fn contiguous(tensor: FloatTensor<Self>) -> FlexTensor {
        let shape = burn::backend::TensorMetadata::shape(&tensor);
        let reading =
            std::pin::pin!(<Self as burn::backend::ops::FloatTensorOps<Self>>::float_into_data(tensor));
        // Values lie in this process's memory: there is nothing to wait for.
        match reading.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(data)) => FlexTensor::from_data(data),
            Poll::Ready(Err(_)) | Poll::Pending => FlexTensor::zeros(shape, burn::tensor::DType::F32),
        }
    }

    fn tensor(shape: Vec<usize>, values: Vec<f32>) -> FloatTensor<Self> {
        burn::backend::ndarray::NdArrayTensor::from_data(TensorData::new(values, shape))
    }
}

/// Shape and values of an opened tensor.
struct Opened {
    shape: Vec<usize>,
    tensor: FlexTensor,
}

impl Opened {
    fn new<B: HostTensor>(tensor: FloatTensor<B>) -> Self {
        let tensor = B::contiguous(tensor);
        Self { shape: tensor.layout().shape().iter().copied().collect(), tensor }
    }

    fn values(&self) -> Values<'_> {
        Values { shape: &self.shape, values: self.tensor.as_slice().unwrap_or_default() }
    }
}

fn run<B: HostTensor>(
    inputs: Vec<FloatTensor<B>>,
    operation: &dyn Operation,
    differentiate: bool,
) -> (FloatTensor<B>, Option<Arc<dyn Derivative>>) {
    let opened: Vec<Opened> = inputs.into_iter().map(Opened::new::<B>).collect();
    let values: Vec<Values<'_>> = opened.iter().map(Opened::values).collect();
    let computed = operation.forward(&values, differentiate);
    (B::tensor(computed.shape, computed.values), computed.derivative)
}

impl HostOperation for Flex {
    fn host_operation(
        a: FlexTensor,
        b: FlexTensor,
        c: FlexTensor,
        d: FlexTensor,
        e: FlexTensor,
        f: FlexTensor,
        g: FlexTensor,
        arity: usize,
        operation: Arc<dyn Operation>,
    ) -> FlexTensor {
        let mut inputs = vec![a, b, c, d, e, f, g];
        inputs.truncate(arity);
        run::<Self>(inputs, &*operation, false).0
    }
}

#[cfg(feature = "ndarray-device")]
impl HostOperation for burn::backend::NdArray {
    fn host_operation(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        d: FloatTensor<Self>,
        e: FloatTensor<Self>,
        f: FloatTensor<Self>,
        g: FloatTensor<Self>,
        arity: usize,
        operation: Arc<dyn Operation>,
    ) -> FloatTensor<Self> {
        let mut inputs = vec![a, b, c, d, e, f, g];
        inputs.truncate(arity);
        run::<Self>(inputs, &*operation, false).0
    }
}

#[derive(Debug)]
struct HostBackward;

/// What waits for the backward pass.
#[derive(Clone, Debug)]
struct Waiting<T> {
    /// The retained inputs; the others are `None`, with their shapes.
    inputs: Vec<(Vec<usize>, Option<T>)>,
    derivative: Option<Arc<dyn Derivative>>,
}

impl<B: HostTensor> Backward<B, ARITY> for HostBackward {
    type State = Waiting<FloatTensor<B>>;

    fn backward(self, ops: Ops<Self::State, ARITY>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let gradient = Gradient(B::contiguous(grads.consume::<B>(&ops.node)));
        let Waiting { inputs, derivative } = ops.state;
        let arity = inputs.len();
        let Some(derivative) = derivative else { return };
        let (shapes, retained): (Vec<Vec<usize>>, Vec<Option<Opened>>) =
            inputs.into_iter().map(|(shape, tensor)| (shape, tensor.map(Opened::new::<B>))).unzip();
        let values: Vec<Values<'_>> = retained
            .iter()
            .zip(&shapes)
            .map(|(opened, shape)| match opened {
                Some(opened) => opened.values(),
                None => Values { shape, values: &[] },
            })
            .collect();
        let wanted: Vec<bool> = ops.parents.iter().take(arity).map(Option::is_some).collect();
        let gradients = derivative.backward(&values, gradient, &wanted);
        for ((parent, gradient), shape) in ops.parents.into_iter().zip(gradients).zip(&shapes) {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                grads.register::<B>(parent.id, B::tensor(shape.clone(), gradient));
            }
        }
    }
}

impl<B: Backend + HostOperation + HostTensor, C: CheckpointStrategy> HostOperation for Autodiff<B, C> {
    fn host_operation(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        d: FloatTensor<Self>,
        e: FloatTensor<Self>,
        f: FloatTensor<Self>,
        g: FloatTensor<Self>,
        arity: usize,
        operation: Arc<dyn Operation>,
    ) -> FloatTensor<Self> {
        let mut primitives = Vec::with_capacity(ARITY);
        let nodes = [a, b, c, d, e, f, g].map(|tensor| {
            let (primitive, node) = tensor.into_parts();
            primitives.push(primitive);
            node
        });
        primitives.truncate(arity);
        match HostBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let inputs = primitives
                    .iter()
                    .enumerate()
                    .map(|(index, primitive)| {
                        let shape = burn::backend::TensorMetadata::shape(primitive).iter().copied().collect();
                        (shape, operation.retains(index).then(|| primitive.clone()))
                    })
                    .collect();
                let (output, derivative) = run::<B>(primitives, &*operation, true);
                prepared.finish(Waiting { inputs, derivative }, output)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(run::<B>(primitives, &*operation, false).0),
        }
    }
}
