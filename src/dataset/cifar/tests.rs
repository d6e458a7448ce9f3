#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]
use std::{io::Write, path::PathBuf};

use super::*;
use crate::dataset::{Pipeline, Preprocess};

/// Record `i` has the label `first + i` (after a coarse one of 1) and pixels of that value, the planes one apart.
fn records(cifar: Cifar, count: u8, first: u8) -> Vec<u8> {
    let record = |label: u8| {
        let labels = [1, label].into_iter().skip(2 - cifar.label_bytes() as usize);
        labels.chain((0..3).flat_map(move |plane| [label + plane; 1024]))
    };
    (first..first + count).flat_map(record).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn folder_of(files: &[(&str, Vec<u8>)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    files.iter().for_each(|(name, bytes)| fs::write(folder.path().join(name), bytes).unwrap());
    folder
}

fn message(folder: &tempfile::TempDir, cifar: Option<Cifar>) -> String {
    let message = read_cifar(folder.path(), cifar).unwrap_err().to_string();
    message.replace(&folder.path().display().to_string(), "folder")
}

#[test]
fn the_two_are_told_apart_plain_and_compressed() {
    for (cifar, first) in [(Cifar::Ten, 3), (Cifar::Hundred, 90)] {
        let (train, test) = (records(cifar, 5, first), records(cifar, 2, first));
        let folder = folder_of(&[("train.bin.gz", gzip(&train)), ("test.bin", test)]);
        let splits = read_cifar(folder.path(), None).unwrap();
        assert_eq!(splits.train.classes(), cifar.classes());
        assert_eq!(splits.train.labels(), (0..5).map(|i| i + usize::from(first)).collect::<Vec<_>>());
        assert_eq!(splits.test.name(), format!("{}, test", cifar.name()));
        for part in [splits.train, splits.test] {
            let image = part.read(1).unwrap();
            assert_eq!(image.shape, SHAPE);
            let planes: Vec<_> = image.pixels.chunks(1024).map(|plane| plane[0]).collect();
            assert_eq!(planes, [first + 1, first + 2, first + 3]);
        }
    }
}

#[test]
fn the_five_batches_are_one_set_with_the_names_of_its_classes() {
    let mut files: Vec<_> =
        BATCHES.iter().zip(1..).map(|(&name, n)| (name, records(Cifar::Ten, n, n))).collect();
    files.push((TEST_BATCH, records(Cifar::Ten, 1, 0)));
    files.push(("batches.meta.txt", b"a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n".to_vec()));
    let folder = folder_of(&files);
    let train = read_cifar(folder.path(), None).unwrap().train;
    assert_eq!(train.labels(), [1, 2, 3, 3, 4, 5, 4, 5, 6, 7, 5, 6, 7, 8, 9]);
    assert!((0..15).all(|index| usize::from(train.read(index).unwrap().pixels[0]) == train.label(index)));
    assert_eq!(train.class_names().unwrap()[9], "j");
    fs::write(folder.path().join("batches.meta.txt"), "a\nb").unwrap();
    assert_eq!(
        message(&folder, None),
        "folder/batches.meta.txt: lists 2 class names, expected 10; mend the file or remove it"
    );
    fs::remove_file(folder.path().join("data_batch_4.bin")).unwrap();
    assert_eq!(
        message(&folder, None),
        "folder: there is neither data_batch_4.bin nor data_batch_4.bin.gz; give a folder with the binary files of \
         CIFAR-10 or CIFAR-100"
    );
}

#[test]
fn a_truncated_or_mismatched_file_is_named() {
    let whole = records(Cifar::Ten, 3, 0);
    let folder = folder_of(&[("train.bin", whole[..9000].to_vec()), ("test.bin", whole.clone())]);
    assert_eq!(
        message(&folder, None),
        "folder/train.bin: 9000 bytes are not one or more whole records of CIFAR-10 (3073 bytes each) or CIFAR-100 \
         (3074 bytes each); the file is truncated or of another format"
    );
    let folder = folder_of(&[("train.bin", whole.clone()), ("test.bin", records(Cifar::Hundred, 2, 0))]);
    assert_eq!(
        message(&folder, None),
        "folder/test.bin: 6148 bytes are not one or more whole records of CIFAR-10 (3073 bytes each); the file is \
         truncated or of another format"
    );
    assert!(message(&folder, Some(Cifar::Hundred)).starts_with("folder/train.bin: 9219 bytes are not"));
    let folder = folder_of(&[("train.bin", records(Cifar::Ten, 3, 8)), ("test.bin", whole)]);
    assert_eq!(message(&folder, None), "folder/train.bin: label 2 is 10, expected 0 to 9");
    let folder = folder_of(&[("train.bin", vec![]), ("test.bin", vec![])]);
    assert!(message(&folder, None).starts_with("folder/train.bin: 0 bytes are not"));
}

#[test]
fn sizes_that_fit_both_need_the_format() {
    let both = vec![0; 3073 * 3074];
    let folder = folder_of(&[("train.bin", both.clone()), ("test.bin", both)]);
    assert_eq!(
        message(&folder, None),
        "folder: the sizes of train.bin and test.bin fit CIFAR-10 (3073 bytes a record) and CIFAR-100 (3074 bytes a \
         record); give `format`"
    );
    assert_eq!(read_cifar(folder.path(), Some(Cifar::Ten)).unwrap().train.len(), 3074);
    assert_eq!(read_cifar(folder.path(), Some(Cifar::Hundred)).unwrap().train.len(), 3073);
    // One file that fits only one is enough.
    fs::write(folder.path().join("test.bin"), records(Cifar::Hundred, 1, 7)).unwrap();
    assert_eq!(read_cifar(folder.path(), None).unwrap().train.classes(), 100);
}

#[test]
fn the_shared_subsets_hold_each_class_equally_often_with_the_known_means() {
    let shared = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    // Means of the full training sets, red, green, blue, from the subsets' README.
    let subsets = [
        ("cifar10-10k", 10, [0.491_399_68, 0.482_158_41, 0.446_530_91]),
        ("cifar100-10k", 100, [0.507_075_16, 0.486_548_87, 0.440_917_84]),
    ];
    for (name, classes, expected) in subsets {
        let folder = shared.join(name);
        if !folder.exists() {
            eprintln!("SKIPPED: {} is not there", folder.display());
            continue;
        }
        let splits = read_cifar(&folder, None).unwrap();
        assert_eq!(splits.train.class_counts(), vec![10_000 / classes; classes]);
        assert_eq!(splits.test.class_counts(), vec![2_000 / classes; classes]);
        let batch = Pipeline::new(Preprocess::plain(SHAPE), None).unwrap().all(&splits.train).unwrap();
        for (channel, expected) in expected.into_iter().enumerate() {
            let plane = batch.images.slice(ndarray::s![.., channel * 1024..(channel + 1) * 1024]);
            let mean = plane.iter().map(|&value| f64::from(value)).sum::<f64>() / plane.len() as f64;
            // The means of single images spread by less than 0.17: 10 000 of them come within 4 · 0.0017.
            assert!((mean - expected).abs() < 0.007, "{name}: channel {channel} {mean}");
        }
    }
}
