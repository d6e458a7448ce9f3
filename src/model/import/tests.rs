//! Networks of other tools, read.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
};

use super::*;
use crate::model::{ModelMetadata, ResNetShape, Shortcut, Stem, stream, write_hf, write_model};

fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/vit-tiny-random-hf")
}

/// A folder of the shared data, or `None` with a word about it.
fn shared(folder: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/models").join(folder);
    if !path.exists() {
        eprintln!("SKIPPED: {} is not there", path.display());
        return None;
    }
    Some(path)
}

fn options() -> ImportOptions {
    ImportOptions { seed: 3, ..ImportOptions::default() }
}

fn provenance() -> Provenance {
    Provenance {
        tool: "alora test".to_owned(),
        created: "2026-01-01T00:00:00Z".to_owned(),
        ..file::unknown_origin()
    }
}

/// Writes `weights` under the names that `name` makes of theirs, with the tiny ViT's configuration beside them.
fn folder_of(weights: &Weights, name: impl Fn(&str) -> Option<String>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(tiny().join("config.json"), folder.path().join("config.json")).unwrap();
    let named: Vec<(String, &Parameter)> =
        weights.iter().filter_map(|(old, parameter)| Some((name(old)?, parameter))).collect();
    let entries: Vec<_> = named
        .iter()
        .map(|(name, part)| (name.as_str(), part.shape.as_slice(), part.values.as_slice()))
        .collect();
    stream::write(&folder.path().join("model.safetensors"), &Default::default(), &entries).unwrap();
    folder
}

fn innermost(error: &ModelError) -> String {
    let mut error: &dyn Error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

#[test]
fn a_vit_of_transformers_is_read_whole() {
    let read = read_vit(&tiny(), &options()).unwrap();
    assert_eq!(read.notes, []);
    let architecture = read.model.architecture();
    assert_eq!((architecture.classes(), architecture.input().height), (10, 16));
    assert_eq!(architecture.parameters(), read.model.weights().total());
    assert_eq!(read_vit(&tiny().join("model.safetensors"), &options()).unwrap(), read);
    assert_eq!(read_model(&tiny(), &options()).unwrap(), read);
}

#[test]
fn both_naming_schemes_mean_the_same_network() {
    let read = read_vit(&tiny(), &options()).unwrap();
    let renamed = folder_of(read.model.weights(), |name| Some(in_memory(name)));
    assert_eq!(read_vit(renamed.path(), &options()).unwrap(), read);
    let parallel = folder_of(read.model.weights(), |name| Some(format!("module.{name}")));
    assert_eq!(read_vit(parallel.path(), &options()).unwrap(), read);
}

#[test]
fn a_backbone_gets_a_new_head_and_its_pooler_is_left_out() {
    let read = read_vit(&tiny(), &options()).unwrap();
    let mut weights = read.model.weights().clone();
    weights.insert("vit.pooler.dense.bias", Parameter::filled(vec![32], 1.0));
    let folder = folder_of(&weights, |name| name.strip_prefix("vit.").map(str::to_owned));
    let error = read_vit(folder.path(), &options()).unwrap_err();
    assert!(innermost(&error).contains("say how many classes"));
    let seven = ImportOptions { classes: Some(7), ..options() };
    let backbone = read_vit(folder.path(), &seven).unwrap();
    assert_eq!(
        backbone.notes.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "the names have no `vit.` before them: read as a backbone",
            "not used and left out: pooler.dense.bias",
            "the file has no head; an untrained one for 7 classes was added (seed 3)",
        ]
    );
    let tensor = |model: &Model, name: &str| model.weights().get(name).cloned();
    let query = "vit.encoder.layer.1.attention.attention.query.weight";
    assert_eq!(tensor(&backbone.model, query), tensor(&read.model, query));
    assert_eq!(tensor(&backbone.model, "classifier.weight").unwrap().shape, [7, 32]);
    let again = read_vit(folder.path(), &seven).unwrap();
    assert_eq!(again, backbone);
    assert_ne!(read_vit(folder.path(), &ImportOptions { seed: 4, ..seven }).unwrap().model, backbone.model);
}

#[test]
fn another_number_of_classes_replaces_the_head_and_the_same_keeps_it() {
    let read = read_vit(&tiny(), &options()).unwrap();
    assert_eq!(read_vit(&tiny(), &ImportOptions { classes: Some(10), ..options() }).unwrap(), read);
    let hundred = read_vit(&tiny(), &ImportOptions { classes: Some(100), ..options() }).unwrap();
    assert_eq!(hundred.model.architecture().classes(), 100);
    assert_eq!(hundred.notes, [ImportNote::NewHead { classes: 100, found: Some(10), seed: 3 }]);
}

#[test]
fn shards_and_files_of_any_single_name_are_read() {
    let read = read_vit(&tiny(), &options()).unwrap();
    let folder = folder_of(read.model.weights(), |name| name.starts_with("vit.").then(|| name.to_owned()));
    let path = |name: &str| folder.path().join(name);
    fs::rename(path("model.safetensors"), path("model-00001-of-00002.safetensors")).unwrap();
    let head = folder_of(read.model.weights(), |name| name.starts_with("cl").then(|| name.to_owned()));
    fs::copy(head.path().join("model.safetensors"), path("model-00002-of-00002.safetensors")).unwrap();
    let error = read_vit(folder.path(), &options()).unwrap_err();
    assert!(innermost(&error).starts_with("2 weights files"));
    let index = r#"{"metadata": {}, "weight_map": {"a": "model-00001-of-00002.safetensors",
        "classifier.bias": "model-00002-of-00002.safetensors"}}"#;
    fs::write(path("model.safetensors.index.json"), index).unwrap();
    assert_eq!(read_vit(folder.path(), &options()).unwrap(), read);
    fs::write(path("model.safetensors.index.json"), r#"{"weight_map": {"a": "../x.safetensors"}}"#).unwrap();
    assert!(innermost(&read_vit(folder.path(), &options()).unwrap_err()).contains("expected names of files"));

    let folder = folder_of(read.model.weights(), |name| Some(name.to_owned()));
    let path = |name: &str| folder.path().join(name);
    fs::rename(path("model.safetensors"), path("model.fp16.safetensors")).unwrap();
    assert_eq!(read_vit(folder.path(), &options()).unwrap(), read);
}

#[test]
fn tensors_that_do_not_fit_and_names_that_come_twice_are_named() {
    let read = read_vit(&tiny(), &options()).unwrap();
    let mut weights = read.model.weights().clone();
    weights.remove("vit.layernorm.bias");
    weights.insert("vit.extra", Parameter::filled(vec![1], 0.0));
    let folder = folder_of(&weights, |name| Some(name.to_owned()));
    assert_eq!(
        innermost(&read_vit(folder.path(), &options()).unwrap_err()),
        "the tensors do not make a vision transformer: `vit.layernorm.bias` is missing, \
         `vit.extra` is not part of it"
    );
    let mut weights = read.model.weights().clone();
    weights.insert("layernorm.bias", Parameter::filled(vec![32], 0.0));
    let folder = folder_of(&weights, |name| Some(name.to_owned()));
    assert_eq!(
        innermost(&read_vit(folder.path(), &options()).unwrap_err()),
        "the tensor `vit.layernorm.bias` is there twice, under two naming schemes; keep one"
    );
}

#[test]
fn another_image_size_interpolates_the_position_embedding_and_keeps_the_class_token() {
    let read = read_vit(&tiny(), &options()).unwrap();
    let larger = read_vit(&tiny(), &ImportOptions { image_size: Some(24), ..options() }).unwrap();
    assert_eq!(larger.notes, [ImportNote::Positions { from: 4, to: 6 }]);
    let positions =
        |model: &Model| model.weights().get("vit.embeddings.position_embeddings").cloned().unwrap();
    let (old, new) = (positions(&read.model), positions(&larger.model));
    assert_eq!(new.shape, [1, 37, 32]);
    assert_eq!(new.values[..32], old.values[..32]);
    assert_eq!(new.values[32..], interpolate_positions(&old.values[32..], 4, 6, 32));
    let error = read_vit(&tiny(), &ImportOptions { image_size: Some(18), ..options() }).unwrap_err();
    assert_eq!(innermost(&error), "image_size is 18, expected a multiple of patch_size (4)");
}

#[test]
fn every_family_comes_back_from_its_own_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("network.safetensors");
    let metadata = ModelMetadata { merged: true, ..ModelMetadata::base(provenance()) };
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let tiny = read_vit(&tiny(), &options()).unwrap().model;
    for architecture in [
        Architecture::Mlp(crate::model::MlpShape::default()),
        Architecture::Cnn(crate::model::CnnShape::default()),
        Architecture::ResNet(ResNetShape::cifar(1, 10)),
        tiny.architecture().clone(),
    ] {
        let model = Model::random(architecture, &mut rng).unwrap();
        write_model(&model, &path, &metadata).unwrap();
        let read = read_model(&path, &options()).unwrap();
        assert_eq!((&read.model, read.merged), (&model, true));
        assert_eq!(read.provenance, Some(provenance()));
        assert!(matches!(read.refuse_merged(&path), Err(ModelError::AlreadyMerged { .. })));
        let whole = folder.path().join(model.architecture().what().replace(' ', "-"));
        write_hf(&model, &whole, &ModelMetadata::base(provenance())).unwrap();
        let read = read_model(&whole, &options()).unwrap();
        assert_eq!((&read.model, read.merged), (&model, false));
        assert_eq!(read.provenance, Some(provenance()));
    }
}

#[test]
fn an_mlp_of_the_first_format_is_read_as_a_square_image() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    let mlp = Architecture::Mlp(crate::model::MlpShape::default());
    let model = Model::random(mlp, &mut ChaCha8Rng::seed_from_u64(1)).unwrap();
    model.to_mlp().unwrap().write_merged(&path, &provenance()).unwrap();
    let read = read_model(&path, &options()).unwrap();
    assert_eq!((read.model, read.merged, read.provenance), (model, true, Some(provenance())));
}

#[test]
fn names_of_no_family_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    stream::write(&path, &Default::default(), &[("gpt.wte", &[1], &[0.0])]).unwrap();
    assert_eq!(
        innermost(&read_model(&path, &options()).unwrap_err()),
        "the tensor names are of no family known here (first: `gpt.wte`); expected an MLP, a CNN, a ResNet or a ViT"
    );
}

#[test]
fn a_torchvision_resnet_is_known_by_its_names_and_its_head_can_be_exchanged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("resnet.safetensors");
    let shape = ResNetShape { width: 4, ..ResNetShape::resnet18(Stem::Imagenet, 20) };
    let model =
        Model::random(Architecture::ResNet(shape.clone()), &mut ChaCha8Rng::seed_from_u64(1)).unwrap();
    let mut named: Vec<(String, &Parameter)> =
        model.weights().iter().map(|(name, part)| (format!("module.{name}"), part)).collect();
    let batches = Parameter { shape: vec![], values: vec![7.0] };
    named.push(("module.bn1.num_batches_tracked".to_owned(), &batches));
    let entries: Vec<_> = named
        .iter()
        .map(|(name, part)| (name.as_str(), part.shape.as_slice(), part.values.as_slice()))
        .collect();
    stream::write(&path, &Default::default(), &entries).unwrap();
    let read = read_model(&path, &options()).unwrap();
    assert_eq!(read.model, model);
    assert_eq!(read.notes[0].to_string(), "not used and left out: module.bn1.num_batches_tracked");
    let ten = ImportOptions { classes: Some(10), image_size: Some(64), ..options() };
    let read = read_resnet(&path, &ten).unwrap();
    let input = ImageShape { channels: 3, height: 64, width: 64 };
    assert_eq!(read.model.architecture(), &Architecture::ResNet(ResNetShape { classes: 10, input, ..shape }));
}

#[test]
fn the_published_cifar_resnets_are_recognised() {
    let Some(folder) = shared("cifar10-resnet") else { return };
    for (depth, blocks) in [(20, 3), (32, 5), (44, 7), (56, 9)] {
        let read = read_model(&folder.join(format!("resnet{depth}.safetensors")), &options()).unwrap();
        let Architecture::ResNet(shape) = read.model.architecture() else { unreachable!() };
        assert_eq!(*shape, ResNetShape::cifar(blocks, 10));
        assert_eq!((shape.shortcut, shape.stem), (Shortcut::Pad, Stem::Cifar));
    }
}

#[test]
fn a_published_vit_s_14_in_half_precision_is_read_at_the_size_asked() {
    let Some(folder) = shared("dinov2s-vit-s14") else { return };
    let ten = ImportOptions { classes: Some(10), ..options() };
    let read = read_vit(&folder, &ten).unwrap();
    assert_eq!(read.model.architecture().input().height, 224);
    let file = ImportOptions {
        image_size: Some(112),
        position_embedding: Some(folder.join("pos_112px_8x8.npy")),
        ..ten.clone()
    };
    let small = read_vit(&folder, &file).unwrap();
    let positions =
        |model: &Model| model.weights().get("vit.embeddings.position_embeddings").cloned().unwrap();
    let expected: ndarray::Array3<f32> = ndarray_npy::read_npy(folder.join("pos_112px_8x8.npy")).unwrap();
    assert_eq!(positions(&small.model).values, expected.iter().copied().collect::<Vec<_>>());

    // The file's own 16 × 16 were made from the raw 37 × 37 by the same rule and rounded to F16: one of its steps at
    // values up to 0.125 is 2⁻¹⁴.
    let raw = ImportOptions { position_embedding: Some(folder.join("pos_518px_37x37.npy")), ..ten };
    let ours = read_vit(&folder, &raw).unwrap();
    assert!(ours.notes.contains(&ImportNote::Positions { from: 37, to: 16 }));
    let (ours, stored) = (positions(&ours.model).values, positions(&read.model).values);
    let difference = ours.iter().zip(&stored).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(difference < 0.5_f32.powi(14), "{difference}");
}
