//! The loop through the real binary: as one command, and stage by stage with files in between.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

fn quick() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/configs/quick.toml")
}

fn alora(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::cargo_bin("alora").unwrap();
    command.current_dir(folder).env("OPENBLAS_NUM_THREADS", "1").args(arguments);
    command
}

fn json(folder: &Path, arguments: &[&str]) -> Value {
    let output = alora(folder, arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn number(value: &Value, path: &str) -> f64 {
    value.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("{path} is no number in {value}"))
}

/// The parts of a report that must not depend on when and where it was made.
fn figures(report: &Value) -> Value {
    serde_json::json!([report["sigma"], report["accuracy"], report["parameters"], report["deployment"]])
}

#[test]
fn run_reports_the_loop_as_one_object_and_leaves_every_file_it_names() {
    let folder = TempDir::new().unwrap();
    let config = quick();
    let arguments = ["run", config.to_str().unwrap(), "--out", "out", "--json"];
    let report = json(folder.path(), &arguments);

    assert_eq!(report["simulated"], true);
    assert_eq!(report["sigma"]["reference"], "full_scale");
    let sigma = number(&report, "/sigma/rms");
    assert!(number(&report, "/sigma/ci95/0") < sigma && sigma < number(&report, "/sigma/ci95/1"));
    for key in ["gaussian_mle", "gaussian_histogram", "mad", "programming", "readout"] {
        assert!(number(&report, &format!("/sigma/{key}")) > 0.0, "{key}");
    }
    assert_eq!(number(&report, "/sigma/n"), 4.0 * 256.0, "P × rows × cols");
    for key in ["digital", "ptq_on_chip", "alora_on_chip"] {
        // 1 500 images and three epochs: far above the 10 % of guessing is all that is asked of so small a network.
        assert!(number(&report, &format!("/accuracy/{key}")) > 0.6, "{key} in {}", report["accuracy"]);
    }
    let tiles = number(&report, "/deployment/tiles");
    assert_eq!(tiles, 49.0 * 2.0 + 2.0 * 2.0 + 2.0 * 2.0 + 2.0, "784-32-32-32-10 in 16 × 16");
    assert_eq!(number(&report, "/deployment/verified"), tiles);
    assert_eq!(number(&report, "/parameters/total"), f64::from(785 * 32 + 33 * 32 + 33 * 32 + 33 * 10));
    assert_eq!(number(&report, "/parameters/trainable"), f64::from(8 * ((784 + 32) + 2 * 64 + 42)));

    let files = report["files"].as_object().unwrap();
    for (key, path) in files {
        let path = folder.path().join(path.as_str().unwrap());
        assert!(fs::metadata(&path).unwrap().len() > 0, "{key}: {}", path.display());
    }
    for key in ["config", "manifest", "record", "error_model", "adapters", "merged", "figure_accuracy"] {
        assert!(files.contains_key(key), "{key} in {files:?}");
    }

    // The configuration as resolved gives the same figures again.
    let again = json(folder.path(), &["run", "out/config.toml", "--out", "again", "--json"]);
    assert_eq!(figures(&report), figures(&again));
    // Another seed is another run.
    let other = json(folder.path(), &["run", "out/config.toml", "--out", "other", "--json", "--seed", "4"]);
    assert_ne!(figures(&report), figures(&other));
}

#[test]
fn the_stages_pass_files_and_verification_tells_good_from_bad() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    let config = quick();
    let config = config.to_str().unwrap();
    json(path, &["calibrate", config, "--out", "lab", "--json"]);
    let fit = json(path, &["fit", "lab/record.toml", "--out", "fit", "--json"]);
    assert!(number(&fit, "/sigma/rms") > 0.0);
    json(path, &["finetune", config, "--error-model", "fit/error-model.toml", "--out", "tuned", "--json"]);
    let deploy = ["--calibration", "lab/calibration.toml", "--weights", "tuned/merged.safetensors"];
    let deployed = json(path, &[&["deploy", config, "--out", "chip", "--json"][..], &deploy[..]].concat());
    assert!(number(&deployed, "/accuracy") > 0.6, "{deployed}");

    let verify =
        ["verify", config, "--calibration", "lab/calibration.toml", "--deployment", "chip/deployment.toml"];
    let verified = json(path, &[&verify[..], &["--json"]].concat());
    assert_eq!(number(&verified, "/recoded"), 0.0, "the same calibration gives the same codes");
    assert_eq!(verified["verified"], verified["tiles"]);

    // A limit that no processor keeps: out of specification.
    let text = fs::read_to_string(path.join("chip/deployment.toml")).unwrap();
    fs::write(path.join("chip/deployment.toml"), text.replace("residual = 0.1", "residual = 0.0001"))
        .unwrap();
    let output = alora(path, &verify).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(6), "{message}");
    assert!(message.contains("out of specification") && message.contains("calibrate again"), "{message}");

    // A calibration of another chip is refused.
    let other = fs::read_to_string(config).unwrap().replace("chip_seed = 5", "chip_seed = 6");
    fs::write(path.join("other.toml"), other).unwrap();
    let output = alora(path, &[&["deploy", "other.toml"][..], &deploy[..]].concat()).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("belongs to processor") && message.contains("alora calibrate"), "{message}");

    // Adapters would count twice in weights that hold them already.
    let twice = ["deploy", config, "--adapters", "tuned/adapters.safetensors"];
    let output = alora(path, &[&twice[..], &deploy[..]].concat()).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("merged.safetensors") && message.contains("base weights"), "{message}");

    // A record of another schema is refused.
    let record = fs::read_to_string(path.join("lab/record.toml")).unwrap();
    fs::write(path.join("lab/record.toml"), record.replace("alora.record/1", "alora.record/9")).unwrap();
    let output = alora(path, &["fit", "lab/record.toml"]).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("alora.record/9") && message.contains("alora.record/1"), "{message}");
}
