//! Networks against independent references: logits of published checkpoints, gradients, threads.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

use std::{collections::BTreeMap, path::Path, sync::Arc};

use alora::{
    finetune::{AdapterUse, Subject, logits},
    model::{ImportOptions, read_model},
    network::{Arithmetic, Network, Pass},
};
use ndarray::Array2;
use safetensors::SafeTensors;

fn shared(path: &str) -> Option<std::path::PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(path);
    if !path.exists() {
        eprintln!("SKIPPED: {} is not there", path.display());
    }
    path.exists().then_some(path)
}

fn tensor(file: &SafeTensors<'_>, name: &str) -> Array2<f32> {
    let view = file.tensor(name).unwrap();
    let values: Vec<f32> =
        view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    let rows = view.shape()[0];
    let cols = values.len() / rows;
    Array2::from_shape_vec((rows, cols), values).unwrap()
}

fn largest(a: &Array2<f32>, b: &Array2<f32>) -> f32 {
    assert_eq!(a.dim(), b.dim());
    a.iter().zip(b).fold(0.0, |max: f32, (a, b)| max.max((a - b).abs()))
}

#[test]
fn a_vision_transformer_of_transformers_gives_its_logits() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/vit-tiny-random-hf");
    let model = read_model(&folder, &ImportOptions::default()).unwrap().model;
    let bytes = std::fs::read(folder.join("ref_io.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let found =
        logits(&Subject::new(Arc::new(model), AdapterUse::None), tensor(&file, "pixel_values"), None, 0)
            .unwrap();
    let difference = largest(&found, &tensor(&file, "logits"));
    assert!(difference < 1e-4, "{difference}");
}

#[test]
fn the_pre_trained_backbone_gives_the_class_token_of_its_reference() {
    let Some(folder) = shared("models/dinov2s-vit-s14") else { return };
    let options = ImportOptions { classes: Some(10), ..ImportOptions::default() };
    let model = read_model(&folder, &options).unwrap().model;
    let mut npz =
        ndarray_npy::NpzReader::new(std::fs::File::open(folder.join("ref_io.npz")).unwrap()).unwrap();
    let input: ndarray::ArrayD<f32> = npz.by_name("x").unwrap();
    let output: ndarray::ArrayD<f32> = npz.by_name("last_hidden_state").unwrap();
    let batch = input.shape()[0];
    let pixels = input.len() / batch;
    let images = Array2::from_shape_vec((batch, pixels), input.iter().copied().collect()).unwrap();
    let network = Network::new(Arc::new(model), Arithmetic::Digital, &|_| false).unwrap();
    let own = BTreeMap::new();
    let features = network.features(images, &Pass::inference(&own, None, 0)).unwrap();
    let features: Vec<f32> = features.into_data().try_into_vec().unwrap();
    let (tokens, width) = (output.shape()[1], output.shape()[2]);
    for image in 0..batch {
        for feature in 0..width {
            let expected = output.as_slice().unwrap()[image * tokens * width + feature];
            let found = features[image * width + feature];
            // 8.4e-3 is what transformers itself loses to the 16-bit weights of this file.
            assert!((found - expected).abs() < 8.4e-3 * 1.2, "{feature}: {found} {expected}");
        }
    }
}
