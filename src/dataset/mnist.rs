//! MNIST, and sets in its layout (Fashion-MNIST, KMNIST), in four IDX files.

use std::path::Path;

use super::{
    Dataset, DatasetError, ImageShape, Splits,
    bytes::{Bytes, IN_MEMORY},
    idx::Idx,
    records::{Images, Packed},
    set::Records,
};

pub(super) const TRAIN: [&str; 2] = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"];
pub(super) const TEST: [&str; 2] = ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

/// Side of an image.
const SIDE: usize = 28;
const CLASSES: usize = 10;

/// Reads the four MNIST files, plain or `.gz`, from `folder`.
///
/// Plain image files stay on disk; compressed ones are decompressed once, into memory up to 64 MiB, beyond that into
/// a temporary file.
///
/// # Errors
/// A file that is missing, damaged, of another size than 28 × 28, with labels beyond 9, or images without labels.
pub fn read_mnist(folder: &Path) -> Result<Splits, DatasetError> {
    let split = |[images, labels]: [&'static str; 2], part: &str| {
        let source = folder.display().to_string();
        dataset(open(folder, images)?, open(folder, labels)?, &format!("MNIST, {part}"), source)
    };
    Ok(Splits { train: split(TRAIN, "training")?, test: split(TEST, "test")? })
}

/// Whether one of the four files lies in `folder`.
pub(super) fn looks_like_mnist(folder: &Path) -> bool {
    let is_there = |name: &&str| folder.join(name).exists() || folder.join(format!("{name}.gz")).exists();
    TRAIN.iter().chain(&TEST).any(is_there)
}

fn open(folder: &Path, name: &'static str) -> Result<(String, Bytes), DatasetError> {
    let plain = folder.join(name);
    let path = if plain.exists() { plain } else { folder.join(format!("{name}.gz")) };
    if !path.exists() {
        return Err(DatasetError::Missing {
            folder: folder.to_owned(),
            name: name.to_owned(),
            expected: "the four MNIST files, or leave the key out for the built-in subset",
        });
    }
    Ok((path.display().to_string(), Bytes::open(&path, IN_MEMORY)?))
}

/// One split, from its two files.
pub(super) fn dataset(
    (images_file, images): (String, Bytes),
    (labels_file, labels): (String, Bytes),
    name: &str,
    source: String,
) -> Result<Dataset, DatasetError> {
    let images = Idx::parse(&images_file, images, 3)?;
    let count = images.sizes[0];
    if count == 0 || images.sizes[1..] != [SIDE, SIDE] {
        return Err(DatasetError::Dimensions {
            file: images_file,
            expected: "n × 28 × 28 with n at least 1",
            found: images.dimensions(),
        });
    }
    let labels = Idx::parse(&labels_file, labels, 1)?.values(&labels_file)?;
    if labels.len() != count {
        return Err(DatasetError::Pairs { images_file, images: count, labels_file, labels: labels.len() });
    }
    if let Some((index, &label)) =
        labels.iter().enumerate().find(|(_, label)| usize::from(**label) >= CLASSES)
    {
        return Err(DatasetError::Label { file: labels_file, index, label, most: CLASSES - 1 });
    }
    let offset = images.offset();
    let shape = ImageShape { channels: 1, height: SIDE, width: SIDE };
    let file = Packed {
        file: images_file,
        bytes: images.bytes,
        offset,
        stride: shape.values() as u64,
        records: count,
    };
    let labels = labels.into_iter().map(u16::from).collect();
    let images = Images::Packed { files: vec![file], shape };
    Ok(Dataset::new(name, Records { source, classes: CLASSES, class_names: None, labels, images }))
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
        assert_eq!((mnist.train.labels(), mnist.test.labels()), (vec![3, 3], vec![4, 4]));
        assert_eq!(mnist.test.read(1).unwrap().pixels, vec![255; 784]);
        write_split(folder.path(), TRAIN, 2, 28, 10);
        assert!(message().ends_with("label 0 is 10, expected 0 to 9"));
        write_split(folder.path(), TRAIN, 3, 28, 1);
        assert!(message().contains("holds 2 labels, but"));
        write_split(folder.path(), TRAIN, 2, 27, 1);
        assert!(message().ends_with("holds 2 × 27 × 27, expected n × 28 × 28 with n at least 1"));
    }
}
