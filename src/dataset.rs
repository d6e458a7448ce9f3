//! Labelled images, streamed from disk: MNIST and its relatives (IDX), CIFAR-10 and CIFAR-100 (binary), folders of
//! images by class.
//!
//! A [`Dataset`] knows its labels and where each image lies; pixels are read when a batch asks for them, so memory
//! does not grow with the set. A [`Pipeline`] turns records into a network's input, a [`Loader`] does so one batch ahead.

mod augment;
mod bundled;
mod bytes;
mod cifar;
mod epoch;
mod error;
mod folders;
mod idx;
mod loader;
mod mnist;
mod pipeline;
mod preprocess;
mod raw;
mod read;
mod records;
mod resize;
mod set;
mod strata;

pub use augment::Augment;
pub use bundled::bundled_mnist;
pub use cifar::{Cifar, read_cifar};
pub use epoch::Epoch;
pub use error::DatasetError;
pub use folders::read_folders;
pub use loader::Loader;
pub use mnist::read_mnist;
pub use pipeline::{Batch, Pipeline};
pub use preprocess::Preprocess;
pub use raw::{ImageShape, RawImage};
pub use read::{Format, HeldOut, read};
pub use resize::Resample;
pub use set::Dataset;

/// Training and test images of one data set.
#[derive(Clone, Debug)]
pub struct Splits {
    /// For training.
    pub train: Dataset,
    /// For testing only.
    pub test: Dataset,
}

impl Splits {
    /// Both parts keep at most so many images, each class in proportion ([`Dataset::sample`]).
    #[must_use]
    pub fn limited(&self, train: usize, test: usize, seed: u64) -> Self {
        Self { train: self.train.sample(train, seed), test: self.test.sample(test, seed) }
    }
}
