//! Where the pixels of each image lie, and how to read them.

use std::path::{Path, PathBuf};

use image::{DynamicImage, ImageReader};

use super::{DatasetError, ImageShape, RawImage, bytes::Bytes};

/// The images of a set, in the order of their labels.
#[derive(Debug)]
pub(super) enum Images {
    /// Records of one length in one or more files, one plane per channel.
    Packed { files: Vec<Packed>, shape: ImageShape },
    /// One encoded image a file; paths are relative to `root`.
    Files { root: PathBuf, paths: Vec<Box<Path>> },
}

/// A file of records of one length.
#[derive(Debug)]
pub(super) struct Packed {
    /// Its path, or the name of a built-in file.
    pub(super) file: String,
    pub(super) bytes: Bytes,
    /// Where the pixels of the first image begin.
    pub(super) offset: u64,
    /// Bytes from one image to the next.
    pub(super) stride: u64,
    /// Images in this file.
    pub(super) records: usize,
}

impl Images {
    /// Size of every image, where it is known to be the same.
    pub(super) fn shape(&self) -> Option<ImageShape> {
        match self {
            Self::Packed { shape, .. } => Some(*shape),
            Self::Files { .. } => None,
        }
    }

    /// Reads one image. The caller has checked that `record` is one.
    pub(super) fn read(&self, record: usize) -> Result<RawImage, DatasetError> {
        match self {
            Self::Packed { files, shape } => read_packed(files, *shape, record),
            Self::Files { root, paths } => decode(&root.join(&paths[record])),
        }
    }
}

fn read_packed(files: &[Packed], shape: ImageShape, record: usize) -> Result<RawImage, DatasetError> {
    let mut index = record;
    let mut file = &files[0];
    for next in &files[1..] {
        if index < file.records {
            break;
        }
        index -= file.records;
        file = next;
    }
    let mut pixels = vec![0; shape.values()];
    match file.bytes.read_at(&mut pixels, file.offset + file.stride * index as u64) {
        Ok(()) => Ok(RawImage { shape, pixels }),
        Err(source) => Err(DatasetError::Read { file: file.file.clone(), source }),
    }
}

/// Decodes an image file; the format is taken from its first bytes, as Pillow does.
///
/// Transparency is dropped, 16 bits become 8. A camera's orientation mark is not followed, as in torchvision's
/// `ImageFolder`.
fn decode(path: &Path) -> Result<RawImage, DatasetError> {
    let failed = |source| DatasetError::Image { path: path.to_owned(), source };
    let reader = ImageReader::open(path).map_err(image::ImageError::from).map_err(failed)?;
    let reader = reader.with_guessed_format().map_err(image::ImageError::from).map_err(failed)?;
    Ok(planes(reader.decode().map_err(failed)?))
}

fn planes(image: DynamicImage) -> RawImage {
    let (height, width) = (image.height() as usize, image.width() as usize);
    if image.color().has_color() {
        let rgb = image.into_rgb8().into_raw();
        let pixels = (0..3).flat_map(|channel| rgb.iter().skip(channel).step_by(3)).copied().collect();
        RawImage { shape: ImageShape { channels: 3, height, width }, pixels }
    } else {
        let pixels = image.into_luma8().into_raw();
        RawImage { shape: ImageShape { channels: 1, height, width }, pixels }
    }
}
