//! The subset that comes with the binary.

use super::{
    Dataset, DatasetError, Splits,
    bytes::{Bytes, IN_MEMORY},
    mnist::{TEST, TRAIN, dataset},
};

/// The built-in MNIST subset: 8 000 training and 2 000 test images, each class as often as any other. Source and
/// licence: `assets/mnist-small/README.md`.
///
/// # Errors
/// None in an intact binary.
pub fn bundled_mnist() -> Result<Splits, DatasetError> {
    let train_images = include_bytes!("../../assets/mnist-small/train-images-idx3-ubyte.gz").as_slice();
    let train_labels = include_bytes!("../../assets/mnist-small/train-labels-idx1-ubyte.gz").as_slice();
    let test_images = include_bytes!("../../assets/mnist-small/t10k-images-idx3-ubyte.gz").as_slice();
    let test_labels = include_bytes!("../../assets/mnist-small/t10k-labels-idx1-ubyte.gz").as_slice();
    Ok(Splits {
        train: split(TRAIN, [train_images, train_labels], "MNIST subset, training")?,
        test: split(TEST, [test_images, test_labels], "MNIST subset, test")?,
    })
}

fn split(files: [&str; 2], [images, labels]: [&[u8]; 2], name: &str) -> Result<Dataset, DatasetError> {
    let open = |file: &str, bytes| Ok((file.to_owned(), Bytes::from_reader(file, bytes, IN_MEMORY)?));
    dataset(open(files[0], images)?, open(files[1], labels)?, name, "built in".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::dataset::{Pipeline, Preprocess};

    #[test]
    fn the_built_in_subset_holds_each_class_equally_often() {
        let mnist = bundled_mnist().unwrap();
        let pipeline = Pipeline::new(Preprocess::plain(mnist.train.shape().unwrap()), None).unwrap();
        for (dataset, of_each) in [(&mnist.train, 800), (&mnist.test, 200)] {
            assert_eq!(pipeline.all(dataset).unwrap().images.dim(), (10 * of_each, 784));
            assert_eq!(dataset.class_counts(), vec![of_each; 10]);
        }
        // Known of MNIST: the mean pixel of the full training set is 0.1307; 8 000 images come within 0.003 of it.
        let mean = pipeline.all(&mnist.train).unwrap().images.mean().unwrap();
        assert!((mean - 0.1307).abs() < 0.003, "{mean}");
    }
}
