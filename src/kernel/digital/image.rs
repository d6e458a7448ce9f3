//! Layout of images, and convolution as a product: im2col and its transpose.
//!
//! Images are NHWC, `[batch·height·width, channels]`.

use rayon::prelude::*;

/// Sizes of a batch of images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Images {
    /// How many.
    pub batch: usize,
    /// Rows of pixels.
    pub height: usize,
    /// Columns of pixels.
    pub width: usize,
    /// Numbers of a pixel.
    pub channels: usize,
}

impl Images {
    /// Pixels of the batch: rows of the NHWC matrix.
    #[must_use]
    pub fn pixels(&self) -> usize {
        self.batch * self.height * self.width
    }

    /// Numbers of one image.
    #[must_use]
    pub fn image_len(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Numbers of the batch.
    #[must_use]
    pub fn len(&self) -> usize {
        self.batch * self.image_len()
    }

    /// Whether there is no number at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A square window that slides over an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Side of the window.
    pub kernel: usize,
    /// Step.
    pub stride: usize,
    /// Pixels of zero (or of −∞ for a maximum) around the image.
    pub padding: usize,
}

impl Window {
    /// Places of the window along a side of `size` pixels: `⌊(size + 2·padding − kernel)/stride⌋ + 1`, or 0.
    #[must_use]
    pub fn places(&self, size: usize) -> usize {
        (size + 2 * self.padding).checked_sub(self.kernel).map_or(0, |room| room / self.stride + 1)
    }

    /// The images that a convolution to `channels` channels makes.
    #[must_use]
    pub fn output(&self, images: Images, channels: usize) -> Images {
        Images { height: self.places(images.height), width: self.places(images.width), channels, ..images }
    }

    /// Columns of the unrolled images: `channels·kernel²`.
    #[must_use]
    pub fn columns(&self, images: Images) -> usize {
        images.channels * self.kernel * self.kernel
    }

    /// The offsets of the window at `place` that lie within a side of `size` pixels, and the pixel of the first of them.
    pub(super) fn inside(&self, place: usize, size: usize) -> (std::ops::Range<usize>, usize) {
        let start = place * self.stride;
        let first = self.padding.saturating_sub(start).min(self.kernel);
        let end = (size + self.padding).saturating_sub(start).min(self.kernel).max(first);
        let pixel = if first < end { start + first - self.padding } else { 0 };
        (first..end, pixel)
    }
}

/// `x` `[batch·height·width, channels]` to `columns` `[batch·out_height·out_width, channels·kernel²]`, the columns in the
/// order (channel, row, column) of a flattened PyTorch weight `[out, channels, kernel, kernel]`.
///
/// # Panics
/// When the lengths do not fit.
pub fn im2col(images: Images, window: Window, x: &[f32], columns: &mut [f32]) {
    let (output, width) = (window.output(images, 1), window.columns(images));
    assert_eq!(x.len(), images.len(), "x: [batch·height·width, channels]");
    assert_eq!(columns.len(), output.pixels() * width, "columns: [places, channels·kernel²]");
    if columns.is_empty() {
        return;
    }
    let line = output.width * width;
    columns.par_chunks_mut(line).enumerate().for_each(|(place, columns)| {
        let (image, row) = (place / output.height, place % output.height);
        let x = &x[image * images.image_len()..][..images.image_len()];
        for (column, patch) in columns.chunks_exact_mut(width).enumerate() {
            gather(images, window, x, (row, column), patch);
        }
    });
}

/// The transpose of [`im2col`]: each number of `columns` is added to the pixel it came from. `gx` is overwritten.
///
/// # Panics
/// When the lengths do not fit.
pub fn col2im(images: Images, window: Window, columns: &[f32], gx: &mut [f32]) {
    let (output, width) = (window.output(images, 1), window.columns(images));
    assert_eq!(gx.len(), images.len(), "gx: [batch·height·width, channels]");
    assert_eq!(columns.len(), output.pixels() * width, "columns: [places, channels·kernel²]");
    if gx.is_empty() {
        return;
    }
    gx.par_chunks_mut(images.image_len()).enumerate().for_each(|(image, gx)| {
        gx.fill(0.0);
        let patches = columns[image * output.image_len() * width..].chunks_exact(width.max(1));
        for (place, patch) in patches.take(output.image_len()).enumerate() {
            scatter(images, window, patch, (place / output.width, place % output.width), gx);
        }
    });
}

/// One row of the unrolled image.
fn gather(images: Images, window: Window, x: &[f32], place: (usize, usize), patch: &mut [f32]) {
    let taps = window.kernel * window.kernel;
    let (rows, top) = window.inside(place.0, images.height);
    let (columns, left) = window.inside(place.1, images.width);
    if rows.len() * columns.len() < taps {
        patch.fill(0.0);
    }
    for (y, tap_row) in rows.enumerate() {
        let line = ((top + y) * images.width + left) * images.channels;
        let pixels = x[line..][..columns.len() * images.channels].chunks_exact(images.channels);
        for (pixel, tap) in pixels.zip(columns.clone()) {
            let first = tap_row * window.kernel + tap;
            for (out, value) in patch[first..].iter_mut().step_by(taps).zip(pixel) {
                *out = *value;
            }
        }
    }
}

/// One row of the unrolled gradient back to the image.
fn scatter(images: Images, window: Window, patch: &[f32], place: (usize, usize), gx: &mut [f32]) {
    let taps = window.kernel * window.kernel;
    let (rows, top) = window.inside(place.0, images.height);
    let (columns, left) = window.inside(place.1, images.width);
    for (y, tap_row) in rows.enumerate() {
        let line = ((top + y) * images.width + left) * images.channels;
        let pixels = gx[line..][..columns.len() * images.channels].chunks_exact_mut(images.channels);
        for (pixel, tap) in pixels.zip(columns.clone()) {
            let first = tap_row * window.kernel + tap;
            for (value, gradient) in pixel.iter_mut().zip(patch[first..].iter().step_by(taps)) {
                *value += gradient;
            }
        }
    }
}

/// `[batch, channels·height·width]` to `[batch·height·width, channels]`.
///
/// # Panics
/// When the lengths do not fit.
pub fn nchw_to_nhwc(images: Images, nchw: &[f32], nhwc: &mut [f32]) {
    assert!(nchw.len() == images.len() && nhwc.len() == images.len(), "both: batch·height·width·channels");
    transpose_each(images.channels, images.height * images.width, nchw, nhwc);
}

/// `[batch·height·width, channels]` to `[batch, channels·height·width]`.
///
/// # Panics
/// When the lengths do not fit.
pub fn nhwc_to_nchw(images: Images, nhwc: &[f32], nchw: &mut [f32]) {
    assert!(nchw.len() == images.len() && nhwc.len() == images.len(), "both: batch·height·width·channels");
    transpose_each(images.height * images.width, images.channels, nhwc, nchw);
}

/// Each `[rows, columns]` to `[columns, rows]`.
fn transpose_each(rows: usize, columns: usize, from: &[f32], to: &mut [f32]) {
    /// Side of the squares that are moved at a time: both sides of one fit in the first-level cache.
    const SQUARE: usize = 16;
    if from.is_empty() {
        return;
    }
    let matrix = rows * columns;
    from.par_chunks_exact(matrix).zip(to.par_chunks_exact_mut(matrix)).for_each(|(from, to)| {
        for first_row in (0..rows).step_by(SQUARE) {
            let end_row = rows.min(first_row + SQUARE);
            for first_column in (0..columns).step_by(SQUARE) {
                for column in first_column..columns.min(first_column + SQUARE) {
                    for (row, to) in (first_row..end_row).zip(&mut to[column * rows + first_row..]) {
                        *to = from[row * columns + column];
                    }
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::digital::matmul::{Update, matmul_nt};
    use crate::kernel::digital::oracle::{assert_close, random};
    use proptest::prelude::*;

    /// The convolution as PyTorch defines it, `[out, channels, kernel, kernel]`, to NHWC.
    fn convolve(images: Images, window: Window, x: &[f32], weight: &[f32], outputs: usize) -> Vec<f64> {
        let Images { batch, height, width, channels } = images;
        let k = window.kernel;
        let mut y = Vec::new();
        for image in 0..batch {
            for (row, column) in
                (0..window.places(height)).flat_map(|r| (0..window.places(width)).map(move |c| (r, c)))
            {
                for output in 0..outputs {
                    let mut sum = 0.0;
                    for (c, i, j) in
                        (0..channels).flat_map(|c| (0..k).flat_map(move |i| (0..k).map(move |j| (c, i, j))))
                    {
                        let (r, s) = (row * window.stride + i, column * window.stride + j);
                        let (p, h, w) = (window.padding, height, width);
                        if r >= p && s >= p && r - p < h && s - p < w {
                            let pixel = (image * h + r - p) * w + s - p;
                            let weight = weight[((output * channels + c) * k + i) * k + j];
                            sum += f64::from(x[pixel * channels + c]) * f64::from(weight);
                        }
                    }
                    y.push(sum);
                }
            }
        }
        y
    }

    proptest! {
        #[test]
        fn a_product_with_the_unrolled_images_is_the_convolution(
            (batch, height, width, channels) in (1usize..3, 1usize..8, 1usize..8, 1usize..4),
            (kernel, stride, padding) in (1usize..5, 1usize..4, 0usize..3),
            seed in 0u64..1000,
        ) {
            let images = Images { batch, height, width, channels };
            let window = Window { kernel, stride, padding };
            prop_assume!(window.places(height) > 0 && window.places(width) > 0);
            let (x, weight) = (random(seed, images.len()), random(seed + 1, 3 * window.columns(images)));
            let output = window.output(images, 3);
            let mut columns = vec![f32::NAN; output.pixels() * window.columns(images)];
            im2col(images, window, &x, &mut columns);
            let mut y = vec![0.0; output.len()];
            matmul_nt(&columns, &weight, window.columns(images), Update::SET, &mut y);
            assert_close("convolution", &y, &convolve(images, window, &x, &weight, 3), 1e-5);
        }

        #[test]
        fn col2im_is_the_transpose_of_im2col(
            (batch, height, width, channels) in (1usize..3, 1usize..8, 1usize..8, 1usize..4),
            (kernel, stride, padding) in (1usize..5, 1usize..4, 0usize..3),
            seed in 0u64..1000,
        ) {
            let images = Images { batch, height, width, channels };
            let window = Window { kernel, stride, padding };
            prop_assume!(window.places(height) > 0 && window.places(width) > 0);
            let x = random(seed, images.len());
            let mut columns = vec![0.0; window.output(images, 1).pixels() * window.columns(images)];
            im2col(images, window, &x, &mut columns);
            let g = random(seed + 1, columns.len());
            let mut gx = vec![f32::NAN; x.len()];
            col2im(images, window, &g, &mut gx);
            let inner = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
            // ⟨im2col(x), g⟩ = ⟨x, col2im(g)⟩; sums of at most 16 terms are rounded.
            prop_assert!((inner(&columns, &g) - inner(&x, &gx)).abs() < 1e-5 * (1.0 + columns.len() as f64));
        }

        #[test]
        fn changing_the_layout_and_back_changes_nothing(
            (batch, height, width, channels) in (1usize..3, 1usize..40, 1usize..8, 1usize..40),
        ) {
            let images = Images { batch, height, width, channels };
            let nchw = random(1, images.len());
            let (mut nhwc, mut back) = (vec![0.0; nchw.len()], vec![0.0; nchw.len()]);
            nchw_to_nhwc(images, &nchw, &mut nhwc);
            nhwc_to_nchw(images, &nhwc, &mut back);
            prop_assert_eq!(&nchw, &back);
            let (c, pixel) = (channels - 1, height * width - 1);
            prop_assert_eq!(nhwc[pixel * channels + c], nchw[c * height * width + pixel]);
        }
    }
}
