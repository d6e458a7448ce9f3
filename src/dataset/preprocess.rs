//! From stored pixels to a network's input.

use serde::{Deserialize, Serialize};

use super::{DatasetError, ImageShape, RawImage, Resample, resize::resize};

/// What a network was trained to see, as the image processor of a published model states it.
///
/// The order is that of Hugging Face's image processors: channels, size, `(value · rescale − mean) / std`. The whole
/// image is resized to the output's size, whatever its sides' ratio; nothing is cut off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocess {
    /// The network's input: 1 or 3 channels. Grey images are repeated, colours become their luma.
    pub shape: ImageShape,
    /// How another size is met. Images that have the size are left as they are.
    pub resample: Resample,
    /// Factor on the stored values 0–255; 1/255 takes them to `[0, 1]`.
    pub rescale: f64,
    /// Mean of each channel, after rescaling.
    pub mean: Vec<f32>,
    /// Standard deviation of each channel, after rescaling; above 0.
    pub std: Vec<f32>,
}

impl Preprocess {
    /// Values in `[0, 1]`, bilinear where the size differs.
    #[must_use]
    pub fn plain(shape: ImageShape) -> Self {
        Self {
            shape,
            resample: Resample::Bilinear,
            rescale: 1.0 / 255.0,
            mean: vec![0.0; shape.channels],
            std: vec![1.0; shape.channels],
        }
    }

    /// Checks the channels and the normalisation.
    pub(super) fn check(&self) -> Result<(), DatasetError> {
        let ImageShape { channels, .. } = self.shape;
        if !matches!(channels, 1 | 3) || self.shape.plane() == 0 {
            return Err(DatasetError::Shape { shape: self.shape });
        }
        let counted = self.mean.len() == channels && self.std.len() == channels;
        let sound = self.mean.iter().all(|mean| mean.is_finite())
            && self.std.iter().all(|std| std.is_finite() && *std > 0.0)
            && self.rescale.is_finite();
        if counted && sound {
            Ok(())
        } else {
            Err(DatasetError::Normalisation { means: self.mean.len(), stds: self.std.len(), channels })
        }
    }

    /// The value of each of the 256 stored ones, per channel.
    ///
    /// Rescaled in 64 bits, normalised in 32, as the processors do it.
    pub(super) fn tables(&self) -> Vec<[f32; 256]> {
        let table = |(mean, std): (&f32, &f32)| {
            std::array::from_fn(|value| ((value as f64 * self.rescale) as f32 - mean) / std)
        };
        self.mean.iter().zip(&self.std).map(table).collect()
    }

    /// The image in the network's channels and size, still 8 bits.
    pub(super) fn fit(&self, image: RawImage) -> RawImage {
        // Grey is repeated only after resizing, which treats every plane alike.
        let grey_first = image.shape.channels > self.shape.channels;
        let mut image = if grey_first { image.in_channels(self.shape.channels) } else { image };
        let from = [image.shape.height, image.shape.width];
        let to = [self.shape.height, self.shape.width];
        if from != to {
            image.pixels = resize(&image.pixels, from, to, self.resample);
            image.shape = ImageShape { channels: image.shape.channels, ..self.shape };
        }
        image.in_channels(self.shape.channels)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const GREY: ImageShape = ImageShape { channels: 1, height: 1, width: 3 };

    #[test]
    fn colours_become_the_luma_of_pillow_and_grey_is_repeated() {
        let shape = ImageShape { channels: 3, ..GREY };
        let colours = RawImage { shape, pixels: vec![255, 10, 0, 0, 200, 255, 0, 90, 3] };
        // Pillow 12.3.0: Image.fromarray(…).convert("L").
        let luma = RawImage { shape: GREY, pixels: vec![76, 131, 150] };
        assert_eq!(Preprocess::plain(GREY).fit(colours), luma);
        let repeated = Preprocess::plain(shape).fit(luma);
        assert_eq!(repeated.pixels, [76, 131, 150, 76, 131, 150, 76, 131, 150]);
        assert_eq!(repeated.shape, shape);
    }

    #[test]
    fn values_are_rescaled_then_normalised() {
        let preprocess = Preprocess { mean: vec![0.5], std: vec![0.25], ..Preprocess::plain(GREY) };
        let table = preprocess.tables()[0];
        assert_eq!((table[0], table[255], table[51]), (-2.0, 2.0, (0.2 - 0.5) / 0.25));
        let plain = Preprocess::plain(GREY).tables()[0];
        assert!((0..=255_u8).all(|value| plain[usize::from(value)] == f32::from(value) / 255.0));
    }

    #[test]
    fn an_input_that_no_image_fits_is_refused() {
        let message = |preprocess: Preprocess| preprocess.check().unwrap_err().to_string();
        let plain = Preprocess::plain(GREY);
        assert_eq!(
            message(Preprocess { shape: ImageShape { channels: 2, ..GREY }, ..plain.clone() }),
            "the network's input is 2 × 1 × 3, expected 1 or 3 channels and at least one pixel"
        );
        let flat = "preprocessing has 1 means and 1 standard deviations, expected 1 of each, all numbers \
                    finite, the standard deviations above 0";
        assert_eq!(message(Preprocess { std: vec![0.0], ..plain.clone() }), flat);
        assert!(message(Preprocess { mean: vec![0.0; 3], ..plain }).contains("has 3 means and 1"));
    }
}
