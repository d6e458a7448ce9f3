//! Batches of a network's input.

use ndarray::{Array2, ArrayViewMut1};
use rayon::prelude::*;

use super::{Augment, Dataset, DatasetError, Epoch, ImageShape, Preprocess, RawImage};

/// Images and labels of a batch of `b`.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// `[b, c·h·w]`, each row channel by channel, row by row (the layout of PyTorch's `pixel_values`).
    pub images: Array2<f32>,
    /// Class of each image.
    pub labels: Vec<usize>,
}

/// Preprocessing and augmentation for one network. Cheap to clone, used from several threads at once.
///
/// Invariant: the preprocessing fits 1 or 3 channels and at least one pixel.
#[derive(Clone, Debug)]
pub struct Pipeline {
    preprocess: Preprocess,
    augment: Option<Augment>,
    /// Value of each stored one, per channel.
    tables: Vec<[f32; 256]>,
}

impl Pipeline {
    /// A pipeline; `augment` is used only for batches of an epoch.
    ///
    /// # Errors
    /// Another number of channels than 1 or 3, no pixel, or means and standard deviations that do not fit.
    pub fn new(preprocess: Preprocess, augment: Option<Augment>) -> Result<Self, DatasetError> {
        preprocess.check()?;
        Ok(Self { tables: preprocess.tables(), preprocess, augment })
    }

    /// The same preprocessing with other augmentation.
    #[must_use]
    pub fn with_augment(&self, augment: Option<Augment>) -> Self {
        Self { augment, ..self.clone() }
    }

    /// What the network sees.
    #[must_use]
    pub fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    /// Size of an image in a batch.
    #[must_use]
    pub fn shape(&self) -> ImageShape {
        self.preprocess.shape
    }

    /// Reads the images at `indices` of `data`, decoded and resized in parallel. Augmented for an `epoch`, plain
    /// without one (evaluation).
    ///
    /// # Errors
    /// An index beyond the set, a file that cannot be read or decoded, or an image smaller than its augmentation.
    pub fn batch(
        &self,
        data: &Dataset,
        indices: &[usize],
        epoch: Option<Epoch>,
    ) -> Result<Batch, DatasetError> {
        indices.iter().try_for_each(|&index| data.check(index))?;
        let mut images = Array2::zeros((indices.len(), self.shape().values()));
        images.outer_iter_mut().into_par_iter().zip(indices).try_for_each(|(row, &index)| {
            let image = self.augmented(data, index, epoch)?;
            self.fill(row, image);
            Ok(())
        })?;
        Ok(Batch { images, labels: indices.iter().map(|&index| data.label(index)).collect() })
    }

    /// All images of `data` at once, plain: for small sets only.
    ///
    /// # Errors
    /// A file that cannot be read or decoded.
    pub fn all(&self, data: &Dataset) -> Result<Batch, DatasetError> {
        self.batch(data, &(0..data.len()).collect::<Vec<_>>(), None)
    }

    fn augmented(
        &self,
        data: &Dataset,
        index: usize,
        epoch: Option<Epoch>,
    ) -> Result<RawImage, DatasetError> {
        let image = data.read(index)?;
        let (Some(augment), Some(epoch)) = (&self.augment, epoch) else { return Ok(image) };
        let ImageShape { height, width, .. } = image.shape;
        if height.min(width) <= augment.reach() {
            let (name, pixels) = (data.name().to_owned(), augment.reach());
            return Err(DatasetError::Augmentation { name, index, height, width, pixels });
        }
        // Of the record, not of the index: an image is varied alike in every view of its source.
        Ok(augment.apply(image, &mut epoch.augmentation(data.record(index))))
    }

    fn fill(&self, mut row: ArrayViewMut1<'_, f32>, image: RawImage) {
        let image = self.preprocess.fit(image);
        let plane = image.shape.plane();
        let planes = row.exact_chunks_mut(plane).into_iter().zip(image.pixels.chunks_exact(plane));
        for ((mut values, pixels), table) in planes.zip(&self.tables) {
            for (value, &pixel) in values.iter_mut().zip(pixels) {
                *value = table[usize::from(pixel)];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::dataset::{Resample, bundled_mnist};

    const MNIST: ImageShape = ImageShape { channels: 1, height: 28, width: 28 };

    fn augmenting() -> Pipeline {
        let augment = Augment { shift: 2, flip: true, crop_padding: 1 };
        Pipeline::new(Preprocess::plain(MNIST), Some(augment)).unwrap()
    }

    #[test]
    fn augmentation_depends_on_seed_epoch_and_image_alone() {
        let data = bundled_mnist().unwrap().test;
        let pipeline = augmenting();
        let epoch = Epoch { seed: 8, number: 1 };
        let batch = |indices: &[usize], epoch| pipeline.batch(&data, indices, epoch).unwrap().images;
        let both = batch(&[3, 90], Some(epoch));
        assert_eq!(both.row(1), batch(&[90], Some(epoch)).row(0));
        let view = data.subset(&[90]).unwrap();
        assert_eq!(pipeline.batch(&view, &[0], Some(epoch)).unwrap().images.row(0), both.row(1));
        let many: Vec<usize> = (0..50).collect();
        assert_ne!(batch(&many, Some(epoch)), batch(&many, Some(Epoch { number: 2, ..epoch })));
        assert_ne!(batch(&many, Some(epoch)), batch(&many, Some(Epoch { seed: 9, ..epoch })));
        assert_ne!(batch(&many, Some(epoch)), batch(&many, None));
    }

    #[test]
    fn evaluation_sees_the_images_as_they_are() {
        let data = bundled_mnist().unwrap().test.first(20);
        let plain = Pipeline::new(Preprocess::plain(MNIST), None).unwrap();
        let all = plain.all(&data).unwrap();
        assert_eq!(all, augmenting().all(&data).unwrap());
        assert_eq!(all.labels, data.labels());
        let expected: Vec<f32> =
            data.read(7).unwrap().pixels.iter().map(|&pixel| f32::from(pixel) / 255.0).collect();
        assert_eq!(all.images.row(7).to_vec(), expected);
    }

    #[test]
    fn each_channel_has_its_own_normalisation() {
        let data = bundled_mnist().unwrap().test.first(2);
        let shape = ImageShape { channels: 3, height: 32, width: 40 };
        let (mean, std) = (vec![0.0, 0.5, 0.25], vec![1.0, 0.5, 0.25]);
        let preprocess = Preprocess { mean, std, resample: Resample::Bicubic, ..Preprocess::plain(shape) };
        let images = Pipeline::new(preprocess, None).unwrap().all(&data).unwrap().images;
        assert_eq!(images.dim(), (2, 3 * 32 * 40));
        for place in 0..32 * 40 {
            let red = images[(1, place)];
            assert_eq!(images[(1, 1280 + place)], (red - 0.5) / 0.5);
            assert_eq!(images[(1, 2560 + place)], (red - 0.25) / 0.25);
        }
    }

    #[test]
    fn a_batch_that_cannot_be_made_says_why() {
        let data = bundled_mnist().unwrap().test;
        let epoch = Some(Epoch { seed: 0, number: 0 });
        let wide = Augment { shift: 28, ..Augment::default() };
        let pipeline = Pipeline::new(Preprocess::plain(MNIST), Some(wide)).unwrap();
        let message = |indices: &[usize]| pipeline.batch(&data, indices, epoch).unwrap_err().to_string();
        assert_eq!(
            message(&[4]),
            "MNIST subset, test: image 4 has 28 × 28 pixels, too few for a shift or crop of 28; lower it"
        );
        assert_eq!(
            message(&[4, 2000]),
            "MNIST subset, test: image 2000 was asked for, but there are 2000 (from 0)"
        );
    }
}
