//! A labelled set of images and views of it.

use std::{fmt, ops::Range, sync::Arc};

use super::{
    DatasetError, ImageShape, RawImage,
    records::Images,
    strata::{held_out, proportional},
};

/// Labelled images that stay where they are stored; at least 1 when read. Cheap to clone.
///
/// A set may be a view of another (first images, a sample, one part of a split): it then shares everything but the
/// choice of images. Reading is safe from several threads at once.
#[derive(Clone)]
pub struct Dataset {
    records: Arc<Records>,
    view: View,
    name: Arc<str>,
}

/// Which records, in which order.
#[derive(Clone)]
enum View {
    Range(Range<usize>),
    Chosen(Arc<[usize]>),
}

/// What a set consists of.
pub(super) struct Records {
    pub(super) source: String,
    pub(super) classes: usize,
    pub(super) class_names: Option<Vec<String>>,
    /// Class of each image, below `classes`.
    pub(super) labels: Vec<u16>,
    /// As many as labels.
    pub(super) images: Images,
}

impl Dataset {
    pub(super) fn new(name: &str, records: Records) -> Self {
        let view = View::Range(0..records.labels.len());
        Self { records: Arc::new(records), view, name: name.into() }
    }

    /// Number of images.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.view {
            View::Range(range) => range.len(),
            View::Chosen(chosen) => chosen.len(),
        }
    }

    /// True when there is no image.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What it is, e.g. `MNIST subset, test`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it was read: a folder, or `built in`.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.records.source
    }

    /// Number of classes; every label is below it.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.records.classes
    }

    /// Name of each class, where the source gives them.
    #[must_use]
    pub fn class_names(&self) -> Option<&[String]> {
        self.records.class_names.as_deref()
    }

    /// Size of every image as stored, where it is known to be the same (not for folders of images).
    #[must_use]
    pub fn shape(&self) -> Option<ImageShape> {
        self.records.images.shape()
    }

    /// Class of image `index`.
    ///
    /// # Panics
    /// As a slice does, when `index` is not below [`len`](Self::len).
    #[must_use]
    pub fn label(&self, index: usize) -> usize {
        usize::from(self.records.labels[self.record(index)])
    }

    /// Class of each image.
    #[must_use]
    pub fn labels(&self) -> Vec<usize> {
        (0..self.len()).map(|index| self.label(index)).collect()
    }

    /// How often each class occurs.
    #[must_use]
    pub fn class_counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes()];
        (0..self.len()).for_each(|index| counts[self.label(index)] += 1);
        counts
    }

    /// Reads image `index` as it is stored.
    ///
    /// # Errors
    /// An index beyond the set, or a file that cannot be read or decoded.
    pub fn read(&self, index: usize) -> Result<RawImage, DatasetError> {
        self.check(index)?;
        self.records.images.read(self.record(index))
    }

    /// The first `n` images, or all when there are fewer.
    ///
    /// A set read from folders is in the order of its classes: take a [`sample`](Self::sample) there.
    #[must_use]
    pub fn first(&self, n: usize) -> Self {
        let n = n.min(self.len());
        let view = match &self.view {
            View::Range(range) => View::Range(range.start..range.start + n),
            View::Chosen(chosen) => View::Chosen(chosen[..n].into()),
        };
        Self { view, ..self.clone() }
    }

    /// The images at `indices`, in that order; one may occur more than once.
    ///
    /// # Errors
    /// An index beyond the set.
    pub fn subset(&self, indices: &[usize]) -> Result<Self, DatasetError> {
        indices.iter().try_for_each(|&index| self.check(index))?;
        Ok(self.chosen(indices.iter().copied()))
    }

    /// `n` images drawn without repetition, each class in proportion (within one image), in the order of the set; all
    /// when there are fewer. The same seed draws the same images.
    #[must_use]
    pub fn sample(&self, n: usize, seed: u64) -> Self {
        if n >= self.len() {
            return self.clone();
        }
        self.chosen(proportional(&self.labels(), self.classes(), n, seed).into_iter())
    }

    /// Splits into the images kept and the `share` held out, in each class (at least one on either side where the
    /// class has two). The same seed splits the same way.
    ///
    /// # Errors
    /// A share that is not within `(0, 1)`.
    pub fn split(&self, share: f64, seed: u64) -> Result<(Self, Self), DatasetError> {
        if !(share > 0.0 && share < 1.0) {
            return Err(DatasetError::Share(share));
        }
        let out = held_out(&self.labels(), self.classes(), share, seed);
        let side = |held| self.chosen((0..self.len()).filter(|&index| out[index] == held));
        Ok((side(false), side(true)))
    }

    /// The same images under another name.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        Self { name: name.into(), ..self }
    }

    /// Number of image `index` in its source, the same in every view.
    pub(super) fn record(&self, index: usize) -> usize {
        match &self.view {
            View::Range(range) => range.start + index,
            View::Chosen(chosen) => chosen[index],
        }
    }

    pub(super) fn check(&self, index: usize) -> Result<(), DatasetError> {
        if index < self.len() {
            Ok(())
        } else {
            Err(DatasetError::Index { name: self.name.to_string(), index, len: self.len() })
        }
    }

    fn chosen(&self, indices: impl Iterator<Item = usize>) -> Self {
        Self { view: View::Chosen(indices.map(|index| self.record(index)).collect()), ..self.clone() }
    }
}

impl fmt::Debug for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dataset")
            .field("name", &self.name)
            .field("source", &self.records.source)
            .field("images", &self.len())
            .field("classes", &self.classes())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::dataset::bundled_mnist;

    #[test]
    fn a_view_of_a_view_reads_the_images_it_names() {
        let all = bundled_mnist().unwrap().test;
        let some = all.subset(&[40, 7, 7, 1999]).unwrap();
        let fewer = some.subset(&[3, 1]).unwrap().first(5);
        assert_eq!((some.len(), fewer.len()), (4, 2));
        for (view, original) in [(0, 1999), (1, 7)] {
            assert_eq!(fewer.read(view).unwrap(), all.read(original).unwrap());
            assert_eq!(fewer.label(view), all.label(original));
        }
        assert_eq!(some.first(1).read(0).unwrap(), all.read(40).unwrap());
        assert_eq!(
            fewer.read(2).unwrap_err().to_string(),
            "MNIST subset, test: image 2 was asked for, but there are 2 (from 0)"
        );
        assert!(fewer.subset(&[2]).is_err());
    }

    #[test]
    fn a_sample_holds_each_class_in_proportion_and_repeats_with_its_seed() {
        let all = bundled_mnist().unwrap().train;
        let sample = all.sample(123, 5);
        assert_eq!(sample.len(), 123);
        assert!(sample.class_counts().iter().all(|&count| count == 12 || count == 13));
        let records = |data: &Dataset| (0..data.len()).map(|index| data.record(index)).collect::<Vec<_>>();
        assert!(records(&sample).is_sorted_by(|a, b| a < b));
        assert_eq!(records(&sample), records(&all.sample(123, 5)));
        assert_ne!(records(&sample), records(&all.sample(123, 6)));
        assert_eq!(all.sample(9000, 5).len(), 8000);
    }

    #[test]
    fn a_split_shares_no_image_and_loses_none() {
        let all = bundled_mnist().unwrap().test;
        let (kept, out) = all.split(0.25, 9).unwrap();
        assert_eq!((kept.class_counts(), out.class_counts()), (vec![150; 10], vec![50; 10]));
        let mut records: Vec<_> =
            [&kept, &out].iter().flat_map(|data| (0..data.len()).map(|index| data.record(index))).collect();
        records.sort_unstable();
        assert!(records.iter().copied().eq(0..2000));
        assert_eq!(
            all.split(1.0, 9).unwrap_err().to_string(),
            "the share of images held out for testing is 1, expected more than 0 and less than 1"
        );
    }
}
