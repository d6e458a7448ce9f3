//! One entry for every format.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{
    Cifar, DatasetError, Splits,
    cifar::{looks_like_cifar, read_cifar},
    folders::{read_folders, sub_folders},
    mnist::{looks_like_mnist, read_mnist},
};

/// Form of a data set on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Four IDX files: MNIST and sets in its layout ([`read_mnist`]).
    Mnist,
    /// CIFAR-10, binary ([`read_cifar`]).
    Cifar10,
    /// CIFAR-100, binary, fine labels ([`read_cifar`]).
    Cifar100,
    /// Images in one folder per class ([`read_folders`]).
    Folders,
}

/// Which images are kept for testing where a source has no test part of its own.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HeldOut {
    /// Share of each class, within `(0, 1)`.
    pub share: f64,
    /// Seed of the choice.
    pub seed: u64,
}

impl Default for HeldOut {
    /// A fifth, seed 0.
    fn default() -> Self {
        Self { share: 0.2, seed: 0 }
    }
}

/// Reads the data set in `folder`; without a `format` it is recognised by the names and sizes of the files.
///
/// # Errors
/// A folder in which nothing is recognised, or what the reader of the format says.
pub fn read(folder: &Path, format: Option<Format>, held_out: HeldOut) -> Result<Splits, DatasetError> {
    match format {
        Some(Format::Mnist) => read_mnist(folder),
        Some(Format::Cifar10) => read_cifar(folder, Some(Cifar::Ten)),
        Some(Format::Cifar100) => read_cifar(folder, Some(Cifar::Hundred)),
        Some(Format::Folders) => read_folders(folder, held_out),
        None if looks_like_mnist(folder) => read_mnist(folder),
        None if looks_like_cifar(folder) => read_cifar(folder, None),
        None if sub_folders(folder)?.is_empty() => {
            Err(DatasetError::Unrecognised { folder: folder.to_owned() })
        }
        None => read_folders(folder, held_out),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::fs;

    use super::*;
    use crate::dataset::Augment;

    fn message(folder: &Path, format: Option<Format>) -> String {
        let message = read(folder, format, HeldOut::default()).unwrap_err().to_string();
        message.replace(&folder.display().to_string(), "folder")
    }

    #[test]
    fn a_folder_is_recognised_by_what_lies_in_it() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(
            message(folder.path(), None),
            "folder: no data set is found here; give a folder with the four MNIST (IDX) files, the binary files of \
             CIFAR-10 or CIFAR-100, or images in one folder per class"
        );
        fs::create_dir(folder.path().join("only")).unwrap();
        assert!(message(folder.path(), None).starts_with("folder: holds 1 class folders"));
        fs::write(folder.path().join("test.bin"), [0; 3073]).unwrap();
        assert!(message(folder.path(), None).contains("neither train.bin nor train.bin.gz"));
        fs::write(folder.path().join("train.bin"), [0; 3073]).unwrap();
        assert_eq!(read(folder.path(), None, HeldOut::default()).unwrap().test.classes(), 10);
        fs::write(folder.path().join("t10k-labels-idx1-ubyte"), []).unwrap();
        assert!(message(folder.path(), None).contains("neither train-images-idx3-ubyte nor"));
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let missing = read(&folder.path().join("gone"), None, HeldOut::default()).unwrap_err().to_string();
        assert!(
            missing.ends_with("gone: the folder cannot be listed; check its path and permissions"),
            "{missing}"
        );
    }

    #[test]
    fn settings_have_the_names_of_the_field_and_no_others() {
        let format = |text| serde_json::from_str::<Format>(text).unwrap();
        assert_eq!((format("\"cifar10\""), format("\"folders\"")), (Format::Cifar10, Format::Folders));
        let augment = serde_json::from_str::<Augment>("{\"shift\": 4, \"flip\": true}").unwrap();
        assert_eq!(augment, Augment { shift: 4, flip: true, crop_padding: 0 });
        assert!(serde_json::from_str::<Augment>("{\"shfit\": 4}").is_err());
        assert!(serde_json::from_str::<HeldOut>("{\"seed\": 3}").is_ok_and(|held| held.share == 0.2));
    }

    #[test]
    fn a_format_that_is_given_is_not_guessed() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("train.bin"), [0; 3073]).unwrap();
        fs::write(folder.path().join("test.bin"), [0; 3073]).unwrap();
        assert!(message(folder.path(), Some(Format::Cifar100)).contains("of CIFAR-100 (3074 bytes each)"));
        assert!(message(folder.path(), Some(Format::Folders)).contains("holds 0 class folders"));
        assert!(message(folder.path(), Some(Format::Mnist)).contains("the four MNIST files"));
    }
}
