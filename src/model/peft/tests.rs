//! Adapters to peft's folders and back, and the same in Python.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use alora_calibration::Provenance;
use ndarray::{Array1, Array2};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::model::{
    Adapter, AdapterSet, Architecture, CnnShape, ImportOptions, LayerSpec, Model, ModelError, ModelMetadata,
    json, read_adapters, read_vit, write_hf,
};

fn tiny() -> Model {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/vit-tiny-random-hf");
    read_vit(&path, &ImportOptions::default()).unwrap().model
}

fn random(layer: &LayerSpec, rank: usize, alpha: f32, biased: bool, rng: &mut ChaCha8Rng) -> Adapter {
    let mut matrix = |rows, cols| Array2::from_shape_simple_fn((rows, cols), || rng.random_range(-0.3..0.3));
    let (a, b) = (matrix(rank, layer.inputs), matrix(layer.outputs, rank));
    let mut vector =
        |length| biased.then(|| Array1::from_shape_simple_fn(length, || rng.random_range(-0.3..0.3)));
    let (a_bias, b_bias) = (vector(rank), vector(layer.outputs));
    Adapter { a, b, a_bias, b_bias, alpha }
}

/// Adapters beside every layer, of two ranks and factors.
fn adapters(architecture: &Architecture, biased: bool) -> AdapterSet {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let adapters = architecture.layers().into_iter().enumerate().map(|(index, layer)| {
        let (rank, alpha) = if index % 5 == 3 { (3, 4.5) } else { (4, 8.0) };
        let adapter = random(&layer, rank, alpha, biased, &mut rng);
        (layer.name, adapter)
    });
    AdapterSet::new(adapters.collect(), architecture).unwrap()
}

/// The same with the bias of `A` in that of `B`.
fn folded(set: AdapterSet, architecture: &Architecture) -> AdapterSet {
    let fold = |(layer, adapter): (String, Adapter)| {
        let b_bias = adapter.folded_bias();
        (layer, Adapter { a_bias: None, b_bias, ..adapter })
    };
    AdapterSet::new(set.into_adapters().into_iter().map(fold).collect(), architecture).unwrap()
}

#[test]
fn adapters_come_back_from_either_layout_with_their_biases_folded() {
    let cnn = Architecture::Cnn(CnnShape::default());
    for architecture in [tiny().architecture(), &cnn] {
        for layout in [PeftLayout::Transformers5, PeftLayout::Transformers4] {
            for biased in [true, false] {
                let folder = tempfile::tempdir().unwrap();
                let set = adapters(architecture, biased);
                let options = PeftOptions { layout, base: Some("base".to_owned()) };
                write_peft(&set, architecture, folder.path(), &options).unwrap();
                assert_eq!(read_peft(folder.path(), architecture).unwrap(), folded(set, architecture));
            }
        }
    }
}

#[test]
fn adapters_are_read_from_either_format_by_their_path() {
    let model = tiny();
    let folder = tempfile::tempdir().unwrap();
    let (file, peft) = (folder.path().join("adapters.safetensors"), folder.path().join("peft"));
    let set = folded(adapters(model.architecture(), true), model.architecture());
    set.write(&file, &crate::model::file::unknown_origin()).unwrap();
    write_peft(&set, model.architecture(), &peft, &PeftOptions::default()).unwrap();
    for path in [file, peft] {
        assert_eq!(read_adapters(&path, model.architecture()).unwrap(), set);
    }
}

#[test]
fn the_configuration_says_what_peft_needs() {
    let model = tiny();
    let folder = tempfile::tempdir().unwrap();
    let set = adapters(model.architecture(), true);
    write_peft(&set, model.architecture(), folder.path(), &PeftOptions::default()).unwrap();
    let config: serde_json::Value = json::read(&folder.path().join(CONFIG)).unwrap();
    assert_eq!((&config["r"], &config["lora_alpha"]), (&4.into(), &8.into()));
    assert_eq!((&config["lora_bias"], &config["task_type"]), (&true.into(), &serde_json::Value::Null));
    assert_eq!(config["target_modules"].as_array().unwrap().len(), 13);
    assert_eq!(config["rank_pattern"]["vit.layers.0.attention.o_proj"], 3);
    assert_eq!(config["alpha_pattern"]["vit.layers.0.attention.o_proj"], 4.5);
}

#[test]
fn one_biased_adapter_gives_all_a_bias_of_zeros() {
    let model = tiny();
    let folder = tempfile::tempdir().unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let layers = model.architecture().layers();
    let two: BTreeMap<String, Adapter> = [true, false]
        .into_iter()
        .zip(&layers)
        .map(|(biased, layer)| (layer.name.clone(), random(layer, 2, 2.0, biased, &mut rng)))
        .collect();
    let set = AdapterSet::new(two, model.architecture()).unwrap();
    write_peft(&set, model.architecture(), folder.path(), &PeftOptions::default()).unwrap();
    let read = read_peft(folder.path(), model.architecture()).unwrap();
    assert_eq!(read.get(&layers[1].name).unwrap().b_bias, Some(Array1::zeros(32)));
}

#[test]
fn what_is_more_than_lora_is_refused_and_rslora_rescaled() {
    let model = tiny();
    let folder = tempfile::tempdir().unwrap();
    let set = folded(adapters(model.architecture(), true), model.architecture());
    write_peft(&set, model.architecture(), folder.path(), &PeftOptions::default()).unwrap();
    let path = folder.path().join(CONFIG);
    let text = fs::read_to_string(&path).unwrap();
    let read = |from: &str, to: &str| {
        assert!(text.contains(from));
        fs::write(&path, text.replacen(from, to, 1)).unwrap();
        read_peft(folder.path(), model.architecture())
    };
    let complaint = |from: &str, to: &str| match read(from, to).unwrap_err() {
        ModelError::File { source, .. } => source.to_string(),
        other => other.to_string(),
    };
    assert!(complaint("\"use_dora\": false", "\"use_dora\": true").contains("not read"));
    assert!(complaint("\"LORA\"", "\"IA3\"").contains("expected `LORA`"));
    assert!(
        complaint("\"modules_to_save\": null", "\"modules_to_save\": [\"classifier\"]")
            .contains("classifier")
    );
    assert!(complaint("\"alpha_pattern\": {", "\"alpha_pattern\": {\"^a.*\": 1,").contains("`^a.*`"));
    let stabilised = read("\"use_rslora\": false", "\"use_rslora\": true").unwrap();
    let query = "vit.encoder.layer.0.attention.attention.query";
    // α/√k at k = 4 is twice α/k.
    assert_eq!(stabilised.get(query).unwrap().factor(), 2.0 * set.get(query).unwrap().factor());
}

/// Runs a script of `tests/python` with the interpreter named in `ALORA_PYTHON` (it needs torch, transformers and peft).
fn python(script: &str, arguments: &[&Path]) {
    let Some(interpreter) = std::env::var_os("ALORA_PYTHON") else {
        eprintln!("SKIPPED: {script}; set ALORA_PYTHON to a Python with torch, transformers and peft");
        return;
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python").join(script);
    let done = Command::new(interpreter).arg(script).args(arguments).output().unwrap();
    let said = [String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr)].concat();
    assert!(done.status.success(), "{said}");
    eprintln!("{said}");
}

#[test]
fn peft_computes_with_the_exported_adapters_what_the_merged_network_computes() {
    let model = tiny();
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/vit-tiny-random-hf");
    let provenance = Provenance {
        tool: "alora test".to_owned(),
        processor: None,
        kind: None,
        simulated: true,
        created: "2026-01-01T00:00:00Z".to_owned(),
        seed: 11,
    };
    for biased in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let (peft, merged) = (folder.path().join("peft"), folder.path().join("merged"));
        let set = adapters(model.architecture(), biased);
        let options = PeftOptions { base: Some(base.display().to_string()), ..PeftOptions::default() };
        write_peft(&set, model.architecture(), &peft, &options).unwrap();
        let metadata = ModelMetadata { merged: true, ..ModelMetadata::base(provenance.clone()) };
        write_hf(&set.merged(&model).unwrap(), &merged, &metadata).unwrap();
        python("check_peft.py", &[&base, &peft, &merged]);
    }
}

#[test]
fn transformers_computes_with_what_we_write_what_it_computed_before() {
    let folder = tempfile::tempdir().unwrap();
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/vit-tiny-random-hf");
    let metadata = ModelMetadata::base(crate::model::file::unknown_origin());
    write_hf(&tiny(), folder.path(), &metadata).unwrap();
    python("check_vit_logits.py", &[folder.path(), &base.join("ref_io.safetensors")]);
}
