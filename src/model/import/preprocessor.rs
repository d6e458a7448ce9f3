//! `preprocessor_config.json` of transformers.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use super::ImportNote;
use crate::model::{ModelError, json};

/// How transformers makes a ViT's input from an image: resize, multiply by `rescale_factor`, then
/// `(x − mean) / std` for each channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Preprocessor {
    /// Height and width after the resize, pixels.
    pub size: [usize; 2],
    /// Filter of the resize in Pillow's numbering: 0 nearest, 1 Lanczos, 2 bilinear, 3 bicubic.
    pub resample: u8,
    /// Whether the values 0–255 are rescaled.
    pub do_rescale: bool,
    /// Factor of it.
    pub rescale_factor: f64,
    /// Whether they are normalised.
    pub do_normalize: bool,
    /// Mean of each channel.
    pub mean: Vec<f32>,
    /// Standard deviation of each channel.
    pub std: Vec<f32>,
}

impl Default for Preprocessor {
    /// Of `google/vit-base-patch16-224`: bilinear to 224 × 224, values from −1 to 1.
    fn default() -> Self {
        Self {
            size: [224, 224],
            resample: 2,
            do_rescale: true,
            rescale_factor: 1.0 / 255.0,
            do_normalize: true,
            mean: vec![0.5; 3],
            std: vec![0.5; 3],
        }
    }
}

/// The file's keys; unknown ones are allowed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct HfPreprocessor {
    do_resize: Option<bool>,
    size: Option<Size>,
    do_center_crop: Option<bool>,
    resample: Option<u8>,
    do_rescale: Option<bool>,
    rescale_factor: Option<f64>,
    do_normalize: Option<bool>,
    image_mean: Option<Vec<f32>>,
    image_std: Option<Vec<f32>>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Size {
    Square(usize),
    Sides { height: usize, width: usize },
    Shortest { shortest_edge: usize },
}

/// Reads the file, with what of it is not done here.
pub(super) fn read(path: &Path) -> Result<(Preprocessor, Vec<ImportNote>), ModelError> {
    let found: HfPreprocessor = json::read(path)?;
    typed(found).map_err(|error| error.within(path))
}

fn typed(found: HfPreprocessor) -> Result<(Preprocessor, Vec<ImportNote>), ModelError> {
    let standard = Preprocessor::default();
    let mut notes = Vec::new();
    let mut note = |asked: bool, step| {
        if asked {
            notes.push(ImportNote::Preprocessor { step });
        }
    };
    note(found.do_center_crop == Some(true), "a centre crop");
    note(found.do_resize == Some(false), "no resize");
    note(matches!(found.size, Some(Size::Shortest { .. })), "a resize that keeps the proportions");
    let size = match found.size {
        Some(Size::Square(side) | Size::Shortest { shortest_edge: side }) => [side, side],
        Some(Size::Sides { height, width }) => [height, width],
        None => standard.size,
    };
    let preprocessor = Preprocessor {
        size,
        resample: found.resample.unwrap_or(standard.resample),
        do_rescale: found.do_rescale.unwrap_or(true),
        rescale_factor: found.rescale_factor.unwrap_or(standard.rescale_factor),
        do_normalize: found.do_normalize.unwrap_or(true),
        mean: found.image_mean.unwrap_or(standard.mean),
        std: found.image_std.unwrap_or(standard.std),
    };
    let usable = |std: &f32| std.is_finite() && *std > 0.0;
    if preprocessor.mean.len() != preprocessor.std.len() || !preprocessor.std.iter().all(usable) {
        return Err(ModelError::Metadata {
            key: "image_std",
            expected: format!("{} numbers above 0, one a mean", preprocessor.mean.len()),
            found: format!("{:?}", preprocessor.std),
        });
    }
    Ok((preprocessor, notes))
}

/// Writes the file so that transformers reads it.
pub(in crate::model) fn write(preprocessor: &Preprocessor, path: &Path) -> Result<(), ModelError> {
    let [height, width] = preprocessor.size;
    let value: Value = json!({
        "image_processor_type": "ViTImageProcessor",
        "do_resize": true,
        "size": { "height": height, "width": width },
        "resample": preprocessor.resample,
        "do_rescale": preprocessor.do_rescale,
        "rescale_factor": preprocessor.rescale_factor,
        "do_normalize": preprocessor.do_normalize,
        "image_mean": preprocessor.mean,
        "image_std": preprocessor.std,
    });
    json::write(path, &value)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_file_comes_back_and_google_s_is_the_default() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("preprocessor_config.json");
        let preprocessor = Preprocessor {
            size: [112, 96],
            resample: 3,
            mean: vec![0.485, 0.456, 0.406],
            std: vec![0.229, 0.224, 0.225],
            ..Preprocessor::default()
        };
        write(&preprocessor, &path).unwrap();
        assert_eq!(read(&path).unwrap(), (preprocessor, vec![]));
        let google = r#"{"do_normalize": true, "do_rescale": true, "do_resize": true, "image_mean": [0.5, 0.5, 0.5],
            "image_processor_type": "ViTFeatureExtractor", "image_std": [0.5, 0.5, 0.5], "resample": 2,
            "rescale_factor": 0.00392156862745098, "size": {"height": 224, "width": 224}}"#;
        assert_eq!(typed(serde_json::from_str(google).unwrap()).unwrap().0, Preprocessor::default());
    }

    #[test]
    fn what_is_not_done_is_noted_and_a_zero_deviation_refused() {
        let text = r#"{"size": {"shortest_edge": 256}, "do_center_crop": true}"#;
        let (preprocessor, notes) = typed(serde_json::from_str(text).unwrap()).unwrap();
        assert_eq!(preprocessor.size, [256, 256]);
        assert_eq!(
            notes[0].to_string(),
            "preprocessor_config.json asks for a centre crop, which is not done"
        );
        assert_eq!(notes.len(), 2);
        let error = typed(serde_json::from_str(r#"{"image_std": [1, 0, 1]}"#).unwrap()).unwrap_err();
        assert!(error.to_string().starts_with("the metadata entry `image_std` is [1.0, 0.0, 1.0]"));
    }
}
