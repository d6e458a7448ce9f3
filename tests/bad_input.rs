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
            "[error_model]\nlaw = \"map\"\n",
            ["finetune.sampling", "per_execution", "\"map\", as error_model.law"],
        ),
        ("[error_model]\nassumed_sigma = 2.0\n", ["error_model.assumed_sigma", "= 2", "0 to 1"]),
        ("[mapping]\noutput_range = \"learned\"\n", ["mapping.output_range", "\"learned\"", "\"static\""]),
        ("[mapping]\nclip_rms = 0.1\n", ["mapping.clip_rms", "= 0.1", "0 (off), or 0.5 to 100"]),
        ("[evaluation]\nchips = 2000\n", ["evaluation.chips", "= 2000", "0 to 1000"]),
        ("[data]\nstd = [0.5, 0.0]\n", ["data.std[1]", "= 0", "0.000001 to 1000000"]),
        ("[finetune.adapter]\ndropout = 0.95\n", ["finetune.adapter.dropout", "= 0.95", "0 to 0.9"]),
        (
            "[finetune.early_stop]\nheld_out = 0.6\n",
            ["finetune.early_stop.held_out", "= 0.6", "above 0, to 0.5"],
        ),
        ("[pretrain]\nwarmup = -1.0\n", ["pretrain.warmup", "= -1", "0 to 1"]),
        ("[model.architecture]\nfamily = \"gpt\"\n", ["model.architecture", "`gpt`", "`vit`"]),
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
fn a_key_of_the_command_line_is_refused_like_one_of_the_file() {
    let folder = TempDir::new().unwrap();
    let lab = config(&folder, "seed = 1\n[finetune]\nepochs = 2\n");
    let message = |set: &str| refused(&["run", &lab, "--set", set], folder.path());
    says(&message("finetune.epochs"), &["finetune.epochs", "key=value", "e.g."]);
    says(&message("=3"), &["key=value"]);
    says(&message("finetune..epochs=3"), &["key=value"]);
    says(&message("finetune.epochs=0"), &["lab.toml", "finetune.epochs = 0", "1 to 1000"]);
    says(&message("finetune.epoch=3"), &["lab.toml", "finetune", "epoch", "expected one of"]);
    says(&message("finetune.epochs=three"), &["lab.toml", "finetune.epochs", "string \"three\""]);
    says(&message("seed.of.all=3"), &["lab.toml", "`seed` holds a value and no keys", "seed.of.all"]);
}

#[test]
fn fine_tuning_without_an_error_names_both_ways_to_get_one() {
    let folder = TempDir::new().unwrap();
    let lab = config(&folder, "seed = 1\n");
    let message = refused(&["finetune", &lab, "--out", "out"], folder.path());
    says(&message, &["lab.toml", "--error-model", "error_model.assumed_sigma", "0.012"]);
    assert!(!folder.path().join("out").exists());
    says(
        &refused(&["finetune", &lab, "--error-model", "nowhere.toml"], folder.path()),
        &["nowhere.toml", "No such file"],
    );
}

#[test]
fn weights_of_another_network_are_named_with_what_was_described() {
    let folder = TempDir::new().unwrap();
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/vit-tiny-random-hf");
    let text = format!(
        "[model]\nweights = {:?}\n[model.architecture]\nfamily = \"mlp\"\ninput = {{ channels = 1, height = 28, width \
         = 28 }}\nhidden = [8]\nclasses = 10\n[error_model]\nassumed_sigma = 0.01\n",
        assets.display().to_string()
    );
    let lab = config(&folder, &text);
    let message = refused(&["finetune", &lab, "--out", "out"], folder.path());
    says(&message, &["vit-tiny-random-hf", "a vision transformer", "a multi-layer perceptron", "leave"]);
    let text = "[model]\nweights = \"nowhere\"\n[error_model]\nassumed_sigma = 0.01\n";
    let lab = config(&folder, text);
    says(&refused(&["finetune", &lab], folder.path()), &["nowhere"]);
    fs::write(folder.path().join("torn.safetensors"), [9, 0, 0, 0, 0, 0, 0, 0, b'{']).unwrap();
    let lab = config(&folder, &text.replace("nowhere", "torn.safetensors"));
    says(&refused(&["finetune", &lab], folder.path()), &["torn.safetensors", "not a whole safetensors file"]);
}

#[test]
fn sizes_of_which_no_network_can_be_made_are_named() {
    let folder = TempDir::new().unwrap();
    let lab = config(
        &folder,
        "[error_model]\nassumed_sigma = 0.01\n[model.architecture]\nfamily = \"vit\"\nhidden_size = 30\n\
         num_hidden_layers = 1\nnum_attention_heads = 4\nintermediate_size = 8\nhidden_act = \"gelu\"\n\
         layer_norm_eps = 1e-6\nimage_size = 28\npatch_size = 4\nnum_channels = 1\nqkv_bias = true\nclasses = 10\n",
    );
    for arguments in [&["finetune", &lab][..], &["finetune", &lab, "--dry-run"]] {
        says(
            &refused(arguments, folder.path()),
            &["hidden_size is 30", "a multiple of num_attention_heads (4)"],
        );
    }
    let few = "model.architecture={ family = \"mlp\", input = { channels = 1, height = 28, width = 28 }, hidden = [8], classes = 3 }";
    let lab = config(&folder, "[error_model]\nassumed_sigma = 0.01\n");
    let message = refused(&["finetune", &lab, "--set", few], folder.path());
    says(&message, &["3 outputs", "10 classes"]);
}

#[test]
fn the_whole_loop_refuses_what_only_simulation_does() {
    let folder = TempDir::new().unwrap();
    let lab = config(&folder, "[mapping]\ntile = \"layer\"\n");
    says(&refused(&["run", &lab], folder.path()), &["mapping", "alora finetune", "alora sweep"]);
    let cnn = "model.architecture={ family = \"cnn\", input = { channels = 1, height = 28, width = 28 }, channels = [2, 2], hidden = 8, classes = 10 }";
    let lab = config(&folder, "seed = 1\n");
    let message = refused(&["run", &lab, "--set", cnn], folder.path());
    says(&message, &["a convolutional network", "multi-layer perceptrons", "alora finetune"]);
}

#[test]
fn a_sweep_without_its_section_or_in_a_torn_folder_is_refused() {
    let folder = TempDir::new().unwrap();
    let lab = config(&folder, "seed = 1\n");
    says(&refused(&["sweep", &lab], folder.path()), &["lab.toml", "sweep", "add `[sweep]`"]);
    let lab = config(
        &folder,
        "[sweep]\nmodels = [{ name = \"A\", set = { modle = 1 } }]\ntasks = [{ name = \"B\" }]\n",
    );
    says(&refused(&["sweep", &lab], folder.path()), &["network `A`", "task `B`", "modle"]);
}

#[test]
fn a_missing_argument_is_a_usage_error() {
    let folder = TempDir::new().unwrap();
    assert_eq!(alora(&["run"], folder.path()).status.code(), Some(2));
    assert_eq!(alora(&["launder"], folder.path()).status.code(), Some(2));
}
