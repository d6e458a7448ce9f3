//! Pooling of NHWC images, and the shortcut without parameters of residual networks.

use rayon::prelude::*;

use super::image::{Images, Window};

/// Largest number under each place of `window`, channel by channel: `x` to `y` `[batch·out_height·out_width, channels]`.
///
/// `indices`, as long as `y`, becomes the pixel within the image that each came from, the first of equal ones. Padding
/// never wins; NaN does.
///
/// # Panics
/// When the lengths do not fit, or when a window lies in the padding altogether.
pub fn max_pool(images: Images, window: Window, x: &[f32], y: &mut [f32], indices: &mut [u32]) {
    let output = window.output(images, images.channels);
    assert!(2 * window.padding <= window.kernel, "padding: at most half of the window");
    assert_eq!(x.len(), images.len(), "x: [batch·height·width, channels]");
    assert!(y.len() == output.len() && indices.len() == output.len(), "y and indices: [places, channels]");
    if y.is_empty() {
        return;
    }
    let outputs = y.par_chunks_mut(output.image_len()).zip(indices.par_chunks_mut(output.image_len()));
    outputs.zip(x.par_chunks(images.image_len())).for_each(|((y, indices), x)| {
        let places = y.chunks_exact_mut(images.channels).zip(indices.chunks_exact_mut(images.channels));
        for (place, (y, indices)) in places.enumerate() {
            let (rows, top) = window.inside(place / output.width, images.height);
            let (columns, left) = window.inside(place % output.width, images.width);
            y.fill(f32::NEG_INFINITY);
            indices.fill((top * images.width + left) as u32);
            for row in top..top + rows.len() {
                for pixel in row * images.width + left..row * images.width + left + columns.len() {
                    take_larger(&x[pixel * images.channels..][..images.channels], pixel as u32, y, indices);
                }
            }
        }
    });
}

/// Replaces what is smaller than `x`.
fn take_larger(x: &[f32], pixel: u32, y: &mut [f32], indices: &mut [u32]) {
    for ((y, index), &x) in y.iter_mut().zip(indices).zip(x) {
        let larger = x > *y || x.is_nan();
        *y = if larger { x } else { *y };
        *index = if larger { pixel } else { *index };
    }
}

/// From `g = ∂L/∂y` of [`max_pool`]: each number goes to the pixel that won. `gx` is overwritten.
///
/// # Panics
/// When the lengths do not fit.
pub fn max_pool_backward(images: Images, window: Window, indices: &[u32], g: &[f32], gx: &mut [f32]) {
    let output = window.output(images, images.channels);
    assert_eq!(gx.len(), images.len(), "gx: [batch·height·width, channels]");
    assert!(g.len() == output.len() && indices.len() == output.len(), "g and indices: [places, channels]");
    gx.fill(0.0);
    if g.is_empty() {
        return;
    }
    let inputs = g.par_chunks(output.image_len()).zip(indices.par_chunks(output.image_len()));
    inputs.zip(gx.par_chunks_mut(images.image_len())).for_each(|((g, indices), gx)| {
        for (place, (g, index)) in g.iter().zip(indices).enumerate() {
            gx[*index as usize * images.channels + place % images.channels] += g;
        }
    });
}

/// Mean over groups of `rows` rows: `x` `[groups·rows, columns]` to `y` `[groups, columns]`. Over the pixels of an image
/// this is global average pooling, over the tokens of one the mean token.
///
/// # Panics
/// When the lengths do not fit.
pub fn mean_rows(x: &[f32], rows: usize, columns: usize, y: &mut [f32]) {
    assert!(rows > 0 && columns > 0 && x.len() == rows * y.len(), "x: [groups·rows, columns]");
    assert!(y.len().is_multiple_of(columns), "y: [groups, columns]");
    y.par_chunks_mut(columns).zip(x.par_chunks(rows * columns)).for_each(|(y, x)| {
        y.fill(0.0);
        super::chunks::add_rows(x, y);
        y.iter_mut().for_each(|y| *y /= rows as f32);
    });
}

/// From `g = ∂L/∂y` of [`mean_rows`]: every row of a group gets `g/rows`. `gx` is overwritten.
///
/// # Panics
/// When the lengths do not fit.
pub fn mean_rows_backward(g: &[f32], rows: usize, columns: usize, gx: &mut [f32]) {
    assert!(rows > 0 && columns > 0 && gx.len() == rows * g.len(), "gx: [groups·rows, columns]");
    gx.par_chunks_mut(rows * columns).zip(g.par_chunks(columns)).for_each(|(gx, g)| {
        for gx in gx.chunks_exact_mut(columns) {
            gx.iter_mut().zip(g).for_each(|(gx, g)| *gx = g / rows as f32);
        }
    });
}

/// Option A of He et al. (arXiv 1512.03385): every `stride`-th pixel of `x`, with channels of zeros on both sides, as many
/// before as after (the odd one after); `y` `[batch·⌈height/stride⌉·⌈width/stride⌉, channels]` is overwritten.
///
/// # Panics
/// When the lengths do not fit or channels would be lost.
pub fn pad_shortcut(images: Images, stride: usize, channels: usize, x: &[f32], y: &mut [f32]) {
    let output = shortcut_output(images, stride, channels);
    assert_eq!(x.len(), images.len(), "x: [batch·height·width, channels]");
    assert_eq!(y.len(), output.len(), "y: [places, channels]");
    y.fill(0.0);
    each_kept_pixel(images, output, stride, |from, to| {
        y[to..to + images.channels].copy_from_slice(&x[from..from + images.channels]);
    });
}

/// From `g = ∂L/∂y` of [`pad_shortcut`]: adds to `gx`, where the other path's gradient may already stand.
///
/// # Panics
/// When the lengths do not fit or channels would be lost.
pub fn pad_shortcut_backward(images: Images, stride: usize, channels: usize, g: &[f32], gx: &mut [f32]) {
    let output = shortcut_output(images, stride, channels);
    assert_eq!(gx.len(), images.len(), "gx: [batch·height·width, channels]");
    assert_eq!(g.len(), output.len(), "g: [places, channels]");
    each_kept_pixel(images, output, stride, |from, to| {
        super::chunks::add(&g[to..to + images.channels], &mut gx[from..from + images.channels]);
    });
}

/// The images that [`pad_shortcut`] makes.
///
/// # Panics
/// When channels would be lost.
#[must_use]
pub fn shortcut_output(images: Images, stride: usize, channels: usize) -> Images {
    assert!(stride > 0 && channels >= images.channels, "channels: not fewer than before");
    Images {
        height: images.height.div_ceil(stride),
        width: images.width.div_ceil(stride),
        channels,
        ..images
    }
}

/// Calls `visit` with the first number of a kept pixel in `x`, and its place in `y`.
fn each_kept_pixel(images: Images, output: Images, stride: usize, mut visit: impl FnMut(usize, usize)) {
    let before = (output.channels - images.channels) / 2;
    for pixel in 0..output.pixels() {
        let (line, column) = (pixel / output.width, pixel % output.width);
        let (image, row) = (line / output.height, line % output.height);
        let from = (image * images.height + row * stride) * images.width + column * stride;
        visit(from * images.channels, pixel * output.channels + before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::digital::oracle::{assert_close, assert_gradient, random, weigh, wide};

    const IMAGES: Images = Images { batch: 2, height: 7, width: 5, channels: 3 };

    fn exact_max(window: Window, x: &[f64]) -> Vec<f64> {
        let Images { batch, height, width, channels } = IMAGES;
        let mut y = Vec::new();
        for image in 0..batch {
            for (row, column) in
                (0..window.places(height)).flat_map(|r| (0..window.places(width)).map(move |c| (r, c)))
            {
                for c in 0..channels {
                    let mut max = f64::NEG_INFINITY;
                    for (i, j) in (0..window.kernel).flat_map(|i| (0..window.kernel).map(move |j| (i, j))) {
                        let (r, s) = (row * window.stride + i, column * window.stride + j);
                        let p = window.padding;
                        if r >= p && s >= p && r - p < height && s - p < width {
                            max = max.max(x[((image * height + r - p) * width + s - p) * channels + c]);
                        }
                    }
                    y.push(max);
                }
            }
        }
        y
    }

    #[test]
    fn the_maximum_and_its_gradient_agree_with_f64() {
        for (kernel, stride, padding) in [(2, 2, 0), (3, 2, 1), (3, 1, 1), (1, 3, 0)] {
            let window = Window { kernel, stride, padding };
            // All negative: a padding of 0 would win.
            let x: Vec<f32> = random(1, IMAGES.len()).iter().map(|x| x - 3.0).collect();
            let output = window.output(IMAGES, 3);
            let (mut y, mut indices) = (vec![0.0; output.len()], vec![0; output.len()]);
            max_pool(IMAGES, window, &x, &mut y, &mut indices);
            assert_close("y", &y, &exact_max(window, &wide(&x)), 0.0);
            let g = random(2, y.len());
            let mut gx = vec![1.0; x.len()];
            max_pool_backward(IMAGES, window, &indices, &g, &mut gx);
            assert_gradient("gx", &x, &gx, |x| weigh(&g, &exact_max(window, x)));
        }
    }

    #[test]
    fn of_equal_numbers_the_first_gets_the_gradient() {
        let images = Images { batch: 1, height: 2, width: 2, channels: 1 };
        let window = Window { kernel: 2, stride: 2, padding: 0 };
        let (mut y, mut indices) = ([0.0], [9]);
        max_pool(images, window, &[1.0, 4.0, 4.0, 4.0], &mut y, &mut indices);
        assert_eq!((y, indices), ([4.0], [1]));
    }

    #[test]
    fn a_mean_of_rows_and_its_gradient_agree_with_f64() {
        let (groups, rows, columns) = (3, 7, 5);
        let (x, g) = (random(1, groups * rows * columns), random(2, groups * columns));
        let exact = |x: &[f64]| -> Vec<f64> {
            let element =
                |group: usize, c: usize| (0..rows).map(|r| x[(group * rows + r) * columns + c]).sum::<f64>();
            (0..groups * columns).map(|i| element(i / columns, i % columns) / rows as f64).collect()
        };
        let (mut y, mut gx) = (vec![1.0; g.len()], vec![1.0; x.len()]);
        mean_rows(&x, rows, columns, &mut y);
        assert_close("y", &y, &exact(&wide(&x)), 1e-6);
        mean_rows_backward(&g, rows, columns, &mut gx);
        assert_gradient("gx", &x, &gx, |x| weigh(&g, &exact(x)));
    }

    #[test]
    fn the_shortcut_keeps_every_second_pixel_between_channels_of_zeros() {
        let (x, channels) = (random(1, IMAGES.len()), 8);
        let output = shortcut_output(IMAGES, 2, channels);
        assert_eq!((output.height, output.width), (4, 3));
        let exact = |x: &[f64]| -> Vec<f64> {
            let mut y = Vec::new();
            for pixel in 0..output.pixels() {
                let (image, row, column) = (pixel / 12, pixel / 3 % 4, pixel % 3);
                let from = ((image * 7 + 2 * row) * 5 + 2 * column) * 3;
                y.extend([0.0, 0.0, x[from], x[from + 1], x[from + 2], 0.0, 0.0, 0.0]);
            }
            y
        };
        let mut y = vec![1.0; output.len()];
        pad_shortcut(IMAGES, 2, channels, &x, &mut y);
        assert_close("y", &y, &exact(&wide(&x)), 0.0);
        let g = random(2, y.len());
        let mut gx = vec![0.0; x.len()];
        pad_shortcut_backward(IMAGES, 2, channels, &g, &mut gx);
        assert_gradient("gx", &x, &gx, |x| weigh(&g, &exact(x)));
    }
}
