//! Bad input gets one clear sentence (what, where, found, expected, next step) and the right exit code, and leaves
//! nothing half-written.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::{fs, path::Path, process::Output};

use assert_cmd::Command;
use tempfile::TempDir;

fn alora(arguments: &[&str], folder: &Path) -> Output {
    Command::cargo_bin("alora").unwrap().current_dir(folder).args(arguments).output().unwrap()
}

/// Runs and expects to be refused with exit code 2; gives the message.
fn refused(arguments: &[&str], folder: &Path) -> String {
    let output = alora(arguments, folder);
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
    assert!(output.stdout.is_empty(), "nothing is printed as a result");
    assert!(!message.contains("panicked"), "{message}");
    message
}

fn config(folder: &TempDir, text: &str) -> String {
    fs::write(folder.path().join("lab.toml"), text).unwrap();
    "lab.toml".to_owned()
}

#[track_caller]
fn says(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "`{word}` is not in: {message}");
    }
}

#[test]
fn an_unknown_key_is_named_with_its_file() {
    let folder = TempDir::new().unwrap();
    let lab = config(&folder, "[finetune]\nepoch = 3\n");
    let message = refused(&["run", &lab, "--out", "out"], folder.path());
    says(&message, &["lab.toml", "finetune", "epoch", "expected one of", "epochs"]);
    assert!(
        !folder.path().join("out").exists(),
        "nothing is made before the configuration is known to be good"
    );
}

#[test]
fn a_value_out_of_range_is_named_with_file_key_value_and_what_is_allowed() {
    let folder = TempDir::new().unwrap();
    for (text, words) in [
        ("[finetune]\nepochs = 0\n", ["finetune.epochs", "= 0", "1 to 1000"]),
        ("[precision]\nweight_bits = 40\n", ["precision.weight_bits", "40", "2 to 16"]),
        ("[measurement]\nrepeats = 0\n", ["measurement.repeats", "= 0", "1 to 255"]),
        ("[processor]\npreset = \"abacus\"\n", ["processor.preset", "abacus", "coherent-8x8"]),
        ("[figures]\nsigma_percent = [1.0, -2.0]\n", ["figures.sigma_percent[1]", "-2", "0 to 100"]),
        ("[processor.physics]\nmagic = 1.0\n", ["processor.physics", "magic", "expected one of"]),
        ("seed = \"x\"\n", ["seed", "string", "lab.toml"]),
        ("[error_model]\nlaw = \"empirical\"\n", ["finetune.sampling", "per_execution", "per_step"]),
        (
            "[[processor.script]]\nfrom_execution = 0\nfault = \"dead_detector\"\noutput = 99\n",
            ["processor.script[0].output", "= 99", "0 to 15"],
        ),
    ] {
        let lab = config(&folder, text);
        let message = refused(&["run", &lab], folder.path());
        says(&message, &words);
        says(&message, &["lab.toml"]);
    }
}

#[test]
fn what_is_no_toml_is_named_with_its_line() {
    let folder = TempDir::new().unwrap();
    let lab = config(&folder, "seed = 1\n\n[finetune\n");
    says(&refused(&["run", &lab], folder.path()), &["lab.toml", "line 3"]);
}

#[test]
fn a_missing_file_is_named() {
    let folder = TempDir::new().unwrap();
    says(&refused(&["run", "nowhere.toml"], folder.path()), &["nowhere.toml", "No such file"]);
    says(&refused(&["fit", "nowhere.npz"], folder.path()), &["nowhere.npz", "No such file"]);
    says(&refused(&["fit", "nowhere.csv"], folder.path()), &["nowhere.csv", "No such file"]);
}

#[test]
fn a_folder_that_cannot_be_made_is_named_before_anything_is_measured() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("occupied"), "a file").unwrap();
    let lab = config(&folder, "seed = 1\n");
    let message = refused(&["run", &lab, "--out", "occupied/out"], folder.path());
    says(&message, &["occupied/out", "--out"]);
    assert_eq!(fs::read_to_string(folder.path().join("occupied")).unwrap(), "a file");
}

#[test]
fn pairs_that_are_not_numbers_or_are_ragged_are_named_with_their_place() {
    let folder = TempDir::new().unwrap();
    for (text, words) in [
        ("target,measured\n0.1,0.2\n0.3,nan\n0.5,0.5\n", ["line 3", "nan"]),
        ("target,measured\n0.1,0.2\n0.3\n0.5,0.5\n", ["line 3", "2"]),
        ("target,measured\n0.1,0.2\n0.3,x\n0.5,0.5\n", ["line 3", "x"]),
        ("wanted,got\n0.1,0.2\n", ["target,measured", "wanted"]),
        ("", ["pairs.csv", "target,measured"]),
    ] {
        fs::write(folder.path().join("pairs.csv"), text).unwrap();
        let message = refused(&["fit", "pairs.csv", "--out", "out"], folder.path());
        says(&message, &["pairs.csv"]);
        says(&message, &words);
    }
    assert!(!folder.path().join("out").join("fit.toml").exists());
}

#[test]
fn a_truncated_archive_is_refused() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("pairs.npz"), b"PK\x03\x04 and then nothing").unwrap();
    says(&refused(&["fit", "pairs.npz"], folder.path()), &["pairs.npz"]);
}

#[test]
fn a_missing_argument_is_a_usage_error() {
    let folder = TempDir::new().unwrap();
    assert_eq!(alora(&["run"], folder.path()).status.code(), Some(2));
    assert_eq!(alora(&["launder"], folder.path()).status.code(), Some(2));
}
