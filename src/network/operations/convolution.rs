//! Images as rows of pixels: unrolling for convolutions, pools, the shortcut without parameters.

use std::sync::Arc;

use burn::tensor::Tensor;

use super::super::host::{Computed, Derivative, Gradient, Operation, Values, apply};
use crate::kernel::digital::{
    image::{Images, Window, col2im, im2col, nchw_to_nhwc, nhwc_to_nchw},
    pooling::{
        max_pool as pool, max_pool_backward, mean_rows, mean_rows_backward, pad_shortcut as pad,
        pad_shortcut_backward, shortcut_output,
    },
};

/// Size of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::network) struct Pixels {
    pub(in crate::network) height: usize,
    pub(in crate::network) width: usize,
}

impl Pixels {
    fn count(self) -> usize {
        self.height * self.width
    }

    /// A batch of `values` numbers in `channels` channels.
    fn images(self, values: usize, channels: usize) -> Images {
        let batch = values / (self.count() * channels).max(1);
        Images { batch, height: self.height, width: self.width, channels }
    }
}

/// How a convolution reads its image: each window becomes a row, ordered channel, row, column.
#[derive(Clone, Copy, Debug)]
pub(in crate::network) struct Unroll {
    pixels: Pixels,
    channels: usize,
    window: Window,
}

impl Unroll {
    pub(in crate::network) fn new(
        pixels: Pixels,
        channels: usize,
        kernel: usize,
        stride: usize,
        padding: usize,
    ) -> Self {
        Self { pixels, channels, window: Window { kernel, stride, padding } }
    }

    /// Size of the result.
    pub(in crate::network) fn result(self) -> Pixels {
        let places = |size| self.window.places(size);
        Pixels { height: places(self.pixels.height), width: places(self.pixels.width) }
    }

    fn columns(self) -> usize {
        self.channels * self.window.kernel * self.window.kernel
    }

    /// `x`, `[batch · height · width, channels]`, to `[batch · places, channels · kernel²]`.
    pub(in crate::network) fn forward(self, x: &[f32]) -> Vec<f32> {
        let images = self.pixels.images(x.len(), self.channels);
        let mut columns = vec![0.0; images.batch * self.result().count() * self.columns()];
        im2col(images, self.window, x, &mut columns);
        columns
    }

    /// The transpose of [`Self::forward`].
    pub(in crate::network) fn backward(self, columns: &[f32]) -> Vec<f32> {
        let batch = columns.len() / (self.result().count() * self.columns()).max(1);
        let images =
            Images { batch, height: self.pixels.height, width: self.pixels.width, channels: self.channels };
        let mut gx = vec![0.0; images.len()];
        col2im(images, self.window, columns, &mut gx);
        gx
    }
}

/// A change of form without parameters: an operation whose backward pass needs shapes alone, or what the forward pass noted.
trait Reshaping: std::fmt::Debug + Copy + Send + Sync + 'static {
    /// The result for `x`, its shape, and what the backward pass needs.
    fn forward(self, x: &[f32]) -> (Vec<f32>, [usize; 2], Vec<u32>);

    /// The gradient by `x`, of `values` numbers.
    fn backward(self, gradient: &[f32], noted: &[u32], values: usize) -> Vec<f32>;
}

#[derive(Debug)]
struct Reshape<R>(R);

impl<R: Reshaping> Operation for Reshape<R> {
    fn forward(&self, inputs: &[Values<'_>], differentiate: bool) -> Computed {
        let (values, shape, noted) = self.0.forward(inputs[0].values);
        let derivative =
            differentiate.then(|| Arc::new(ReshapeDerivative { of: self.0, noted }) as Arc<dyn Derivative>);
        Computed { shape: shape.to_vec(), values, derivative }
    }

    fn retains(&self, _: usize) -> bool {
        false
    }
}

#[derive(Debug)]
struct ReshapeDerivative<R> {
    of: R,
    noted: Vec<u32>,
}

impl<R: Reshaping> Derivative for ReshapeDerivative<R> {
    fn backward(&self, inputs: &[Values<'_>], gradient: Gradient, _: &[bool]) -> Vec<Option<Vec<f32>>> {
        let gradient = gradient.values();
        vec![Some(self.of.backward(gradient, &self.noted, inputs[0].shape.iter().product()))]
    }
}

fn reshape<R: Reshaping>(x: Tensor<2>, of: R) -> Tensor<2> {
    apply(vec![x.into_dispatch()], Arc::new(Reshape(of)))
}

/// `[batch, channels · height · width]` to `[batch · height · width, channels]`.
pub(in crate::network) fn to_pixels(x: Tensor<2>, channels: usize, pixels: Pixels) -> Tensor<2> {
    reshape(x, Order { channels, pixels, to_pixels: true })
}

/// The inverse of [`to_pixels`].
pub(in crate::network) fn from_pixels(x: Tensor<2>, channels: usize, pixels: Pixels) -> Tensor<2> {
    reshape(x, Order { channels, pixels, to_pixels: false })
}

#[derive(Clone, Copy, Debug)]
struct Order {
    channels: usize,
    pixels: Pixels,
    to_pixels: bool,
}

impl Order {
    fn moved(self, x: &[f32], to_pixels: bool) -> Vec<f32> {
        let images = self.pixels.images(x.len(), self.channels);
        let mut y = vec![0.0; x.len()];
        if to_pixels {
            nchw_to_nhwc(images, x, &mut y);
        } else {
            nhwc_to_nchw(images, x, &mut y);
        }
        y
    }
}

impl Reshaping for Order {
    fn forward(self, x: &[f32]) -> (Vec<f32>, [usize; 2], Vec<u32>) {
        let images = self.pixels.images(x.len(), self.channels);
        let shape = if self.to_pixels {
            [images.pixels(), self.channels]
        } else {
            [images.batch, images.image_len()]
        };
        (self.moved(x, self.to_pixels), shape, Vec::new())
    }

    fn backward(self, gradient: &[f32], _: &[u32], _: usize) -> Vec<f32> {
        self.moved(gradient, !self.to_pixels)
    }
}

/// Each window of the image as a row.
pub(in crate::network) fn unroll(
    x: Tensor<2>,
    pixels: Pixels,
    channels: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
) -> Tensor<2> {
    reshape(x, Unroll::new(pixels, channels, kernel, stride, padding))
}

impl Reshaping for Unroll {
    fn forward(self, x: &[f32]) -> (Vec<f32>, [usize; 2], Vec<u32>) {
        let columns = Unroll::forward(self, x);
        let shape = [columns.len() / self.columns().max(1), self.columns()];
        (columns, shape, Vec::new())
    }

    fn backward(self, gradient: &[f32], _: &[u32], _: usize) -> Vec<f32> {
        Unroll::backward(self, gradient)
    }
}

/// Largest value of each window, and the size of the result.
pub(in crate::network) fn max_pool(
    x: Tensor<2>,
    pixels: Pixels,
    kernel: usize,
    stride: usize,
    padding: usize,
) -> (Tensor<2>, Pixels) {
    let window = Window { kernel, stride, padding };
    let channels = x.dims()[1];
    let result = Pixels { height: window.places(pixels.height), width: window.places(pixels.width) };
    (reshape(x, Largest { pixels, channels, window }), result)
}

#[derive(Clone, Copy, Debug)]
struct Largest {
    pixels: Pixels,
    channels: usize,
    window: Window,
}

impl Reshaping for Largest {
    fn forward(self, x: &[f32]) -> (Vec<f32>, [usize; 2], Vec<u32>) {
        let images = self.pixels.images(x.len(), self.channels);
        let output = self.window.output(images, self.channels);
        let (mut y, mut indices) = (vec![0.0; output.len()], vec![0; output.len()]);
        pool(images, self.window, x, &mut y, &mut indices);
        (y, [output.pixels(), self.channels], indices)
    }

    fn backward(self, gradient: &[f32], indices: &[u32], values: usize) -> Vec<f32> {
        let mut gx = vec![0.0; values];
        let images = self.pixels.images(values, self.channels);
        max_pool_backward(images, self.window, indices, gradient, &mut gx);
        gx
    }
}

/// Mean over the pixels of each image: `[batch, channels]`.
pub(in crate::network) fn mean_pool(x: Tensor<2>, pixels: Pixels) -> Tensor<2> {
    let channels = x.dims()[1];
    reshape(x, Mean { pixels, channels })
}

#[derive(Clone, Copy, Debug)]
struct Mean {
    pixels: Pixels,
    channels: usize,
}

impl Reshaping for Mean {
    fn forward(self, x: &[f32]) -> (Vec<f32>, [usize; 2], Vec<u32>) {
        let mut y = vec![0.0; x.len() / self.pixels.count().max(1)];
        mean_rows(x, self.pixels.count(), self.channels, &mut y);
        let batch = y.len() / self.channels.max(1);
        (y, [batch, self.channels], Vec::new())
    }

    fn backward(self, gradient: &[f32], _: &[u32], values: usize) -> Vec<f32> {
        let mut gx = vec![0.0; values];
        mean_rows_backward(gradient, self.pixels.count(), self.channels, &mut gx);
        gx
    }
}

/// Every second pixel, with channels of zeros on both sides (option A of He et al., arXiv 1512.03385).
pub(in crate::network) fn pad_shortcut(x: Tensor<2>, pixels: Pixels, from: usize, to: usize) -> Tensor<2> {
    reshape(x, Padded { pixels, from, to })
}

#[derive(Clone, Copy, Debug)]
struct Padded {
    pixels: Pixels,
    from: usize,
    to: usize,
}

impl Reshaping for Padded {
    fn forward(self, x: &[f32]) -> (Vec<f32>, [usize; 2], Vec<u32>) {
        let images = self.pixels.images(x.len(), self.from);
        let output = shortcut_output(images, 2, self.to);
        let mut y = vec![0.0; output.len()];
        pad(images, 2, self.to, x, &mut y);
        (y, [output.pixels(), self.to], Vec::new())
    }

    fn backward(self, gradient: &[f32], _: &[u32], values: usize) -> Vec<f32> {
        let mut gx = vec![0.0; values];
        pad_shortcut_backward(self.pixels.images(values, self.from), 2, self.to, gradient, &mut gx);
        gx
    }
}
