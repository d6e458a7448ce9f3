//! What can be wrong with a data set.

use std::{io, path::PathBuf};

use super::ImageShape;

/// Why a data set could not be read, or not be turned into a network's input.
///
/// `file` is a path, or the name of a built-in file.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// Neither the plain nor the compressed file is there.
    #[error("{}: there is neither {name} nor {name}.gz; give a folder with {expected}", folder.display())]
    Missing {
        /// Folder that was given.
        folder: PathBuf,
        /// File looked for.
        name: String,
        /// What the folder should hold.
        expected: &'static str,
    },
    /// Nothing known lies in the folder.
    #[error(
        "{}: no data set is found here; give a folder with the four MNIST (IDX) files, the binary files of CIFAR-10 \
         or CIFAR-100, or images in one folder per class",
        folder.display()
    )]
    Unrecognised {
        /// Folder that was given.
        folder: PathBuf,
    },
    /// A folder that is not there or cannot be listed.
    #[error("{}: the folder cannot be listed; check its path and permissions", folder.display())]
    Folder {
        /// Folder.
        folder: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
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
    /// The temporary file for the decompressed bytes failed.
    #[error(
        "{file}: cannot be decompressed into a temporary file in {}; make room there, set TMPDIR to another folder, \
         or decompress it beforehand",
        folder.display()
    )]
    Spool {
        /// Compressed file.
        file: String,
        /// Folder of the temporary file.
        folder: PathBuf,
        /// What the system said.
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
        expected: u64,
        /// Bytes found.
        found: u64,
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
        /// Bytes found.
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
    /// A label beyond the classes.
    #[error("{file}: label {index} is {label}, expected 0 to {most}")]
    Label {
        /// File.
        file: String,
        /// Which label, from 0.
        index: usize,
        /// What was found.
        label: u8,
        /// Highest label.
        most: usize,
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
    /// Not a whole number of CIFAR records, or none at all.
    #[error(
        "{file}: {bytes} bytes are not one or more whole records of {expected}; the file is truncated or of another format"
    )]
    Records {
        /// File.
        file: String,
        /// Its size.
        bytes: u64,
        /// Formats tried, with the bytes of a record.
        expected: &'static str,
    },
    /// The sizes fit CIFAR-10 and CIFAR-100.
    #[error(
        "{}: the sizes of train.bin and test.bin fit CIFAR-10 (3073 bytes a record) and CIFAR-100 (3074 bytes a record); \
         give `format`",
        folder.display()
    )]
    Ambiguous {
        /// Folder that was given.
        folder: PathBuf,
    },
    /// A list of class names of the wrong length.
    #[error("{file}: lists {found} class names, expected {expected}; mend the file or remove it")]
    ClassNames {
        /// File.
        file: String,
        /// Classes of the format.
        expected: usize,
        /// Lines that are not empty.
        found: usize,
    },
    /// No folder per class.
    #[error("{}: holds {found} class folders, expected 2 or more, one per class", folder.display())]
    NoClasses {
        /// Folder that was searched.
        folder: PathBuf,
        /// Sub-folders found.
        found: usize,
    },
    /// A class folder without images.
    #[error("{}: holds no image (png, jpg, jpeg, bmp); add some or remove the folder", folder.display())]
    NoImages {
        /// Folder of the class.
        folder: PathBuf,
    },
    /// Training images without test images.
    #[error("{}: there is a folder `train` but none named `test` or `val`; add one", folder.display())]
    NoTest {
        /// Folder that was given.
        folder: PathBuf,
    },
    /// A class to test that is not trained.
    #[error("{}: class `{class}` has no folder among the training images; the parts must share classes", folder.display())]
    UnknownClass {
        /// Folder of the test images.
        folder: PathBuf,
        /// Class.
        class: String,
    },
    /// More classes than a label can tell.
    #[error("{}: holds {found} class folders, expected at most 65536", folder.display())]
    TooManyClasses {
        /// Folder that was searched.
        folder: PathBuf,
        /// Sub-folders found.
        found: usize,
    },
    /// No share of the images can be held out so.
    #[error("the share of images held out for testing is {0}, expected more than 0 and less than 1")]
    Share(f64),
    /// An image that cannot be decoded.
    #[error("{}: the image cannot be decoded; replace or remove it", path.display())]
    Image {
        /// File.
        path: PathBuf,
        /// What the decoder said.
        #[source]
        source: image::ImageError,
    },
    /// An index beyond the data set.
    #[error("{name}: image {index} was asked for, but there are {len} (from 0)")]
    Index {
        /// Data set.
        name: String,
        /// Asked for.
        index: usize,
        /// Images there are.
        len: usize,
    },
    /// A network's input that no image can be turned into.
    #[error("the network's input is {shape}, expected 1 or 3 channels and at least one pixel")]
    Shape {
        /// Channels, height and width.
        shape: ImageShape,
    },
    /// Mean and spread that do not fit the channels.
    #[error(
        "preprocessing has {means} means and {stds} standard deviations, expected {channels} of each, all \
         numbers finite, the standard deviations above 0"
    )]
    Normalisation {
        /// Means given.
        means: usize,
        /// Standard deviations given.
        stds: usize,
        /// Channels of the network's input.
        channels: usize,
    },
    /// An image too small for its augmentation.
    #[error(
        "{name}: image {index} has {height} × {width} pixels, too few for a shift or crop of {pixels}; lower it"
    )]
    Augmentation {
        /// Data set.
        name: String,
        /// Which image.
        index: usize,
        /// Rows of pixels.
        height: usize,
        /// Columns of pixels.
        width: usize,
        /// The larger of shift and crop padding.
        pixels: usize,
    },
    /// A batch size of 0.
    #[error("the batch size is 0, expected at least 1")]
    BatchSize,
    /// The thread that reads ahead could not be started.
    #[error("the thread that reads images ahead cannot be started; end other programs and try again")]
    Thread(#[source] io::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What no other test provokes.
    #[test]
    fn rare_errors_say_what_to_do() {
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        let spool =
            DatasetError::Spool { file: "train.bin.gz".into(), folder: "scratch".into(), source: full() };
        assert_eq!(
            spool.to_string(),
            "train.bin.gz: cannot be decompressed into a temporary file in scratch; make room there, set TMPDIR to \
             another folder, or decompress it beforehand"
        );
        let classes = DatasetError::TooManyClasses { folder: "images".into(), found: 70_000 };
        assert_eq!(classes.to_string(), "images: holds 70000 class folders, expected at most 65536");
        assert_eq!(DatasetError::BatchSize.to_string(), "the batch size is 0, expected at least 1");
        assert_eq!(
            DatasetError::Thread(full()).to_string(),
            "the thread that reads images ahead cannot be started; end other programs and try again"
        );
    }
}
