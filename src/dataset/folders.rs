//! Folders of images, one folder per class.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use walkdir::{DirEntry, WalkDir};

use super::{Dataset, DatasetError, HeldOut, Splits, records::Images, set::Records};

/// Endings of the images read, in small letters.
const ENDINGS: [&str; 4] = ["png", "jpg", "jpeg", "bmp"];
/// Folders of the test images, the first that is there.
const TEST: [&str; 2] = ["test", "val"];

/// Reads `train/<class>/…` and `test/<class>/…` (or `val/<class>/…`) below `folder`; where there is no `train`,
/// `<class>/…`, of which `held_out` is kept for testing.
///
/// Classes are the sorted names of the class folders. Images (png, jpg, jpeg, bmp) may lie in folders below the class.
/// They are listed now, and decoded only when a batch asks for them. Hidden files are passed over.
///
/// # Errors
/// A folder that cannot be listed, fewer than 2 classes, a class without images, training without test images, a class
/// to test that is not trained, or a share that is not within `(0, 1)`.
pub fn read_folders(folder: &Path, held_out: HeldOut) -> Result<Splits, DatasetError> {
    let name = folder.file_name().map_or_else(|| "images".into(), |name| name.to_string_lossy());
    let (training, test) = (format!("{name}, training"), format!("{name}, test"));
    let train_folder = folder.join("train");
    if !train_folder.is_dir() {
        let all = dataset(folder, &classes(folder)?, &name)?;
        let (kept, out) = all.split(held_out.share, held_out.seed)?;
        return Ok(Splits { train: kept.named(&training), test: out.named(&test) });
    }
    let mut folders = TEST.iter().map(|name| folder.join(name));
    let Some(test_folder) = folders.find(|folder| folder.is_dir()) else {
        return Err(DatasetError::NoTest { folder: folder.to_owned() });
    };
    let trained = classes(&train_folder)?;
    if let Some(class) = sub_folders(&test_folder)?.into_iter().find(|class| !trained.contains(class)) {
        return Err(DatasetError::UnknownClass { folder: test_folder, class });
    }
    Ok(Splits {
        train: dataset(&train_folder, &trained, &training)?,
        test: dataset(&test_folder, &trained, &test)?,
    })
}

fn classes(folder: &Path) -> Result<Vec<String>, DatasetError> {
    let classes = sub_folders(folder)?;
    match classes.len() {
        0 | 1 => Err(DatasetError::NoClasses { folder: folder.to_owned(), found: classes.len() }),
        2..=65_536 => Ok(classes),
        found => Err(DatasetError::TooManyClasses { folder: folder.to_owned(), found }),
    }
}

/// Sorted names of the folders in `folder`, without hidden ones.
pub(super) fn sub_folders(folder: &Path) -> Result<Vec<String>, DatasetError> {
    let failed = |source| DatasetError::Folder { folder: folder.to_owned(), source };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.path().is_dir() {
            let name = entry.file_name().into_string().map_err(|_| failed(not_unicode()))?;
            names.push(name);
        }
    }
    names.retain(|name| !name.starts_with('.'));
    names.sort_unstable();
    Ok(names)
}

fn not_unicode() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the name of a folder is not Unicode")
}

fn dataset(folder: &Path, classes: &[String], name: &str) -> Result<Dataset, DatasetError> {
    let (mut labels, mut paths) = (Vec::new(), Vec::new());
    for (label, class) in (0..=u16::MAX).zip(classes) {
        let class_folder = folder.join(class);
        let images = if class_folder.is_dir() { images_of(folder, &class_folder)? } else { Vec::new() };
        if images.is_empty() && class_folder.is_dir() {
            return Err(DatasetError::NoImages { folder: class_folder });
        }
        labels.resize(labels.len() + images.len(), label);
        paths.extend(images);
    }
    if labels.is_empty() {
        return Err(DatasetError::NoImages { folder: folder.to_owned() });
    }
    let records = Records {
        source: folder.display().to_string(),
        classes: classes.len(),
        class_names: Some(classes.to_vec()),
        labels,
        images: Images::Files { root: folder.to_owned(), paths },
    };
    Ok(Dataset::new(name, records))
}

/// Images below `class_folder`, sorted, as paths from `root`.
fn images_of(root: &Path, class_folder: &Path) -> Result<Vec<Box<Path>>, DatasetError> {
    let hidden = |entry: &DirEntry| entry.file_name().as_encoded_bytes().starts_with(b".");
    let walk = WalkDir::new(class_folder).follow_links(true).sort_by_file_name().into_iter();
    let mut images = Vec::new();
    for entry in walk.filter_entry(|entry| entry.depth() == 0 || !hidden(entry)) {
        let entry = entry.map_err(|error| DatasetError::Folder {
            folder: error.path().unwrap_or(class_folder).to_owned(),
            source: error.into(),
        })?;
        if entry.file_type().is_file() && is_image(entry.path()) {
            let path: PathBuf = entry.path().strip_prefix(root).unwrap_or(entry.path()).to_owned();
            images.push(path.into_boxed_path());
        }
    }
    Ok(images)
}

fn is_image(path: &Path) -> bool {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use image::{GrayImage, Luma, Rgb, RgbImage, Rgba, RgbaImage};

    use super::*;
    use crate::dataset::{ImageShape, Pipeline, Preprocess, RawImage};

    const HALF: HeldOut = HeldOut { share: 0.5, seed: 2 };

    fn write(folder: &Path, paths: &[&str]) {
        for path in paths {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            GrayImage::from_pixel(3, 2, Luma([7])).save(path).unwrap();
        }
    }

    fn message(folder: &Path) -> String {
        let message = read_folders(folder, HALF).unwrap_err().to_string();
        message.replace(&folder.display().to_string(), "folder")
    }

    #[test]
    fn classes_are_the_sorted_folders_and_images_may_lie_deeper() {
        let folder = tempfile::tempdir().unwrap();
        let train = ["train/dog/b.PNG", "train/dog/a.png", "train/ant/images/x.bmp"];
        write(folder.path(), &train);
        write(folder.path(), &["val/dog/1.png", "train/.cache/z.png", "train/dog/._a.png"]);
        fs::write(folder.path().join("train/dog/notes.txt"), "no image").unwrap();
        let splits = read_folders(folder.path(), HALF).unwrap();
        assert_eq!(splits.train.labels(), [0, 1, 1]);
        assert_eq!(splits.train.class_names().unwrap(), ["ant", "dog"]);
        assert_eq!((splits.test.labels(), splits.test.classes()), (vec![1], 2));
        assert!(splits.test.name().ends_with(", test"));
    }

    #[test]
    fn one_root_is_split_by_its_seed() {
        let folder = tempfile::tempdir().unwrap();
        let paths: Vec<String> =
            (0..20).flat_map(|image| [format!("ant/{image}.png"), format!("dog/{image}.png")]).collect();
        write(folder.path(), &paths.iter().map(String::as_str).collect::<Vec<_>>());
        let of_ants = |seed| {
            let splits = read_folders(folder.path(), HeldOut { share: 0.2, seed }).unwrap();
            assert_eq!((splits.train.class_counts(), splits.test.class_counts()), (vec![16; 2], vec![4; 2]));
            (0..4).map(|index| splits.test.record(index)).collect::<Vec<_>>()
        };
        assert_eq!(of_ants(1), of_ants(1));
        assert_ne!(of_ants(1), of_ants(2));
    }

    #[test]
    fn grey_colour_and_transparent_images_of_any_size_come_out_alike() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &["ant/1.png", "dog/1.png"]);
        let class = folder.path().join("ant");
        RgbImage::from_fn(5, 4, |x, _| Rgb([x as u8, 20, 30])).save(class.join("2.bmp")).unwrap();
        RgbaImage::from_pixel(4, 4, Rgba([9, 8, 7, 0])).save(class.join("3.png")).unwrap();
        RgbImage::from_pixel(16, 16, Rgb([200, 100, 50])).save(class.join("4.jpg")).unwrap();
        // A wrong ending does not matter.
        fs::rename(class.join("4.jpg"), class.join("4.png")).unwrap();
        let all = dataset(folder.path(), &classes(folder.path()).unwrap(), "all").unwrap();
        let shape = |channels, height, width| ImageShape { channels, height, width };
        assert_eq!(all.read(0).unwrap(), RawImage { shape: shape(1, 2, 3), pixels: vec![7; 6] });
        let planes = [[0, 1, 2, 3, 4].repeat(4), vec![20; 20], vec![30; 20]].concat();
        assert_eq!(all.read(1).unwrap(), RawImage { shape: shape(3, 4, 5), pixels: planes });
        assert_eq!(all.read(2).unwrap().pixels, [[9; 16], [8; 16], [7; 16]].concat());
        let pipeline = Pipeline::new(Preprocess::plain(shape(3, 6, 6)), None).unwrap();
        let batch = pipeline.all(&all).unwrap();
        assert_eq!((batch.images.dim(), batch.labels), ((5, 108), vec![0, 0, 0, 0, 1]));
        for (channel, expected) in [200.0, 100.0, 50.0].into_iter().enumerate() {
            // JPEG rounds in YCbCr: a colour comes back within two steps.
            assert!((batch.images[(3, channel * 36)] * 255.0 - expected).abs() <= 2.0);
        }
    }

    #[test]
    fn what_is_wrong_with_the_folders_is_said() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(
            message(folder.path()),
            "folder: holds 0 class folders, expected 2 or more, one per class"
        );
        write(folder.path(), &["train/ant/1.png", "train/dog/1.png"]);
        assert_eq!(
            message(folder.path()),
            "folder: there is a folder `train` but none named `test` or `val`; add one"
        );
        write(folder.path(), &["test/cat/1.png"]);
        assert_eq!(
            message(folder.path()),
            "folder/test: class `cat` has no folder among the training images; the parts must share classes"
        );
        fs::create_dir(folder.path().join("train/cat")).unwrap();
        assert_eq!(
            message(folder.path()),
            "folder/train/cat: holds no image (png, jpg, jpeg, bmp); add some or remove the folder"
        );
        fs::write(folder.path().join("train/cat/broken.jpg"), [0xff, 0xd8, 0xff]).unwrap();
        let splits = read_folders(folder.path(), HALF).unwrap();
        assert!(
            splits.train.read(1).unwrap_err().to_string().contains("train/cat/broken.jpg: the image cannot")
        );
    }
}
