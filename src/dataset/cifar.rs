//! CIFAR-10 and CIFAR-100 (Krizhevsky 2009) in their binary form: records of 1 or 2 label bytes and 3 × 32 × 32 pixels.

use std::{fs, path::Path};

use super::{
    Dataset, DatasetError, ImageShape, Splits,
    bytes::{Bytes, IN_MEMORY},
    records::{Images, Packed},
    set::Records,
};

const SHAPE: ImageShape = ImageShape { channels: 3, height: 32, width: 32 };
/// Training and test file of CIFAR-100, and of CIFAR-10 in two files.
const TWO_FILES: [&str; 2] = ["train.bin", "test.bin"];
/// Training files of CIFAR-10 as its author distributes it.
const BATCHES: [&str; 5] =
    ["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"];
const TEST_BATCH: &str = "test_batch.bin";

/// Which CIFAR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cifar {
    /// 10 classes, 1 label byte.
    Ten,
    /// 100 classes; the first of 2 label bytes is the coarse class, which is not used.
    Hundred,
}

impl Cifar {
    fn name(self) -> &'static str {
        match self {
            Self::Ten => "CIFAR-10",
            Self::Hundred => "CIFAR-100",
        }
    }

    fn classes(self) -> usize {
        match self {
            Self::Ten => 10,
            Self::Hundred => 100,
        }
    }

    fn label_bytes(self) -> u64 {
        match self {
            Self::Ten => 1,
            Self::Hundred => 2,
        }
    }

    fn record(self) -> u64 {
        self.label_bytes() + SHAPE.values() as u64
    }

    fn class_names_file(self) -> &'static str {
        match self {
            Self::Ten => "batches.meta.txt",
            Self::Hundred => "fine_label_names.txt",
        }
    }

    fn fits(self, bytes: &Bytes) -> bool {
        bytes.len() > 0 && bytes.len().is_multiple_of(self.record())
    }
}

/// A file and its name for messages.
type Opened = (String, Bytes);

/// Reads CIFAR-10 or CIFAR-100, plain or `.gz`: `train.bin` and `test.bin`, or CIFAR-10's `data_batch_1.bin` to
/// `data_batch_5.bin` and `test_batch.bin`. Class names come from `batches.meta.txt` or `fine_label_names.txt` when there.
///
/// Plain files stay on disk; compressed ones are decompressed once, into memory up to 64 MiB, beyond that into a
/// temporary file. Without `cifar` the two are told apart by the sizes of the files.
///
/// # Errors
/// A file that is missing or no whole number of records, a label beyond the classes, class names of another number, or
/// sizes that fit both.
pub fn read_cifar(folder: &Path, cifar: Option<Cifar>) -> Result<Splits, DatasetError> {
    let batches = cifar != Some(Cifar::Hundred) && is_there(folder, BATCHES[0]);
    let (cifar, train, test) = if batches {
        let train = BATCHES.into_iter().map(|name| open(folder, name)).collect::<Result<_, _>>()?;
        (Cifar::Ten, train, open(folder, TEST_BATCH)?)
    } else {
        let [train, test] = TWO_FILES.map(|name| open(folder, name));
        let (train, test) = (train?, test?);
        let cifar = cifar.map_or_else(|| told_apart(folder, &train, &test), Ok)?;
        (cifar, vec![train], test)
    };
    Ok(Splits {
        train: dataset(folder, cifar, train, "training")?,
        test: dataset(folder, cifar, vec![test], "test")?,
    })
}

/// Whether a file of CIFAR lies in `folder`.
pub(super) fn looks_like_cifar(folder: &Path) -> bool {
    BATCHES[..1].iter().chain(&TWO_FILES).any(|name| is_there(folder, name))
}

fn is_there(folder: &Path, name: &str) -> bool {
    folder.join(name).exists() || folder.join(format!("{name}.gz")).exists()
}

fn open(folder: &Path, name: &str) -> Result<Opened, DatasetError> {
    let plain = folder.join(name);
    let path = if plain.exists() { plain } else { folder.join(format!("{name}.gz")) };
    if !path.exists() {
        return Err(DatasetError::Missing {
            folder: folder.to_owned(),
            name: name.to_owned(),
            expected: "the binary files of CIFAR-10 or CIFAR-100",
        });
    }
    Ok((path.display().to_string(), Bytes::open(&path, IN_MEMORY)?))
}

fn told_apart(folder: &Path, train: &Opened, test: &Opened) -> Result<Cifar, DatasetError> {
    let fitting = |(file, bytes): &Opened, candidates: &[Cifar]| {
        let fitting: Vec<_> = candidates.iter().copied().filter(|cifar| cifar.fits(bytes)).collect();
        if fitting.is_empty() { Err(no_records(file, bytes, candidates)) } else { Ok(fitting) }
    };
    let candidates = fitting(test, &fitting(train, &[Cifar::Ten, Cifar::Hundred])?)?;
    match candidates[..] {
        [cifar] => Ok(cifar),
        _ => Err(DatasetError::Ambiguous { folder: folder.to_owned() }),
    }
}

fn no_records(file: &str, bytes: &Bytes, candidates: &[Cifar]) -> DatasetError {
    let expected = match candidates {
        [Cifar::Ten] => "CIFAR-10 (3073 bytes each)",
        [Cifar::Hundred] => "CIFAR-100 (3074 bytes each)",
        _ => "CIFAR-10 (3073 bytes each) or CIFAR-100 (3074 bytes each)",
    };
    DatasetError::Records { file: file.to_owned(), bytes: bytes.len(), expected }
}

fn dataset(folder: &Path, cifar: Cifar, files: Vec<Opened>, part: &str) -> Result<Dataset, DatasetError> {
    let mut labels = Vec::new();
    let mut packed = Vec::new();
    for (file, bytes) in files {
        if !cifar.fits(&bytes) {
            return Err(no_records(&file, &bytes, &[cifar]));
        }
        labels.extend(read_labels(&file, &bytes, cifar)?);
        let (offset, stride) = (cifar.label_bytes(), cifar.record());
        let records = (bytes.len() / stride) as usize;
        packed.push(Packed { file, bytes, offset, stride, records });
    }
    let records = Records {
        source: folder.display().to_string(),
        classes: cifar.classes(),
        class_names: class_names(folder, cifar)?,
        labels,
        images: Images::Packed { files: packed, shape: SHAPE },
    };
    Ok(Dataset::new(&format!("{}, {part}", cifar.name()), records))
}

/// The last label byte of each record; the pixels between are not read.
fn read_labels(file: &str, bytes: &Bytes, cifar: Cifar) -> Result<Vec<u16>, DatasetError> {
    let (record, most) = (cifar.record(), cifar.classes() - 1);
    let label = |index: u64| {
        let mut label = [0];
        let offset = index * record + cifar.label_bytes() - 1;
        match bytes.read_at(&mut label, offset) {
            Err(source) => Err(DatasetError::Read { file: file.to_owned(), source }),
            Ok(()) if usize::from(label[0]) > most => {
                let (file, index) = (file.to_owned(), index as usize);
                Err(DatasetError::Label { file, index, label: label[0], most })
            }
            Ok(()) => Ok(u16::from(label[0])),
        }
    };
    (0..bytes.len() / record).map(label).collect()
}

fn class_names(folder: &Path, cifar: Cifar) -> Result<Option<Vec<String>>, DatasetError> {
    let path = folder.join(cifar.class_names_file());
    if !path.exists() {
        return Ok(None);
    }
    let file = path.display().to_string();
    let text =
        fs::read_to_string(&path).map_err(|source| DatasetError::Read { file: file.clone(), source })?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let names: Vec<String> = lines.map(str::to_owned).collect();
    if names.len() == cifar.classes() {
        Ok(Some(names))
    } else {
        Err(DatasetError::ClassNames { file, expected: cifar.classes(), found: names.len() })
    }
}

#[cfg(test)]
mod tests;
