//! MNIST in its four files.

use std::{fs::File, io::Read, path::Path};

use ndarray::Array2;

use super::{Dataset, DatasetError, idx::read_idx};

/// Training and test images.
#[derive(Clone, Debug, PartialEq)]
pub struct Mnist {
    /// For training.
    pub train: Dataset,
    /// For testing only.
    pub test: Dataset,
}

pub(super) const TRAIN: [&str; 2] = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"];
pub(super) const TEST: [&str; 2] = ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

/// Side of an image.
const SIDE: usize = 28;

/// Reads the four MNIST files, plain or `.gz`, from `folder`.
///
/// # Errors
/// A file that is missing, damaged, of another size than 28 × 28, with labels beyond 9, or images without labels.
pub fn read_mnist(folder: &Path) -> Result<Mnist, DatasetError> {
    let split = |[images, labels]: [&'static str; 2], part: &str| {
        let (images_file, images) = open(folder, images)?;
        let (labels_file, labels) = open(folder, labels)?;
        let source = folder.display().to_string();
        dataset((&images_file, images), (&labels_file, labels), format!("MNIST, {part}"), source)
    };
    Ok(Mnist { train: split(TRAIN, "training")?, test: split(TEST, "test")? })
}

fn open(folder: &Path, name: &'static str) -> Result<(String, File), DatasetError> {
    let plain = folder.join(name);
    let path = if plain.exists() { plain } else { folder.join(format!("{name}.gz")) };
    if !path.exists() {
        return Err(DatasetError::Missing { folder: folder.to_owned(), name });
    }
    let file = path.display().to_string();
    match File::open(&path) {
        Ok(opened) => Ok((file, opened)),
        Err(source) => Err(DatasetError::Read { file, source }),
    }
}

/// One split, from its two files.
pub(super) fn dataset(
    (images_file, images): (&str, impl Read),
    (labels_file, labels): (&str, impl Read),
    name: String,
    source: String,
) -> Result<Dataset, DatasetError> {
    let images = read_idx(images_file, images, 3)?;
    let count = images.sizes[0];
    if count == 0 || images.sizes[1..] != [SIDE, SIDE] {
        return Err(DatasetError::Dimensions {
            file: images_file.to_owned(),
            expected: "n × 28 × 28 with n at least 1",
            found: images.dimensions(),
        });
    }
    let labels = read_idx(labels_file, labels, 1)?;
    if labels.bytes.len() != count {
        return Err(DatasetError::Pairs {
            images_file: images_file.to_owned(),
            images: count,
            labels_file: labels_file.to_owned(),
            labels: labels.bytes.len(),
        });
    }
    if let Some((index, &label)) = labels.bytes.iter().enumerate().find(|(_, label)| **label > 9) {
        return Err(DatasetError::Label { file: labels_file.to_owned(), index, label });
    }
    let pixels = SIDE * SIDE;
    let images = Array2::from_shape_fn((count, pixels), |(image, pixel)| {
        f32::from(images.bytes[image * pixels + pixel]) / 255.0
    });
    Ok(Dataset { images, labels: labels.bytes, name, source })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::fs;

    use super::*;

    fn write_split(folder: &Path, [images, labels]: [&str; 2], count: u8, side: u8, label: u8) {
        let header = [0, 0, 8, 3, 0, 0, 0, count, 0, 0, 0, side, 0, 0, 0, side];
        let pixels = vec![255; usize::from(count) * usize::from(side) * usize::from(side)];
        fs::write(folder.join(images), [&header[..], &pixels].concat()).unwrap();
        fs::write(folder.join(labels), [&[0, 0, 8, 1, 0, 0, 0, 2][..], &[label, label]].concat()).unwrap();
    }

    #[test]
    fn a_folder_is_read_and_what_is_wrong_with_it_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let message = || read_mnist(folder.path()).unwrap_err().to_string();
        assert!(message().contains("neither train-images-idx3-ubyte nor train-images-idx3-ubyte.gz"));
        write_split(folder.path(), TRAIN, 2, 28, 3);
        write_split(folder.path(), TEST, 2, 28, 4);
        let mnist = read_mnist(folder.path()).unwrap();
        assert_eq!((mnist.train.labels, mnist.test.labels), (vec![3, 3], vec![4, 4]));
        assert_eq!(mnist.test.images, Array2::from_elem((2, 784), 1.0));
        write_split(folder.path(), TRAIN, 2, 28, 10);
        assert!(message().ends_with("label 0 is 10, expected 0 to 9"));
        write_split(folder.path(), TRAIN, 3, 28, 1);
        assert!(message().contains("holds 2 labels, but"));
        write_split(folder.path(), TRAIN, 2, 27, 1);
        assert!(message().ends_with("holds 2 × 27 × 27, expected n × 28 × 28 with n at least 1"));
    }
}
