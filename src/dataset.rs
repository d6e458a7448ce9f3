//! Labelled images: MNIST, built in or from a folder.

mod bundled;
mod idx;
mod mnist;

use std::{io, path::PathBuf};

use ndarray::{Array2, s};

pub use bundled::bundled_mnist;
pub use mnist::{Mnist, read_mnist};

/// Labelled images. `images` and `labels` have the same length, at least 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// `[n, pixels]`, each within `[0, 1]`.
    pub images: Array2<f32>,
    /// Class of each image.
    pub labels: Vec<u8>,
    /// What it is, e.g. `MNIST subset, test`.
    pub name: String,
    /// Where it was read: a folder, or `built in`.
    pub source: String,
}

impl Dataset {
    /// Number of images.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// True when there is no image.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The first `n` images, or all when there are fewer.
    #[must_use]
    pub fn first(&self, n: usize) -> Self {
        let n = n.min(self.len());
        Self {
            images: self.images.slice(s![..n, ..]).to_owned(),
            labels: self.labels[..n].to_vec(),
            name: self.name.clone(),
            source: self.source.clone(),
        }
    }
}

/// Why a data set could not be read. `file` is a path, or the name of a built-in file.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// Neither the plain nor the compressed file is there.
    #[error(
        "{}: there is neither {name} nor {name}.gz; give a folder with the four MNIST files, or leave the key out for the built-in subset",
        folder.display()
    )]
    Missing {
        /// Folder that was given.
        folder: PathBuf,
        /// File looked for.
        name: &'static str,
    },
    /// Reading or decompressing failed.
    #[error("{file}: cannot be read; check that it is whole, or fetch it again")]
    Read {
        /// File.
        file: String,
        /// What the system or the decompressor said.
        #[source]
        source: io::Error,
    },
    /// Not an IDX file of unsigned bytes with that many dimensions.
    #[error(
        "{file}: the magic number is 0x{found:08x}, expected 0x{expected:08x} (IDX, unsigned bytes, {dimensions} dimensions)"
    )]
    Magic {
        /// File.
        file: String,
        /// Dimensions expected.
        dimensions: u8,
        /// Magic number expected.
        expected: u32,
        /// Magic number found.
        found: u32,
    },
    /// The file ends within its header.
    #[error("{file}: the file ends within its header: {found} bytes, expected {expected}")]
    Header {
        /// File.
        file: String,
        /// Bytes of the header.
        expected: usize,
        /// Bytes found.
        found: usize,
    },
    /// Fewer or more bytes than the header announces.
    #[error(
        "{file}: the header announces {expected} bytes ({dimensions}), found {found}; the file is truncated or not whole"
    )]
    Length {
        /// File.
        file: String,
        /// Dimensions of the header, e.g. `8000 × 28 × 28`.
        dimensions: String,
        /// Bytes announced.
        expected: u64,
        /// Bytes found; one more than announced stands for any excess.
        found: u64,
    },
    /// Images of another size, or none at all.
    #[error("{file}: holds {found}, expected {expected}")]
    Dimensions {
        /// File.
        file: String,
        /// What was expected.
        expected: &'static str,
        /// What was found, e.g. `60000 × 32 × 32`.
        found: String,
    },
    /// A label that is no digit.
    #[error("{file}: label {index} is {label}, expected 0 to 9")]
    Label {
        /// File.
        file: String,
        /// Which label, from 0.
        index: usize,
        /// What was found.
        label: u8,
    },
    /// Images and labels that do not belong together.
    #[error(
        "{labels_file} holds {labels} labels, but {images_file} holds {images} images; they must come in pairs"
    )]
    Pairs {
        /// File of the images.
        images_file: String,
        /// Images found.
        images: usize,
        /// File of the labels.
        labels_file: String,
        /// Labels found.
        labels: usize,
    },
}
