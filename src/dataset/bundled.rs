//! The subset that comes with the binary.

use super::{
    DatasetError,
    mnist::{Mnist, TEST, TRAIN, dataset},
};

/// The built-in MNIST subset: 8 000 training and 2 000 test images, each class as often as any other. Source and
/// licence: `assets/mnist-small/README.md`.
///
/// # Errors
/// None in an intact binary.
pub fn bundled_mnist() -> Result<Mnist, DatasetError> {
    let source = || "built in".to_owned();
    let train_images = include_bytes!("../../assets/mnist-small/train-images-idx3-ubyte.gz").as_slice();
    let train_labels = include_bytes!("../../assets/mnist-small/train-labels-idx1-ubyte.gz").as_slice();
    let test_images = include_bytes!("../../assets/mnist-small/t10k-images-idx3-ubyte.gz").as_slice();
    let test_labels = include_bytes!("../../assets/mnist-small/t10k-labels-idx1-ubyte.gz").as_slice();
    Ok(Mnist {
        train: dataset(
            (TRAIN[0], train_images),
            (TRAIN[1], train_labels),
            "MNIST subset, training".to_owned(),
            source(),
        )?,
        test: dataset(
            (TEST[0], test_images),
            (TEST[1], test_labels),
            "MNIST subset, test".to_owned(),
            source(),
        )?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_built_in_subset_holds_each_class_equally_often() {
        let mnist = bundled_mnist().unwrap();
        for (dataset, of_each) in [(&mnist.train, 800), (&mnist.test, 200)] {
            assert_eq!(dataset.images.dim(), (10 * of_each, 784));
            for class in 0..10 {
                assert_eq!(dataset.labels.iter().filter(|&&label| label == class).count(), of_each);
            }
        }
        // Known of MNIST: the mean pixel of the full training set is 0.1307; 8 000 images come within 0.003 of it.
        let mean = mnist.train.images.mean().unwrap();
        assert!((mean - 0.1307).abs() < 0.003, "{mean}");
    }
}
